"""Projected gradient ascent against numpy: reference, forget gradient, clip, ball, spreading, cost; its settings."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import parity
import pytest
import torch
from federated import CASE, UNIQUE, Rows, data, descended, slope, unlearned
from networks import Network

from rewindnet import topologies
from rewindnet.certificates import Certificate, certify, epsilon_of
from rewindnet.certificates.mechanisms import Uncertified
from rewindnet.certificates.release import Mechanism
from rewindnet.certificates.view import View
from rewindnet.clients.methods import MethodError
from rewindnet.clients.methods.gradient_ascent import GradientAscent
from rewindnet.clients.step_records import from_record as step_of
from rewindnet.clients.step_records import to_record as record_of
from rewindnet.clients.steps.gradient_ascent import GradientAscentRounds
from rewindnet.clients.steps.spreading import spread
from rewindnet.experiments.report.page import write_report
from rewindnet.experiments.runs.launch import run_scenario
from rewindnet.experiments.verify.verify import verify_folder
from rewindnet.simulator.outcome import Trajectory
from rewindnet.simulator.simulation import Simulation


def freshly(simulation: Simulation) -> list[int]:
    """Who deletes something with the last request."""
    *_, before, after = simulation.network.worker.blocks  # type: ignore[attr-defined]
    return [node for node in range(before.samples.size) if before.samples[node] > after.samples[node]]


def reference(case: Network, simulation: Simulation, learned: Trajectory, node: int) -> Rows:
    """Σ_{j≠u} W_uj·w_j / Σ_{j≠u} W_uj over those that delete nothing."""
    T, before = case.rounds, len(simulation.requests) - 1
    weights = simulation.training_run.mixing.matrix(T - 1).toarray()[node]
    weights[freshly(simulation)] = 0.0
    models = learned.at(T).numpy()
    if not weights.any():
        return np.asarray(models[node])
    if case.order == "adapt-then-combine":
        last = learned.at(T - 1).numpy()
        models = np.stack([descended(simulation, j, last[j], before) for j in range(case.nodes)])
    return np.asarray(weights @ models / weights.sum())


def ascended(case: Network, simulation: Simulation, learned: Trajectory, node: int, **settings: Any) -> Rows:
    requests = len(simulation.requests)
    whole, kept = data(simulation, node, requests - 1), data(simulation, node, requests)
    forgotten = [row for row in range(len(whole[0])) if not (whole[0][row] == kept[0]).all(axis=1).any()]
    x, y = whole[0][forgotten], whole[1][forgotten]
    assert len(x) == len(whole[0]) - len(kept[0]) > 0
    centre = reference(case, simulation, learned, node)
    radius = settings["radius"] or np.linalg.norm(centre - learned.at(0).numpy()[node]) / 3
    step, theta = settings["step_size"] or simulation.training_run.step_size, centre
    for _ in range(settings["ascent_steps"]):
        g = slope(theta, x, y)
        g = g * min(1.0, (settings["clip"] or np.inf) / np.linalg.norm(g))
        offset = theta + step * g - centre
        theta = centre + offset * min(1.0, radius / np.linalg.norm(offset))
    return np.asarray(theta)


@pytest.mark.parametrize("order", ["adapt-then-combine", "combine-then-adapt", "consensus-plus-gradient"])
@pytest.mark.parametrize(
    ("settings", "inside"),
    [
        ({"ascent_steps": 3, "step_size": None, "radius": 50.0, "clip": None}, True),
        ({"ascent_steps": 3, "step_size": 0.4, "radius": 50.0, "clip": 0.02}, True),
        ({"ascent_steps": 4, "step_size": 3.0, "radius": 0.1, "clip": None}, False),
        ({"ascent_steps": 5, "step_size": 30.0, "radius": None, "clip": 5.0}, False),
    ],
)
def test_the_ascent_is_that_of_the_paper(order: str, settings: dict[str, Any], inside: bool) -> None:
    case = replace(CASE, order=order)
    simulation, learned, outcome = unlearned(GradientAscent(rounds=0, **settings), case)
    expected = ascended(case, simulation, learned, 2, **settings)
    np.testing.assert_allclose(outcome.released.numpy(), np.tile(expected, (5, 1)), rtol=1e-10, atol=1e-12)
    assert torch.equal(outcome.centre, outcome.released)
    centre = reference(case, simulation, learned, 2)
    radius = settings["radius"] or np.linalg.norm(centre - learned.at(0).numpy()[2]) / 3
    assert bool(np.linalg.norm(expected - centre) < radius * (1 - 1e-9)) is inside


def test_on_a_complete_network_the_reference_is_what_a_server_works_out() -> None:
    """The authors take N/(N−1)·(the global model) − 1/(N−1)·(the model of who deletes)."""
    case = replace(CASE, family="complete", mixing="uniform", deleted="all", l2=0.0)
    simulation, learned, _ = unlearned(GradientAscent(), case)
    T, N = case.rounds, case.nodes
    own = descended(simulation, 2, learned.at(T - 1).numpy()[2])
    server = N / (N - 1) * learned.at(T).numpy()[0] - own / (N - 1)
    np.testing.assert_allclose(reference(case, simulation, learned, 2), server, rtol=1e-10)


def test_every_node_takes_the_model_of_the_nearest_that_deletes() -> None:
    case = replace(CASE, family="path", nodes=6, sizes=(*CASE.sizes, 8), client=0, others=(1, 5), deleted="one")
    settings: dict[str, Any] = {"ascent_steps": 2, "step_size": 1.0, "radius": 0.3, "clip": None}
    simulation, learned, outcome = unlearned(GradientAscent(rounds=0, **settings), case)
    models = {node: ascended(case, simulation, learned, node, **settings) for node in (0, 1, 5)}
    # Node 0 has no neighbour that deletes nothing, and ascends near its own model.
    expected = np.stack([models[node] for node in (0, 1, 1, 1, 5, 5)])
    np.testing.assert_allclose(outcome.released.numpy(), expected, rtol=1e-10, atol=1e-12)


def test_what_earlier_requests_have_taken_out_is_not_read_again() -> None:
    case = replace(CASE, early=0.5, others=(4,))
    settings: dict[str, Any] = {"ascent_steps": 2, "step_size": 1.0, "radius": 0.3, "clip": None}
    simulation, learned, outcome = unlearned(GradientAscent(rounds=0, **settings), case)
    assert freshly(simulation) == [2]
    expected = ascended(case, simulation, learned, 2, **settings)
    np.testing.assert_allclose(outcome.released.numpy(), np.tile(expected, (5, 1)), rtol=1e-10, atol=1e-12)
    assert outcome.cost.gradients == 2 * (simulation.requests[1].deleted - simulation.requests[0].deleted).sum()


def test_afterwards_all_learn_on_without_the_forget_set() -> None:
    settings: dict[str, Any] = {"ascent_steps": 2, "step_size": 1.0, "radius": 0.3, "clip": None}
    simulation, learned, outcome = unlearned(GradientAscent(rounds=3, **settings), CASE)
    theta = np.tile(ascended(CASE, simulation, learned, 2, **settings), (5, 1))
    block, W = simulation.network.worker.blocks[1], simulation.training_run.mixing.matrix(0)  # type: ignore[attr-defined]
    for _ in range(3):
        theta = W @ block.descend(torch.from_numpy(theta), 0).numpy()
    np.testing.assert_allclose(outcome.released.numpy(), theta, rtol=1e-10, atol=1e-12)


def test_the_cost_is_the_ascent_the_messages_and_the_rounds_afterwards() -> None:
    simulation, _, outcome = unlearned(GradientAscent(ascent_steps=7, rounds=3), CASE)
    known = simulation.training_run
    m, retained = int(known.deleted.sum()), int((known.samples - known.deleted).sum())
    assert outcome.cost.gradients == 7 * m + 3 * CASE.local_steps * retained
    # Two neighbours send models, four nodes take the ascended one over in two rounds, the ring has ten directed edges.
    assert outcome.cost.messages == 2 + 4 + 3 * 10
    assert outcome.cost.rounds == 1 + 2 + 3
    assert simulation.traffic["0-gradient-ascent-site"].sum() == outcome.cost.messages


def test_models_spread_along_the_edges_that_there_are() -> None:
    graph = nx.path_graph(4)
    weights = topologies.mix("metropolis-hastings", graph)
    still = spread(topologies.Static(graph, weights), [1], 10)
    assert (still.rounds, still.heard, still.at) == (range(10, 12), (1, 1, 1, 2), (10, -1, 10, 11))
    mixing = topologies.schedule("link-failures", graph, weights, 3, (), probability=0.6)
    found = spread(mixing, [1], 10)
    assert sorted(found.at)[0] == -1
    assert sum(at == -1 for at in found.at) == 1
    for node, (other, at) in enumerate(zip(found.heard, found.at, strict=True)):
        if node != 1:
            assert mixing.matrix(at).toarray()[node, other] > 0
            assert found.at[other] < at
    parted = nx.Graph([(0, 1), (2, 3)])
    alone = spread(topologies.Static(parted, topologies.mix("metropolis-hastings", parted)), [1], 0)
    assert (alone.rounds, alone.heard, alone.at) == (range(1), (1, 1, 2, 3), (0, -1, -1, -1))
    step = GradientAscentRounds("adapt-then-combine", range(5, 6), (0, 3), 4, 0.1, None, None, "b", "a")
    assert [step_of(record_of(one)) for one in (still, step)] == [still, step]


def test_it_gets_no_number_and_says_why() -> None:
    simulation, method = CASE.simulation(), GradientAscent()
    _, (known,) = simulation.learn(method.checkpoints(6))
    plan = method.plan(known)
    certificate = certify(known, plan.release, plan.claim)
    assert (certificate.epsilon, certificate.mu, certificate.claim.claimed_epsilon) == (None, None, None)
    assert (certificate.sensitivity, certificate.conditional) == ((), False)
    assert certificate.reason is not None
    assert certificate.reason.startswith("no certificate is known")
    assert Certificate.from_record(certificate.to_record()) == certificate
    mechanism = plan.release.mechanism
    assert isinstance(mechanism, Uncertified)
    assert Mechanism.from_record(mechanism.to_record()) == mechanism
    found = mechanism.bounds(known, plan.release, plan.claim)
    assert epsilon_of(mechanism.mu(View.of("joint"), found, plan.release, known.mixing), 1e-5) == float("inf")


@pytest.mark.parametrize(
    ("bad", "sentence"),
    [
        ({"ascent_steps": 0}, "ascent_steps is a number of steps, at least 1, not 0"),
        ({"rounds": -1}, "rounds is a number of rounds of learning after the ascent, not -1"),
        ({"radius": 0.0}, "radius of gradient-ascent must be a positive number, not 0.0"),
        ({"clip": float("nan")}, "clip of gradient-ascent must be a positive number, not nan"),
        ({"step_size": -0.1}, "step_size of gradient-ascent must be a positive number, not -0.1"),
    ],
)
def test_settings_without_a_meaning_are_refused(bad: dict[str, Any], sentence: str) -> None:
    with pytest.raises(MethodError, match=sentence):
        GradientAscent(**bad)


def test_who_has_left_cannot_ascend() -> None:
    known = replace(CASE, departure="leave").simulation().training_run
    with pytest.raises(MethodError, match="so it must stay: use deletion"):
        GradientAscent().check(known)


def test_what_only_one_client_knew_is_forgotten_and_the_rest_is_not(tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert run_scenario(parity.write(UNIQUE, tmp_path), (), out, False) == []
    ascent, _, nothing, retrain = parity.left(out)["summary.json"]["rows"]
    forget, retain = (
        [row["accuracy"][which]["mean"] for row in (ascent, nothing, retrain)] for which in ("forget", "retain")
    )
    assert forget[1] > 0.5 > 0.1 > max(forget[0], forget[2])
    assert retain[0] > retain[2] - 0.02
    assert ascent["distance_to_retrained"] < nothing["distance_to_retrained"]
    assert (ascent["epsilon_claimed"], ascent["epsilon_certified"], ascent["epsilon_empirical"]) == (None, None, None)
    assert (ascent["sensitivity"], ascent["holds"]) == (None, True)
    assert all(found.holds for found in verify_folder(out))
    page = write_report(out).read_text(encoding="utf-8")
    assert "took 10 steps of ascent on what is to be forgotten" in page
    assert "no certificate is known" in page
