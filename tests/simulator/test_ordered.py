"""Sums in the order of the nodes: many at once have the bits of one after another."""

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


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_this_machine_takes_many_short_sums_at_once(dtype, monkeypatch):
    A = csr_array(np.random.default_rng(0).random((5, 5)))
    assert ordered._same_bits(dtype, 650)
    monkeypatch.setattr(ordered, "in_node_order", None)
    OrderedSums(A).add_up(torch.randn(5, 650, dtype=dtype), torch.empty(5, 650, dtype=dtype))


def test_a_kernel_that_rounds_otherwise_is_not_used(monkeypatch):
    def rounded_otherwise(total, term, weights, out):
        # Multiplied in the precision of the sum, and only then added, or added in double: not what `add` does here.
        return out.copy_((total.double() + term.double() * weights.double() * (1 + 1e-6)).to(total.dtype))

    ordered._same_bits.cache_clear()
    monkeypatch.setattr(ordered.torch, "addcmul", rounded_otherwise)
    A, messages = csr_array(np.random.default_rng(0).random((9, 9))), torch.randn(9, 33)
    try:
        assert not ordered._same_bits(torch.float32, 33)
        assert torch.equal(OrderedSums(A).add_up(messages, torch.empty(9, 33)), one_by_one(A, messages))
    finally:
        ordered._same_bits.cache_clear()
