import numpy as np
import pytest
from drawn import examples
from hypothesis import given
from hypothesis import strategies as st

from rewindnet.clients.data.partitions import PARTITIONS, PartitionError, partition

quick = examples(60)


def draw(kind, labels, clients=None, seed=0, natural=None, **parameters):
    return partition(kind, np.asarray(labels), natural, clients, np.random.default_rng(seed), **parameters)


def check(shards, n, *, complete):
    used = np.concatenate(shards)
    assert len(np.unique(used)) == len(used)
    assert used.min() >= 0
    assert used.max() < n
    assert not complete or len(used) == n
    for rows in shards:
        assert rows.dtype == np.int64
        assert len(rows) > 0
        assert (np.diff(rows) > 0).all()


def same(first, second):
    return len(first) == len(second) and all(map(np.array_equal, first, second))


labelled = st.integers(40, 300).flatmap(
    lambda n: st.builds(
        lambda seed, classes: np.random.default_rng(seed).integers(0, classes, n),
        st.integers(0, 99),
        st.integers(2, 12),
    )
)


@given(labels=labelled, clients=st.integers(1, 40), seed=st.integers(0, 99))
@quick
def test_iid_uses_every_row_evenly(labels, clients, seed):
    shards = draw("iid", labels, clients, seed)
    check(shards, len(labels), complete=True)
    assert len(shards) == clients
    assert np.ptp([len(rows) for rows in shards]) <= 1
    assert same(shards, draw("iid", labels, clients, seed))


@given(
    labels=labelled,
    clients=st.integers(1, 6),
    alpha=st.floats(0.5, 1e6),
    balancing=st.booleans(),
    seed=st.integers(0, 99),
)
@quick
def test_dirichlet_uses_every_row_and_keeps_the_minimum(labels, clients, alpha, balancing, seed):
    parameters = {"alpha": alpha, "min_partition_size": 2, "self_balancing": balancing}
    shards = draw("dirichlet", labels, clients, seed, **parameters)
    check(shards, len(labels), complete=True)
    assert min(map(len, shards)) >= 2
    assert same(shards, draw("dirichlet", labels, clients, seed, **parameters))


def test_dirichlet_goes_from_even_to_single_classes_as_alpha_falls():
    labels = np.repeat(np.arange(10), 1000)
    even = draw("dirichlet", labels, 5, alpha=1e6)
    counts = np.array([np.bincount(labels[rows], minlength=10) for rows in even])
    assert abs(counts - 200).max() < 10
    skewed = draw("dirichlet", labels, 5, alpha=0.01, min_partition_size=1)
    counts = np.array([np.bincount(labels[rows], minlength=10) for rows in skewed])
    assert (counts.max(axis=0) / 1000).mean() > 0.9


def test_dirichlet_shares_have_the_variance_of_the_distribution():
    labels = np.repeat(np.arange(400), 100)
    shards = draw("dirichlet", labels, 4, alpha=2.0)
    share = np.array([np.bincount(labels[rows], minlength=400) for rows in shards]) / 100
    # Var of a component of Dirichlet(a, …, a) of length k is (k − 1) / (k² (k a + 1)).
    assert share.var() == pytest.approx(3 / (16 * 9), rel=0.1)


def test_balancing_gives_nothing_more_to_a_client_above_the_average():
    labels = np.repeat(np.arange(50), 20)
    parameters = {"alpha": 0.05, "min_partition_size": 1}
    free = max(map(len, draw("dirichlet", labels, 10, **parameters)))
    balanced = max(map(len, draw("dirichlet", labels, 10, **parameters, self_balancing=True)))
    assert balanced < 100 + 20 <= free


@given(labels=labelled, clients=st.integers(1, 8), each=st.integers(1, 3), seed=st.integers(0, 99))
@quick
def test_pathological_gives_each_client_exactly_so_many_classes(labels, clients, each, seed):
    labels = np.concatenate([labels, np.repeat(np.arange(3), 10), np.repeat(np.unique(labels), 8)])
    for mode in ("random", "deterministic", "first-deterministic"):
        parameters = {"num_classes_per_partition": each, "class_assignment_mode": mode}
        shards = draw("pathological", labels, clients, seed, **parameters)
        held = [np.unique(labels[rows]) for rows in shards]
        assert [len(values) for values in held] == [each] * clients
        check(shards, len(labels), complete=len(np.unique(np.concatenate(held))) == len(np.unique(labels)))
        assert same(shards, draw("pathological", labels, clients, seed, **parameters))


def test_pathological_modes_assign_classes_as_they_say():
    labels = np.repeat([2, 5, 7, 9], 50)
    fixed = draw("pathological", labels, 5, class_assignment_mode="deterministic")
    held = [set(labels[rows].tolist()) for rows in fixed]
    assert held == [{2, 5}, {5, 7}, {7, 9}, {9, 2}, {2, 5}]
    first = draw("pathological", labels, 8, class_assignment_mode="first-deterministic")
    assert all([2, 5, 7, 9][i % 4] in labels[rows] for i, rows in enumerate(first))
    sizes = [np.count_nonzero(labels[rows] == 2) for rows in fixed]
    assert sorted(sizes) == [0, 0, 16, 17, 17]


@given(labels=labelled, clients=st.integers(1, 10), each=st.integers(1, 4), seed=st.integers(0, 99))
@quick
def test_shards_use_every_row_and_hold_few_classes(labels, clients, each, seed):
    shards = draw("shard", labels, clients, seed, num_shards_per_partition=each)
    check(shards, len(labels), complete=True)
    assert np.ptp([len(rows) for rows in shards]) <= each
    assert same(shards, draw("shard", labels, clients, seed, num_shards_per_partition=each))
    fixed = draw("shard", labels, clients, seed, num_shards_per_partition=each, shard_size=1)
    check(fixed, len(labels), complete=False)
    assert [len(rows) for rows in fixed] == [each] * clients


def test_shards_are_consecutive_in_label_order():
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(10), 30))
    for rows in draw("shard", labels, 10, num_shards_per_partition=2, shard_size=15):
        assert len(rows) == 30
        assert set(np.bincount(labels[rows])) <= {0, 15, 30}


@given(sizes=st.lists(st.integers(1, 9), min_size=1, max_size=8), spare=st.integers(0, 5), seed=st.integers(0, 99))
@quick
def test_size_gives_each_client_its_number(sizes, spare, seed):
    n = sum(sizes) + spare
    shards = draw("size", np.zeros(n, dtype=int), None, seed, partition_sizes=sizes)
    assert [len(rows) for rows in shards] == sizes
    check(shards, n, complete=spare == 0)
    assert same(shards, draw("size", np.zeros(n, dtype=int), len(sizes), seed, partition_sizes=sizes))


@given(ids=st.lists(st.integers(-5, 9), min_size=1, max_size=40), take=st.integers(1, 40))
@quick
def test_natural_clients_come_in_the_order_of_their_ids(ids, take):
    natural, labels = np.array(ids), np.zeros(len(ids), dtype=int)
    everyone = draw("natural", labels, natural=natural)
    check(everyone, len(ids), complete=True)
    assert [set(natural[rows].tolist()) for rows in everyone] == [{value} for value in sorted(set(ids))]
    if take <= len(everyone):
        assert same(draw("natural", labels, take, natural=natural), everyone[:take])


@pytest.mark.parametrize("kind", ["iid", "dirichlet", "pathological", "shard"])
def test_there_are_ten_clients_unless_said_and_the_seed_matters(kind):
    labels = np.arange(1000) % 10
    shards = draw(kind, labels)
    assert len(shards) == 10
    assert not same(shards, draw(kind, labels, seed=1))


LABELS = np.arange(60) % 3


@pytest.mark.parametrize(
    ("kind", "clients", "parameters", "sentence"),
    [
        ("idd", 2, {}, "unknown partition 'idd'; there are: iid, dirichlet"),
        ("iid", 2, {"alpha": 1.0}, r"the partition 'iid' has no setting 'alpha'"),
        ("iid", 61, {}, "number of clients must lie in 1 … 60, the rows there are, not 61"),
        ("iid", 0, {}, "not 0"),
        ("dirichlet", 3, {"alpha": 0.0}, "alpha must be positive"),
        ("dirichlet", 3, {"alpha": float("nan")}, "alpha must be positive"),
        ("dirichlet", 3, {"min_partition_size": 0}, r"min_partition_size must lie in 1 … 20"),
        ("dirichlet", 3, {"min_partition_size": 21}, r"for 3 clients and 60 rows, not 21"),
        ("dirichlet", 6, {"alpha": 1e-6, "min_partition_size": 5}, "raise alpha, lower min_partition_size, or ask"),
        ("pathological", 3, {"num_classes_per_partition": 4}, "must lie in 1 … 3, the classes there are, not 4"),
        ("pathological", 3, {"class_assignment_mode": "any"}, "class_assignment_mode must be random"),
        ("pathological", 60, {"num_classes_per_partition": 3}, "class 0 has 20 rows but is assigned to 60 clients"),
        ("shard", 3, {"num_shards_per_partition": 0}, "must be at least 1"),
        ("shard", 3, {"shard_size": 11}, "3 clients with 2 shards of 11 rows need 66 rows, there are 60"),
        ("shard", 31, {}, "need 62 rows, there are 60"),
        ("size", None, {}, "partition_sizes must list a number of rows ≥ 1 for each client, not None"),
        ("size", None, {"partition_sizes": [3, 0]}, r"not \[3, 0\]"),
        ("size", 3, {"partition_sizes": [3, 4]}, "3 clients were asked for, but partition_sizes has 2"),
        ("size", None, {"partition_sizes": [40, 40]}, "sum to 80, there are 60 rows"),
        ("natural", None, {}, "no natural clients; choose another kind"),
    ],
)
def test_partitions_that_cannot_be_made_are_refused_in_a_sentence(kind, clients, parameters, sentence):
    with pytest.raises(PartitionError, match=sentence):
        draw(kind, LABELS, clients, **parameters)


def test_more_natural_clients_than_there_are_is_refused():
    with pytest.raises(PartitionError, match="natural clients must lie in 1 … 3, not 4"):
        draw("natural", LABELS, 4, natural=LABELS)


def test_every_kind_says_what_it_does_in_one_line():
    assert all(kind.__doc__.splitlines()[0].endswith(".") for kind in PARTITIONS.values())
