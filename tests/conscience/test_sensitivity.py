"""The conscience of the project: what was measured never exceeds what was certified, at any node."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from addresses import address_at
from drawn import examples
from hypothesis import example, given, settings
from hypothesis import strategies as st
from learnings import SETTINGS, learnings
from machines import Everyone, machine
from networks import Network, as_planned, further, learn_and_retrain, networks
from numpy.typing import NDArray

from rewindnet.certificates import (
    Arithmetic,
    CertificateError,
    Claim,
    Constant,
    Constants,
    Regime,
    Release,
    TrainingRun,
    certify,
    local_growth,
    propagate,
)
from rewindnet.certificates.sensitivity.local_steps import strongest_regime
from rewindnet.certificates.sensitivity.recursion import Recursion, Sensitivity
from rewindnet.certificates.sensitivity.rounding import _round_bounds
from rewindnet.clients.steps.learning import Descend, unlearning_program
from rewindnet.simulator.outcome import divergence

ALIKE_LEAVER = Network(
    *("path", 3, "metropolis-hastings", "combine-then-adapt", "sigmoid", 0.0, 0.1, 1, 1, 0, "one", (1, 1, 1)),
    *("float32", 0),
    spread=0.0,
    departure="leave",
)


@given(case=networks(), share=st.floats(0, 1))
# Equal messages under other weights: no drift, but another rounding.
@example(case=ALIKE_LEAVER, share=0.0)
@examples(200)
def test_no_node_diverges_beyond_its_sensitivity(case: Network, share: float) -> None:
    simulation, learned, oracle, learning = learn_and_retrain(case)
    T = case.rounds
    K = round(share * T)
    quiet = Descend(case.order, range(T - K, T))
    unlearned = further(simulation, learned.checkpoint_names[T - K], quiet, T - K)
    at_rewind = divergence(learned.at(T - K), oracle.at(T - K)) * learning.present
    at_output = divergence(unlearned, oracle.at(T)) * learning.present
    for regime in learning.constants.regimes():
        instance, worst = (
            [propagate(learning, disturbed=T - K, undisturbed=q, bound=bound, regime=regime).total for q in (0, K)]
            for bound in (case.bounds[0], case.bounds[-1])
        )
        for measured, e, w in zip((at_rewind, at_output), instance, worst, strict=True):
            assert np.all(measured <= e), (regime, measured, e)
            # The worst case is never smaller, but for the rounding of the measured disturbances themselves.
            assert np.all(e <= w * (1 + 1e-9)), (regime, e, w)


def at_once(learning: TrainingRun, deleted: NDArray[np.int64], disturbed: int, quiet: int) -> Sensitivity:
    """The sensitivities of several requests [N, k] by one recursion."""
    recursion = Recursion(learning, deleted, disturbed + quiet, "worst-case", strongest_regime(learning))
    state = recursion.advance(recursion.start, range(disturbed), disturbed=True)
    return recursion.advance(state, range(disturbed, disturbed + quiet), disturbed=False).sensitivity


@given(learning=learnings(measured=False), data=st.data())
def test_many_requests_at_once_are_each_of_them_alone(learning: TrainingRun, data: st.DataObject) -> None:
    N, s = learning.mixing.nodes, data.draw(st.integers(0, learning.rounds))
    requests = np.zeros((N, 3), dtype=np.int64)
    for request in range(3):
        node = data.draw(st.integers(0, N - 1))
        requests[node, request] = data.draw(st.integers(0, int(learning.samples[node])))
    together = at_once(learning, requests, s, 2)
    for request in range(3):
        alone = propagate(replace(learning, deleted=requests[:, request]), disturbed=s, undisturbed=2)
        np.testing.assert_array_equal(together.column(request).total, alone.total)
        np.testing.assert_array_equal(together.column(request).rounding, alone.rounding)


@given(learning=learnings(measured=False), undisturbed=st.integers(0, 3))
def test_a_large_network_is_charged_no_less(learning: TrainingRun, undisturbed: int) -> None:
    """What the deletion does is the same to the last digits; what rounding adds is the most of any node's."""
    exact = propagate(learning, disturbed=learning.rounds, undisturbed=undisturbed)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("rewindnet.certificates.sensitivity.recursion._LARGE", 1)
        large = propagate(learning, disturbed=learning.rounds, undisturbed=undisturbed)
    np.testing.assert_allclose(large.total - large.rounding, exact.total - exact.rounding, rtol=1e-9, atol=1e-14)
    assert np.all(large.rounding >= exact.rounding * (1 - 1e-12))
    assert np.array_equal(large.total > 0, exact.total > 0)


@given(case=networks())
def test_warm_start_is_covered(case: Network) -> None:
    extra = 5
    simulation, learned, oracle, learning = learn_and_retrain(case, extra)
    T = case.rounds
    quiet = Descend(case.order, range(T, T + extra))
    unlearned = further(simulation, learned.checkpoint_names[T], quiet, T)
    measured = divergence(unlearned, oracle.at(T + extra)) * learning.present
    for bound in case.bounds:
        assert np.all(measured <= propagate(learning, disturbed=T, undisturbed=extra, bound=bound).total)


@given(case=networks(), reached=st.integers(0, 3))
def test_nodes_out_of_reach_are_identical_to_the_bit(case: Network, reached: int) -> None:
    _, learned, oracle, learning = learn_and_retrain(case)
    s = min(reached, case.rounds)
    e = propagate(learning, disturbed=s, undisturbed=0, bound=case.bounds[-1]).total
    measured = divergence(learned.at(s), oracle.at(s)) * learning.present
    assert np.all(measured[e == 0] == 0)


@given(case=networks())
def test_rewinding_everything_is_retraining_to_the_bit(case: Network) -> None:
    simulation, learned, oracle, learning = learn_and_retrain(case)
    assert not np.any(propagate(learning, disturbed=0, undisturbed=case.rounds).total)
    from rewindnet.clients.methods.r2d import R2D

    plan = R2D(rewind=1.0).plan(learning)
    program = unlearning_program(plan.release, learning.order, address_at(case.seed))
    (descend,), (noise,) = program.approach, program.noise
    assert not any(noise.sigma)
    # Through the network itself: the simulation would not compute again what retraining has computed.
    theta = further(simulation, learned.checkpoint_names[0], descend, 0)
    assert np.array_equal(theta.numpy(), oracle.at(case.rounds).numpy())


@given(
    case=networks(model="logistic", step=0.4, deleted="one", sampling="full", departure="relay", early=None),
    share=st.floats(0, 1),
)
def test_the_topology_blind_bound_is_never_the_smaller(case: Network, share: float) -> None:
    sizes = tuple(max(2, size) for size in case.sizes)
    *_, learning = learn_and_retrain(replace(case, sizes=sizes))
    K = round(share * case.rounds)
    published = propagate(learning, disturbed=case.rounds - K, undisturbed=K, bound="published").total
    for regime in learning.constants.regimes():
        ours = propagate(learning, disturbed=case.rounds - K, undisturbed=K, bound="worst-case", regime=regime).total
        assert np.all(ours <= published * (1 + 1e-12))


@given(case=networks(dtype="float32"), share=st.sampled_from([0.0, 0.9, 1.0]))
@examples(30)
def test_single_precision_is_charged_for(case: Network, share: float) -> None:
    """One of many samples in float32, where rounding is not small beside the deletion."""
    many = replace(case, sizes=tuple(400 for _ in case.sizes), deleted="one", rounds=case.rounds + 8)
    simulation, learned, oracle, learning = learn_and_retrain(many)
    T = many.rounds
    K = round(share * T)
    quiet = Descend(case.order, range(T - K, T))
    unlearned = further(simulation, learned.checkpoint_names[T - K], quiet, T - K)
    e = propagate(learning, disturbed=T - K, undisturbed=K, bound="instance")
    measured = divergence(unlearned, oracle.at(T)) * learning.present
    assert np.all(measured <= e.total)
    assert np.all(e.rounding <= e.total)


@dataclass(frozen=True)
class Alike(Network):
    """Clients that all hold the same few rows, over and over: every sum rounds the same way in every term."""

    distinct: int = 1

    def rows(self, rng: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        x, y = super().rows(rng)
        first = np.arange(len(y)) % self.distinct
        return x[first], y[first]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("model", list(SETTINGS))
@pytest.mark.parametrize(
    ("nodes", "family", "mixing", "size", "step"),
    [
        (2, "path", "metropolis-hastings", 20_000, 0.5),
        (5, "star", "metropolis-hastings", 5_000, 0.1),
        (300, "complete", "uniform", 20, 0.02),
        (120, "ring", "metropolis-hastings", 50, 1.0),
    ],
)
def test_rounding_that_adds_up_is_charged_for(
    nodes: int, family: str, mixing: str, size: int, step: float, model: str, dtype: str
) -> None:
    """Sums of equal terms round the same way every time; the error then grows with the number of terms."""
    for order in ("adapt-then-combine", "combine-then-adapt", "consensus-plus-gradient"):
        case = Alike(
            family, nodes, mixing, order, model, 1e-4, step, 1, 12, 0, "one", (size,) * nodes, dtype, 5, spread=0.0
        )
        simulation, learned, oracle, learning = learn_and_retrain(case)
        quiet = Descend(order, range(6, 12))
        unlearned = further(simulation, learned.checkpoint_names[6], quiet, 6)
        for bound in ("instance", "worst-case"):
            e = propagate(learning, disturbed=6, undisturbed=6, bound=bound).total
            assert np.all(divergence(unlearned, oracle.at(12)) <= e)
        release = Release("r2d", 6, 6, "output", np.zeros(nodes), averaged=True)
        averaged = simulation.execute(*as_planned(release), learned, 0)
        measured = divergence(averaged.centre, simulation.oracle_state(release, oracle))
        assert np.all(measured <= np.array(certify(learning, release, Claim("average", 1e-5)).sensitivity))


def test_the_charge_for_rounding_is_that_of_both_runs() -> None:
    """Theorem 14 by hand, for one round of one machine: an error of u in every run is 2u between them."""
    n, eta, l2, u = 40, 0.3, 0.1, 2.0**-24
    arithmetic = Arithmetic(u, inputs=6, outputs=3, parameters=18, initial_norm=0.5)
    learning = replace(machine("logistic", l2, n=n, m=2, eta=eta, T=1), arithmetic=arithmetic)
    G, L = learning.constants.G.value, learning.constants.L.value
    M = 0.5 + eta * G
    step = eta * ((n + 3 + 10) * G + ((6 + 4) * L + 4 * l2) * M) + 4 * M + 4 * eta * (G + l2 * M)
    mixing = (1 + 6) * M
    charged = propagate(learning, disturbed=1, undisturbed=0).rounding[0]
    assert 2 * u * (step + mixing) <= charged <= 2 * u * (step + mixing) * (1 + 2e-3)


#: Those who step shrink towards 0; those who sleep do not.
SHRINKING = Network(
    "complete", 3, "metropolis-hastings", "adapt-then-combine", "sigmoid", 10.0, 0.5, 6, 4, 0, "all", (2, 1, 5),
    "float64", 7,
)  # fmt: skip


@given(case=networks())
@example(case=replace(SHRINKING, schedule="walk metropolis"))
@example(case=replace(SHRINKING, schedule="node-sleep", order="consensus-plus-gradient"))
@example(case=replace(SHRINKING, schedule="asynchronous node", order="combine-then-adapt"))
def test_norms_stay_below_what_rounding_is_charged_by(case: Network) -> None:
    _, learned, oracle, learning = learn_and_retrain(case)
    bounds = [M for M, _, _ in _round_bounds(learning, case.rounds)]
    for trajectory in (learned, oracle):
        for t, M in enumerate(bounds):
            assert float(trajectory.at(t).double().norm(dim=1).max()) <= M
            assert float(trajectory.at(t + 1).double().norm(dim=1).max()) <= M * (1 + 1e-9)


@pytest.mark.parametrize("T", [1, 7, 40])
@pytest.mark.parametrize("K", [0, 1, 5])
@pytest.mark.parametrize("eta", [0.1, 0.9])
def test_closed_forms_of_one_machine(T: int, K: int, eta: float) -> None:
    K = min(K, T)
    n, m = 50, 3
    smooth = machine("sigmoid", 0.0, n=n, m=m, eta=eta, T=T)
    G, L = smooth.constants.G.value, smooth.constants.L.value
    e = propagate(smooth, disturbed=T - K, undisturbed=K, regime="nonconvex").total[0]
    assert e == pytest.approx(2 * m * G / (L * n) * ((1 + eta * L) ** T - (1 + eta * L) ** K), rel=1e-10, abs=1e-14)
    paper = propagate(smooth, disturbed=T - K, undisturbed=K, bound="published").total[0]
    h = ((1 + eta * L * n / (n - m)) ** (T - K) - 1) * (1 + eta * L) ** K
    assert paper == pytest.approx(2 * m * G / (L * n) * h, rel=1e-10, abs=1e-14)
    assert e <= paper * (1 + 1e-12)

    convex = machine("logistic", 0.0, n=n, m=m, eta=eta, T=T)
    G = convex.constants.G.value
    e = propagate(convex, disturbed=T - K, undisturbed=K).total[0]
    assert e == pytest.approx(2 * eta * m * G * (T - K) / n, rel=1e-10)

    l2 = 0.3
    strong = machine("logistic", l2, n=n, m=m, eta=eta, T=T)
    gamma = 1 - eta * l2
    e = propagate(strong, disturbed=T - K, undisturbed=K).total[0]
    assert e == pytest.approx(
        2 * m * strong.constants.G.value / (l2 * n) * gamma**K * (1 - gamma ** (T - K)), rel=1e-10
    )


@given(N=st.integers(2, 12), T=st.integers(1, 30), share=st.floats(0, 1), m=st.integers(1, 9))
@settings(deadline=None)
def test_uniform_averaging_is_one_machine_with_all_samples(N: int, T: int, share: float, m: int) -> None:
    K = round(share * T)
    n, eta = 10, 0.7
    together = machine("logistic", 0.0, n=n, m=m, eta=eta, T=T, mixing=Everyone(N))
    e = propagate(together, disturbed=T - K, undisturbed=K).total
    G = together.constants.G.value
    assert e == pytest.approx(np.full(N, 2 * eta * m * G * (T - K) / (N * n)), rel=1e-10)


def test_where_all_nodes_are_alike_their_average_is_as_uncertain_as_each() -> None:
    """After a round of W = 11ᵀ/N all models are equal, so the average is the model of any node."""
    together = machine("logistic", 0.2, n=20, m=3, eta=0.7, T=6, mixing=Everyone(5))
    for view, averaged in (("node:2", False), ("average", True)):
        release = Release("r2d", 4, 2, "output", np.ones(5), averaged=averaged)
        certificate = certify(together, release, Claim(view, 1e-5))
        e = propagate(together, disturbed=4, undisturbed=2).total
        assert certificate.sensitivity == pytest.approx(e, rel=1e-12)
        assert certificate.mu == pytest.approx(e[2], rel=1e-12)


@given(E=st.integers(1, 5), T=st.integers(1, 10), eta=st.floats(0.05, 3.9))
@settings(deadline=None)
def test_local_steps_of_one_machine_are_rounds(E: int, T: int, eta: float) -> None:
    many = propagate(machine("logistic", 0.2, n=20, m=2, eta=eta, T=T, E=E), disturbed=T, undisturbed=0).total
    single = propagate(machine("logistic", 0.2, n=20, m=2, eta=eta, T=T * E), disturbed=T * E, undisturbed=0).total
    assert many == pytest.approx(single, rel=1e-10)


@pytest.mark.parametrize("regime", ["nonconvex", "convex", "strongly-convex"])
def test_growth_of_a_local_step(regime: Regime) -> None:
    for eta in (0.1, 1.0, 3.0, 6.0):
        learning = machine("logistic", 0.1, n=10, m=1, eta=eta, T=1)
        L, mu = learning.constants.L.value, 0.1
        expected = {
            "nonconvex": 1 + eta * L,
            "convex": max(1.0, eta * L - 1),
            "strongly-convex": max(abs(1 - eta * mu), abs(1 - eta * L)),
        }[regime]
        assert local_growth(learning, regime) == pytest.approx(expected)


def test_weak_convexity_grows_less_than_no_convexity() -> None:
    learning = machine("sigmoid", 0.02, n=10, m=1, eta=1.0, T=5)
    weak, none = local_growth(learning, "weakly-convex"), local_growth(learning, "nonconvex")
    assert 1 < weak < none


def test_what_cannot_be_certified_is_refused() -> None:
    learning = machine("logistic", 0.0, n=10, m=1, eta=1.0, T=5)
    with pytest.raises(CertificateError, match="does not prove the regime 'strongly-convex'"):
        propagate(learning, disturbed=5, undisturbed=0, regime="strongly-convex")
    with pytest.raises(CertificateError, match="needs the ledger"):
        propagate(learning, disturbed=5, undisturbed=0, bound="instance")
    with pytest.raises(CertificateError, match="learning has 5 rounds"):
        propagate(learning, disturbed=6, undisturbed=0)
    with pytest.raises(CertificateError, match=r"step_size up to 2/L = 4"):
        propagate(replace(learning, step_size=1e9, rounds=100), disturbed=100, undisturbed=0)
    with pytest.raises(CertificateError, match=r"at most min\(1/L, n/\(2\(n−m\)L\)\) = 1\.1111"):
        propagate(replace(learning, step_size=1.2), disturbed=5, undisturbed=0, bound="published")
    with pytest.raises(CertificateError, match="deletes everything"):
        propagate(
            replace(learning, deleted=np.array([10]), step_size=0.5), disturbed=5, undisturbed=0, bound="published"
        )
    with pytest.raises(CertificateError, match="11 of them cannot be deleted"):
        replace(learning, deleted=np.array([11]))


@pytest.mark.parametrize("order", ["adapt-then-combine", "combine-then-adapt", "consensus-plus-gradient"])
@pytest.mark.parametrize("model", list(SETTINGS))
def test_absurd_step_sizes_are_refused_in_a_sentence(order: str, model: str) -> None:
    absurd = replace(
        machine(model, 0.1, n=10, m=1, eta=1e12, T=50, E=60),
        order=order,  # type: ignore[arg-type]
        arithmetic=Arithmetic(2.0**-53, 5, 3, 15, 0.1),
    )
    with pytest.raises(CertificateError, match="allows no finite certificate"):
        propagate(absurd, disturbed=50, undisturbed=0)


def test_a_client_that_keeps_nothing_has_only_the_curvature_of_the_regulariser() -> None:
    """Whatever is declared: f = (a/2)‖θ − x‖² + (l2/2)‖θ‖² loses its a with its data. Two numbers, by hand."""
    a, l2, eta, T, x = 0.8, 0.1, 0.5, 6, 1.0
    low, known = Constant(a + l2, "declared"), {"model": "quadratic", "radius": Constant(1.0, "proven")}
    # On the way from 0 to x no gradient of the loss is longer than a.
    constants = Constants(**known, G=Constant(a, "declared"), L=low, l2=Constant(l2, "proven"), strong_convexity=low)  # type: ignore[arg-type]
    learning = replace(machine("logistic", 0.1, n=5, m=5, eta=eta, T=T), constants=constants)
    theta, apart = 0.0, []
    for t in range(T):
        theta -= eta * ((a * (theta - x) if t < T // 2 else 0.0) + l2 * theta)
        apart.append(theta)
    for quiet in range(T // 2 + 1):
        bound = propagate(learning, disturbed=T // 2, undisturbed=quiet)
        # Retraining stays at 0.
        assert apart[T // 2 - 1 + quiet] <= bound.total[0]
        several = at_once(replace(learning, deleted=np.array([0])), np.array([[5, 1]]), T // 2, quiet)
        assert several.total[0, 0] == bound.total[0]
    assert local_growth(learning, "strongly-convex") == pytest.approx(1 - eta * l2)
    assert local_growth(replace(learning, deleted=np.array([4])), "strongly-convex") == pytest.approx(
        1 - eta * low.value
    )
