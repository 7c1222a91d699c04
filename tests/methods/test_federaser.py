"""FedEraser against numpy: calibrated updates, whose norms are those of learning; what it costs; that it goes on."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import parity
import pytest
import torch
from federated import CASE, UNIQUE, Rows, descended, unlearned
from networks import Network

from rewindnet import topologies
from rewindnet.certificates import certify
from rewindnet.clients.methods import MethodError
from rewindnet.clients.methods.federaser import FedEraser
from rewindnet.clients.step_records import from_record, to_record
from rewindnet.clients.steps.federaser import FedEraserCalibration
from rewindnet.experiments.folder.journal import FolderJournal
from rewindnet.experiments.report.page import write_report
from rewindnet.experiments.runs.launch import run_scenario
from rewindnet.experiments.verify.verify import verify_folder
from rewindnet.simulator.outcome import Trajectory
from rewindnet.simulator.simulation import Simulation


def calibrated(case: Network, simulation: Simulation, learned: Trajectory, interval: int, steps: int) -> Rows:
    """Round by round, client by client: Ũ = ‖U‖·Û/‖Û‖ mixed by W_t, and U itself in the first round."""
    requests, theta = len(simulation.requests), learned.at(0).numpy().copy()
    leaves = case.departure == "leave"
    for t in range(0, case.rounds, interval):
        sent = theta.copy()
        for node in range(case.nodes):
            if leaves and node in case.deleting:
                continue
            before = learned.at(t).numpy()[node]
            stored = descended(simulation, node, before, requests) - before
            update = descended(simulation, node, theta[node], requests, steps) - theta[node]
            if t == 0:
                sent[node] += stored
            elif update.any():
                sent[node] += np.linalg.norm(stored) * update / np.linalg.norm(update)
        theta = simulation.training_run.mixing.matrix(t).toarray() @ sent
    return theta


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"family": "complete", "mixing": "uniform", "deleted": "all"},
        {"family": "complete", "mixing": "uniform", "departure": "leave"},
        {"schedule": "link-failures", "deleted": "all", "l2": 0.0},
        {"early": 0.5, "others": (4,)},
    ],
)
@pytest.mark.parametrize(("interval", "ratio", "steps"), [(1, 1.0, 2), (2, 0.5, 1), (4, 0.1, 1)])
def test_every_update_is_as_long_as_that_of_learning(
    changes: dict[str, Any], interval: int, ratio: float, steps: int
) -> None:
    case = replace(CASE, **changes)
    simulation, learned, outcome = unlearned(FedEraser(interval=interval, ratio=ratio), case)
    expected = calibrated(case, simulation, learned, interval, steps)
    there = np.flatnonzero(simulation.training_run.present)
    np.testing.assert_allclose(outcome.released.numpy()[there], expected[there], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("deleted", ["half", "all"])
def test_the_first_round_is_that_of_retraining(deleted: str) -> None:
    case = replace(CASE, deleted=deleted)
    simulation, _, outcome = unlearned(FedEraser(interval=case.rounds), case)
    assert torch.equal(outcome.released, simulation.retrain(case.rounds, {1}).at(1))


def test_where_the_deletion_has_not_come_full_calibrations_give_back_what_was_learned() -> None:
    case = replace(CASE, family="path", nodes=8, sizes=(9, 12, 14, 7, 10, 8, 11, 6), client=0, rounds=3, deleted="all")
    simulation, learned, outcome = unlearned(FedEraser(interval=1, ratio=1.0), case)
    found, was, retrained = (of.numpy() for of in (outcome.released, learned.at(3), simulation.retrain(3, {3}).at(3)))
    np.testing.assert_allclose(found[4:], was[4:], rtol=1e-13, atol=1e-15)
    # Where it has come, they are closer to retraining than what was learned is.
    assert np.all(np.linalg.norm(found - retrained, axis=1)[:3] < 0.5 * np.linalg.norm(was - retrained, axis=1)[:3])


def test_the_cost_is_that_of_the_calibrations_and_of_what_is_worked_out_anew() -> None:
    simulation, _, outcome = unlearned(FedEraser(interval=2, ratio=0.5), CASE)
    known = simulation.training_run
    retained = known.samples - known.deleted
    assert outcome.cost.gradients == 2 * retained.sum() + 3 * 2 * retained[2]
    assert (outcome.cost.rounds, outcome.cost.messages) == (3, 3 * 10)
    assert simulation.traffic["0-federaser-site"].sum() == 30
    sampled, _, outcome = unlearned(FedEraser(interval=3, ratio=1.0), replace(CASE, sampling="poisson"))
    batches = sampled.training_run.batches
    assert batches is not None
    first, second = (batches.read(t, True) for t in (0, 3))
    assert outcome.cost.gradients == first[2] + second.sum() + second[2]


def test_only_what_has_been_deleted_since_is_worked_out_anew() -> None:
    case = replace(CASE, early=0.5, others=(4,))
    simulation, _, outcome = unlearned(FedEraser(interval=2, ratio=0.5), case)
    retained = simulation.training_run.samples - simulation.training_run.deleted
    # Node 4 deleted after round 3, and what it sent in round 4 it may keep.
    assert simulation.requests[0].rounds == 3
    assert outcome.cost.gradients == 2 * retained.sum() + 2 * (3 * retained[2] + 2 * retained[4])


def test_it_goes_over_the_wire_as_it_is() -> None:
    step = FedEraserCalibration(range(0, 7, 3), ("a", "b", "c"), 1, ((0, 3), (0,), ()))
    assert from_record(to_record(step)) == step
    assert step.required_checkpoints(6) == ("c",)


def test_it_gets_no_number_and_says_why() -> None:
    simulation, method = CASE.simulation(), FedEraser()
    _, (known,) = simulation.learn(method.checkpoints(6))
    plan = method.plan(known)
    certificate = certify(known, plan.release, plan.claim)
    assert (certificate.epsilon, certificate.claim.claimed_epsilon, certificate.sensitivity) == (None, None, ())
    assert certificate.reason is not None
    assert certificate.reason.startswith("no certificate is known")


@pytest.mark.parametrize(
    ("bad", "sentence"),
    [
        ({"interval": 0}, "interval is a number of rounds, at least 1, not 0"),
        ({"ratio": 0.0}, r"ratio is the share of the local steps of a round, in \(0, 1\], not 0.0"),
        ({"ratio": 1.5}, r"ratio is the share of the local steps of a round, in \(0, 1\], not 1.5"),
        ({"ratio": float("nan")}, "ratio is the share of the local steps"),
    ],
)
def test_settings_without_a_meaning_are_refused(bad: dict[str, Any], sentence: str) -> None:
    with pytest.raises(MethodError, match=sentence):
        FedEraser(**bad)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"order": "combine-then-adapt"}, r"with order combine-then-adapt they send none: use learning\.order=adapt-"),
        ({"schedule": "walk uniform"}, "one model that walks cannot skip 1 of 2 hops: use interval 1"),
        ({"sampling": "keyed"}, "with minibatches a calibration takes all 2 local steps of a round: use ratio 1"),
    ],
)
def test_what_cannot_be_repeated_is_refused_before_learning(changes: dict[str, Any], sentence: str) -> None:
    known = replace(CASE, **changes).simulation().training_run
    with pytest.raises(MethodError, match=sentence):
        FedEraser().check(known)
    if "order" not in changes:
        assert isinstance(known.mixing, topologies.Walk) or changes["sampling"]
        FedEraser(interval=1, ratio=1.0).check(known)


def test_what_only_one_client_knew_is_forgotten_and_the_rest_is_not(tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert run_scenario(parity.write(UNIQUE, tmp_path), (), out, False) == []
    _, eraser, nothing, retrain = parity.left(out)["summary.json"]["rows"]
    forget, retain = (
        [row["accuracy"][which]["mean"] for row in (eraser, nothing, retrain)] for which in ("forget", "retain")
    )
    assert forget[1] > 0.5 > 0.1 > max(forget[0], forget[2])
    assert retain[0] > retain[2] - 0.02
    assert eraser["distance_to_retrained"] < nothing["distance_to_retrained"]
    assert 0.2 < eraser["cost_share"]["gradients"] < 0.3
    assert (eraser["epsilon_certified"], eraser["epsilon_empirical"], eraser["holds"]) == (None, None, True)
    assert all(found.holds for found in verify_folder(out))
    assert "went through one in 2 of 40 rounds again" in write_report(out).read_text(encoding="utf-8")


class Killed(BaseException):
    """In place of a signal: nobody handles it."""


@pytest.mark.parametrize("last", ["0-federaser-site-000013", "1-gradient-ascent-site-000011", "retrained-000004"])
def test_a_run_that_ends_on_the_way_goes_on_to_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, last: str
) -> None:
    scenario = {
        "name": "short",
        "data": {"source": "synthetic", "samples": 60, "dimensions": 3},
        "partition": {"clients": 4},
        "topology": "ring",
        "learning": {"rounds": 10, "local_steps": 2},
        "deletion": {"samples": 2},
        "unlearning": ["federaser", {"method": "gradient-ascent", "rounds": 3}],
    }
    file = parity.write(scenario, tmp_path)
    assert run_scenario(file, (), tmp_path / "whole", False) == []
    write = FolderJournal.write

    def torn(journal: FolderJournal, name: str, tensors: Any) -> None:
        write(journal, name, tensors)
        if name == last:
            raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(FolderJournal, "write", torn)
        with pytest.raises(Killed):
            run_scenario(file, (), tmp_path / "out", False)
    assert (tmp_path / "out" / "unfinished" / f"{last}.safetensors").is_file()
    assert run_scenario(file, (), tmp_path / "out", False) == []
    parity.same(parity.left(tmp_path / "out"), parity.left(tmp_path / "whole"))
