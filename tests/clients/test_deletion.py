import re

import numpy as np
import pytest
from drawn import examples
from hypothesis import given
from hypothesis import strategies as st

from rewindnet.clients.data.deletion import DeletionError, forget_set

LABELS = np.array([3, 1, 3, 0, 1, 3, 1, 0, 3, 3])
FORMS = "deletion.samples is a count, a fraction in (0, 1], all, a class or indices, not "


@examples(60)
@given(st.integers(1, 200), st.integers(0, 99), st.integers(0, 99), st.data())
def test_a_count_draws_so_many_of_the_clients_samples(n, client, seed, choice):
    m = choice.draw(st.integers(1, n))
    labels = np.zeros(n, dtype=np.int64)
    found = forget_set(m, labels, client, seed)
    assert found.dtype == np.int64
    assert found.shape == (m,)
    assert (np.diff(found) > 0).all()
    assert 0 <= found[0] <= found[-1] < n
    np.testing.assert_array_equal(found, forget_set(m, labels, client, seed))


def test_every_client_and_seed_draws_its_own():
    labels = np.zeros(1000, dtype=np.int64)
    draws = {tuple(forget_set(20, labels, client, seed)) for client in range(4) for seed in range(4)}
    assert len(draws) == 16


def test_a_draw_is_fair():
    labels = np.zeros(10, dtype=np.int64)
    counts = np.bincount(np.concatenate([forget_set(3, labels, 0, seed) for seed in range(2000)]), minlength=10)
    # 600 expected of each, standard deviation about 20.
    assert 500 < counts.min() <= counts.max() < 700


@pytest.mark.parametrize(("share", "count"), [(0.25, 10), (0.5, 20), (1.0, 40), (0.001, 1), (1 / 3, 13)])
def test_a_fraction_is_a_count(share, count):
    labels = np.zeros(40, dtype=np.int64)
    np.testing.assert_array_equal(forget_set(share, labels, 1, 7), forget_set(count, labels, 1, 7))


def test_all_of_them():
    assert forget_set("all", LABELS, 2, 0).tolist() == list(range(10))


def test_a_class():
    assert forget_set({"class": 1}, LABELS, 2, 0).tolist() == [1, 4, 6]
    with pytest.raises(DeletionError, match=r"^client 2 has no sample of class 2; it has \[0, 1, 3\]$"):
        forget_set({"class": 2}, LABELS, 2, 0)


def test_samples_named_one_by_one():
    assert forget_set({"indices": [9, 0, 4]}, LABELS, 2, 0).tolist() == [0, 4, 9]


@pytest.mark.parametrize(
    ("samples", "sentence"),
    [
        (11, "client 2 has 10 samples; deletion.samples asks for 11 of them"),
        (0, "client 2 has 10 samples; deletion.samples asks for 0 of them"),
        (-3, "client 2 has 10 samples; deletion.samples asks for -3 of them"),
        (0.0, f"{FORMS}0.0"),
        (-0.5, f"{FORMS}-0.5"),
        (1.5, f"{FORMS}1.5"),
        (float("nan"), f"{FORMS}nan"),
        (float("inf"), f"{FORMS}inf"),
        (True, f"{FORMS}True"),
        ("some", f"{FORMS}'some'"),
        ({"indices": []}, f"{FORMS}{{'indices': []}}"),
        ({"indices": 3}, f"{FORMS}{{'indices': 3}}"),
        ({"rows": [1]}, f"{FORMS}{{'rows': [1]}}"),
        ({}, f"{FORMS}{{}}"),
        ({"class": 1, "indices": [1]}, f"{FORMS}{{'class': 1, 'indices': [1]}}"),
        ({"indices": [2, 10]}, "client 2 has samples 0 to 9; deletion.samples names 10"),
        ({"indices": [-1]}, "client 2 has samples 0 to 9; deletion.samples names -1"),
        ({"indices": [4, 2, 4]}, "deletion.samples names sample 4 of client 2 twice"),
    ],
)
def test_a_request_that_cannot_be_met_is_refused(samples, sentence):
    with pytest.raises(DeletionError, match=f"^{re.escape(sentence)}$"):
        forget_set(samples, LABELS, 2, 0)


@pytest.mark.parametrize("samples", [1, 0.5, "all", {"class": 0}, {"indices": [0]}])
def test_a_client_without_samples_has_nothing_to_delete(samples):
    with pytest.raises(DeletionError, match=r"^client 5 holds no samples, so it has nothing to delete$"):
        forget_set(samples, np.array([], dtype=np.int64), 5, 0)
