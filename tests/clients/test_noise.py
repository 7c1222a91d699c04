import random

import numpy as np
import pytest
import torch
from addresses import address_at
from drawn import examples
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kstest

from rewindnet.clients.models.logistic import Logistic
from rewindnet.clients.steps.learning import AddNoise
from rewindnet.clients.training.make_block import make_block
from rewindnet.clients.training.noise import draw

addresses = st.tuples(st.integers(0, 2**32), st.integers(0, 50), st.integers(0, 1000))


def drawn_at(size, seed, release, node):
    return draw(size, address_at(seed, release), node)


@examples(40)
@given(addresses, st.integers(0, 50))
def test_an_address_decides_its_noise(address, size):
    once, again = drawn_at(size, *address), drawn_at(size, *address)
    assert once.dtype == np.float64
    assert once.shape == (size,)
    np.testing.assert_array_equal(once, again)


@examples(40)
@given(addresses, addresses)
def test_another_address_has_other_noise(one, other):
    assert one == other or not np.intersect1d(drawn_at(20, *one), drawn_at(20, *other)).size


def test_noise_from_the_operating_system_cannot_be_repeated():
    once, again = (draw(1000, address_at(source="os"), 0) for _ in range(2))
    assert not np.intersect1d(once, again).size


@pytest.mark.parametrize("source", ["seed", "os"])
def test_noise_is_standard_normal(source):
    drawn = draw(200_000, address_at(11, 2, source), 3)
    assert np.isfinite(drawn).all()
    # Seven standard errors, and a p-value that a right sampler falls below once in 10⁸ runs.
    assert abs(drawn.mean()) < 7 / np.sqrt(len(drawn))
    assert abs((drawn**2).mean() - 1) < 7 * np.sqrt(2 / len(drawn))
    assert kstest(drawn, "norm").pvalue > 1e-8


def test_the_noise_of_different_nodes_is_not_correlated():
    drawn = np.stack([draw(20_000, address_at(5), node) for node in range(8)])
    correlation = np.corrcoef(drawn) - np.eye(8)
    assert np.abs(correlation).max() < 7 / np.sqrt(20_000)


def generators():
    """The state of every generator that anyone shares."""
    return random.getstate(), repr(np.random.get_state()), torch.get_rng_state().tolist()  # noqa: NPY002


@pytest.mark.parametrize("source", ["seed", "os"])
def test_no_shared_generator_is_used(source):
    before = generators()
    drawn = draw(100, address_at(1, 2, source), 3)
    assert generators() == before
    random.seed(3)
    np.random.seed(3)  # noqa: NPY002
    torch.manual_seed(3)
    assert np.array_equal(draw(100, address_at(1, 2, source), 3), drawn) == (source == "seed")


def block(nodes=(0, 1, 2, 3), dtype=torch.float64):
    generator = np.random.default_rng(0)
    x = torch.from_numpy(generator.standard_normal((12, 30))).to(dtype)
    shards = [np.split(np.arange(12), 4)[node] for node in nodes]
    return make_block(Logistic(30, 2), x, np.arange(12) % 2, shards, step_size=1.0, nodes=nodes)


SIGMA = np.array([2.0, 0.0, 0.5, 1.0])


def test_every_node_adds_its_own_noise_of_its_own_size():
    own = block()
    theta = torch.full_like(own.blank(), 3.0)
    noised = AddNoise(SIGMA, address_at(9, 4)).apply(own, theta)
    for node in range(4):
        expected = 3.0 + SIGMA[node] * draw(theta.shape[1], address_at(9, 4), node)
        np.testing.assert_allclose(noised[node].numpy(), expected, rtol=1e-15)
    assert torch.equal(theta, torch.full_like(theta, 3.0))
    assert torch.equal(noised[1], theta[1])


def test_the_noise_of_a_node_does_not_depend_on_the_block_it_is_computed_in():
    step = AddNoise(SIGMA, address_at(9, 4))
    whole, part = block(), block(nodes=(3, 0))
    of_all = step.apply(whole, torch.zeros_like(whole.blank()))
    assert torch.equal(step.apply(part, torch.zeros_like(part.blank())), of_all[[3, 0]])


def test_a_released_average_carries_one_vector():
    own = block()
    step = AddNoise(np.full(4, 0.5), address_at(9, 4), shared=True)
    noised = step.apply(own, torch.zeros_like(own.blank()))
    assert all(torch.equal(noised[0], noised[node]) for node in range(4))
    np.testing.assert_allclose(noised[0].numpy(), 0.5 * draw(noised.shape[1], address_at(9, 4), 0), rtol=1e-15)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_noise_is_added_in_the_precision_of_the_parameters(dtype):
    own = block(dtype=dtype)
    noised = AddNoise(SIGMA, address_at(source="os")).apply(own, torch.zeros_like(own.blank()))
    assert noised.dtype == dtype
    assert noised[0].any()
    assert not noised[1].any()


@pytest.mark.parametrize("source", ["seed", "os"])
def test_the_average_carries_one_vector_at_every_node(source):
    clients = block()
    theta = clients.blank().zero_()
    noised = AddNoise((2.0,) * 4, address_at(source=source), shared=True).apply(clients, theta)
    assert torch.all(noised[0] != 0)
    assert all(torch.equal(row, noised[0]) for row in noised)
    apart = AddNoise((2.0,) * 4, address_at(source=source)).apply(clients, theta)
    assert not torch.equal(apart[0], apart[1])
