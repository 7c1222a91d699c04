"""Runs that recover checkpoints from the last models: certificates that charge for it, its cost, its refusals."""

import numpy as np
import pytest
from runs import edited, refused_here, run_through

from rewindnet.experiments.runs import replays
from rewindnet.experiments.scenario.computation import computation_digest
from rewindnet.experiments.scenario.kept_rounds import recovered_parts
from rewindnet.experiments.verify.verify import verify_folder
from rewindnet.simulator.errors import RunError

SCENARIO = {
    "name": "recovered",
    "data": {"source": "synthetic", "samples": 150, "dimensions": 4, "classes": 3},
    "partition": {"clients": 5},
    "topology": {"kind": "star", "mixing": {"kind": "lazy-metropolis-hastings"}},
    "learning": {"rounds": 12, "step_size": 0.5},
    "deletion": {"client": 2, "samples": 4},
    "unlearning": [{"method": "r2d", "rewind": 0.25}, {"method": "r2d", "rewind": 0.5, "bound": "instance"}],
    "audit": {"draws": 0},
    "measures": {"membership": False},
}
RECOVER = "learning.checkpoints={recover: 1e-6}"


@pytest.fixture
def runs(run_once):
    return run_once(SCENARIO), run_once(SCENARIO, RECOVER)


def test_certificates_charge_for_recovery_and_hold(runs):
    kept, run = runs
    for before, after in zip(kept.methods[:2], run.methods[:2], strict=True):
        grown = np.array(after.certificate["sensitivity"]) - np.array(before.certificate["sensitivity"])
        assert np.all((grown > 1e-7) & (grown < 1e-5))
        assert after.audit["holds"]
        assert any("none is off by more than 1e-06" in said for said in after.certificate["assumptions"])
    findings = verify_folder(run.path)
    assert all(finding.holds for finding in findings), findings
    assert any("errors of 2 recovered checkpoints as charged" in finding.sentence for finding in findings)
    first, second = run.learning["recovered"]
    assert (first["round"], first["until"], second["round"], second["until"]) == (9, 12, 6, 9)
    assert 0 < max(first["off"]) < max(second["off"]) < 1e-9


def test_noise_is_drawn_elsewhere_where_models_are_recovered(runs):
    digests = [computation_digest(run.scenario) for run in runs]
    replayed = {**runs[0].scenario["learning"], "checkpoints": {"every": 5, "rounds": None, "budget": None}}
    assert digests[0] != digests[1]
    assert digests[0] == computation_digest({**runs[0].scenario, "learning": replayed})


def test_undoing_rounds_and_running_them_again_is_counted(runs):
    kept, run = runs
    for index, rounds in enumerate([3, 6]):
        before, after = (of.methods[index].metrics["cost"] for of in runs)
        assert after["rounds"] - before["rounds"] == 2 * rounds
        # Back, every node needs the message of every other; on, those along the edges travel.
        assert after["messages"] - before["messages"] == rounds * (5 * 4 + 8)
        taken = (after["gradients"] - before["gradients"]) / (rounds * 120)
        assert taken == int(taken) > 10
    assert kept.learning.get("recovered") is None
    phases = [line["phase"] for line in run.metrics_lines()]
    assert phases.count("undo-000012-000009") == phases.count("replay-000009") == 3


@pytest.mark.parametrize(
    ("forge", "words"),
    [
        (lambda learning: learning["recovered"][1]["apart"].__setitem__(0, 1e-3), "may be off by"),
        (lambda learning: learning["recovered"].pop(), "are recorded as undone"),
        (lambda learning: learning["requests"][0].__setitem__("recovery_error", 2e-6), "recover charges"),
    ],
)
def test_the_verifier_derives_the_error_again(forge, words, run_once):
    run = run_once(SCENARIO, RECOVER)
    edited(run.path / "learning.json", forge)
    found = [finding.sentence for finding in verify_folder(run.path) if not finding.holds]
    assert any(words in sentence for sentence in found), found


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["learning.checkpoints={recover: 1e-6, every: 2}"], "give one of every, rounds, budget"),
        (["learning.checkpoints={recover: 1e-16}"], "rounding alone may grow to"),
        (["learning.checkpoints={recover: 10}"], "charge at most"),
        ([RECOVER, "topology.mixing.kind=uniform", "topology.kind=complete"], "condition number"),
        ([RECOVER, "learning.order=consensus-plus-gradient"], "would have to be inverted together"),
        ([RECOVER, "unlearning=[{method: r2d, epsilon: 1, sigma: 5}]"], "give R2D its rewind"),
        ([RECOVER, "unlearning=[{method: r2d, rewind: 0.5, view: transcript:all, placement: rewind}]"], "some of them"),
        ([RECOVER, "unlearning=[{method: r2d, rewind: 0.5, bound: published}]"], "no place for the error"),
    ],
)
def test_what_cannot_be_recovered_is_refused_before_anything_is_learned(settings, words, tmp_path, capsys):
    refused_here({**SCENARIO, "unlearning": SCENARIO["unlearning"][1:]}, tmp_path, capsys, words, *settings)


def test_a_recovered_model_that_may_be_off_by_too_much_ends_the_run(tmp_path, monkeypatch):
    monkeypatch.setattr(replays, "recovery_error", lambda known, rounds, apart: apart + 1e-5)
    with pytest.raises(RunError, match="may be off by 1e-05, which is more than the 1e-06"):
        run_through(SCENARIO, tmp_path / "run", RECOVER)


def test_rounds_are_undone_once_from_the_nearest_later_checkpoint():
    assert recovered_parts({0, 12}, {0, 3, 9, 12}) == [range(9, 12), range(3, 9)]
    assert recovered_parts({0, 5, 12}, {3}) == [range(3, 5)]
    assert recovered_parts({0, 12}, {0, 12}) == []
