"""What follows the noise: gossip first, a descent without the clip, a step size of its own. All of it changes no ε."""

import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from networks import SMALL, as_planned
from runs import SharedRuns, rehash
from torch import Tensor

from rewindnet.certificates import Certificate, CertificateError, Claim, Release, View, certify
from rewindnet.certificates.healing import Healing
from rewindnet.clients.methods import MethodError
from rewindnet.clients.methods.r2d import R2D
from rewindnet.clients.methods.warm_start import WarmStart
from rewindnet.clients.training.client_block import ClientBlock
from rewindnet.experiments.verify.verify import verify_folder
from rewindnet.simulator.outcome import Outcome
from rewindnet.simulator.simulation import Simulation

CLIPPED = replace(SMALL, client_clip=0.02, deleted="all")
SETTINGS: dict[str, Any] = {"settle_first": 2, "descent_clip": False, "descent_step_size": 0.3}


@cache
def simulated() -> tuple[Simulation, Any, Any]:
    simulation = CLIPPED.simulation()
    learned, learnings = simulation.learn([3])
    return simulation, learned, learnings[-1]


def executed(healing: Healing, gossip_rounds: int = 0) -> Outcome:
    simulation, learned, _ = simulated()
    release = Release("r2d", 3, 3, "rewind", np.full(5, 0.3), gossip_rounds, healing=healing)
    return simulation.execute(*as_planned(release), learned, 0)


def by_hand(theta: Tensor, gossip_first: int, step_size: float, gossip_last: int) -> Tensor:
    """The rounds after the noise, from plain gradients of the retained data."""
    simulation, _, learning = simulated()
    block: ClientBlock = simulation.network.worker.blocks[1]  # type: ignore[attr-defined]
    W = torch.from_numpy(learning.mixing.matrix(0).toarray())
    for _ in range(gossip_first):
        theta = W @ theta
    for t in range(3):
        theta = W @ (theta - step_size * block.gradient(theta, block.minibatches(t)[0]))
    for _ in range(gossip_last):
        theta = W @ theta
    return theta


@pytest.mark.parametrize("gossip_last", [0, 1])
def test_the_rounds_after_the_noise_are_those_of_the_settings(gossip_last: int) -> None:
    _, _, learning = simulated()
    outcome = executed(Healing(2, clip=False, step_size=0.3), gossip_last)
    expected = by_hand(outcome.noised, 2, 0.3, gossip_last)
    assert torch.allclose(outcome.released, expected, rtol=1e-10, atol=1e-10)
    assert outcome.cost.gradients == 3 * int((learning.samples - learning.deleted).sum())
    assert outcome.cost.evaluations == outcome.cost.gradients
    assert (outcome.cost.rounds, outcome.cost.gossip_rounds) == (5 + gossip_last, 2 + gossip_last)
    assert outcome.cost.messages == 10 * outcome.cost.rounds


def test_the_clip_and_the_step_size_of_learning_are_kept_where_nothing_is_said() -> None:
    unclipped, clipped = executed(Healing(clip=False)), executed(Healing(step_size=0.3))
    assert torch.allclose(unclipped.released, by_hand(unclipped.noised, 0, simulated()[2].step_size, 0), atol=1e-10)
    assert not torch.allclose(clipped.released, by_hand(clipped.noised, 0, 0.3, 0), atol=1e-4)
    assert torch.equal(unclipped.noised, clipped.noised)
    assert torch.equal(executed(Healing()).released, executed(Healing(clip=True)).released)


def test_the_certificate_says_it_and_epsilon_is_that_without_it() -> None:
    learning = simulated()[2]
    method = R2D(rewind=0.5, placement="rewind", view="transcript:all", **SETTINGS)
    plain = R2D(rewind=0.5, placement="rewind", view="transcript:all")
    healed, other = (certify(learning, *(p.release, p.claim)) for p in (method.plan(learning), plain.plan(learning)))
    assert (healed.epsilon, healed.sensitivity) == (other.epsilon, other.sensitivity)
    assert healed.release.healing == Healing(2, clip=False, step_size=0.3)
    record = json.loads(json.dumps(healed.to_record()))
    assert record["healing"] == {"settle_first": 2, "clip": False, "step_size": 0.3}
    assert "healing" not in other.to_record()
    assert Certificate.from_record(record) == healed
    assert "2 gossip rounds first, no clip, descent by 0.3" in healed.release.mechanism.describe(healed.release, 6)


def test_the_noise_of_more_nodes_reaches_a_peer_after_more_rounds() -> None:
    """On a ring of 5 one round reaches 3 nodes, and one gossip round before it all 5."""
    learning = simulated()[2]
    claim = Claim(View.of("transcript:0"), 1e-5)
    near, far = (
        certify(learning, Release("r2d", 5, 1, "rewind", np.full(5, 2.0), healing=Healing(settle)), claim).mu
        for settle in (0, 1)
    )
    assert near is not None
    assert far is not None
    assert near < far


@pytest.mark.parametrize(
    ("kind", "bad", "error", "sentence"),
    [
        (R2D, {"settle_first": 1}, MethodError, "take placement: rewind"),
        (WarmStart, {"descent_step_size": 0.1}, MethodError, "take placement: rewind"),
        (R2D, {"placement": "rewind", "settle_first": -1}, CertificateError, "settle_first is a number of rounds"),
        (R2D, {"placement": "rewind", "descent_step_size": 0.0}, CertificateError, "is a positive number, not 0.0"),
    ],
)
def test_settings_without_a_meaning_are_refused(kind: Any, bad: Any, error: type[Exception], sentence: str) -> None:
    with pytest.raises(error, match=sentence):
        kind(**bad)


def test_a_clip_that_learning_does_not_have_cannot_be_left_out() -> None:
    learning = replace(simulated()[2], client_clip=None)
    with pytest.raises(MethodError, match=r"learning\.client_clip is not set"):
        R2D(rewind=0.5, placement="rewind", descent_clip=False).plan(learning)


SCENARIO = {
    "data": {"source": "synthetic", "samples": 60, "dimensions": 3, "classes": 2},
    "partition": {"clients": 4},
    "topology": "ring",
    "learning": {"rounds": 4, "client_clip": 0.2},
    "deletion": {"samples": "all"},
    "unlearning": [
        {"method": "r2d", "rewind": 0.5, "placement": "rewind", "view": "transcript:all", **SETTINGS},
        {"method": "r2d", "rewind": 0.0, "placement": "rewind", "view": "joint", "settle_first": 2, "gossip_rounds": 1},
        {"method": "retrain"},
    ],
}


def test_verify_derives_it_again_and_finds_what_is_changed(run_once: SharedRuns) -> None:
    run = run_once(SCENARIO).path
    assert [finding for finding in verify_folder(run) if finding.status == "FAILS"] == []
    changed(run, "0", lambda record: record["healing"].update(settle_first=1))
    wrong = {finding.what: finding.sentence for finding in verify_folder(run) if finding.status == "FAILS"}
    assert any("settle_first was asked to be 2, not 1" in sentence for sentence in wrong.values()), wrong


def changed(run: Path, method: str, edit: Any) -> None:
    """Change the certificate of a release, and the hashes that tell of it."""
    (file,) = run.glob(f"methods/{method}-*/certificate.json")
    record = json.loads(file.read_text("utf-8"))
    edit(record)
    file.write_text(json.dumps(record), "utf-8")
    rehash(file)
