"""Clients with equally many samples are computed together only where no bit changes."""

import numpy as np
import pytest
import torch

from rewindnet.clients.models import MODELS
from rewindnet.clients.models.logistic import Logistic
from rewindnet.clients.training import joint
from rewindnet.clients.training.local_training import LocalTraining
from rewindnet.clients.training.make_block import make_block
from rewindnet.clients.training.minibatch import Minibatch
from rewindnet.clients.training.sampling import Keyed, Poisson


def make(model, sizes, dtype=torch.float64, nodes=None, features=11, node_by_node=True, **how):
    """A block of some of the nodes, whose data are the same whichever they are."""
    rng = np.random.default_rng(1)
    x = torch.from_numpy(rng.standard_normal((sum(sizes), features))).to(dtype)
    ends = np.cumsum(sizes)
    shards = [np.arange(end - n, end) for n, end in zip(sizes, ends, strict=True)]
    y, nodes = rng.integers(0, 3, sum(sizes)), range(len(sizes)) if nodes is None else nodes
    shards = [shards[node] for node in nodes]
    return make_block(model, x, y, shards, step_size=0.3, nodes=tuple(nodes), node_by_node=node_by_node, **how)


def by_themselves(block, theta):
    """The gradient of every client, from tensors of its own."""
    rows = sorted((int(b.rows), b.x.clone(), b.y.clone(), b.weight.clone()) for b in block.buckets)
    return torch.cat([block.model.gradient(theta[i : i + 1].clone(), x, y, w) for i, x, y, w in rows])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", ["logistic", "huber-logistic"])
def test_all_clients_at_once_have_the_bits_of_each_by_itself(kind, dtype):
    block = make(MODELS[kind](11, 3), [17, 5, 17, 17, 8, 5], dtype)
    # In single precision those with few samples have as many as each other.
    assert [len(bucket.rows) for bucket in block.joint] == ([3, 3] if dtype == torch.float32 else [3, 2, 1])
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


SAMPLINGS = {"poisson": Poisson(4, 3, batch=10), "keyed": Keyed(4, 3, batches=4)}
SIZES = [40, 23, 40, 40, 23, 40, 7, 40, 40, 40]


def drawing(model, sampling, dtype, nodes=None, features=64, node_by_node=True, **how):
    settings = LocalTraining(SAMPLINGS[sampling], **how)
    return make(model, SIZES, dtype, nodes, features, node_by_node, local_steps=3, local_training=settings)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("features", [63, 64])
@pytest.mark.parametrize("kind", ["logistic", "huber-logistic"])
@pytest.mark.parametrize("sampling", sorted(SAMPLINGS))
def test_batches_have_the_bits_that_each_client_computes_in_a_process_of_its_own(sampling, kind, features, dtype):
    model = MODELS[kind](features, 3)
    gone = {0: np.arange(9), 6: np.arange(7)}
    theta = torch.randn(len(SIZES), model.parameters, dtype=dtype, generator=torch.Generator().manual_seed(3))
    whole, halves = drawing(model, sampling, dtype, features=features), ([0, 1, 2, 4, 6], [3, 5, 7, 8, 9])
    assert max(len(bucket.rows) for bucket in whole.filling) == 7
    for erased in (False, True):
        for t in range(4):
            block = whole.without(gone) if erased else whole
            found = block.descend(theta, t)
            for nodes in (*halves, *([node] for node in range(len(SIZES)))):
                own = drawing(model, sampling, dtype, nodes, features)
                own = own.without({node: gone[node] for node in nodes if node in gone}) if erased else own
                assert torch.equal(found[nodes], own.descend(theta[nodes].clone(), t))


def test_filled_batches_are_those_that_were_drawn():
    model = MODELS["logistic"](64, 3)
    block, fast = (drawing(model, "poisson", torch.float64, node_by_node=exact) for exact in (True, False))
    theta = torch.randn(len(SIZES), model.parameters, dtype=torch.float64)
    torch.testing.assert_close(block.descend(theta, 0), fast.descend(theta, 0), rtol=1e-12, atol=1e-13)
    for minibatch, usual in zip(block.minibatches(0), fast.minibatches(0), strict=True):
        assert np.array_equal(minibatch.gradients, usual.gradients)
        for drawn in minibatch.drawn:
            assert not np.any(drawn % joint.MULTIPLE)


def test_clients_that_take_no_step_are_left_out():
    model, acts = MODELS["logistic"](64, 3), np.arange(len(SIZES)) % 3 != 0
    block = drawing(model, "poisson", torch.float64, participating=lambda round: acts)
    theta = torch.randn(len(SIZES), model.parameters, dtype=torch.float64)
    expected, found = drawing(model, "poisson", torch.float64).descend(theta, 0), block.descend(theta, 0)
    assert torch.equal(found[acts], expected[acts])
    assert torch.equal(found[~acts], theta[~acts])


def test_a_model_that_rounds_batches_together_otherwise_takes_them_one_by_one():
    theta = torch.randn(len(SIZES), 65 * 3, dtype=torch.float64)
    for t in range(3):
        found = drawing(OtherOrder(64, 3), "poisson", torch.float64).descend(theta, t)
        for node in range(len(SIZES)):
            own = drawing(OtherOrder(64, 3), "poisson", torch.float64, [node])
            assert torch.equal(found[node : node + 1], own.descend(theta[node : node + 1], t))


def test_batches_are_computed_together():
    """Of logistic models, on this machine: at most as many parts as there are sizes of batches and of clients."""
    block, parts = drawing(MODELS["logistic"](63, 3), "poisson", torch.float64, features=63), []
    compute = block._on_each_part
    object.__setattr__(
        block, "_on_each_part", lambda steps, work: compute(steps, lambda part: (parts.append(part), work(part)))
    )
    block.descend(torch.zeros(len(SIZES), 64 * 3, dtype=torch.float64), 0)
    assert len(parts) < len(SIZES)
