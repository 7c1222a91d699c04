"""Minibatches: who is drawn, how often, and what a deletion changes about it."""

import re
from dataclasses import replace

import networkx as nx
import numpy as np
import pytest
import torch
from drawn import examples
from hypothesis import given
from hypothesis import strategies as st
from runs import refused_here, run_through
from scipy.stats import chisquare

from rewindnet import topologies
from rewindnet.certificates import Constant, TrainingRun, derive, propagate, worst_case_disturbance
from rewindnet.certificates.sensitivity.local_steps import LocalSteps, curvatures
from rewindnet.clients.models.logistic import Logistic
from rewindnet.clients.models.sigmoid import Sigmoid
from rewindnet.clients.training.local_training import LocalTraining
from rewindnet.clients.training.make_block import make_block
from rewindnet.clients.training.minibatch import BlockPart
from rewindnet.clients.training.sampling import SAMPLINGS, Keyed, Poisson, Realised, SamplingError, full


def test_every_sample_is_drawn_as_often_as_it_should():
    for batch, n in ((1, 9), (4, 10), (30, 31)):
        drawn = np.concatenate([Poisson(3, 5, batch=batch).masks(t, 2, n) for t in range(600)])
        assert drawn.shape == (3_000, n)
        # 3,000 draws of every sample: five standard deviations
        p = batch / n
        assert np.all(np.abs(drawn.mean(axis=0) - p) <= 5 * np.sqrt(p * (1 - p) / 3_000))
        together = drawn[:, 0] & drawn[:, 1]
        assert abs(together.mean() - p * p) <= 5 * np.sqrt(p * p * (1 - p * p) / 3_000)


def test_a_batch_of_all_is_everybody_every_time():
    for n in (1, 5, 32):
        assert Poisson(0, 2, batch=32).masks(7, 3, n).all()
    assert Poisson(0, 2, batch=32).size(5) == 5.0
    assert Keyed(0, 2, batches=1).masks(7, 3, 5).all()


@pytest.mark.parametrize(("batches", "E"), [(3, 1), (4, 2), (5, 3), (2, 6)])
def test_every_sample_has_its_turn_once_in_an_epoch(batches, E):
    keyed, n = Keyed(5, E, batches=batches), 20
    steps = np.concatenate([keyed.masks(t, 1, n) for t in range(4 * batches)])
    epochs = steps.reshape(-1, batches, n)
    assert np.all(epochs.sum(axis=1) == 1)
    assert not np.array_equal(epochs[0], epochs[1])  # new keys
    assert keyed.size(n) == n / batches


def test_keys_are_uniform():
    keyed = Keyed(1, 1, batches=5)
    sizes = np.array([keyed.masks(t, 0, 200).sum() for t in range(150)]).reshape(30, 5)
    assert np.all(sizes.sum(axis=1) == 200)
    assert chisquare(sizes.sum(axis=0)).pvalue > 1e-4


@pytest.mark.parametrize("sampling", [Poisson(9, 3, batch=5), Keyed(9, 3, batches=4)])
def test_draws_depend_on_their_address_alone(sampling):
    again = type(sampling)(9, 3, **({"batch": 5} if isinstance(sampling, Poisson) else {"batches": 4}))
    asked = [(t, node) for t in range(6) for node in range(3)]
    ahead = {at: sampling.masks(*at, 12) for at in asked}
    for at in reversed(asked):
        assert np.array_equal(again.masks(*at, 12), ahead[at])
    assert not np.array_equal(ahead[0, 0], ahead[0, 1])


@pytest.mark.parametrize("node_by_node", [False, True])
@pytest.mark.parametrize("kind", ["poisson", "keyed"])
def test_who_is_deleted_changes_nobody_elses_draw(kind, node_by_node):
    """The batches of what is retained are those of everything, with holes."""
    rng = np.random.default_rng(0)
    x, y = torch.from_numpy(rng.standard_normal((30, 4))), rng.integers(0, 3, 30)
    gone = {1: np.array([0, 3, 8])}
    block = make_block(
        Logistic(4, 3, l2=0.0), x, y, [np.arange(12), np.arange(12, 30)], step_size=1.0, local_steps=2,
        local_training=LocalTraining(SAMPLINGS[kind](4, 2)), node_by_node=node_by_node,
    )  # fmt: skip
    retained = block.without(gone)
    for t in range(5):
        for whole, kept in zip(block.minibatches(t), retained.minibatches(t), strict=True):
            for bucket, one, other, at, again in zip(
                block.drawing, whole.weights, kept.weights, whole.places, kept.places, strict=True
            ):
                assert (at is None) == (again is None)
                if at is not None:
                    assert torch.equal(at, again)
                for k, row in enumerate(bucket.rows.tolist()):
                    places = range(one.shape[1]) if at is None else at[k].numpy() - k * bucket.x.shape[1]
                    expected = one[k].clone()
                    expected[np.isin(places, gone.get(row, []))] = 0.0
                    assert torch.equal(other[k], expected)


@pytest.mark.parametrize("kind", ["poisson", "keyed"])
def test_a_batch_gradient_is_the_sum_over_its_expected_size(kind):
    rng = np.random.default_rng(1)
    sizes = (7, 20, 1)
    x, y = rng.standard_normal((28, 4)), rng.integers(0, 3, 28)
    rows = np.split(np.arange(28), np.cumsum(sizes)[:-1])
    sampling, model = SAMPLINGS[kind](6, 2), Logistic(4, 3, l2=0.3)
    block = make_block(
        model, torch.from_numpy(x), y, rows, step_size=1.0, local_steps=2, local_training=LocalTraining(sampling)
    )
    theta = torch.from_numpy(rng.standard_normal((3, model.parameters)))
    design, targets = model.design(torch.from_numpy(x)), torch.from_numpy(model.targets(y))
    for t in range(4):
        for step, minibatch in enumerate(block.minibatches(t)):
            found = block.gradient(theta, minibatch)
            for node, own in enumerate(rows):
                drawn = own[sampling.masks(t, node, len(own))[step]]
                weight = torch.full((1, len(drawn)), 1 / sampling.size(len(own)), dtype=torch.float64)
                one = model.gradient(theta[[node]], design[drawn][None], targets[drawn][None], weight)
                torch.testing.assert_close(found[[node]], one, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("kind", ["poisson", "keyed"])
def test_realised_shares_are_counted(kind):
    sampling, samples = SAMPLINGS[kind](2, 3), np.array([5, 40, 0, 17])
    forget = {1: np.array([0, 7, 39]), 3: np.arange(17)}
    realised = Realised(sampling, samples, forget)
    for t in range(6):
        retained, deleted = realised.shares(t)
        taken = {True: np.zeros(4, dtype=int), False: np.zeros(4, dtype=int)}
        for node, n in enumerate(samples.tolist()):
            for step, mask in enumerate(sampling.masks(t, node, n)):
                gone = sum(mask[place] for place in forget.get(node, ()))
                kept = sum(mask[place] for place in range(n) if place not in forget.get(node, ()))
                size = sampling.size(n) if n else 1.0
                assert (retained[step, node], deleted[step, node]) == (kept / size, gone / size)
                taken[True][node] += kept
                taken[False][node] += kept + gone
        for what in (True, False):
            assert np.array_equal(realised.read(t, what), taken[what])


def test_the_gradients_that_a_run_counts_are_those_of_its_batches(tmp_path):
    scenario = {
        "data": {"source": "synthetic", "samples": 90, "dimensions": 3},
        "partition": {"clients": 4},
        "topology": "ring",
        "learning": {"rounds": 9, "local_steps": 2, "sampling": {"kind": "poisson", "batch": 5}},
        "deletion": {"client": 1, "samples": 0.5},
        "unlearning": [{"method": "r2d", "rewind": 1 / 3}, "retrain"],
        "audit": {"draws": 0},
    }
    run = run_through(scenario, tmp_path / "run")
    samples, gone = run.learning["requests"][0]["samples"], set(run.learning["requests"][0]["forget"]["1"])
    poisson = Poisson(0, 2, batch=5)
    counted = [0] * 9
    for t in range(9):
        for node, n in enumerate(samples):
            mask = poisson.masks(t, node, n)
            keep = np.array([node != 1 or place not in gone for place in range(n)])
            counted[t] += int((mask & keep).sum())
    found = [method.metrics["cost"]["gradients"] for method in run.methods]
    assert found == [sum(counted[6:]), sum(counted), 0]


def test_without_sampling_there_is_none():
    assert full(0, 1) is None


@pytest.mark.parametrize(
    ("kind", "settings", "words"),
    [
        ("poisson", {"batch": 0}, "learning.sampling.batch is at least 1, not 0"),
        ("keyed", {"batches": 0}, "learning.sampling.batches is at least 1, not 0"),
        ("reshuffle", {}, "reshuffle cannot be certified: without the deleted samples every other sample would come"),
    ],
)
def test_batches_that_cannot_be_are_refused(kind, settings, words, tmp_path, capsys):
    with pytest.raises(SamplingError, match=re.escape(words)):
        SAMPLINGS[kind](0, 1, **settings)
    refused_here({"learning": {"sampling": {"kind": kind, **settings}}}, tmp_path, capsys, words)


def learning_of(sampling, samples, forget, model="logistic", l2=0.1, eta=0.7, E=2, T=6, **changes):
    graph = nx.path_graph(len(samples))
    deleted = np.array([len(forget.get(node, ())) for node in range(len(samples))])
    return replace(
        TrainingRun(
            mixing=topologies.Static(graph, topologies.mix("metropolis-hastings", graph)),
            rounds=T,
            step_size=eta,
            local_steps=E,
            order="adapt-then-combine",
            constants=derive(model, Constant(1.0, "proven"), l2=l2),
            samples=np.array(samples),
            deleted=deleted,
            batches=Realised(sampling, np.array(samples), forget),
        ),
        **changes,
    )


def test_the_worst_case_of_a_batch_is_its_deleted_share():
    poisson = Poisson(1, 2, batch=4)
    forget = {0: np.array([1, 2, 5])}
    learning = learning_of(poisson, [9, 6], forget)
    for t in range(6):
        drawn = poisson.masks(t, 0, 9)[:, [1, 2, 5]].sum(axis=1)
        expected = np.zeros((2, 2))
        expected[:, 0] = learning.step_size * learning.constants.G.value * drawn / 4
        np.testing.assert_allclose(worst_case_disturbance(learning, t), expected)


def test_one_machine_with_batches_in_closed_form():
    """Convex, N = 1 of two that do not mix: e is the sum of ηG·(deleted in the batch)/B over all steps."""
    keyed, forget = Keyed(3, 2, batches=4), {0: np.array([0, 4, 7, 9])}
    # As weights of a batch above 1 make L larger, a small step keeps γ = 1.
    graph = nx.path_graph(2)
    learning = learning_of(keyed, [12, 12], forget, l2=0.0, eta=0.1, mixing=Alone(graph))
    drawn = sum(keyed.masks(t, 0, 12)[:, forget[0]].sum() for t in range(4))
    e = propagate(learning, disturbed=4, undisturbed=2).total
    assert e == pytest.approx([0.1 * learning.constants.G.value * drawn / 3, 0.0], rel=1e-12)


class Alone(topologies.Static):
    """Nobody hears anybody."""

    def __init__(self, graph):
        super().__init__(graph, topologies.mixing.canonical(np.eye(len(graph))))


def spectrum(model, theta, design, targets, weight):
    """The extreme eigenvalues of the Hessian of one client's batch objective, by brute force."""

    def gradient(flat):
        return model.gradient(flat[None], design[None], targets[None], weight[None])[0]

    h, d = 1e-5, theta.numel()
    columns = [(gradient(theta + h * e) - gradient(theta - h * e)) / (2 * h) for e in torch.eye(d, dtype=theta.dtype)]
    H = torch.stack(columns)
    values = torch.linalg.eigvalsh((H + H.T) / 2)
    return float(values[0]), float(values[-1])


@pytest.mark.parametrize("model", ["logistic", "sigmoid"])
@pytest.mark.parametrize("l2", [0.0, 0.2])
def test_the_curvature_of_a_batch_lies_where_its_weight_says(model, l2):
    """Batches of weight s from 0 to 4: all samples alike, which is where curvature is largest."""
    rng = np.random.default_rng(5)
    made = {"logistic": Logistic, "sigmoid": Sigmoid}[model](3, 2, l2=l2)
    graph = nx.path_graph(2)
    closest = 0.0
    for size, weight in ((0, 0.1), (1, 0.05), (3, 0.25), (8, 0.125), (8, 0.5)):
        share = np.array([size * weight])
        learning = TrainingRun(
            mixing=topologies.Static(graph, topologies.mix("metropolis-hastings", graph)),
            rounds=1, step_size=1.0, local_steps=1, order="adapt-then-combine",
            constants=made.constants(Constant(1.0, "proven")), samples=np.array([9, 9]), deleted=np.array([1, 0]),
        )  # fmt: skip
        for _ in range(25):
            one = rng.standard_normal(3)
            x = np.repeat(one[None] / np.linalg.norm(one), size, axis=0).reshape(size, 3)
            y = np.repeat(rng.integers(0, 2), size)
            theta = torch.from_numpy(rng.choice([0.0, 1.0, 2.0]) * rng.standard_normal(made.parameters))
            design, targets = made.design(torch.from_numpy(x)), torch.from_numpy(made.targets(y))
            low, high = spectrum(made, theta, design, targets, torch.full((size,), weight, dtype=torch.float64))
            for regime in learning.constants.regimes():
                lowest, highest = (float(end[0]) for end in curvatures(learning, regime, share))
                assert lowest - 1e-7 <= low
                assert high <= highest + 1e-7
            # Beyond s = 1 the constants of all samples would not do.
            closest = max(closest, high / learning.constants.L.value if share[0] > 1 else 0.0)
    assert closest > 1.5


def test_a_batch_heavier_than_expected_grows_more():
    poisson, forget = Poisson(0, 1, batch=1), {0: np.array([0])}
    learning = learning_of(poisson, [6, 6], forget, l2=0.0, eta=3.0, E=1)
    steps = LocalSteps(learning, "convex", "worst-case", learning.deleted[:, None])
    L = learning.constants.L.value
    seen = set()
    for t in range(6):
        s = learning.batches.shares(t)[0][0]
        expected = np.maximum(1.0, 3.0 * s * L - 1)
        np.testing.assert_allclose(steps.undisturbed(t).growth, expected)
        seen |= set(s.tolist())
    assert max(seen) > 1


@examples(30)
@given(
    sizes=st.lists(st.integers(20, 30), min_size=1, max_size=9), batch=st.integers(1, 8), chunk=st.integers(1, 9),
    seed=st.integers(0, 99),
)  # fmt: skip
def test_padding_is_cut_to_what_the_clients_of_a_part_have_drawn(sizes, batch, chunk, seed):
    """No part computes more samples than its busiest client has drawn, and every client gets its own sum."""
    rng = np.random.default_rng(seed)
    x, y, ends = rng.standard_normal((sum(sizes), 4)), rng.integers(0, 2, sum(sizes)), np.cumsum(sizes)
    shards = [np.arange(end - n, end) for n, end in zip(sizes, ends, strict=True)]
    sampling = SAMPLINGS["poisson"](seed, 2, batch=batch)
    block = make_block(
        Logistic(4, 2), torch.from_numpy(x), y, shards, step_size=0.1, local_steps=2,
        local_training=LocalTraining(sampling),
    )  # fmt: skip
    minibatches = block.minibatches(0)
    masks = [sampling.masks(0, node, n) for node, n in enumerate(sizes)]
    for at, bucket in enumerate(block.buckets):
        for first in range(0, len(bucket.rows), chunk):
            part = BlockPart(at, bucket, slice(first, min(first + chunk, len(bucket.rows))))
            rows = bucket.row_numbers[part.clients]
            for step, (given_x, _, weight) in enumerate(part.batches(minibatches)):
                drawn = [int(masks[row][step].sum()) for row in rows]
                assert given_x.shape[:2] == weight.shape
                if minibatches[step].places[at] is not None:
                    assert weight.shape[1] == max(1, *drawn)
                for k, row in enumerate(rows):
                    own = block.model.design(torch.from_numpy(x[shards[row]][masks[row][step]]))
                    torch.testing.assert_close(weight[k] @ given_x[k], own.sum(dim=0) / sampling.size(sizes[row]))
