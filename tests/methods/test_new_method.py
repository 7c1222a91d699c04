"""A method is one class and one line in the registry: nothing else is registered, and importing it takes no torch."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from runs import run_through

from rewindnet.certificates import Claim, Release
from rewindnet.clients.methods import METHODS, Method, UnlearningPlan
from rewindnet.clients.methods.base import MismatchError, demand
from rewindnet.clients.steps.base import CommunicationStep
from rewindnet.clients.steps.learning import AddNoise, Descend
from rewindnet.clients.steps.program import Program
from rewindnet.experiments.verify.verify import verify_folder

SCENARIO: dict[str, Any] = {
    "data": {"source": "synthetic", "samples": 100, "dimensions": 3},
    "partition": {"clients": 4},
    "topology": "ring",
    "model": {"l2": 0.1},
    "learning": {"rounds": 10},
    "deletion": {"client": 1, "samples": 2},
}


@dataclass(frozen=True)
class HalfSteps(CommunicationStep):
    """Rounds of learning with half of the step size: one gradient of every sample before the message."""

    rounds: range

    def message(self, block, theta, round, probe):
        return theta - block.step_size / 2 * block.gradient(theta)


@dataclass(frozen=True, kw_only=True)
class Patient(Method):
    """Descend from the learned model by half steps, then by whole ones: a method of a test."""

    rounds: int = 3
    expected_gradients: int | None = None

    def checkpoints(self, rounds):
        return (rounds,)

    def requested_depth(self, rounds):
        return rounds, self.rounds

    def plan(self, learning):
        sigma = np.full(learning.mixing.nodes, 2.0)
        release = Release("patient", learning.rounds, self.rounds, "rewind", sigma)
        return UnlearningPlan(release, Claim("joint", 1e-5))

    def program(self, release, learning, address, checkpoint_names):
        T, sigma = learning.rounds, tuple(release.sigma.tolist())
        half = HalfSteps(range(T, T + 1))
        whole = Descend(learning.order, range(T + 1, T + self.rounds))
        return Program(noise=(AddNoise(sigma, address),), finish=(half, whole))

    def check_certificate(self, certificate, training, cost):
        if self.expected_gradients is not None:
            demand(cost["gradients"] == self.expected_gradients, f"{cost['gradients']} gradients are not what it takes")


@pytest.fixture
def patient() -> Iterator[None]:
    METHODS.register("patient", Patient)
    yield
    del METHODS.entries["patient"]


@pytest.mark.parametrize(
    "backend",
    [{"kind": "in-process"}, {"kind": "flower", "runtime": "in-process"}],
    ids=lambda backend: backend["kind"],
)
def test_a_registered_method_runs_and_is_verified(patient: None, backend: dict[str, Any], tmp_path: Path) -> None:
    # 80 samples are there to train on, and two of them are deleted.
    asked = {"method": "patient", "expected_gradients": 3 * 78}
    scenario = {**SCENARIO, "unlearning": [asked], "backend": {"precision": "exact", **backend}}
    run = run_through(scenario, tmp_path / "run")
    (row, *_) = run.summary
    assert row["method"] == "patient"
    assert run.methods[0].metrics["cost"]["gradients"] == 3 * 78
    assert [finding.sentence for finding in verify_folder(tmp_path / "run") if not finding.holds] == []


def test_what_a_method_checks_of_its_certificate_is_a_finding(patient: None, tmp_path: Path) -> None:
    scenario = {**SCENARIO, "unlearning": [{"method": "patient", "expected_gradients": 7}]}
    run_through(scenario, tmp_path / "run")
    (failed,) = [finding for finding in verify_folder(tmp_path / "run") if not finding.holds]
    assert (failed.what, failed.sentence) == ("0 patient, certificate", "234 gradients are not what it takes")


def test_a_depth_that_was_not_asked_for_is_found(
    patient: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_through({**SCENARIO, "unlearning": ["patient"]}, tmp_path / "run")
    monkeypatch.setattr(Patient, "requested_depth", lambda self, rounds: (rounds, 2))
    (failed,) = [finding for finding in verify_folder(tmp_path / "run") if not finding.holds]
    assert failed.sentence == "it was asked to restore and descend (10, 2) rounds"


@pytest.mark.parametrize(
    ("name", "settings", "depth"),
    [
        ("retrain", {}, (0, 10)),
        ("do-nothing", {}, (10, 0)),
        ("noise-only", {}, (10, 0)),
        ("r2d", {"rewind": 0.3}, (7, 3)),
        ("r2d", {}, (5, 5)),
        ("r2d", {"epsilon": 1.0, "sigma": 0.5}, None),
        ("warm-start", {"rounds": 4}, (10, 4)),
        ("warm-start", {"sigma": 1.0}, (10, 5)),
        ("warm-start", {"epsilon": 1.0, "sigma": 0.5}, None),
        ("gossip-dp", {}, (0, 0)),
        ("walk-dp", {}, (0, 0)),
        ("langevin", {}, (10, 5)),
        ("noisy-finetune", {"rounds": 2}, (10, 2)),
        ("newton", {"clean": 3}, (10, 3)),
        ("rr-du", {}, (10, 0)),
        ("federaser", {}, (10, 0)),
        ("gradient-ascent", {}, (10, 0)),
        ("finetune", {}, (10, 0)),
        ("scrub", {}, (10, 0)),
        ("neggrad", {}, (10, 0)),
        ("salun", {}, (10, 0)),
        ("npo", {}, (10, 0)),
        ("lune", {}, (10, 0)),
        ("siu", {}, (10, 0)),
        ("manif-smc", {}, (10, 0)),
        ("fisher-forgetting", {}, (10, 0)),
        ("cns", {}, (10, 0)),
    ],
)
def test_the_depth_is_what_the_settings_ask_for(name: str, settings: dict[str, Any], depth: tuple[int, int]) -> None:
    assert METHODS.build(name, **settings).requested_depth(10) == depth


def test_demands_that_hold_go_on() -> None:
    demand(True, "nothing")
    with pytest.raises(MismatchError, match="it rains"):
        demand(False, "it rains")


def test_the_methods_are_imported_without_torch() -> None:
    code = (
        "import sys, rewindnet.clients.methods as m; [m.METHODS[name] for name in m.METHODS]; "
        "print(sorted(name for name in sys.modules if name.partition('.')[0] == 'torch')[:3])"
    )
    environment = {"PYTHONPATH": str(Path(__file__).parents[2]), "PATH": ""}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


def test_a_changed_setting_makes_another_method() -> None:
    assert replace(Patient(), rounds=5).requested_depth(2) == (2, 5)
