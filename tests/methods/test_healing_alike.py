"""Retraining that heals as a release does: what it does, what it costs, and that releases are compared with it."""

import json
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from networks import SMALL
from runs import SharedRuns, rehash

from rewindnet.certificates import CertificateError, Release, certify
from rewindnet.certificates.healing import Healing
from rewindnet.clients.methods import MethodError
from rewindnet.clients.methods.anew import Anew
from rewindnet.clients.methods.r2d import R2D
from rewindnet.clients.methods.retrain_healed import RetrainHealed
from rewindnet.experiments.report.columns import COLUMNS, what
from rewindnet.experiments.report.table import legend
from rewindnet.experiments.report.words import cost
from rewindnet.experiments.runs.measures import cost_shares
from rewindnet.experiments.verify.verify import verify_folder
from rewindnet.simulator.outcome import divergence
from rewindnet.simulator.retraining import begins_healing, healed_retraining
from rewindnet.simulator.simulation import Simulation

CLIPPED = replace(SMALL, client_clip=0.02, deleted="all")
SETTINGS: dict[str, Any] = {"rewind": 0.5, "settle_first": 2, "descent_clip": False, "descent_step_size": 0.3}


@cache
def simulated() -> tuple[Simulation, Any, Any, Any]:
    simulation = CLIPPED.simulation()
    learned, learnings = simulation.learn([0, 3])
    return simulation, learned, learnings[-1], simulation.retrain(6, [0, 3, 6])


def test_it_retrains_and_then_heals() -> None:
    simulation, learned, learning, oracle = simulated()
    method = RetrainHealed(**SETTINGS)
    plan = method.plan(learning)
    outcome = simulation.execute(method, plan, learned, 0)
    assert torch.equal(outcome.centre, oracle.at(3))
    W = torch.from_numpy(learning.mixing.matrix(0).toarray())
    block = simulation.network.worker.blocks[1]  # type: ignore[attr-defined]
    theta = W @ (W @ oracle.at(3))
    for t in range(3):
        theta = W @ (theta - 0.3 * block.gradient(theta, block.minibatches(t)[0]))
    assert torch.allclose(outcome.released, theta, rtol=1e-10, atol=1e-10)
    certificate = certify(learning, plan.release, plan.claim)
    assert (certificate.epsilon, certificate.mu) == (0.0, 0.0)
    assert not divergence(outcome.centre, simulation.oracle_state(plan.release, oracle)).any()
    # The rounds of learning are not computed again; they count, and clip, and those of healing are evaluated once.
    alone = CLIPPED.simulation()
    first = alone.run_task(replace(alone._descent("first", None, 1, range(3), {3})))
    retained = int((learning.samples - learning.deleted).sum())
    assert outcome.cost.rounds == oracle.cost.rounds + 2
    assert outcome.cost.gradients == oracle.cost.gradients == 6 * retained
    assert outcome.cost.evaluations == first.evaluations + 3 * retained < oracle.cost.evaluations
    assert (outcome.cost.gossip_rounds, oracle.cost.gossip_rounds) == (2, 0)
    assert "descent-0-3" not in simulation.traffic


def test_a_release_that_heals_is_compared_with_it_bit_for_bit() -> None:
    simulation, learned, learning, oracle = simulated()
    healed = RetrainHealed(**SETTINGS)
    alike = simulation.execute(healed, healed.plan(learning), learned, 0).released
    method = R2D(placement="rewind", view="transcript:all", **SETTINGS)
    release = method.plan(learning).release
    assert torch.equal(healed_retraining(simulation, release, oracle), alike)
    assert not torch.allclose(alike, oracle.at(6), atol=1e-3)
    # From the initial model, too, it is the last rounds of retraining that heal; there is nothing to settle.
    anew = Anew(rewind=0.5, descent_clip=False, descent_step_size=0.3).plan(learning)
    unsettled = RetrainHealed(**{**SETTINGS, "settle_first": 0})
    expected = simulation.execute(unsettled, unsettled.plan(learning), learned, 1).released
    assert torch.equal(healed_retraining(simulation, anew.release, oracle), expected)
    assert begins_healing([method.plan(learning), anew, healed.plan(learning)], 6) == {3}


def test_settings_without_a_meaning_are_refused() -> None:
    with pytest.raises(MethodError, match=r"rewind is the share of rounds that heal, in \[0, 1\], not 2"):
        RetrainHealed(rewind=2)
    with pytest.raises(CertificateError, match="from the initial model"):
        Release("r2d", 3, 3, "rewind", np.zeros(5), healing=Healing(after=1))
    with pytest.raises(CertificateError, match="from the initial model"):
        Release("retrain-healed", 0, 3, "rewind", np.zeros(5), healing=Healing(after=4))


SCENARIO = {
    "data": {"source": "synthetic", "samples": 60, "dimensions": 3, "classes": 2},
    "partition": {"clients": 4},
    "topology": "ring",
    "learning": {"rounds": 4, "client_clip": 0.2},
    "deletion": {"samples": "all"},
    "unlearning": [
        {"method": "r2d", "placement": "rewind", "view": "transcript:all", **SETTINGS},
        {"method": "retrain-healed", **SETTINGS},
        {"method": "r2d", "rewind": 0.0, "placement": "rewind", "view": "joint", "settle_first": 2, "gossip_rounds": 1},
    ],
}


def test_a_run_measures_the_distance_to_it_and_verify_finds_what_is_changed(run_once: SharedRuns) -> None:
    folder = run_once(SCENARIO)
    released, alike = (folder.weights(f"methods/0-r2d/{name}") for name in ("released", "retrained"))
    assert released is not None
    assert alike is not None
    rows = folder.summary
    assert rows[0]["distance_to_retrained"] == pytest.approx(np.linalg.norm(released - alike, axis=1).max())
    assert rows[1]["distance_to_retrained"] == 0
    assert rows[1]["accuracy"] == rows[0]["accuracy_healed"] == rows[1]["accuracy_healed"]
    assert "accuracy_healed" not in rows[3]
    assert what(rows[1]) == "retrain-healed, 50 %"
    assert rows[1]["noise"] == "none, 2 gossip rounds first, no clip, descent by 0.3"
    (shown,) = [content(rows[0]) for heading, content in COLUMNS if heading == "retrained alike %"]
    assert (
        shown == f"{100 * rows[1]['accuracy']['test']['mean']:.1f} ({100 * rows[1]['accuracy']['test']['lowest']:.1f})"
    )
    assert any(line.startswith("Retrained alike: ") for line in legend(rows))
    assert [finding for finding in verify_folder(folder.path) if finding.status == "FAILS"] == []
    file = folder.path / "methods/0-r2d/metrics.json"
    metrics = json.loads(file.read_text("utf-8"))
    metrics["accuracy_healed"]["test"]["average_model"] += 0.4
    file.write_text(json.dumps(metrics), "utf-8")
    rehash(file)
    wrong = [finding.sentence for finding in verify_folder(folder.path) if finding.status == "FAILS"]
    assert any("the accuracy on test" in sentence for sentence in wrong), wrong


def test_the_cost_tells_gradients_from_evaluations_and_gossip(run_once: SharedRuns) -> None:
    folder = run_once(SCENARIO)
    shown = {heading: [content(row) for row in folder.summary] for heading, content in COLUMNS}
    # r2d and retraining that heal, gossip alone, retraining, doing nothing.
    assert shown["gradients"] == ["50 % + 2 gossip", "100 % + 2 gossip", "0 % + 3 gossip", "100 %", "0 %"]
    clipped = folder.methods[3].metrics["cost"]
    assert clipped["evaluations"] > 3 * clipped["gradients"]
    share = folder.methods[0].metrics["cost"]["gradients"] / clipped["evaluations"]
    assert shown["evaluations"][0] == f"{100 * share:.0f} %"
    assert shown["evaluations"][3:] == ["100 %", "0 %"]
    assert any(line.startswith("Evaluations: ") for line in legend(folder.summary))
    said = cost(folder.methods[0].metrics["cost"], folder.methods[0].metrics["cost_share"])
    assert "2 of the rounds are gossip that reads no data" in said
    (file,) = folder.path.glob("methods/0-*/metrics.json")
    text = file.read_text("utf-8")
    for name, change in (("gossip_rounds", -1), ("evaluations", 7), ("gradients", 7)):
        metrics = json.loads(text)
        metrics["cost"][name] += change
        retraining = folder.methods[3].metrics["cost"]
        metrics["cost_share"] = cost_shares(metrics["cost"], retraining)
        file.write_text(json.dumps(metrics), "utf-8")
        rehash(file)
        wrong = [finding.sentence for finding in verify_folder(folder.path) if finding.status == "FAILS"]
        assert any(f"{name} were counted; the rounds of the certificate take" in sentence for sentence in wrong), wrong
