"""Learning that is private by itself: its steps against numpy, its certificates against what was measured."""

import json
from dataclasses import replace
from math import hypot, sqrt
from pathlib import Path

import networkx as nx
import numpy as np
import pytest
import torch
from addresses import address_at
from drawn import examples
from hypothesis import given
from hypothesis import strategies as st
from learnings import small_learning
from networks import SMALL, Network, networks
from numpy_learning import numpy_learning, worker
from runs import refused_here, run_through

from rewindnet import topologies
from rewindnet.certificates import Arithmetic, CertificateError, TrainingRun, audit, certify, epsilon_of
from rewindnet.certificates import GossipDP as GossipDPMechanism
from rewindnet.certificates.certificate import Certificate
from rewindnet.certificates.mechanisms.gossip_dp import shift_bounds
from rewindnet.certificates.release import Mechanism
from rewindnet.clients.methods import MethodError
from rewindnet.clients.methods.gossip_dp import GossipDP
from rewindnet.clients.steps.gossip_dp import GossipDPRounds
from rewindnet.clients.training.clipping import clipped
from rewindnet.clients.training.noise import draw_in_round
from rewindnet.experiments.verify.verify import verify_folder
from rewindnet.simulator.outcome import Outcome, divergence
from rewindnet.simulator.simulation import Simulation

VIEWS = ("node", "node:1", "joint", "average", "transcript", "transcript:1", "transcript:all")

#: The request of `small_learning`.
DESIGN: dict[str, int] = {"designed_client": 0, "designed_samples": 5}


def case_of(**changes: object) -> Network:
    """A ring of five logistic clients; node 1 deletes half of what it has."""
    plain = replace(SMALL, step=0.5, sizes=(8, 12, 5, 9, 20), seed=7)
    return replace(plain, **changes)  # type: ignore[arg-type]


def carried_out(case: Network, method: GossipDP) -> tuple[Simulation, TrainingRun, Outcome]:
    simulation = case.simulation()
    learned, (known,) = simulation.learn(method.checkpoints(case.rounds))
    return simulation, known, simulation.execute(method, method.plan(known), learned, 3)


# -- what clients do -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("schedule", ["static", "node-sleep", "walk uniform"])
@pytest.mark.parametrize("radius", [None, 0.4])
def test_rounds_are_those_of_private_gossip_descent(schedule: str, radius: float | None) -> None:
    case = case_of(schedule=schedule, radius=radius)
    simulation, known, outcome = carried_out(case, GossipDP(sigma=0.3, clip=0.2, view="joint"))
    full = worker(simulation).full
    theta = torch.zeros(5, full.model.parameters, dtype=torch.float64)
    for t in range(case.rounds):
        gradient = full.gradient(theta)
        stepped = theta.clone()
        participating = known.mixing.participating(t)
        for i in range(5):
            if participating is None or participating[i]:
                norm = float(gradient[i].norm())
                noise = 0.3 * draw_in_round(theta.shape[1], address_at(case.seed, 3).before_requests(), t, i)
                stepped[i] -= known.step_size * (gradient[i] * min(1.0, 0.2 / norm) - torch.from_numpy(noise))
            if radius is not None and float(stepped[i].norm()) > radius:
                stepped[i] *= radius / float(stepped[i].norm())
        theta = torch.from_numpy(known.mixing.matrix(t).toarray()) @ stepped
    assert torch.allclose(outcome.released, theta, rtol=1e-10, atol=1e-12)


def test_without_noise_and_clipping_it_is_learning_on_all_data() -> None:
    case = case_of()
    _, _, outcome = carried_out(case, GossipDP(sigma=0.0, clip=100.0))
    assert outcome.released.numpy() == pytest.approx(numpy_learning(case, retained=False)[-1], abs=1e-12)
    assert not np.allclose(outcome.released.numpy(), numpy_learning(case, retained=True)[-1])


def test_clipping_keeps_the_direction() -> None:
    g = torch.tensor([[3.0, 4.0], [0.3, 0.4], [0.0, 0.0]])
    assert torch.equal(clipped(g.clone(), 1.0), torch.tensor([[0.6, 0.8], [0.3, 0.4], [0.0, 0.0]]))


def test_noise_is_gaussian_of_its_size_and_new_in_every_round() -> None:
    case = case_of(nodes=2, family="path", sizes=(20, 1), rounds=1, deleted="one", client=0)
    block = replace(worker(case.simulation()).blocks[1], before_erasure=worker(case.simulation()).full)
    drawn = []
    for t in range(60):
        step = GossipDPRounds(range(t, t + 1), 1e-9, 0.7, address_at(5, 2))
        drawn.append(step.message(block, torch.zeros_like(block.blank()), t, None) / block.step_size)
    entries = torch.stack(drawn).flatten().numpy()
    assert entries.std() == pytest.approx(0.7, rel=0.08)
    assert abs(entries.mean()) < 4 * 0.7 / sqrt(len(entries))
    assert len(np.unique(entries)) == len(entries)


def test_secret_noise_is_another_every_time() -> None:
    _, _, one = carried_out(case_of(), GossipDP(sigma=0.3, noise_source="os"))
    _, _, other = carried_out(case_of(), GossipDP(sigma=0.3, noise_source="os"))
    assert not torch.equal(one.released, other.released)


# -- what is certified ---------------------------------------------------------------------------------------------


@examples(12)
@given(
    networks(local_steps=1, sampling="full", departure="relay", early=None),
    st.sampled_from(VIEWS),
    st.sampled_from([None, 0.05, 0.5]),
)
def test_nothing_shifts_further_than_certified_and_the_request_is_free(
    case: Network, view: str, clip: float | None
) -> None:
    method = GossipDP(sigma=2.0, clip=clip, view=view)
    _, known, outcome = carried_out(case, method)
    certificate = certify(known, outcome.plan.release, outcome.plan.claim)
    assert outcome.shifts.shape == (case.rounds * len(case.deleting),)
    nothing = divergence(outcome.centre, outcome.centre)
    found = audit(certificate, known.mixing, nothing, shifts=outcome.shifts)
    assert found.holds
    assert found.epsilon_empirical is not None
    assert certificate.epsilon is None or found.epsilon_empirical <= certificate.epsilon
    assert set(vars(outcome.cost).values()) == {0}
    assert Certificate.from_record(json.loads(json.dumps(certificate.to_record()))).release.mechanism == (
        outcome.plan.release.mechanism
    )


def test_shifts_are_measured_at_the_very_points_of_the_steps() -> None:
    case = case_of(rounds=1)
    simulation, known, outcome = carried_out(case, GossipDP(sigma=0.3, clip=0.1))
    blocks = worker(simulation).blocks
    start = torch.zeros(5, blocks[0].model.parameters, dtype=torch.float64)
    one, other = (clipped(block.gradient(start), 0.1)[1] for block in blocks)
    assert outcome.shifts == pytest.approx([float((one - other).norm())])
    assert 0 < outcome.shifts[0] <= shift_bounds(known, 0.1)[1] == 0.2


@pytest.mark.parametrize(
    ("m", "l2", "clip", "shift"),
    [
        (5, 0.0, 10.0, 2 * 5 * sqrt(2) / 20),  # 2mG/n
        (5, 0.0, 0.3, 0.6),  # 2C
        (20, 0.0, 10.0, sqrt(2)),  # G: nothing is left
        (20, 0.0, 0.3, 0.3),  # C: no gradient on one side
        (20, 0.1, 0.3, 0.6),  # 2C: the regulariser is left
    ],
)
def test_shifts_are_bounded_by_what_is_deleted_and_by_clipping(m: int, l2: float, clip: float, shift: float) -> None:
    known = small_learning(deleted=np.array([0, m, 0, 0]))
    known = replace(known, constants=replace(known.constants, l2=replace(known.constants.l2, value=l2)))
    assert shift_bounds(known, clip) == pytest.approx([0, shift, 0, 0])


@pytest.mark.parametrize("view", ["transcript:all", "transcript"])
def test_a_view_of_everything_is_the_plain_composition(view: str) -> None:
    """And so is that of the weakest single peer, which is within reach of every noised gradient."""
    known = small_learning()
    plan = GossipDP(view=view, **DESIGN).plan(known)
    # 3.73·Δ·√T at (1, 1e-5).
    assert plan.release.sigma == pytest.approx(3.730631635 * 2 * 5 / 20 * sqrt(2) * sqrt(known.rounds))
    if view == "transcript:all":
        assert plan.claim.claimed_epsilon == pytest.approx(1.0)


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("arithmetic", [None, Arithmetic(2.0**-53, 6, 3, 18, 0.1), Arithmetic(2.0**-24, 6, 3, 18, 0.0)])
def test_an_epsilon_decides_the_noise(view: str, arithmetic: Arithmetic | None) -> None:
    known = small_learning(arithmetic=arithmetic, radius=20.0)
    plan = GossipDP(epsilon=0.7, view=view, **DESIGN).plan(known)
    certificate = certify(known, plan.release, plan.claim)
    assert certificate.epsilon == pytest.approx(0.7, rel=1e-7)
    assert certificate.epsilon <= 0.7
    assert plan.claim.claimed_epsilon is not None
    assert plan.claim.claimed_epsilon <= 0.7 * (1 + 1e-9)
    claimed = GossipDP(epsilon=0.7, view=view, calibrate="claimed", **DESIGN).plan(known)
    assert claimed.claim.claimed_epsilon == pytest.approx(0.7)
    assert claimed.release.sigma[0] <= plan.release.sigma[0] * (1 + 1e-9)
    again = GossipDP(sigma=float(plan.release.sigma[0]), view=view).plan(known)
    assert certify(known, again.release, again.claim).epsilon == certificate.epsilon


def test_whoever_sees_less_needs_less_noise() -> None:
    graph = nx.random_regular_graph(4, 20, seed=1)
    mixing = topologies.Static(graph, topologies.mix("metropolis-hastings", graph))
    deleted = np.zeros(20, dtype=np.int64)
    deleted[0] = 10
    known = small_learning(mixing=mixing, rounds=50, samples=np.full(20, 20), deleted=deleted, radius=5.0)
    sigma = {
        view: float(GossipDP(view=view, designed_client=0).plan(known).release.sigma[0])
        for view in ("node", *VIEWS[2:])
    }
    far = max(nx.single_source_shortest_path_length(graph, 0).items(), key=lambda found: found[1])[0]
    distant = float(GossipDP(view=f"transcript:{far}", designed_client=0).plan(known).release.sigma[0])
    # σ is found to a relative accuracy of 1e-9.
    assert sigma["node"] <= sigma["joint"] * (1 + 1e-9)
    assert sigma["joint"] == sigma["average"] < sigma["transcript:all"] / 2.5
    assert distant < sigma["transcript:all"] / 1.5
    assert sigma["transcript"] <= sigma["transcript:all"] * (1 + 1e-9)


def test_clipping_that_bites_keeps_only_smoothness() -> None:
    known = small_learning()
    G, L, l2, eta = *(getattr(known.constants, name).value for name in ("G", "L", "l2")), known.step_size
    bounded = replace(known, radius=3.0)
    assert GossipDPMechanism.of(known, 100.0, 1.0).growth == 1 + eta * L  # nothing bounds l2·θ
    assert GossipDPMechanism.of(bounded, G + 3 * l2, 1.0).growth == pytest.approx(max(1 - eta * l2, eta * L - 1))
    assert GossipDPMechanism.of(bounded, G, 1.0).growth == 1 + eta * L


def test_who_sleeps_shifts_nothing() -> None:
    graph = nx.path_graph(4)
    mixing = topologies.schedule("node-sleep", graph, topologies.mix("metropolis-hastings", graph), 3, probability=0.5)
    known = small_learning(mixing=mixing)
    plan = GossipDP(sigma=1.0, view="transcript:all").plan(known)
    participating = np.array([mixing.participating(t)[0] for t in range(10)])
    shifts = np.array(certify(known, plan.release, plan.claim).shifts)
    assert 0 < participating.sum() < 10
    assert np.array_equal(shifts > 0, participating)
    assert plan.claim.claimed_epsilon == pytest.approx(epsilon_of(hypot(*shifts), 1e-5))


def test_no_noise_earns_no_number() -> None:
    known = small_learning()
    plan = GossipDP(sigma=0.0).plan(known)
    certificate = certify(known, plan.release, plan.claim)
    assert (certificate.epsilon, plan.claim.claimed_epsilon) == (None, None)
    assert "no noise" in str(certificate.reason)


def test_noise_that_the_arithmetic_rounds_away_earns_no_number() -> None:
    known = small_learning(arithmetic=Arithmetic(2.0**-24, 6, 3, 18, 1e4))
    plan = GossipDP(sigma=0.01).plan(known)
    assert "too small for the arithmetic" in str(certify(known, plan.release, plan.claim).reason)


@pytest.mark.parametrize("wrong", [{"growth": 0.5}, {"rounds": 3}, {"nodes": (1,)}, {"rounding": 0.0}])
def test_a_mechanism_that_is_not_the_networks_is_refused(wrong: dict[str, object]) -> None:
    known = small_learning(arithmetic=Arithmetic(2.0**-53, 6, 3, 18, 0.1))
    plan = GossipDP(sigma=1.0).plan(known)
    assert isinstance(plan.release.mechanism, GossipDPMechanism)
    forged = replace(plan.release, mechanism=replace(plan.release.mechanism, **wrong))
    with pytest.raises(CertificateError, match="is described as"):
        certify(known, forged, plan.claim)
    uneven = replace(plan.release, sigma=np.array([1.0, 1.0, 2.0, 1.0]))
    with pytest.raises(CertificateError):
        certify(known, uneven, plan.claim)


def test_the_mechanism_survives_its_record() -> None:
    own = GossipDPMechanism.of(small_learning(), 1.0, 2.0)
    assert Mechanism.from_record(json.loads(json.dumps(own.to_record()))) == own


# -- what is refused -----------------------------------------------------------------------------------------------


class Some:
    """Minibatches."""

    def shares(self, round: int) -> None:
        raise NotImplementedError


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"local_steps": 2}, "learning.local_steps to 1"),
        ({"batches": Some()}, "learning.sampling to full"),
        ({"earlier_deletions": ((3, np.array([1, 0, 0, 0])),)}, "one request"),
    ],
)
def test_what_it_cannot_learn_is_refused(changes: dict[str, object], words: str) -> None:
    with pytest.raises(CertificateError, match=words):
        GossipDP().check(small_learning(**changes))


def test_departure_is_refused() -> None:
    case = case_of(departure="leave", deleted="all")
    with pytest.raises(CertificateError, match=r"departure to relay"):
        GossipDP().check(case.simulation().training_run)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"epsilon": 1.0, "sigma": 1.0}, "epsilon or sigma"),
        ({"sigma": -1.0}, "non-negative"),
        ({"clip": 0.0}, "clip must be a positive number"),
        ({"clip": float("inf")}, "clip must be a positive number"),
        ({"calibrate": "never"}, "certified or claimed"),
    ],
)
def test_settings_without_a_meaning_are_refused(given: dict[str, object], words: str) -> None:
    with pytest.raises(MethodError, match=words):
        GossipDP(**given)  # type: ignore[arg-type]


SCENARIO = {
    "name": "private",
    "data": {"source": "synthetic", "samples": 120, "dimensions": 4, "classes": 3},
    "partition": {"clients": 5},
    "topology": {"kind": "ring", "schedule": {"kind": "node-sleep", "probability": 0.2}},
    "learning": {"rounds": 8, "radius": 2.0},
    "deletion": {"client": 2, "samples": 5},
    "unlearning": [
        {"method": "gossip-dp"},
        {"method": "gossip-dp", "sigma": 3.0, "clip": 0.5, "view": "transcript:0"},
        {"method": "gossip-dp", "calibrate": "claimed", "view": "joint"},
        {"method": "noise-only", "view": "joint", "gossip_rounds": 2},
        "retrain",
    ],
}


def test_a_run_holds_and_is_verified(tmp_path: Path) -> None:
    folder = run_through(SCENARIO, tmp_path / "run")
    assert all(found.holds for _, found in folder.certified)
    assert [finding for finding in verify_folder(tmp_path / "run") if not finding.holds] == []
    for row in folder.summary[:3]:
        assert set(row["cost_share"].values()) == {0.0}
        assert row["epsilon_empirical"] <= row["epsilon_certified"]


def test_a_scenario_that_it_cannot_learn_ends_in_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    refused_here(SCENARIO, tmp_path, capsys, "one local step a round", "learning.local_steps=2")
