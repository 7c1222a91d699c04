"""Clients that clip by the Lipschitz envelope: no node diverges beyond its sensitivity, and an adversary reaches it."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from drawn import examples
from hypothesis import given
from hypothesis import strategies as st
from machines import machine
from networks import SMALL, Network, further, learn_and_retrain, networks
from numpy.typing import NDArray

from rewindnet.certificates import Arithmetic, CertificateError, propagate, worst_case_disturbance
from rewindnet.clients.steps.learning import Descend
from rewindnet.simulator.outcome import divergence

CLIPPING = {"sampling": "full", "dtype": "float64"}


def check_divergence(case: Network, clip: float, share: float) -> None:
    """Hold the sensitivity of a rewind by a share of the rounds, of clients that clip, against retraining."""
    case = replace(case, model="logistic", client_clip=clip)
    simulation, learned, oracle, learning = learn_and_retrain(case)
    T = case.rounds
    K = round(share * T)
    unlearned = further(simulation, learned.checkpoint_names[T - K], Descend(case.order, range(T - K, T)), T - K)
    at_rewind = divergence(learned.at(T - K), oracle.at(T - K)) * learning.present
    at_output = divergence(unlearned, oracle.at(T)) * learning.present
    for bound in case.bounds:
        for measured, quiet in ((at_rewind, 0), (at_output, K)):
            e = propagate(learning, disturbed=T - K, undisturbed=quiet, bound=bound).total
            assert np.all(measured <= e), (bound, measured, e)


CASES = given(case=networks(**CLIPPING), clip=st.sampled_from([0.01, 0.05, 0.2]), share=st.floats(0, 1))


@CASES
@examples(2)
def test_no_node_that_clips_diverges_beyond_its_sensitivity(case: Network, clip: float, share: float) -> None:
    check_divergence(case, clip, share)


@pytest.mark.slow
@CASES
@examples(60)
def test_no_node_of_many_that_clip_diverges_beyond_its_sensitivity(case: Network, clip: float, share: float) -> None:
    check_divergence(case, clip, share)


@dataclass(frozen=True)
class Adversary(Network):
    """One client pushes one direction, and nobody else has anything in it."""

    def rows(self, rng: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        x, y = super().rows(rng)
        owner = np.repeat(np.arange(self.nodes), self.sizes)
        x[:, 0] = 0.0
        x[owner == self.client] = np.eye(5)[0] * (1 - 1e-9)
        return x, np.where(owner == self.client, 0, y)


@pytest.mark.parametrize(
    ("order", "step", "rounds"),
    [
        ("adapt-then-combine", 1.9, 10),
        pytest.param("combine-then-adapt", 1.9, 40, marks=pytest.mark.slow),
        pytest.param("consensus-plus-gradient", 0.3, 40, marks=pytest.mark.slow),
    ],
)
def test_an_adversary_reaches_the_bound_at_every_node(order: str, step: float, rounds: int) -> None:
    """So the bound cannot be lowered, and one that was would be caught."""
    case = Adversary(
        *("ring", 6, "metropolis-hastings", order, "logistic", 0.0, step, 1, rounds, 2, "all", (5, 4, 6, 5, 4, 3)),
        *("float64", 1),
        client_clip=0.01,
    )
    _, learned, oracle, learning = learn_and_retrain(case)
    for t in (rounds // 2, rounds):
        e = propagate(learning, disturbed=t, undisturbed=0).total
        measured = divergence(learned.at(t), oracle.at(t))
        assert np.all(measured <= e)
        assert np.all(measured >= 0.95 * e), measured / e


def test_learning_where_nobody_reaches_the_clip_is_learning_without_it() -> None:
    _, plain, retrained, _ = learn_and_retrain(SMALL)
    _, clipped, again, _ = learn_and_retrain(replace(SMALL, client_clip=1.4))
    assert np.array_equal(plain.at(SMALL.rounds).numpy(), clipped.at(SMALL.rounds).numpy())
    assert np.array_equal(retrained.at(SMALL.rounds).numpy(), again.at(SMALL.rounds).numpy())


@pytest.mark.parametrize(("m", "factor"), [(20, 1.0), (1, 2.0), (19, 2.0)])
def test_the_disturbance_of_a_client(m: int, factor: float) -> None:
    """ηC for all of its data and 2ηC for a part, and the closed form of one convex machine with the tolerance."""
    learning = replace(machine("logistic", 0.0, n=20, m=m, eta=0.7, T=9), client_clip=0.03)
    assert worst_case_disturbance(learning)[0, 0] == pytest.approx(0.7 * 0.03 * factor, rel=1e-12)
    e = propagate(learning, disturbed=6, undisturbed=3).total[0]
    assert e == pytest.approx(0.7 * 0.03 * (6 * factor + 9 * 2e-4), rel=1e-10)


def test_the_tolerance_is_charged_twice_as_often_where_disturbances_are_measured() -> None:
    case = replace(SMALL, client_clip=1.2, deleted="all")
    *_, learning = learn_and_retrain(case)
    learning = replace(learning, arithmetic=None)
    measured, worst = (propagate(learning, disturbed=6, undisturbed=0, bound=b).rounding for b in case.bounds)
    assert measured == pytest.approx(2 * worst, rel=1e-12)
    assert np.all(worst > 0)


@pytest.mark.parametrize(
    ("model", "change", "sentence"),
    [
        ("sigmoid", {"client_clip": 0.1}, "client_clip takes a convex loss"),
        ("logistic", {"client_clip": 2.0}, "client_clip 2 is never reached"),
        ("logistic", {"client_clip": -1.0}, "client_clip must be positive"),
        ("logistic", {"client_clip": 0.1, "clip_tolerance": 0.0}, "clip_tolerance between 0 and 1"),
        ("logistic", {"client_clip": 0.1, "step_sizes": (0.1, 0.05)}, "plain gradient steps of one size"),
        ("logistic", {"client_clip": 0.1, "uncovered": "momentum"}, "plain gradient steps of one size"),
    ],
)
def test_a_clip_that_is_not_proven_is_refused(model: str, change: dict[str, float], sentence: str) -> None:
    learning = replace(machine(model, 0.0, n=20, m=2, eta=0.1, T=9), arithmetic=Arithmetic(2**-53, 5, 3, 15, 0.0))
    with pytest.raises(CertificateError, match=sentence):
        replace(learning, **change)


def test_minibatches_and_the_published_bound_are_refused() -> None:
    with pytest.raises(CertificateError, match="client_clip is proven for local steps that read all samples"):
        replace(SMALL, sampling="poisson", client_clip=0.1).simulation()
    learning = replace(machine("logistic", 0.0, n=20, m=2, eta=0.1, T=9), client_clip=0.1)
    with pytest.raises(CertificateError, match="the published bound is for full gradients that are not clipped"):
        propagate(learning, disturbed=4, undisturbed=0, bound="published")
