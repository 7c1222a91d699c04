"""From noise to ε and back."""

import json
from dataclasses import replace
from math import isfinite, sqrt

import numpy as np
import pytest
from drawn import examples
from hypothesis import assume, given
from hypothesis import strategies as st
from learnings import DELTA, release_of, requests, small_learning

from rewindnet import topologies
from rewindnet.certificates import (
    Arithmetic,
    Certificate,
    CertificateError,
    Claim,
    Constant,
    Release,
    calibrate,
    certify,
    claimed_epsilon,
    derive,
    epsilon_of,
    least_depth,
    mu_of,
    mu_of_view,
    propagate,
    scaled_noise,
    textbook_epsilon,
)
from rewindnet.certificates.views.mu import why_not_covered


@examples(150)
@given(requests(), st.sampled_from([0.01, 0.5, 1.0, 3.0, 20.0]))
def test_noise_for_an_epsilon_is_certified_at_that_epsilon(request_, epsilon):
    learning, release, claim = request_
    start = propagate(learning, disturbed=release.checkpoint_round, undisturbed=0, bound=claim.bound).total
    if why_not_covered(claim.view, lambda: start, release, learning.mixing):
        with pytest.raises(CertificateError, match="no noise reaches epsilon"):
            calibrate(learning, release, claim, epsilon)
        return
    sigma = calibrate(learning, release, claim, epsilon)
    assert np.all(np.isfinite(sigma))
    assert np.all(sigma >= 0)
    certificate = certify(learning, replace(release, sigma=sigma), claim)
    seen = np.array(certificate.sensitivity)
    if not seen.any():
        assert not sigma.any()
        assert certificate.epsilon == 0.0
        return
    # One node's view may hold nothing that the deletion has reached.
    blind = claim.view.node is not None
    assert certificate.reason is None
    assert certificate.epsilon <= epsilon
    if not (blind and mu_of_view(claim.view, seen, replace(release, sigma=np.ones(len(seen))), learning.mixing) == 0):
        assert certificate.epsilon == pytest.approx(epsilon, rel=1e-9)
    if claim.allocation == "optimal" and not release.averaged:
        assert not sigma[seen == 0].any()
    if claim.allocation == "uniform":
        assert np.unique(sigma).size == 1


@examples(80)
@given(requests(), st.floats(-3, 2).map(lambda power: 10**power))
def test_the_noise_comes_back_from_the_epsilon_it_earned(request_, size):
    learning, release, claim = request_
    sigma = scaled_noise(learning, release, claim, size)
    assert sqrt(np.mean(sigma**2)) == pytest.approx(size)
    certificate = certify(learning, replace(release, sigma=sigma), claim)
    assume(certificate.epsilon is not None and 1e-3 < certificate.epsilon < 1e6)
    assert claimed_epsilon(learning, replace(release, sigma=sigma), claim) == certificate.epsilon
    again = calibrate(learning, release, claim, certificate.epsilon)
    np.testing.assert_allclose(again, sigma, rtol=1e-6)


@examples(150)
@given(requests(), st.integers(0, 2**32 - 1), st.booleans())
def test_a_certificate_survives_its_record_and_holds_no_nan(request_, seed, bare):
    learning, release, claim = request_
    generator = np.random.default_rng(seed)
    sigma = 10 ** generator.uniform(-160, 160, learning.mixing.nodes)
    sigma = np.full_like(sigma, sigma[0]) if release.averaged else sigma * (generator.uniform(0, 1, len(sigma)) < 0.8)
    certificate = certify(learning, replace(release, sigma=0 * sigma if bare else sigma), claim)
    # allow_nan=False refuses NaN and infinity alike.
    written = json.dumps(certificate.to_record(), allow_nan=False)
    assert Certificate.from_record(json.loads(written)) == certificate
    assert (certificate.epsilon is None) == (certificate.reason is not None) == (certificate.mu is None)
    assert certificate.epsilon is None or certificate.epsilon >= 0
    assert certificate.rewound_rounds + certificate.release.checkpoint_round == certificate.training.rounds


@pytest.mark.parametrize("bound", ["worst-case", "published"])
@pytest.mark.parametrize("sigma", [1e-12, 1e-300])
def test_noise_that_hides_nothing_gets_no_number(sigma, bound):
    release, claim = release_of(np.full(4, sigma)), Claim("node", DELTA, bound)
    certificate = certify(small_learning(), release, claim)
    assert (certificate.epsilon, certificate.mu) == (None, None)
    assert certificate.reason.startswith(f"node 0 carries too little noise (sigma {sigma:g}), and its model may still")
    assert claimed_epsilon(small_learning(), release, claim) is None


def test_retraining_is_certified_at_zero_and_doing_nothing_not_at_all():
    learning = small_learning()
    retrained = certify(learning, release_of(np.zeros(4), checkpoint_round=0, descent_rounds=10), Claim("joint", DELTA))
    assert (retrained.epsilon, retrained.mu, set(retrained.sensitivity)) == (0.0, 0.0, {0.0})
    nothing = certify(learning, release_of(np.zeros(4), checkpoint_round=10, descent_rounds=0), Claim("node", DELTA))
    assert nothing.epsilon is None
    assert "node 0 carries no noise" in nothing.reason


def test_the_published_bound_claims_by_its_papers_formula():
    learning, release = small_learning(), release_of(np.zeros(4))
    claim = Claim("node", DELTA, "published")
    sigma = calibrate(learning, release, claim, 0.5)
    e = max(propagate(learning, disturbed=5, undisturbed=5, bound="published").total)
    assert sigma == pytest.approx(np.full(4, e * sqrt(2 * np.log(1.25 / DELTA)) / 0.5))
    noised = replace(release, sigma=sigma)
    assert claimed_epsilon(learning, noised, claim) == pytest.approx(0.5)
    assert certify(learning, noised, claim).epsilon == pytest.approx(epsilon_of(e / sigma[0], DELTA))
    assert certify(learning, noised, claim).epsilon < textbook_epsilon(sigma[0] / e, DELTA)
    assert certify(learning, noised, claim).claim.regime == "nonconvex"


def test_the_shallowest_rewind_that_reaches_epsilon_is_found():
    learning, claim = small_learning(), Claim("node", DELTA)

    def at(depth, size=0.4):
        return Release("r2d", 10 - depth, depth, "output", np.full(4, size))

    certified = [certify(learning, at(depth), claim).epsilon for depth in range(11)]
    for epsilon in (0.1, 1.0, 2.0):
        reaching = [depth for depth in range(11) if certified[depth] <= epsilon]
        assert least_depth(learning, range(11), at, claim, epsilon) == reaching[0]
    with pytest.raises(CertificateError, match=r"no depth from 0 to 5 rounds reaches epsilon 0.001 .*the best reaches"):
        least_depth(learning, range(6), at, claim, 0.001)
    with pytest.raises(CertificateError, match=r"no depth from 0 to 5 .*none gets a number"):
        least_depth(learning, range(6), lambda depth: at(depth, 0.0), claim, 1.0)


def test_noise_that_the_arithmetic_rounds_away_earns_no_number():
    learning = small_learning(arithmetic=Arithmetic(2.0**-24, 5, 3, 15, 0.0))
    tiny = certify(learning, release_of(np.full(4, 1e-5)), Claim("node", DELTA))
    assert tiny.epsilon is None
    assert "too small for the arithmetic to carry" in tiny.reason
    assert certify(learning, release_of(np.full(4, 100.0)), Claim("node", DELTA)).epsilon is not None


def test_what_was_reached_is_never_taken_for_untouched():
    path = topologies.build("path", 600, 0)
    far = small_learning(
        mixing=topologies.Static(path, topologies.mix("metropolis-hastings", path)),
        rounds=599,
        samples=np.full(600, 20),
        deleted=np.eye(600, dtype=np.int64)[0],
        step_size=0.5,
    )
    e = propagate(far, disturbed=599, undisturbed=0).total
    assert np.all(e > 0)


@pytest.mark.parametrize("regime", ["nonconvex", "convex"])
def test_a_step_beyond_every_finite_certificate_names_its_limit(regime):
    with pytest.raises(CertificateError) as problem:
        propagate(small_learning(rounds=1000, step_size=1e3), disturbed=1000, undisturbed=0, regime=regime)
    assert "step_size 1000 allows no finite certificate" in str(problem.value)
    assert ("2/L = 3.92157" in str(problem.value)) == (regime == "convex")


def test_the_published_bound_names_the_step_it_allows():
    with pytest.raises(
        CertificateError, match=r"step_size 2 is beyond what the published bound allows: at most .* = 1\.30"
    ):
        propagate(small_learning(step_size=2.0), disturbed=5, undisturbed=5, bound="published")
    with pytest.raises(CertificateError, match="does not cover a client that deletes everything; use worst-case"):
        propagate(small_learning(deleted=np.array([20, 0, 0, 0])), disturbed=5, undisturbed=5, bound="published")


def test_what_is_assumed_is_said():
    learning = small_learning()
    said = certify(learning, release_of(np.ones(4)), Claim("node", DELTA))
    assert any(sentence.startswith("Simulation only") for sentence in said.assumptions)
    assert any("nothing is charged for rounding" in sentence for sentence in said.assumptions)
    fresh = certify(learning, release_of(np.ones(4), noise_source="os"), Claim("node", DELTA))
    assert not any(sentence.startswith("Simulation only") for sentence in fresh.assumptions)
    assert not said.conditional
    declared = small_learning(constants=derive("logistic", Constant(1.0, "declared"), l2=0.01))
    assert certify(declared, release_of(np.ones(4)), Claim("node", DELTA)).conditional
    assert isfinite(said.epsilon)
    assert said.mu == pytest.approx(max(said.sensitivity))
    assert epsilon_of(said.mu, DELTA) == said.epsilon
    assert mu_of(said.epsilon, DELTA) == pytest.approx(said.mu)
    pooled = "Every message and every model after the rewind is covered, colluding peers included."
    for view, covered in (("transcript:all", True), ("joint", True), ("transcript", False), ("node:1", False)):
        early = certify(learning, release_of(np.ones(4), placement="rewind"), Claim(view, DELTA))
        assert (pooled in early.assumptions) == covered
