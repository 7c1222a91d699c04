import random

import numpy as np
import pytest
import torch
from drawn import examples
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kstest

from rewindnet.clients.models.logistic import Logistic
from rewindnet.clients.steps.learning import AddNoise
from rewindnet.clients.training.client_block import make_block
from rewindnet.clients.training.noise import draw

addresses = st.tuples(st.integers(0, 2**32), st.integers(0, 50), st.integers(0, 1000))


@examples(40)
@given(addresses, st.integers(0, 50))
def test_an_address_decides_its_noise(address, size):
    once, again = draw(size, *address, "seed"), draw(size, *address, "seed")
    assert once.dtype == np.float64
    assert once.shape == (size,)
    np.testing.assert_array_equal(once, again)


@examples(40)
@given(addresses, addresses)
def test_another_address_has_other_noise(one, other):
    assert one == other or not np.intersect1d(draw(20, *one, "seed"), draw(20, *other, "seed")).size


def test_noise_from_the_operating_system_cannot_be_repeated():
    once, again = (draw(1000, 0, 0, 0, "os") for _ in range(2))
    assert not np.intersect1d(once, again).size


@pytest.mark.parametrize("source", ["seed", "os"])
def test_noise_is_standard_normal(source):
    drawn = draw(200_000, 11, 2, 3, source)
    assert np.isfinite(drawn).all()
    # Seven standard errors, and a p-value that a right sampler falls below once in 10⁸ runs.
    assert abs(drawn.mean()) < 7 / np.sqrt(len(drawn))
    assert abs((drawn**2).mean() - 1) < 7 * np.sqrt(2 / len(drawn))
    assert kstest(drawn, "norm").pvalue > 1e-8


def test_the_noise_of_different_nodes_is_not_correlated():
    drawn = np.stack([draw(20_000, 5, 0, node, "seed") for node in range(8)])
    correlation = np.corrcoef(drawn) - np.eye(8)
    assert np.abs(correlation).max() < 7 / np.sqrt(20_000)


def generators():
    """The state of every generator that anyone shares."""
    return random.getstate(), repr(np.random.get_state()), torch.get_rng_state().tolist()  # noqa: NPY002


@pytest.mark.parametrize("source", ["seed", "os"])
def test_no_shared_generator_is_used(source):
    before = generators()
    drawn = draw(100, 1, 2, 3, source)
    assert generators() == before
    random.seed(3)
    np.random.seed(3)  # noqa: NPY002
    torch.manual_seed(3)
    assert np.array_equal(draw(100, 1, 2, 3, source), drawn) == (source == "seed")


def block(nodes=(0, 1, 2, 3), dtype=torch.float64):
    generator = np.random.default_rng(0)
    x = torch.from_numpy(generator.standard_normal((12, 30))).to(dtype)
    shards = [np.split(np.arange(12), 4)[node] for node in nodes]
    return make_block(Logistic(30, 2), x, np.arange(12) % 2, shards, step_size=1.0, nodes=nodes)


SIGMA = np.array([2.0, 0.0, 0.5, 1.0])


def test_every_node_adds_its_own_noise_of_its_own_size():
    own = block()
    theta = torch.full_like(own.blank(), 3.0)
    noised = AddNoise(SIGMA, seed=9, release=4, source="seed").apply(own, theta)
    for node in range(4):
        expected = 3.0 + SIGMA[node] * draw(theta.shape[1], 9, 4, node, "seed")
        np.testing.assert_allclose(noised[node].numpy(), expected, rtol=1e-15)
    assert torch.equal(theta, torch.full_like(theta, 3.0))
    assert torch.equal(noised[1], theta[1])


def test_the_noise_of_a_node_does_not_depend_on_the_block_it_is_computed_in():
    step = AddNoise(SIGMA, seed=9, release=4, source="seed")
    whole, part = block(), block(nodes=(3, 0))
    of_all = step.apply(whole, torch.zeros_like(whole.blank()))
    assert torch.equal(step.apply(part, torch.zeros_like(part.blank())), of_all[[3, 0]])


def test_a_released_average_carries_one_vector():
    own = block()
    step = AddNoise(np.full(4, 0.5), seed=9, release=4, source="seed", shared=True)
    noised = step.apply(own, torch.zeros_like(own.blank()))
    assert all(torch.equal(noised[0], noised[node]) for node in range(4))
    np.testing.assert_allclose(noised[0].numpy(), 0.5 * draw(noised.shape[1], 9, 4, 0, "seed"), rtol=1e-15)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_noise_is_added_in_the_precision_of_the_parameters(dtype):
    own = block(dtype=dtype)
    noised = AddNoise(SIGMA, seed=0, release=0, source="os").apply(own, torch.zeros_like(own.blank()))
    assert noised.dtype == dtype
    assert noised[0].any()
    assert not noised[1].any()


@pytest.mark.parametrize("source", ["seed", "os"])
def test_the_average_carries_one_vector_at_every_node(source):
    clients = block()
    theta = clients.blank().zero_()
    noised = AddNoise((2.0,) * 4, 0, 0, source, shared=True).apply(clients, theta)
    assert torch.all(noised[0] != 0)
    assert all(torch.equal(row, noised[0]) for row in noised)
    apart = AddNoise((2.0,) * 4, 0, 0, source).apply(clients, theta)
    assert not torch.equal(apart[0], apart[1])
