"""Recovered models are never further from those of learning than was proven, at any node."""

from dataclasses import replace

import numpy as np
import pytest
from drawn import examples
from hypothesis import assume, given
from machines import machine
from networks import SMALL, Network, networks

from rewindnet.certificates import CertificateError, propagate
from rewindnet.certificates.sensitivity.recovery import check_recovery, invert, recovery_error
from rewindnet.simulator.outcome import divergence
from rewindnet.simulator.recovery import run_forward, undo

CASES = networks(mixing="lazy-metropolis-hastings", radius=None, departure="relay", early=None)


def learned(case: Network, charged: float = 1e-3):
    simulation = case.simulation()
    simulation.requests = tuple(replace(known, recovery_error=charged) for known in simulation.requests)
    trajectory, _ = simulation.learn(range(case.rounds + 1))
    return simulation, trajectory


def recovered(case: Network, depth: int):
    """How far each node is from the true checkpoint, and the bound on it."""
    simulation, trajectory = learned(case)
    T, names = case.rounds, trajectory.checkpoint_names
    rounds = range(T - depth, T)
    name, _ = undo(simulation, rounds, names[T])
    off = divergence(simulation.network.fetch(name), trajectory.at(T - depth))
    apart, _, _ = run_forward(simulation, rounds, name, names[T])
    return off, recovery_error(simulation.training_run, rounds, apart), apart


@examples(8)
@given(case=CASES)
def test_no_recovered_model_is_further_off_than_proven(case):
    case = replace(case, step=min(case.step, 0.85))
    if case.order == "consensus-plus-gradient":
        case = replace(case, order="combine-then-adapt")
    try:
        off, bound, _ = recovered(case, min(case.rounds, 3))
    except CertificateError as refused:
        # A matrix without an inverse, or minibatches that are larger than expected.
        assume(False)
        raise AssertionError from refused
    assert np.all(off <= bound)


@pytest.mark.parametrize("order", ["adapt-then-combine", "combine-then-adapt"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_models_are_recovered_almost_to_the_last_digit(order, dtype):
    case = replace(SMALL, mixing="lazy-metropolis-hastings", order=order, dtype=dtype, step=0.5, local_steps=2)
    off, bound, apart = recovered(case, 4)
    u = {"float64": 2.0**-53, "float32": 2.0**-24}[dtype]
    assert 0 < off.max() < 1e4 * u
    assert off.max() <= bound.max() < 1e8 * u
    # The rounds lead back to where recovery began from: that the iteration has converged is seen here.
    assert apart.max() < 100 * u


def test_a_recovered_model_that_is_wrong_is_seen_when_its_rounds_are_run_again():
    case = replace(SMALL, mixing="lazy-metropolis-hastings", step=0.5)
    simulation, trajectory = learned(case)
    names, rounds = trajectory.checkpoint_names, range(3, 6)
    # The models of another round in place of those that belong there.
    apart, norms, _ = run_forward(simulation, rounds, names[2], names[6])
    off = divergence(trajectory.at(2), trajectory.at(3))
    assert np.all(recovery_error(simulation.training_run, rounds, apart) >= off)
    assert len(norms) == case.nodes


def test_the_bound_of_one_machine_has_a_closed_form():
    training = machine("logistic", 0.1, n=50, m=3, eta=0.5, T=9, E=2)
    bound = recovery_error(training, range(4, 9), np.array([1e-9]))
    assert bound[0] == pytest.approx(1e-9 / (1 - 0.5 * training.constants.L.value) ** 10)


def test_what_is_charged_is_in_the_sensitivity_of_recovered_checkpoints_alone():
    case = replace(SMALL, mixing="lazy-metropolis-hastings", step=0.5)
    simulation, _ = learned(case)
    known = simulation.training_run
    for at, added in ((0, 0.0), (3, 1e-3), (6, 0.0)):
        kept, charged = (
            propagate(training, disturbed=at, undisturbed=0) for training in (replace(known, recovery_error=0.0), known)
        )
        difference = charged.total - charged.rounding - (kept.total - kept.rounding)
        assert difference == pytest.approx(np.full(case.nodes, added), abs=1e-12)
    # A node that the deletion cannot have reached is charged for its error all the same.
    far = replace(known, deleted=np.zeros_like(known.deleted))
    assert np.all(propagate(far, disturbed=3, undisturbed=0).total >= 1e-3)


def test_an_inverse_is_bounded_entry_by_entry():
    rng = np.random.default_rng(0)
    W = replace(SMALL, mixing="lazy-metropolis-hastings").simulation().training_run.mixing.matrix(0)
    inverse, V = invert(W, 0), rng.standard_normal((5, 3))
    exact = np.linalg.solve(W.toarray(), V)
    assert np.allclose(inverse.matrix @ V, exact)
    assert np.all(np.linalg.norm(exact, axis=1) <= inverse.bound(np.linalg.norm(V, axis=1)))
    assert inverse.norm == pytest.approx(np.linalg.norm(np.linalg.inv(W.toarray()), 2))
    assert inverse.matrix.nnz == 25
    assert 0 < inverse.defect < 1e-12


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"radius": 5.0}, "a projection"),
        ({"order": "consensus-plus-gradient"}, "consensus-plus-gradient"),
        ({"step": 1.5}, "a step_size of"),
        ({"family": "complete"}, "condition number"),
        ({"gradient_clip": 1.0}, "gradient_clip"),
    ],
)
def test_what_cannot_be_inverted_is_refused(changes, words):
    case = replace(SMALL, **{"mixing": "lazy-metropolis-hastings", "step": 0.5, **changes})
    if "family" in changes:
        case = replace(case, mixing="uniform")
    simulation = case.simulation()
    with pytest.raises(CertificateError, match=words):
        recovery_error(simulation.training_run, range(2, 6), np.zeros(5))


@pytest.mark.parametrize(
    ("charged", "words"), [(1e-15, r"rounding alone may grow to .*; no round can be"), (1.0, "charge at most")]
)
def test_an_error_that_is_too_small_to_reach_or_too_large_to_charge_is_refused(charged, words):
    case = replace(SMALL, mixing="lazy-metropolis-hastings", step=0.5)
    simulation = case.simulation()
    with pytest.raises(CertificateError, match=words):
        check_recovery(replace(simulation.training_run, recovery_error=charged), range(3, 6))
    check_recovery(replace(simulation.training_run, recovery_error=1e-8), range(3, 6))
