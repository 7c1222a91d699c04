"""Output perturbation: r2d without a rewind, under its own name."""

from dataclasses import replace

import numpy as np
import pytest
from drawn import examples
from hypothesis import given
from hypothesis import strategies as st
from learnings import learnings, small_learning
from networks import Network, learn_and_retrain, networks

from rewindnet.certificates import CertificateError, Ledger, audit, certify, propagate
from rewindnet.clients.methods import METHODS, MethodError
from rewindnet.clients.methods.noise_only import NoiseOnly
from rewindnet.clients.methods.r2d import R2D
from rewindnet.experiments.scenario.registries import settings_model
from rewindnet.simulator.outcome import divergence


@examples(40)
@given(learnings(), st.sampled_from(["node", "joint", "average", "transcript:all"]), st.sampled_from([0, 2]))
def test_it_is_a_rewind_of_nothing(learning, view, settle):
    settle = 0 if view == "average" else settle
    same = {"view": view, "gossip_rounds": settle, "epsilon": 0.8, "bound": "instance"}
    own, other = NoiseOnly(**same).plan(learning), R2D(rewind=0.0, **same).plan(learning)
    assert own.release.method == "noise-only"
    assert {**vars(own.release), "method": "r2d", "sigma": None} == {**vars(other.release), "sigma": None}
    assert own.release.sigma == pytest.approx(other.release.sigma)
    assert own.claim == other.claim


def test_its_noise_covers_all_that_learning_has_taken():
    known = small_learning()
    plan = NoiseOnly(epsilon=1.0, view="node:0").plan(known)
    e = propagate(known, disturbed=known.rounds, undisturbed=0).total
    # The check value of the exact Gaussian mechanism at (1, 1e-5).
    assert plan.release.sigma == pytest.approx(np.full(4, 3.730631635 * e[0]))
    assert certify(known, plan.release, plan.claim).epsilon == pytest.approx(1.0)


def test_a_noise_decides_the_epsilon():
    known = small_learning()
    plan = NoiseOnly(sigma=0.4, allocation="optimal", view="joint").plan(known)
    assert np.sqrt(np.mean(plan.release.sigma**2)) == pytest.approx(0.4)
    assert plan.claim.claimed_epsilon == certify(known, plan.release, plan.claim).epsilon


def test_an_instance_bound_is_found_before_learning_and_smaller_after():
    known = small_learning()
    measured = replace(known, ledger=Ledger((0,), np.full((known.rounds, 1, 1), 1e-3)))
    NoiseOnly(bound="instance").check(known)
    small, large = (NoiseOnly(bound=bound).plan(measured).release.sigma for bound in ("instance", "worst-case"))
    assert np.all(small < large)


def test_one_of_epsilon_and_noise_is_given():
    assert NoiseOnly().epsilon == 1.0
    assert NoiseOnly(sigma=0.2).epsilon is None
    with pytest.raises(MethodError, match="epsilon or sigma"):
        NoiseOnly(epsilon=1.0, sigma=0.1)
    with pytest.raises(MethodError, match="non-negative"):
        NoiseOnly(sigma=-0.1)
    with pytest.raises(CertificateError, match="epsilon must be"):
        NoiseOnly(epsilon=-1.0)


def test_a_scenario_may_not_ask_for_a_rewind():
    assert set(settings_model("method", "noise-only").model_fields) == {
        *("epsilon", "sigma", "delta", "bound", "regime", "view", "allocation", "gossip_rounds", "noise_source")
    }
    assert METHODS["noise-only"] is NoiseOnly


@examples(15)
@given(networks(departure="relay", early=None, radius=5.0))
def test_retraining_finds_nothing_that_the_certificate_does_not_allow(case: Network):
    simulation, learned, oracle, known = learn_and_retrain(case)
    method = NoiseOnly(epsilon=2.0, view="joint", gossip_rounds=1)
    outcome = simulation.execute(method, method.plan(known), learned, 0)
    certificate = certify(known, outcome.plan.release, outcome.plan.claim)
    found = audit(certificate, known.mixing, divergence(outcome.centre, oracle.at(case.rounds)))
    assert certificate.epsilon is not None
    assert certificate.epsilon <= 2.0 * (1 + 1e-9)
    assert found.holds
    assert (outcome.cost.rounds, outcome.cost.gradients) == (1, 0)
