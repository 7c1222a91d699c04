"""Noise that is calibrated to an ε has an ε, and at most that one: every method, any ε, any arithmetic."""

from dataclasses import replace

import numpy as np
import pytest
from drawn import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from learnings import requests, small_learning
from newtons import measured, small

from rewindnet.certificates import Arithmetic, CertificateError, Claim, calibrate, certify, epsilon_of, least_scale
from rewindnet.certificates.sensitivity.rounding import least_noise
from rewindnet.clients.methods import METHODS

SINGLE, DOUBLE = Arithmetic(2.0**-24, 6, 3, 18, 0.1), Arithmetic(2.0**-53, 6, 3, 18, 0.1)

#: Methods that calibrate, with settings that fit every network here.
SETTINGS = {
    "r2d": {"rewind": 0.5},
    "warm-start": {"rounds": 4},
    "noise-only": {},
    "rr-du": {"noise": "certified"},
    "langevin": {"rounds": 4},
    "noisy-finetune": {"rounds": 3},
    "gossip-dp": {"designed_client": 0},
    "walk-dp": {"hops": 12, "designed_client": 0},
    "newton": {},
}


def planned(name, learning, **given):
    """The plan of a method, with what nodes measure where it waits for that."""
    method = METHODS[name](**SETTINGS[name], **given).seeded(3)
    if name == "newton":
        return measured(replace(learning, order="consensus-plus-gradient", step_size=0.4), method)
    return method.plan(learning)


def learning_for(name, **changes):
    return (small if name == "newton" else small_learning)(**changes)


@examples(8)
@given(
    epsilon=st.floats(-2, 11).map(lambda power: 10**power),
    arithmetic=st.sampled_from([None, SINGLE, DOUBLE]),
    source=st.sampled_from(["seed", "os"]),
    deleted=st.integers(1, 20),
)
@pytest.mark.parametrize("name", SETTINGS)
def test_every_method_reaches_the_epsilon_that_was_asked_for(name, epsilon, arithmetic, source, deleted):
    learning = learning_for(name, arithmetic=arithmetic, deleted=np.array([deleted, 0, 0, 0]))
    plan = planned(name, learning, epsilon=epsilon, noise_source=source)
    certificate = certify(learning, plan.release, plan.claim)
    assert certificate.reason is None
    assert certificate.epsilon <= epsilon
    assert certificate.release.noise_source == source


@pytest.mark.parametrize("name", SETTINGS)
def test_least_noise_is_what_a_huge_epsilon_gets(name):
    """In single precision an ε of 10¹⁰ asks for less noise than rounding lets through."""
    learning = learning_for(name, arithmetic=SINGLE)
    sigma = planned(name, learning, epsilon=1e10).release.sigma
    huger = planned(name, learning, epsilon=1e11).release.sigma
    np.testing.assert_allclose(huger, sigma, rtol=1e-9)
    assert sigma.max() > 0
    exact = planned(name, replace(learning, arithmetic=None), epsilon=1e10).release.sigma
    assert exact.max() < sigma.max()


@settings(deadline=None)
@given(requests(), st.floats(-2, 9).map(lambda power: 10**power))
def test_no_calibrated_descent_ends_without_an_epsilon(request_, epsilon):
    learning, release, claim = request_
    try:
        sigma = calibrate(learning, release, claim, epsilon)
    except CertificateError:
        return
    certificate = certify(learning, replace(release, sigma=sigma), claim)
    assert certificate.reason is None
    assert certificate.epsilon <= epsilon


def test_only_the_nodes_whose_noise_would_be_lost_get_more():
    learning = small_learning(arithmetic=SINGLE)
    method = METHODS["r2d"](rewind=0.7, placement="rewind", view="joint", allocation="optimal", epsilon=30.0)
    release, claim = method.plan(learning).release, Claim("joint", 1e-5, allocation="optimal")
    e = np.array(certify(learning, release, claim).sensitivity)
    least = least_noise(learning, release.noise_round)
    # The ε at which the arithmetic resolves what every second node is given.
    mu = np.sqrt(np.median(e) * e.sum()) / least
    raised = calibrate(learning, release, claim, epsilon_of(mu, 1e-5))
    assert (raised == least).tolist() == (e < np.median(e)).tolist()
    np.testing.assert_allclose(raised, np.maximum(np.sqrt(e * e.sum()) / mu, least), rtol=1e-9)


def test_a_factor_is_raised_to_what_the_weakest_node_needs():
    learning = small_learning(arithmetic=SINGLE)
    plan = METHODS["langevin"](rounds=3, sigma=2.0).plan(learning)
    least = plan.release.mechanism.least_sigma(learning, plan.release)
    factor = least_scale(learning, plan.release, plan.claim, 1e10)
    assert 2.0 * factor == pytest.approx(least, rel=1e-9)
    assert 2.0 * factor >= least
