"""RR-DU: what it computes, what it costs, and what may be claimed of it."""

import json
from dataclasses import fields, replace
from math import log, sqrt

import numpy as np
import pytest
import torch
from addresses import address_at
from drawn import examples
from hypothesis import HealthCheck, given
from hypothesis import strategies as st
from learnings import small_learning
from networks import SMALL, learn_and_retrain, networks
from numpy_rr_du import Oracle

from rewindnet.certificates import CertificateError, audit, certify, epsilon_of, propagate
from rewindnet.certificates.mechanisms.rr_du_noise import mu_given_reference
from rewindnet.certificates.release import Mechanism
from rewindnet.clients.methods import METHODS, MethodError
from rewindnet.clients.methods.rr_du import RRDU
from rewindnet.clients.steps.rr_du import RRDUToken
from rewindnet.simulator.engine import execute
from rewindnet.simulator.outcome import divergence
from rewindnet.simulator.task import Task
from rewindnet.topologies.rng import Stream, rng_at

ALIGNMENTS = ["exact", "lightweight", "lightweight+descent"]


# -- what it computes ----------------------------------------------------------------------------------------------


def ball(theta, centre, radius):
    return centre + (theta - centre) * min(1, radius / np.linalg.norm(theta - centre))


def token_of(program):
    return program.finish[0]


def states(simulation, learned, tokens, data=1):
    """θ [N, d] after each of these tokens from the learned model."""
    found = []
    for at, token in enumerate(tokens):
        task = Task(f"try-{at}", data, learned, (), (token,), 0, frozenset())
        execute(simulation.network, task, simulation.training_run.mixing)
        found.append(simulation.network.fetch().clone().double().numpy())
    return found


@pytest.mark.parametrize("alignment", ALIGNMENTS)
@pytest.mark.parametrize("trust", [None, "reference", "noised"])
@pytest.mark.parametrize("optimizer", ["sgd", "adam", "dual-as"])
def test_the_token_is_that_of_plain_numpy(alignment, trust, optimizer):
    simulation, learned, _, learning = learn_and_retrain(SMALL)
    clip, radius, step = 0.05, 0.03, 0.2
    method = RRDU(
        seed=4,
        hops=14,
        alignment=alignment,
        noise="off",
        clip=clip,
        visit_probability=0.4,
        trust_radius=None if trust is None else radius,
        trust_centre=trust or "reference",
        optimizer=optimizer,
        step_size=step,
        step_size_elsewhere=0.07 if optimizer == "dual-as" else None,
        start="random",
    )
    plan = method.plan(learning)
    token = token_of(method.program(plan.release, learning, address_at(), {}))
    way = plan.release.mechanism
    assert 2 < len(way.visit_rounds) < 14
    rng = np.random.default_rng(SMALL.seed)
    SMALL.rows(rng)
    oracle = Oracle(SMALL, SMALL.forget(rng)[1])
    theta = reference = learned.at(6)[1].numpy()
    moments, clipped, projected = {}, 0, 0
    for at, (holder, works) in enumerate(zip(way.holders, way.works, strict=True)):
        if not works:
            continue
        if holder == 1:
            g = oracle.direction(theta, alignment)
            clipped += np.linalg.norm(g) > clip
            g = -g * min(1, clip / np.linalg.norm(g))
        else:
            g = oracle.gradient(theta, holder)
        if optimizer == "adam" or (optimizer == "dual-as" and holder == 1):
            one, two, taken = moments.get(holder, (0, 0, 0))
            one, two, taken = 0.9 * one + 0.1 * g, 0.999 * two + 0.001 * g**2, taken + 1
            moments[holder] = one, two, taken
            theta = theta - step * (one / (1 - 0.9**taken)) / (np.sqrt(two / (1 - 0.999**taken)) + 1e-8)
        else:
            theta = theta - (0.07 if optimizer == "dual-as" else step) * g
        first = way.visit_rounds[0] == way.begin + at
        if holder == 1 and trust is not None and not (first and trust == "noised"):
            projected += np.linalg.norm(theta - reference) > radius
            theta = ball(theta, reference, radius)
        if first and trust == "noised":
            reference = theta
    assert trust is None or projected
    if alignment == "exact" and optimizer == "sgd":
        assert clipped
    (found,) = states(simulation, learned.checkpoint_names[6], [token])
    np.testing.assert_allclose(found[way.holders[-1]], theta, rtol=1e-9, atol=1e-12)


def test_minibatches_are_drawn_at_their_address_and_averaged():
    simulation, learned, _, learning = learn_and_retrain(SMALL)
    method = RRDU(seed=0, hops=1, noise="off", visit_probability=0.0, start="random", minibatches=3, batch=4)
    plan = method.plan(learning)
    way = plan.release.mechanism
    holder = way.holders[-1]
    token = token_of(method.program(plan.release, learning, address_at(7), {}))
    (found,) = states(simulation, learned.checkpoint_names[6], [token])
    drawn = rng_at(7, Stream.TOKEN, token.rounds[-1], 1 + holder)
    rng = np.random.default_rng(SMALL.seed)
    SMALL.rows(rng)
    oracle, theta = Oracle(SMALL, SMALL.forget(rng)[1]), learned.at(6)[1].numpy()
    size = SMALL.sizes[holder]
    parts = [oracle.gradient(theta, holder, drawn.choice(size, 4, replace=False)) for _ in range(3)]
    np.testing.assert_allclose(found[holder], theta - learning.step_size * np.mean(parts, axis=0), rtol=1e-9)


def test_everyone_ends_with_the_last_token_and_every_message_is_counted():
    simulation, learned, _, learning = learn_and_retrain(SMALL)
    method = RRDU(seed=1, hops=9, alignment="lightweight", minibatches=2, batch=3)
    outcome = simulation.execute(method, method.plan(learning), learned, 0)
    way = outcome.plan.release.mechanism
    assert torch.equal(outcome.released, outcome.released[:1].repeat(5, 1))
    assert not torch.equal(outcome.released[0], outcome.noised[1])
    assert torch.equal(outcome.centre, outcome.noised)
    moves = np.count_nonzero(np.diff([1, *way.holders]))
    assert outcome.cost.messages == moves + 4
    assert outcome.cost.rounds == len(way.holders) + 2
    m, visits = int(learning.deleted[1]), len(way.visit_rounds)
    assert outcome.cost.gradients == visits * m + (9 - visits) * 6
    assert outcome.shifts.shape == (visits,)


@pytest.mark.parametrize("schedule", ["walk metropolis", "link-failures", "one-peer-exponential"])
def test_it_follows_learning_of_any_kind(schedule):
    case = replace(SMALL, schedule=schedule, family="complete", rounds=12)
    simulation, learned, oracle, learning = learn_and_retrain(case)
    method = RRDU(hops=10, noise="certified", bound="instance")
    plan = method.plan(learning)
    outcome = simulation.execute(method, plan, learned, 0)
    certificate = certify(learning, outcome.plan.release, outcome.plan.claim)
    found = audit(certificate, learning.mixing, divergence(outcome.centre, oracle.at(12)), None, outcome.shifts)
    assert found.holds
    assert certificate.epsilon == pytest.approx(1.0, rel=1e-6) or not np.any(certificate.sensitivity)


# -- what may be claimed -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("alignment", ALIGNMENTS)
def test_one_visit_is_one_gaussian(alignment):
    known = small_learning()
    plan = RRDU(hops=1, alignment=alignment, sigma=3.0, clip=0.2, step_size=0.25).plan(known)
    certificate = certify(known, plan.release, plan.claim)
    e = propagate(known, disturbed=10, undisturbed=0).total[0]
    L = known.constants.L.value
    difference = {
        "exact": e + 0.25 * min(L * e, 0.4),
        "lightweight": e + 0.25 * 0.2,
        "lightweight+descent": e + 0.25 * (min(L * e, 0.4) + 5 / 20 * 0.2),
    }[alignment]
    assert certificate.mu == pytest.approx(difference / (0.25 * 3.0), rel=1e-12)
    assert certificate.epsilon == pytest.approx(epsilon_of(difference / 0.75, 1e-5), rel=1e-9)


@pytest.mark.parametrize("alignment", ALIGNMENTS)
@pytest.mark.parametrize("view", ["node", "joint", "transcript:all"])
def test_sound_noise_certifies_exactly_what_was_asked(alignment, view):
    known = small_learning()
    plan = RRDU(seed=5, hops=30, alignment=alignment, noise="certified", epsilon=0.7, view=view).plan(known)
    certificate = certify(known, plan.release, plan.claim)
    assert certificate.epsilon == pytest.approx(0.7, rel=1e-9)
    assert certificate.epsilon <= 0.7
    way = plan.release.mechanism
    assert len(way.visit_rounds) > 2
    later = np.array(way.noise[1:])
    assert (later == 0).all() if alignment == "exact" else (later > 0).all()
    # No other split of the noise over the visits is smaller in all.
    differs = way.shifts(way.bounds(known, plan.release, plan.claim))
    mu, rng = certificate.mu, np.random.default_rng(0)
    for _ in range(20):
        other = np.array(way.noise) * np.exp(0.3 * rng.standard_normal(len(way.noise)))
        reached = np.sqrt(np.sum((differs[other > 0] / other[other > 0]) ** 2))
        assert np.sum((other * reached / mu) ** 2) >= np.sum(np.square(way.noise)) * (1 - 1e-9)


def test_the_paper_s_formula_goes_both_ways():
    known = small_learning()
    plan = RRDU(epsilon=2.0, hops=50, clip=0.3, visit_probability=0.1).plan(known)
    sigma = plan.release.mechanism.noise[0] / known.step_size
    assert sigma == pytest.approx(0.3 / 2 * sqrt(0.1 * 50 * log(1e5) * log(4) / 4))
    assert plan.claim.claimed_epsilon == 2.0
    again = RRDU(sigma=sigma, hops=50, clip=0.3, visit_probability=0.1).plan(known)
    assert again.claim.claimed_epsilon == pytest.approx(2.0)
    assert again.release.mechanism == plan.release.mechanism
    assert "constant unknown" in plan.claim.claimed_by


def test_what_the_paper_claims_is_not_what_can_be_proved():
    known = small_learning()
    plan = RRDU(hops=100, alignment="lightweight").plan(known)
    certificate = certify(known, plan.release, plan.claim)
    assert certificate.claim.claimed_epsilon == 1.0
    assert certificate.epsilon > 3


def test_given_the_reference_model_nothing_has_to_be_done_at_all():
    known = small_learning()
    for alignment, delta in (("exact", 0.0), ("lightweight", 0.5), ("lightweight+descent", 0.5 * 5 / 20)):
        plan = RRDU(hops=60, alignment=alignment, sigma=2.0).plan(known)
        way = plan.release.mechanism
        assert mu_given_reference(way, known) == pytest.approx(sqrt(len(way.visit_rounds)) * delta / 2.0)
        assert f"{len(way.visit_rounds)} visits" in plan.claim.claimed_by
    silent = RRDU(hops=60, alignment="exact", noise="off").plan(known)
    assert mu_given_reference(silent.release.mechanism, known) == 0.0
    assert "compose to epsilon 0" in silent.claim.claimed_by
    assert certify(known, silent.release, silent.claim).epsilon is None


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"trust_radius": 5.0}, "trust region is centred"),
        ({"optimizer": "adam"}, "adam makes of noise"),
        ({"optimizer": "dual-as"}, "adam makes of noise"),
        ({"noise": "off"}, "adds no noise at its visit 1"),
        ({"start": "random", "visit_probability": 0.0}, "never comes"),
        ({"start": "random", "visits": 0}, "never comes"),
        ({"start": "random", "view": "transcript:2"}, "with other nodes before"),
        ({"start": "random", "view": "transcript:all"}, "with other nodes before"),
    ],
)
def test_what_no_noise_touches_gets_a_reason_and_no_number(given, reason):
    known = small_learning()
    plan = RRDU(seed=1, **given).plan(known)
    certificate = certify(known, plan.release, plan.claim)
    assert certificate.epsilon is None
    assert reason in certificate.reason
    if given.get("noise") != "off":
        with pytest.raises(CertificateError, match=reason):
            RRDU(seed=1, noise="certified", **given).plan(known)
    found = audit(certificate, known.mixing, np.full(4, 1e-3), None, np.zeros(len(certificate.shifts)))
    assert found.epsilon_empirical is None


def test_what_comes_before_the_first_visit_grows_and_is_charged():
    known = small_learning()

    def certified(learning, **given):
        plan = RRDU(seed=1, noise="claimed", sigma=5.0, start="random", **given).plan(learning)
        return certify(learning, plan.release, plan.claim), plan.release.mechanism

    still, way = certified(known, regime="convex")
    assert way.steps_before_visit > 0
    assert way.leaves_before_visit
    grown, further = certified(known, regime="nonconvex")
    L = known.constants.L.value
    assert further.growth == pytest.approx((1 + 0.5 * L) ** way.steps_before_visit)
    assert way.growth == 1.0
    assert grown.mu > still.mu
    assert certified(known, regime="convex", trust_radius=3.0, trust_centre="noised")[0].mu == still.mu


def test_a_visit_that_is_said_to_grow_less_is_refused():
    known = small_learning()
    plan = RRDU(alignment="exact", noise="certified").plan(known)
    for lie in ({"slope": 0.0}, {"growth": 0.5}, {"forgotten": 4}):
        release = replace(plan.release, mechanism=replace(plan.release.mechanism, **lie))
        with pytest.raises(CertificateError):
            certify(known, release, plan.claim)


def test_the_mechanism_goes_into_the_record_and_back():
    known = small_learning()
    way = RRDU(hops=7, trust_radius=1.0).plan(known).release.mechanism
    assert Mechanism.from_record(json.loads(json.dumps(way.to_record()))) == way


@st.composite
def unlearnings(draw):
    case = draw(networks(departure="relay", others=()))
    return case, {
        "seed": draw(st.integers(0, 100)),
        "hops": draw(st.integers(1, 8)),
        "alignment": draw(st.sampled_from(ALIGNMENTS)),
        "routing": draw(st.sampled_from(["others", "neighbours"])),
        "visit_probability": draw(st.sampled_from([0.2, 0.6])),
        "start": draw(st.sampled_from(["u", "u", "random"])),
        "clip": draw(st.sampled_from([0.01, 0.5, 10.0])),
        "step_size": draw(st.sampled_from([None, 0.05, 1.0])),
        "batch": draw(st.sampled_from([0, 3])),
        "bound": draw(st.sampled_from(["worst-case", "instance"])),
    }


@given(unlearnings())
@examples(20, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_nothing_measured_is_more_than_certified(drawn):
    case, given = drawn
    simulation, learned, oracle, learning = learn_and_retrain(case)
    request = len(simulation.requests) - 1
    method = RRDU(sigma=1.0, **given)
    outcome = simulation.execute(method, method.plan(learning), learned, 0, request)
    release, claim = outcome.plan.release, outcome.plan.claim
    certificate = certify(learning, release, claim)
    retrained = oracle.at(case.rounds)
    found = audit(certificate, learning.mixing, divergence(outcome.centre, retrained), None, outcome.shifts)
    assert found.holds, found
    way = release.mechanism
    if not way.visit_rounds:
        return
    # What the first noise is added to, in the two worlds: in the other one the request is empty.
    end = way.visit_rounds[0] - way.begin + 1
    token = replace(
        token_of(method.program(release, learning, address_at(), {})),
        rounds=range(way.begin, way.begin + end),
        holders=way.holders[:end],
        works=way.works[:end],
        noise=(0.0,) * end,
    )
    plain = {field.name: getattr(token, field.name) for field in fields(token)}
    if given["alignment"] == "lightweight":
        other = RRDUToken(**{**plain, "alignment": "exact", "works": (*way.works[: end - 1], False)})
    else:
        other = RRDUToken(**{**plain, "alignment": "exact"})
    data = request + 1
    (here,) = states(simulation, learned.checkpoint_names[case.rounds], [token], data)
    (there,) = states(simulation, oracle.checkpoint_names[case.rounds], [other], data)
    bound = way.shifts(way.bounds(learning, release, claim))[0]
    one, two = here[case.client], there[case.client]
    # Noise is added in double precision, and what is read here has been rounded after that.
    unit = learning.arithmetic.unit_roundoff
    read_off = unit * (np.linalg.norm(one) + np.linalg.norm(two))
    assert float(np.linalg.norm(one - two)) <= bound + read_off
    assert token.needs_forget_set == (given["alignment"] == "lightweight")


# -- settings ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"hops": 0}, "hops of rr-du is at least 1"),
        ({"minibatches": 0}, "minibatches of rr-du is at least 1"),
        ({"visits": -1}, "visits of rr-du is not negative"),
        ({"batch": -2}, "batch of rr-du is not negative"),
        ({"clip": 0.0}, "clip of rr-du is a positive number"),
        ({"trust_radius": -1.0}, "trust_radius of rr-du is a positive number"),
        ({"step_size": float("inf")}, "step_size of rr-du is a positive number"),
        ({"visit_probability": 1.2}, "visit_probability is between 0 and 1"),
        ({"sigma": -1.0}, "sigma must be a non-negative number"),
        ({"sigma": 1.0, "epsilon": 1.0}, "epsilon or sigma"),
        ({"sigma": 1.0, "noise": "certified"}, "takes the epsilon to reach"),
        ({"epsilon": 1.0, "noise": "off"}, "takes neither"),
    ],
)
def test_settings_without_a_meaning_are_a_sentence(given, said):
    with pytest.raises(MethodError, match=said):
        METHODS["rr-du"](**given)


def test_only_one_client_that_stays_can_be_unlearned():
    known = small_learning(deleted=np.array([5, 0, 2, 0]))
    with pytest.raises(CertificateError, match="clients 0, 2 delete"):
        RRDU().plan(known)
    gone = small_learning(deleted=np.array([20, 0, 0, 0]))
    with pytest.raises(CertificateError, match="has left"):
        RRDU().plan(replace(gone, departed=(0,), mixing_before=gone.mixing))


def test_an_instance_bound_is_checked_before_anything_is_learned():
    RRDU(bound="instance").check(small_learning())
    with pytest.raises(CertificateError, match="node that does not exist"):
        RRDU(view="node:9").check(small_learning())
