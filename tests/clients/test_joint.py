"""Clients with equally many samples are computed together only where no bit changes."""

import numpy as np
import pytest
import torch

from rewindnet.clients.models import MODELS
from rewindnet.clients.models.logistic import Logistic
from rewindnet.clients.training.make_block import make_block
from rewindnet.clients.training.minibatch import Minibatch


def make(model, sizes, dtype=torch.float64):
    rng = np.random.default_rng(1)
    x = torch.from_numpy(rng.standard_normal((sum(sizes), 11))).to(dtype)
    ends = np.cumsum(sizes)
    shards = [np.arange(end - n, end) for n, end in zip(sizes, ends, strict=True)]
    return make_block(model, x, rng.integers(0, 3, sum(sizes)), shards, step_size=0.3, node_by_node=True)


def by_themselves(block, theta):
    """The gradient of every client, from tensors of its own."""
    rows = sorted((int(b.rows), b.x.clone(), b.y.clone(), b.weight.clone()) for b in block.buckets)
    return torch.cat([block.model.gradient(theta[i : i + 1].clone(), x, y, w) for i, x, y, w in rows])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", ["logistic", "huber-logistic"])
def test_all_clients_at_once_have_the_bits_of_each_by_itself(kind, dtype):
    block = make(MODELS[kind](11, 3), [17, 5, 17, 17, 8, 5], dtype)
    assert [len(bucket.rows) for bucket in block.joint] == [3, 2, 1]
    theta = torch.randn(6, block.model.parameters, dtype=dtype, generator=torch.Generator().manual_seed(3))
    retained = block.without({2: np.array([0, 4]), 4: np.arange(8)})
    for now in (block, retained):
        assert [int(bucket.rows) for bucket in now.buckets] == list(range(6))
        assert torch.equal(now.gradient(theta), by_themselves(now, theta))
    some = np.array([True, False, True, False, True, True])
    expected = torch.where(torch.from_numpy(some)[:, None], by_themselves(retained, theta), 0.0)
    assert torch.equal(retained.gradient(theta, Minibatch(participating=some)), expected)


class OtherOrder(Logistic):
    """Rounds otherwise where it computes several clients at once."""

    def gradient(self, theta, x, y, weight):
        return super().gradient(theta, x, y, weight) * (1 + 1e-15 * len(theta))


def test_a_model_that_does_not_say_what_it_rounds_by_place_is_left_alone():
    assert make(MODELS["sigmoid"](11, 3), [17, 17]).joint is None


def test_a_function_that_is_rounded_by_place_is_found(monkeypatch):
    def by_place(numbers):
        return torch.exp(numbers) * (1 + 1e-6 * (torch.arange(len(numbers)) >= len(numbers) - len(numbers) % 8))

    monkeypatch.setattr(Logistic, "elementwise", (by_place,))
    assert make(Logistic(11, 3), [17, 17]).joint is None


def test_clients_whose_bits_would_change_stay_by_themselves():
    block = make(OtherOrder(11, 3), [17, 17, 5])
    assert block.joint is None
    assert len(block.buckets) == 3
