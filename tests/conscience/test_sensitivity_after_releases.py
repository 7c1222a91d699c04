"""Learning that goes on from released models: what a later request diverges by never exceeds its sensitivity.

The network goes its way twice, once as it was asked to and once without what was deleted, with the same noise; both
ways are followed here round by round, and not by the simulation that runs take.
"""

import json
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from drawn import examples
from hypothesis import example, given
from hypothesis import strategies as st
from machines import machine
from networks import Network, networks
from numpy.typing import NDArray
from torch import Tensor

from rewindnet.certificates import CertificateError, Claim, Constant, Release, TrainingRun, certify, go_on, propagate
from rewindnet.certificates.continuation import check_release
from rewindnet.certificates.sensitivity.rounding import _round_bounds
from rewindnet.certificates.training_record import training_of_record, training_record
from rewindnet.clients.steps.learning import Descend, InitialModel
from rewindnet.simulator.engine import execute
from rewindnet.simulator.outcome import divergence
from rewindnet.simulator.simulation import Simulation
from rewindnet.simulator.task import Task

Forget = dict[int, NDArray[np.int64]]
JOINT = Claim("joint", 1e-5)


@dataclass(frozen=True)
class Thrice(Network):
    """Three requests: the others', a part of the client's own, and the rest of it."""

    def arrivals(self, forget: Forget) -> list[tuple[int, Forget]]:
        others = {node: gone for node, gone in forget.items() if node != self.client}
        part = {**others, self.client: forget[self.client][: max(1, len(forget[self.client]) // 2)]}
        at = sorted({max(1, self.rounds // 3), max(1, 2 * self.rounds // 3), self.rounds})
        asked = [dict(sorted(each.items())) for each in (others, part, forget) if each]
        return list(zip(at[-len(asked) :], asked[-len(at) :], strict=True))


@dataclass(frozen=True)
class Drawn:
    """A release, drawn: the share of rounds since the last one that it rewinds, where its noise goes, how much."""

    share: float
    placement: str
    sigma: float


drawn_releases = st.lists(
    st.builds(Drawn, st.floats(0, 1), st.sampled_from(["output", "rewind"]), st.sampled_from([0.0, 1e-3, 0.5, 300.0])),
    min_size=3,
    max_size=3,
)


def chain(simulation: Simulation, drawn: Sequence[Drawn]) -> list[tuple[TrainingRun, Release]]:
    """The releases for all requests, each with how the network had learned when it was made."""
    result: list[tuple[TrainingRun, Release]] = []
    for at, facts in enumerate(simulation.requests):
        facts = replace(facts, from_release=facts.continued)
        training = go_on(facts, *result[-1], JOINT) if result else facts
        since = result[-1][0].rounds if result else 0
        start = training.rounds - round(drawn[at].share * (training.rounds - since))
        sigma = np.full(training.mixing.nodes, drawn[at].sigma)
        release = Release("r2d", start, training.rounds - start, drawn[at].placement, sigma)  # type: ignore[arg-type]
        result.append((training, release))
    return result


class Way:
    """The network on its way through rounds and noise."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation, self.theta = simulation, torch.empty(0)
        self._run(0, None, range(0))

    def _run(self, met: int, begin: str | None, rounds: range) -> None:
        order, seed = self._simulation.training_run.order, self._simulation.seed
        prepare = (InitialModel(seed),) if begin is None else ()
        task = Task("way", met, begin, prepare, (Descend(order, rounds),), rounds.start, frozenset())
        execute(self._simulation.network, task, self._simulation.training_run.mixing)
        self.theta = self._simulation.network.fetch().clone()

    def learn(self, met: int, rounds: range) -> None:
        """These rounds, on the data after so many requests."""
        self._simulation.network.store("here", self.theta)
        self._run(met, "here", rounds)

    def add(self, noise: Tensor) -> None:
        self.theta = self.theta + noise.to(self.theta)


def noise_of(case: Network, release: Release, at: int, like: Tensor) -> Tensor:
    rng = np.random.default_rng([case.seed, at])
    return torch.from_numpy(rng.standard_normal(tuple(like.shape)) * release.sigma[:, None])


def as_asked(case: Network, simulation: Simulation, releases: Sequence[tuple[TrainingRun, Release]]) -> Tensor:
    """The models to which the last release adds its noise: requests are answered, and learning goes on from that."""
    way, here = Way(simulation), 0
    for at, (training, release) in enumerate(releases):
        way.learn(at, range(here, release.checkpoint_round))
        last = at == len(releases) - 1
        if release.placement == "rewind" and not last:
            way.add(noise_of(case, release, at, way.theta))
        if release.placement == "output" or not last:
            way.learn(at + 1, range(release.checkpoint_round, training.rounds))
        if release.placement == "output" and not last:
            way.add(noise_of(case, release, at, way.theta))
        here = training.rounds
    return way.theta


def never_had(
    case: Network, simulation: Simulation, releases: Sequence[tuple[TrainingRun, Release]], data: Sequence[int]
) -> Tensor:
    """The same models, of a network whose data are those of `data[j]` once release j begins to read what it retains."""
    way, here, met = Way(simulation), 0, data[0]
    ends = [(release.checkpoint_round, None) for _, release in releases]
    events = sorted(
        [(start, 0, at) for at, (start, _) in enumerate(ends)]
        + [(release.noise_round, 1, at) for at, (_, release) in enumerate(releases)]
    )
    for round, is_noise, at in events:
        way.learn(met, range(here, round))
        here = round
        if is_noise and at == len(releases) - 1:
            break
        if is_noise:
            way.add(noise_of(case, releases[at][1], at, way.theta))
        else:
            met = data[at + 1]
    return way.theta


def bound(training: TrainingRun, release: Release, regime: str) -> NDArray[np.float64]:
    start = release.checkpoint_round
    quiet = release.noise_round - start
    return propagate(training, disturbed=start, undisturbed=quiet, regime=regime).total  # type: ignore[arg-type]


#: A small deletion under noise that is as large as single precision can bear.
LOUD = Network(
    "ring", 4, "metropolis-hastings", "adapt-then-combine", "logistic", 0.0, 0.5, 1, 9, 0, "one", (30, 30, 30, 30),
    "float32", 3, early=0.7,
)  # fmt: skip
FAR = [Drawn(0.3, "output", 300.0)] * 3


@given(case=networks(departure="relay", early=0.4), drawn=drawn_releases, three=st.booleans())
@example(case=LOUD, drawn=FAR, three=False)
@examples(40)
def test_no_node_diverges_beyond_its_sensitivity_after_a_release(
    case: Network, drawn: list[Drawn], three: bool
) -> None:
    case = Thrice(**vars(case)) if three else case
    simulation = case.simulation()
    releases = chain(simulation, drawn)
    training, release = releases[-1]
    K = len(releases)
    apart = divergence(as_asked(case, simulation, releases), never_had(case, simulation, releases, [K] * (K + 1)))
    for regime in training.constants.regimes():
        e = bound(training, release, regime)
        assert np.all(apart <= e), (regime, apart, e)
        assert not np.any(apart[e == 0])


@dataclass(frozen=True)
class Apart(Network):
    """Two requests, of different clients."""

    def arrivals(self, forget: Forget) -> list[tuple[int, Forget]]:
        first = {node: gone for node, gone in forget.items() if node != self.client}
        return [(max(1, self.rounds // 2), first), (self.rounds, forget)]


@given(case=networks(departure="relay", early=0.4, sampling="full"), drawn=drawn_releases)
@examples(25)
def test_another_clients_request_may_have_been_there_all_the_same(case: Network, drawn: list[Drawn]) -> None:
    """The network that never had the second client's samples, and met the first client's request as it came."""
    other = (case.client + 1) % case.nodes
    case = Apart(**{**vars(case), "others": (other,)})
    simulation = case.simulation()
    worker = simulation.network.worker  # type: ignore[attr-defined]
    rng = np.random.default_rng(case.seed)
    case.rows(rng)
    second = case.forget(rng)[case.client]
    worker.blocks = (*worker.blocks, worker.full.without({case.client: second}))
    releases = chain(simulation, drawn)
    training, release = releases[-1]
    apart = divergence(as_asked(case, simulation, releases), never_had(case, simulation, releases, [3, 2, 2]))
    for regime in training.constants.regimes():
        e = bound(training, release, regime)
        assert np.all(apart <= e), (regime, apart, e)


@given(case=networks(departure="relay", early=0.4), drawn=drawn_releases)
@examples(15)
def test_norms_stay_below_what_rounding_is_charged_by_after_a_release(case: Network, drawn: list[Drawn]) -> None:
    simulation = case.simulation()
    releases = chain(simulation, drawn)
    training, release = releases[-1]
    bounds = [M for M, _, _ in _round_bounds(training, max(1, release.noise_round))]
    norm = float(as_asked(case, simulation, releases).double().norm(dim=1).max())
    assert norm <= bounds[max(0, release.noise_round - 1)] * (1 + 1e-9)


def two_requests(eta: float = 0.1) -> tuple[TrainingRun, TrainingRun]:
    """One convex machine with 20 samples: 2 are deleted after 4 rounds, 3 more after 8."""
    first = replace(
        machine("logistic", 0.0, n=20, m=2, eta=eta, T=4), arithmetic=None, continued=True, from_release=True
    )
    last = replace(
        machine("logistic", 0.0, n=20, m=5, eta=eta, T=8),
        arithmetic=None,
        earlier_deletions=((4, np.array([2])),),
    )
    return first, last


@pytest.mark.parametrize("placement", ["output", "rewind"])
def test_the_closed_form_of_one_machine(placement: str) -> None:
    first, facts = two_requests()
    release = Release("r2d", 2, 2, placement, np.array([0.7]))  # type: ignore[arg-type]
    last = go_on(facts, first, release, JOINT)
    G = last.constants.G.value
    # Five samples too many of 20 up to the checkpoint of the first release, then three of 18.
    expected = 0.1 * G * (2 * (2 * 5 / 20) + 4 * (2 * 3 / 18))
    assert propagate(last, disturbed=6, undisturbed=2).total[0] == pytest.approx(expected, rel=1e-12)
    certificate = certify(last, Release("r2d", 6, 2, "output", np.array([0.7])), JOINT)
    assert certificate.mu == pytest.approx(expected / 0.7, rel=1e-12)
    assert "the noise of earlier releases" in certificate.reference


def test_going_back_to_the_initial_model_forgets_earlier_noise() -> None:
    first, facts = two_requests()
    once = go_on(facts, first, Release("r2d", 2, 2, "output", np.array([0.7])), JOINT)
    again = replace(once, continued=True, from_release=True)
    later = replace(facts, rounds=9, earlier_deletions=((4, np.array([2])), (8, np.array([5]))))
    third = go_on(later, again, Release("retrain", 0, 8, "output", np.array([0.0])), JOINT)
    assert [start for start, _ in third.earlier_deletions] == [0, 0]
    assert [earlier.sigma for earlier in third.earlier_releases] == [0.0]
    assert propagate(third, disturbed=9, undisturbed=0).total[0] == 0
    assert training_of_record(json.loads(json.dumps(training_record(once))), once.mixing).earlier_releases == (
        (4, 4, 0.7),
    )
    kept = go_on(later, again, Release("r2d", 6, 2, "rewind", np.array([0.5])), JOINT)
    assert [start for start, _ in kept.earlier_deletions] == [2, 6]
    assert [tuple(earlier) for earlier in kept.earlier_releases] == [(4, 4, 0.7), (8, 6, 0.5)]


@pytest.mark.parametrize(
    ("changes", "claim", "sentence"),
    [
        ({"gossip_rounds": 2}, JOINT, "adds 2 gossip rounds"),
        ({"descent_rounds": 5}, JOINT, "releases models of round 7, and learning goes on from round 4"),
        ({"noise_source": "os"}, JOINT, "use noise_source: seed"),
        ({"averaged": True}, Claim("average", 1e-5), "the view average, but peers go on to exchange"),
        ({}, Claim("node:0", 1e-5), "use view: joint or view: transcript:all"),
        ({}, Claim("joint", 1e-5, "instance"), "use bound: worst-case"),
    ],
)
def test_a_release_that_learning_cannot_go_on_from_is_refused(
    changes: dict[str, object], claim: Claim, sentence: str
) -> None:
    first, facts = two_requests()
    release = replace(Release("r2d", 2, 2, "output", np.array([0.7])), **changes)  # type: ignore[arg-type]
    with pytest.raises(CertificateError, match=sentence):
        go_on(facts, first, release, claim)
    with pytest.raises(CertificateError, match="continue-from-release"):
        certify(first, release, claim)


def test_a_level_of_noise_that_follows_from_the_data_is_refused() -> None:
    """The constants may be those of samples that a later request deletes."""
    first, facts = two_requests()
    estimated = replace(first.constants, radius=Constant(first.constants.radius.value, "estimated"))
    with pytest.raises(CertificateError, match="estimated from data"):
        go_on(facts, replace(first, constants=estimated), Release("r2d", 2, 2, "output", np.array([0.7])), JOINT)


def test_a_departure_after_a_release_with_noise_is_refused() -> None:
    """Its bound assumes models within the ball onto which clients project, and that noise takes them out of it."""
    first, facts = two_requests()
    for sigma, refused in ((0.7, True), (0.0, False)):
        last = go_on(facts, first, Release("r2d", 2, 2, "output", np.array([sigma])), JOINT)
        leaving = copy(last)
        # One machine cannot lose a node, so this is set where nothing looks at it.
        object.__setattr__(leaving, "mixing_before", last.mixing)
        try:
            check_release(leaving, Release("r2d", 4, 4, "output", np.array([0.7])), JOINT)
            said = ""
        except CertificateError as problem:
            said = str(problem)
        assert ("would answer a departure after a release with noise" in said) == refused, said


def test_the_reference_names_earlier_noise_only_where_retraining_adds_it() -> None:
    first, facts = two_requests()
    last = go_on(facts, first, Release("r2d", 2, 2, "output", np.array([0.7])), JOINT)
    for start, named in ((4, True), (0, False)):
        certificate = certify(last, Release("r2d", start, 8 - start, "output", np.array([0.7])), JOINT)
        assert ("adds the noise of earlier releases" in certificate.reference) == named


def test_a_later_release_does_not_rewind_past_an_earlier_one() -> None:
    first, facts = two_requests()
    last = go_on(facts, first, Release("r2d", 2, 2, "output", np.array([0.7])), JOINT)
    for start in (1, 3):
        with pytest.raises(CertificateError, match=f"would rewind to round {start}, past its release after round 4"):
            certify(last, Release("r2d", start, 8 - start, "output", np.array([0.7])), JOINT)
    assert certify(last, Release("r2d", 0, 8, "output", np.array([0.0])), JOINT).epsilon == 0
    assert certify(last, Release("r2d", 4, 4, "output", np.array([0.7])), JOINT).epsilon
