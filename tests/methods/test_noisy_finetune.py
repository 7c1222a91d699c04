from dataclasses import replace
from functools import partial
from math import exp, inf, isinf, log, sqrt

import numpy as np
import pytest
import torch
from addresses import address_at
from dp_accounting import GaussianDpEvent
from dp_accounting.rdp import RdpAccountant
from drawn import examples
from hypothesis import assume, given
from hypothesis import strategies as st
from learnings import ring_learning
from networks import SMALL, learn_and_retrain, networks

from rewindnet.certificates import (
    CertificateError,
    Claim,
    Release,
    audit,
    certify,
    delta_of,
    epsilon_of,
    least_scale,
    propagate,
)
from rewindnet.certificates import NoisyFinetune as NoisyFinetuneMechanism
from rewindnet.certificates.accounting.renyi import epsilon_of_rho, rho_of
from rewindnet.certificates.divergence import DivergenceBounds
from rewindnet.certificates.mechanisms.contraction import mu_of_last_state, mu_under_two_bounds
from rewindnet.certificates.release import Mechanism
from rewindnet.certificates.view import View
from rewindnet.clients.methods import MethodError
from rewindnet.clients.methods.noisy_finetune import NoisyFinetune
from rewindnet.clients.step_records import from_record as step_from_record
from rewindnet.clients.step_records import to_record as step_to_record
from rewindnet.clients.steps.noisy_finetune import ClipModel, NoisyFinetuneRounds
from rewindnet.clients.training.clipping import clipped
from rewindnet.simulator.outcome import divergence
from rewindnet.topologies import Stream
from rewindnet.topologies.rng import rng_at

T = 20
learning = partial(ring_learning, rounds=T)


# -- from Rényi to (ε, δ) ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("delta", [1e-12, 1e-5, 1e-2])
@pytest.mark.parametrize("rho", [1e-6, 1e-3, 0.02, 0.5, 8.0])
def test_the_conversion_is_that_of_an_accountant(rho, delta):
    orders = 1 + np.logspace(-3, 5, 4001)
    accountant = RdpAccountant(orders.tolist())
    accountant.compose(GaussianDpEvent(1 / sqrt(2 * rho)))
    ours, theirs = epsilon_of_rho(rho, delta), accountant.get_epsilon(delta)
    assert ours <= theirs + 1e-12
    assert ours == pytest.approx(theirs, rel=1e-4)
    # A Gaussian's own ε is below what is left of it after the detour.
    assert epsilon_of(sqrt(2 * rho), delta) <= ours


def test_the_order_is_kept_in_the_divergence():
    """Without its factor α a ρ of 0.5 would pass for a third of its ε."""
    rho, delta = 0.5, 1e-5
    forgetful = min(rho + log(1 / delta) / (order - 1) for order in (2.0, 10.0, 100.0, 1e4))
    assert forgetful < 0.6
    assert epsilon_of_rho(rho, delta) > 4.5


@given(epsilon=st.floats(1e-3, 100), delta=st.floats(1e-12, 0.4))
def test_rho_of_is_the_inverse(epsilon, delta):
    rho = rho_of(epsilon, delta)
    assert epsilon_of_rho(rho, delta) <= epsilon < epsilon_of_rho(rho * (1 + 1e-6), delta) * (1 + 1e-9)


def test_rho_that_is_none_is_refused():
    assert (epsilon_of_rho(0.0, 1e-5), epsilon_of_rho(inf, 1e-5)) == (0.0, inf)
    for rho in (-1.0, float("nan")):
        with pytest.raises(CertificateError, match="rho is a non-negative number"):
            epsilon_of_rho(rho, 1e-5)


# -- contraction: the last of many noised states -------------------------------------------------------------------


@given(data=st.data(), start=st.floats(0, 10), steps=st.integers(1, 8))
def test_straight_lines_attain_the_bound(data, start, steps):
    """φ(x) = cx + s and φ'(x) = cx: the last state is Gaussian, its mean and variance are known."""
    c = data.draw(st.lists(st.floats(0.01, 1.0), min_size=1, max_size=1)) * steps
    s = data.draw(st.lists(st.floats(0, 3), min_size=1, max_size=1)) * steps
    if data.draw(st.booleans()):
        c, s = data.draw(st.lists(st.floats(0.1, 2.0), min_size=steps, max_size=steps)), [0.0] * steps
    mean, variance = start, 0.0
    for factor, shift in zip(c, s, strict=True):
        mean, variance = factor * mean + shift, factor**2 * variance + 1
    assert mu_of_last_state(start, c, s) == pytest.approx(mean / sqrt(variance), rel=1e-9, abs=1e-200)


def test_many_steps_leave_no_float():
    assert mu_of_last_state(1.0, [3.0] * 3000) == pytest.approx(sqrt(8 / 9) * 3, rel=1e-9)
    assert mu_of_last_state(1.0, [0.5] * 3000) == 0.0
    assert mu_of_last_state(1.0, [1.0] * 400) == pytest.approx(1 / 20)
    assert mu_of_last_state(0.0, []) == 0.0
    assert isinf(mu_of_last_state(1.0, []))


def test_shifts_that_grow_are_refused_for_the_formula_is_no_bound_then():
    """φ_1(x) = x + s·sign(x) after one step that does nothing, against steps that do nothing."""
    s, grid = 2.0, np.linspace(-12, 12, 601)
    step = grid[1] - grid[0]
    gauss = np.exp(-(grid**2) / 2) / sqrt(2 * np.pi)
    kicked = np.exp(-((grid[:, None] - grid - s * np.sign(grid)) ** 2) / 2) / sqrt(2 * np.pi)
    one, other = kicked @ gauss * step, np.exp(-(grid**2) / 4) / sqrt(4 * np.pi)
    formula = s / sqrt(2)  # (2), with Z = 0, c = 1 and shifts 0 and s
    for epsilon in (0.0, 1.0, 4.0):
        assert divergence_of(one, other, epsilon, step) > 1.1 * delta_of(formula, epsilon)
    with pytest.raises(CertificateError, match="shifts grow"):
        mu_of_last_state(0.0, [1.0, 1.0], [0.0, s])
    # The last step alone is a bound, and holds.
    alone = mu_of_last_state(0.0, [1.0], [s])
    for epsilon in (0.0, 1.0, 4.0):
        told = max(divergence_of(other, one, epsilon, step), divergence_of(one, other, epsilon, step))
        assert told <= delta_of(alone, epsilon)


@pytest.mark.parametrize("given", [(-1.0, [1.0]), (1.0, [-0.1]), (1.0, [1.0], [-1.0]), (float("nan"), [1.0])])
def test_negative_distances_are_refused(given):
    with pytest.raises(CertificateError, match="not negative"):
        mu_of_last_state(*given)


@pytest.mark.parametrize("growth", [None, 0.0, 0.5, 1.0, 1.3])
@pytest.mark.parametrize("start", [1e-6, 0.1, 1.0, 50.0])
def test_two_bounds_on_every_step_are_taken_in_the_best_order(start, growth):
    steps, shrink, shift = 6, 0.9, 0.4
    every = []
    for j in range(steps + 1) if growth is not None else [steps]:
        later = steps - j
        every.append(mu_of_last_state(start, [shrink] * j + [growth] * later, [shift] * j + [0.0] * later))
    found = mu_under_two_bounds(np.array([start, 0.0]), steps, shrink, shift, growth)
    assert found == pytest.approx([min(every), 0.0], rel=1e-12)


# -- in one dimension, by integrating ------------------------------------------------------------------------------


GRID = np.linspace(-12, 12, 801)
STEP = GRID[1] - GRID[0]


def divergence_of(p, q, epsilon, step=STEP):
    """D_{e^ε}(p‖q) of two densities on a grid."""
    return float(np.maximum(p - exp(epsilon) * q, 0).sum() * step)


def bell(centre, sigma):
    return np.exp(-((GRID - centre) ** 2) / (2 * sigma**2)) / (sigma * sqrt(2 * np.pi))


def after(start, steps, sigma, phi):
    """The density after some noisy steps from a point."""
    density = bell(phi(start), sigma)
    kernel = bell(phi(GRID)[:, None], sigma)
    for _ in range(steps - 1):
        density = density @ kernel * STEP
    return density


#: The gradients of data losses: not of convex ones, and with a slope of at most L.
GRADIENTS = {
    "sine": (lambda x: 3 * np.sin(2 * x), 6.0),
    "steps": (lambda x: 2 * np.tanh(8 * (x - 0.3)) - np.tanh(5 * (x + 1)), 16.0),
    "away": (lambda x: -2.0 * x, 2.0),
    "together": (lambda x: 1.5 * np.tanh(x), 1.5),
}


@pytest.mark.parametrize("lipschitz", [False, True])
@pytest.mark.parametrize("name", GRADIENTS)
@pytest.mark.parametrize("clipping", ["gradient", "model"])
@pytest.mark.parametrize("apart_by", [0.2, 2.0])
def test_what_is_certified_holds_whatever_the_loss(name, clipping, apart_by, lipschitz):
    (gradient, slope), eta, decay, sigma = GRADIENTS[name], 0.3, 0.4, 0.7
    x, y = 0.1 + apart_by / 2, 0.1 - apart_by / 2
    growth = 1 - eta * decay + eta * slope if lipschitz else None

    def phi(point):
        if clipping == "gradient":
            return (1 - eta * decay) * point - eta * np.clip(gradient(point), -1.0, 1.0)
        return np.clip((1 - eta * decay) * point - eta * gradient(point), -1.2, 1.2)

    for rounds in (1, 3):
        radii = (None, 1.0, None) if clipping == "gradient" else (None, None, 1.2)
        mechanism = NoisyFinetuneMechanism(rounds, eta, decay, *radii, growth)
        release = Release("noisy-finetune", 1, rounds, "rewind", np.array([sigma]), mechanism=mechanism)
        found, one = DivergenceBounds(np.array([x - y])), Alone()
        p, q = after(x, rounds, sigma, phi), after(y, rounds, sigma, phi)
        mu = mechanism.mu(View.of("node"), found, release, one)
        for epsilon in (0.0, 0.1, 0.5, 1.0, 2.0):
            told = max(divergence_of(p, q, epsilon), divergence_of(q, p, epsilon))
            # Where a bound is attained, integrating may put the truth above it, by a fraction of the step squared.
            assert told <= delta_of(mu, epsilon) + STEP**2 / 4
            if told > 1e-2:
                # The ε certified at the δ that is the truth is at least the truth.
                assert mechanism.epsilon(View.of("node"), found, release, one, told) >= epsilon - 0.01


def test_the_contraction_of_clipped_models_is_attained_by_the_worst_of_kernels():
    """A step that keeps only on which side one was is what the bound on one step is about."""
    sigma, C = 1.0, 1.0
    mechanism = NoisyFinetuneMechanism(3, 1.0, 0.0, None, None, C, None)
    release = Release("noisy-finetune", 1, 3, "rewind", np.array([sigma]), mechanism=mechanism)
    found = DivergenceBounds(np.array([9.0]))
    assert mechanism.mu(View.of("node"), found, release, Alone()) == pytest.approx(2 * C / sigma)
    told = epsilon_of(2 * C / sigma, 1e-3)
    profiled = mechanism.epsilon(View.of("node"), found, release, Alone(), 1e-3)
    assert profiled < told / 2
    # At ε = 0 total variation contracts by θ_0 in every step.
    kept = delta_of(2 * C / sigma, 0.0) ** 3
    assert mechanism.epsilon(View.of("node"), found, release, Alone(), kept * (1 + 1e-9)) == 0.0
    assert mechanism.epsilon(View.of("node"), found, release, Alone(), kept * (1 - 1e-3)) > 0.0


class Alone:
    """One node."""

    nodes = 1

    def matrix(self, round):
        raise NotImplementedError

    def participating(self, round):
        raise NotImplementedError


# -- the paper -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("delta", [1e-9, 1e-5, 1e-2])
@pytest.mark.parametrize("share", [1e-3, 0.1, 0.9, 0.999])
@pytest.mark.parametrize(("C0", "C1", "rounds"), [(1.0, 0.1, 50), (3.0, 1.0, 10), (0.2, 5.0, 1)])
def test_the_closed_form_of_the_paper_without_decay(delta, share, C0, C1, rounds):
    """σ² = 9 ln(1/δ)(C0 + C1ηK)²/(ε²K) is ρ = 2ε²/(9 ln(1/δ)), and ρ + 2√(ρ ln(1/δ)) ≤ ε up to ε = 0.257 ln(1/δ)."""
    eta, limit = 0.05, 1.5 * (3 - 2 * sqrt(2)) * log(1 / delta)
    epsilon = share * limit
    sigma = sqrt(9 * log(1 / delta) * (C0 + C1 * eta * rounds) ** 2 / (epsilon**2 * rounds))
    mechanism = NoisyFinetuneMechanism(rounds, eta, 0.0, C0, C1, None, None)
    rho = 2 * (C0 + C1 * eta * rounds) ** 2 / (rounds * sigma**2)
    assert rho == pytest.approx(2 * epsilon**2 / (9 * log(1 / delta)))
    assert rho + 2 * sqrt(rho * log(1 / delta)) == pytest.approx(
        epsilon * (2 * sqrt(2) + share * (3 - 2 * sqrt(2))) / 3
    )
    claimed = mechanism.claimed_epsilon(View.of("node"), np.array([sigma]), Alone(), delta)
    assert claimed == pytest.approx(epsilon_of_rho(rho, delta), rel=1e-9)
    assert claimed <= epsilon
    release = Release("noisy-finetune", 1, rounds, "rewind", np.array([sigma]), mechanism=mechanism)
    assert mechanism.epsilon(View.of("node"), DivergenceBounds(np.zeros(0)), release, Alone(), delta) <= claimed


def test_the_paper_with_decay_is_its_sum():
    eta, decay, C0, C1, rounds, sigma = 0.1, 0.5, 2.0, 0.7, 9, 0.8
    c, s = 1 - eta * decay, 2 * eta * C1
    kept = [c ** (rounds - 1 - t) for t in range(rounds)]
    rho = (c**rounds * 2 * C0 + sum(kept) * s) ** 2 / (2 * sigma**2 * sum(k * k for k in kept))
    mechanism = NoisyFinetuneMechanism(rounds, eta, decay, C0, C1, None, None)
    assert mechanism.claimed_epsilon(View.of("node"), np.array([sigma]), Alone(), 1e-5) == pytest.approx(
        epsilon_of_rho(rho, 1e-5)
    )


def test_the_paper_with_clipped_models_is_its_recursion():
    sigma, C, rounds, delta = 0.9, 0.5, 5, 1e-4
    mechanism = NoisyFinetuneMechanism(rounds, 0.1, 0.0, None, None, C, None)
    epsilon = mechanism.claimed_epsilon(View.of("node"), np.array([sigma]), Alone(), delta)

    def profile(at):
        found = 1.0
        for _ in range(rounds):
            found *= delta_of(2 * C / sigma, log(1 + (exp(at) - 1) / found))
        return found

    assert profile(epsilon) == pytest.approx(delta, rel=1e-6)


# -- plans and certificates ----------------------------------------------------------------------------------------


CASES = [
    {},
    {"view": "joint"},
    {"view": "transcript:0"},
    {"gradient_radius": 0.2, "start_radius": 0.5},
    {"gradient_radius": 0.2, "start_radius": 0.5, "bound": "published"},
    {"gradient_radius": 0.2, "start_radius": 0.5, "bound": "published", "view": "joint"},
    {"clipping": "model", "model_radius": 0.3},
    {"clipping": "model", "model_radius": 0.3, "view": "joint", "rounds": 3},
    {"clipping": "model", "model_radius": 0.3, "bound": "published"},
    {"clipping": "model", "model_radius": 0.3, "rounds": 1, "regime": "nonconvex"},
    {"rounds": 1, "decay": 0.0},
]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("epsilon", [0.3, 4.0])
def test_an_epsilon_decides_the_noise(case, epsilon):
    known = learning()
    plan = NoisyFinetune(epsilon=epsilon, **case).plan(known)
    certificate = certify(known, plan.release, plan.claim)
    assert certificate.epsilon is not None
    assert certificate.epsilon <= epsilon
    if case.get("bound") == "published":
        assert plan.claim.claimed_epsilon == pytest.approx(epsilon, rel=1e-6)
        assert plan.claim.claimed_epsilon <= epsilon
        assert not certificate.conditional
        assert certificate.sensitivity == ()
    else:
        assert certificate.epsilon == pytest.approx(epsilon, rel=1e-6)
        less = certify(known, replace(plan.release, sigma=plan.release.sigma * 0.999), plan.claim)
        assert less.epsilon > epsilon
    if plan.claim.claimed_epsilon is not None:
        assert plan.claim.claimed_epsilon >= certificate.epsilon * (1 - 1e-9)
    again = certificate.from_record(certificate.to_record())
    assert again == certificate
    assert again.release.mechanism == plan.release.mechanism


@pytest.mark.parametrize("bound", ["published", "worst-case"])
def test_opposite_starts_and_opposite_gradients_are_as_far_apart_as_is_certified(bound):
    """One step without decay, from ±C0 against gradients of ∓C1: the centres differ by 2·C0 + 2·η·C1."""
    known = learning()
    e, C1, eta = propagate(known, disturbed=T, undisturbed=0).total, 0.01, known.step_size
    C0 = 0.1 * float(e.max())
    settings = {"gradient_radius": C1, "start_radius": C0, "rounds": 1, "decay": 0.0, "sigma": 2.0, "view": "node"}
    plan = NoisyFinetune(bound=bound, **settings).plan(known)
    mu = certify(known, plan.release, plan.claim).mu
    assert mu == pytest.approx((2 * C0 + 2 * eta * C1) / 2.0, rel=1e-12)


def test_knowing_the_start_is_worth_something():
    known = learning()
    settings = {"gradient_radius": 0.2, "start_radius": 0.5, "rounds": 8}
    published, ours = (NoisyFinetune(bound=bound, **settings).plan(known) for bound in ("published", "worst-case"))
    assert ours.release.sigma[0] < published.release.sigma[0] / 2


def test_a_growth_is_what_a_step_may_do():
    """With clipping that never acts it is gradient descent's; with clipping, 1 − ηλ + ηL of the data loss."""
    known = learning()
    G, L, l2, eta = known.constants.G.value, known.constants.L.value, 0.1, 0.5
    of = {
        name: NoisyFinetune(**case).plan(known).release.mechanism.growth
        for name, case in {
            "never": {"gradient_radius": G},
            "acts": {"gradient_radius": G * 0.99},
            "model": {"clipping": "model", "model_radius": 1.0},
            "nonconvex": {"regime": "nonconvex"},
        }.items()
    }
    assert of["never"] == of["model"] == pytest.approx(1 - eta * l2)
    assert of["acts"] == pytest.approx(1 - eta * l2 + eta * (L - l2))
    # L-smooth alone, the data loss may curve by −L − l2.
    assert of["nonconvex"] == pytest.approx(1 - eta * l2 + eta * (L + l2))


def test_a_growth_that_is_not_proven_is_refused():
    known = learning()
    plan = NoisyFinetune().plan(known)
    mechanism = plan.release.mechanism
    for changed, words in (
        (replace(mechanism, growth=mechanism.growth * 0.9), "may expand distances"),
        (replace(mechanism, growth=None), "published"),
        (replace(mechanism, rounds=3), "rounds are those of descent"),
    ):
        with pytest.raises(CertificateError, match=words):
            certify(known, replace(plan.release, mechanism=changed), plan.claim)
    with pytest.raises(CertificateError, match="begins at the learned model"):
        certify(known, replace(plan.release, checkpoint_round=5), plan.claim)


def test_no_rounds_hide_nothing():
    known = learning()
    with pytest.raises(CertificateError, match="no noise reaches epsilon 1"):
        NoisyFinetune(rounds=0).plan(known)
    plan = NoisyFinetune(rounds=0, sigma=1.0).plan(known)
    certificate = certify(known, plan.release, plan.claim)
    assert certificate.epsilon is None
    assert "no round of finetuning" in certificate.reason
    assert plan.claim.claimed_epsilon is None
    untouched = learning(deleted=np.zeros(5, dtype=np.int64))
    plan = NoisyFinetune(rounds=0, sigma=1.0).plan(untouched)
    assert certify(untouched, plan.release, plan.claim).epsilon == 0.0


def test_no_noise_hides_nothing():
    known = learning()
    plan = NoisyFinetune(sigma=0.0).plan(known)
    certificate = certify(known, plan.release, plan.claim)
    assert certificate.epsilon is None
    assert "carries no noise" in certificate.reason


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"epsilon": 1.0, "sigma": 1.0}, "both are given"),
        ({"rounds": -1}, "number of noisy rounds"),
        ({"sigma": -1.0}, "sigma must be a non-negative number"),
        ({"gradient_radius": 0.0}, "gradient_radius must be a positive number, not 0"),
        ({"decay": -1.0}, "decay must be a non-negative"),
        ({"clipping": "both"}, "clipping is gradient or model"),
        ({"model_radius": 1.0}, "model_radius has no meaning with clipping gradient"),
        ({"clipping": "model", "start_radius": 1.0}, "start_radius has no meaning with clipping model"),
        ({"bound": "published"}, "set start_radius"),
        ({"bound": "published", "start_radius": 1.0, "regime": "convex"}, "no regime convex"),
    ],
)
def test_bad_settings_are_sentences(given, words):
    with pytest.raises(MethodError, match=words):
        NoisyFinetune(**given)


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({"clipping": "model"}, MethodError, "set model_radius"),
        ({"decay": 5.0}, CertificateError, "a decay between 0 and 2/step_size"),
        ({"view": "node:7"}, CertificateError, "node that does not exist"),
        ({"regime": "weakly-convex"}, CertificateError, "does not prove the regime"),
    ],
)
def test_settings_that_do_not_fit_the_network_are_sentences(given, error, words):
    for bound in ("worst-case", "instance"):
        with pytest.raises(error, match=words):
            NoisyFinetune(bound=bound, **given).check(learning())


@pytest.mark.parametrize(
    "radii", [(None, None, None), (None, 1.0, 1.0), (1.0, None, 1.0), (None, -1.0, None), (0.0, 1.0, None)]
)
def test_what_is_no_finetuning_is_refused(radii):
    with pytest.raises(CertificateError):
        NoisyFinetuneMechanism(3, 0.1, 0.1, *radii, None)


# -- steps ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("clipping", ["gradient", "model"])
def test_the_steps_are_those_of_the_paper(clipping):
    """Against plain numpy, with the noise drawn at its address."""
    simulation, learned, _, known = learn_and_retrain(replace(SMALL, precision="exact"))
    radii = {"gradient_radius": 0.3, "start_radius": 0.4} if clipping == "gradient" else {"model_radius": 0.5}
    method = NoisyFinetune(sigma=0.1, rounds=3, clipping=clipping, decay=0.2, step_size=0.7, **radii)
    outcome = simulation.execute(method, method.plan(known), learned, index=5)
    context = f"{outcome.address.scenario} {outcome.address.forget}"
    expected = learned.at(6).clone().numpy()
    block = simulation.network.worker.blocks[1]
    for node, x in enumerate(expected):
        if clipping == "gradient":
            x *= min(1, 0.4 / np.linalg.norm(x))
        for t in (6, 7, 8):
            whole = torch.from_numpy(expected)
            gradient = block.gradient(whole)[node].numpy() - SMALL.l2 * x
            if clipping == "gradient":
                gradient = gradient * min(1, 0.3 / np.linalg.norm(gradient))
            x[:] = (1 - 0.7 * 0.2) * x - 0.7 * gradient
            if clipping == "model":
                x *= min(1, 0.5 / np.linalg.norm(x))
            rng = rng_at(SMALL.seed, Stream.ROUND_NOISE, round=50_000_000 + t, node=node, context=context)
            x += 0.1 * rng.standard_normal(x.size)
    np.testing.assert_allclose(outcome.released.numpy(), expected, rtol=1e-12, atol=1e-14)
    assert outcome.cost.messages == outcome.cost.bytes == 0
    assert outcome.cost.gradients == 3 * int((known.samples - known.deleted).sum())


def test_rows_in_the_ball_stay_as_they_are():
    theta = torch.tensor([[3.0, 4.0], [0.3, 0.4]], dtype=torch.float64)
    found = clipped(theta.clone(), 1.0)
    assert found[0].tolist() == pytest.approx([0.6, 0.8])
    assert torch.equal(found[1], theta[1])
    assert torch.equal(ClipModel(10.0).apply(None, theta), theta)


def test_steps_and_mechanisms_go_over_a_wire():
    step = NoisyFinetuneRounds(range(3, 5), 0.1, 0.2, None, 0.5, (0.1, 0.2), address_at(7, 1))
    assert step_from_record(step_to_record(step)) == step
    assert step_from_record(step_to_record(ClipModel(0.5))) == ClipModel(0.5)
    mechanism = NoisyFinetuneMechanism(3, 0.1, 0.2, 1.0, 0.5, None, 1.2)
    assert Mechanism.from_record(mechanism.to_record()) == mechanism
    assert mechanism.has_profile


@st.composite
def finetunings(draw):
    """What one may ask of it."""
    clipping = draw(st.sampled_from(["gradient", "model"]))
    radii = {"model_radius": draw(st.sampled_from([0.1, 1.0]))}
    if clipping == "gradient":
        radii = {
            "gradient_radius": draw(st.sampled_from([None, 0.05])),
            "start_radius": draw(st.sampled_from([0.2, 5.0])),
        }
    return NoisyFinetune(
        clipping=clipping,
        rounds=draw(st.integers(1, 4)),
        bound=draw(st.sampled_from(["published", "instance", "worst-case"])),
        view=draw(st.sampled_from(["node", "node:1", "joint", "transcript:0", "transcript:all", "average"])),
        decay=draw(st.sampled_from([None, 0.0])),
        **radii,
    )


@given(case=networks(departure="relay", radius=None), method=finetunings())
@examples(15)
def test_what_is_measured_never_exceeds_what_is_certified(case, method):
    simulation, learned, oracle, known = learn_and_retrain(case)
    if method.decay is None and known.step_size * case.l2 > 2:
        with pytest.raises(CertificateError, match="a decay between"):
            method.plan(known)
        return
    plan = method.plan(known)
    outcome = simulation.execute(method, plan, learned, 0, len(simulation.requests) - 1)
    certificate = certify(known, plan.release, plan.claim)
    apart_by = divergence(outcome.centre, oracle.at(known.rounds))
    found = audit(certificate, known.mixing, apart_by, shifts=outcome.shifts)
    assert found.holds, certificate
    assert certificate.epsilon is None or certificate.epsilon <= 1.0
    assert outcome.released.isfinite().all()


@given(case=networks(departure="leave", radius=5.0, schedule="static", rounds=4))
@examples(5)
def test_those_that_leave_take_no_steps(case):
    simulation, learned, oracle, known = learn_and_retrain(case)
    assume(known.step_size * known.constants.l2.value <= 2)
    method = NoisyFinetune(rounds=2, view="joint")
    plan = method.plan(known)
    outcome = simulation.execute(method, plan, learned, 0)
    assert not outcome.released[list(known.departed)].any()
    certificate = certify(known, plan.release, plan.claim)
    apart_by = divergence(outcome.centre, oracle.at(known.rounds)) * known.present
    assert audit(certificate, known.mixing, apart_by, shifts=outcome.shifts).holds
    with pytest.raises(CertificateError, match="after a departure"):
        NoisyFinetune(bound="published", start_radius=1.0).plan(known)


def test_the_start_is_what_learning_left():
    known = learning()
    plan = NoisyFinetune(view="joint").plan(known)
    certificate = certify(known, plan.release, plan.claim)
    expected = propagate(known, disturbed=T, undisturbed=0).total
    assert certificate.sensitivity == tuple(expected.tolist())
    growth = plan.release.mechanism.growth
    unit = [mu_of_last_state(e, [growth] * (T // 2)) / s for e, s in zip(expected, plan.release.sigma, strict=True)]
    assert certificate.mu == pytest.approx(np.linalg.norm(unit))


def test_a_scale_is_the_least():
    known = learning()
    for kind in ({}, {"clipping": "model", "model_radius": 0.4}):
        plan = NoisyFinetune(sigma=2.0, **kind).plan(known)
        scale = least_scale(known, plan.release, plan.claim, 0.5)
        reached = [
            certify(known, replace(plan.release, sigma=plan.release.sigma * scale * off), plan.claim).epsilon
            for off in (1.0, 1 - 1e-6)
        ]
        assert reached[0] <= 0.5 < reached[1]
    with pytest.raises(CertificateError, match="epsilon must be"):
        least_scale(known, plan.release, Claim("node", 1e-5), -1.0)
