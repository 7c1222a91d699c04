"""Sums in the order of the nodes: many at once have the bits of one after another."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from drawn import examples
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array, random_array

from rewindnet.simulator.transports import ordered
from rewindnet.simulator.transports.ordered import OrderedSums, in_node_order

dtypes = st.sampled_from([torch.float32, torch.float64])


def one_by_one(A: csr_array, messages: torch.Tensor) -> torch.Tensor:
    """Every sum by itself, a term at a time."""
    rows = []
    for row in range(A.shape[0]):
        total = torch.zeros_like(messages[0])
        for at in range(A.indptr[row], A.indptr[row + 1]):
            total.add_(messages[int(A.indices[at])], alpha=float(A.data[at]))
        rows.append(total)
    return torch.stack(rows)


@examples(60)
@given(
    nodes=st.integers(1, 40), density=st.sampled_from([0.0, 0.05, 0.3, 1.0]), length=st.integers(1, 70), dtype=dtypes,
    chunk=st.sampled_from([1, 1 << 9, 1 << 18]), seed=st.integers(0, 999),
)  # fmt: skip
def test_many_sums_at_once_have_the_bits_of_one_at_a_time(nodes, density, length, dtype, chunk, seed):
    rng = np.random.default_rng(seed)
    A = csr_array(random_array((nodes, nodes), density=density, rng=rng))
    messages = torch.from_numpy(rng.standard_normal((nodes, length))).to(dtype)
    rows = np.flatnonzero(rng.random(nodes) < 0.7).tolist()
    out = torch.full_like(messages, torch.nan)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ordered, "_CACHED", chunk)
        OrderedSums(A, rows).add_up(messages, out)
    expected = one_by_one(A, messages)
    assert torch.equal(out[rows], expected[rows])
    assert out[[row for row in range(nodes) if row not in rows]].isnan().all()
    assert torch.equal(in_node_order(A, messages.unbind(), torch.empty_like(out)), expected)


@pytest.mark.parametrize(("dtype", "kernel"), [(torch.float32, ordered._Bags), (torch.float64, ordered._Sparse)])
@pytest.mark.parametrize("length", [1, 33, 650, 1024, 7851])
def test_this_machine_takes_many_sums_as_one_product(dtype, kernel, length, monkeypatch):
    A = csr_array(np.random.default_rng(0).random((5, 5)))
    assert ordered._kernel(dtype, length) is kernel
    monkeypatch.setattr(ordered, "in_node_order", None)
    OrderedSums(A).add_up(torch.randn(5, length, dtype=dtype), torch.empty(5, length, dtype=dtype))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_kernels_that_round_otherwise_are_not_used(dtype, monkeypatch):
    def rounded_twice(*given, **settings):
        *_, messages, starts = given
        weighted = messages[given[0]] * settings["per_sample_weights"].unsqueeze(1)
        return torch.stack([weighted[a:b].sum(dim=0) for a, b in pairwise(starts.tolist())])

    def dense(into, matrix, messages, out):
        return out.copy_(sum(column[:, None] * row for column, row in zip(matrix.to_dense().T, messages, strict=True)))

    ordered._kernel.cache_clear()
    monkeypatch.setattr(ordered.torch, "addmm", dense)
    monkeypatch.setattr(torch.nn.functional, "embedding_bag", rounded_twice)
    A = csr_array(np.random.default_rng(0).random((9, 9)))
    messages = torch.randn(9, 33, dtype=dtype)
    try:
        assert ordered._kernel(dtype, 33) is None
        found = OrderedSums(A).add_up(messages, torch.empty(9, 33, dtype=dtype))
        assert torch.equal(found, one_by_one(A, messages))
    finally:
        ordered._kernel.cache_clear()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("length", [1, 34])
def test_messages_whose_numbers_are_apart(dtype, length):
    A = csr_array(np.random.default_rng(0).random((6, 6)))
    for messages in (torch.randn(length, 6, dtype=dtype).T, torch.randn(6, 2 * length, dtype=dtype)[:, ::2]):
        found = OrderedSums(A).add_up(messages, torch.empty(6, length, dtype=dtype))
        assert torch.equal(found, one_by_one(A, messages))


def test_a_row_that_is_named_twice_is_one():
    A, messages = csr_array(np.random.default_rng(0).random((3, 3))), torch.randn(3, 5)
    found = OrderedSums(A, [2, 0, 0]).add_up(messages, torch.full((3, 5), torch.nan))
    assert torch.equal(found[[0, 2]], one_by_one(A, messages)[[0, 2]])
    assert found[1].isnan().all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_weight_of_zero_is_a_term_like_others(dtype):
    A = csr_array((np.array([0.5, 0.0, 0.0, 1.0]), np.array([0, 1, 0, 1]), np.array([0, 2, 4])), shape=(2, 2))
    messages = torch.tensor([[1.0, torch.inf], [torch.nan, 2.0]], dtype=dtype)
    found = OrderedSums(A).add_up(messages, torch.empty(2, 2, dtype=dtype))
    torch.testing.assert_close(found, one_by_one(A, messages), rtol=0, atol=0, equal_nan=True)
    assert found.isnan().sum() == 3
