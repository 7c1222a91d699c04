"""The deletion capacity against counting, and against the runs it is read from."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from runs import run_through

from rewindnet.experiments.cli import app
from rewindnet.experiments.scenario.yaml_files import resolve
from rewindnet.experiments.studies.capacity import Trial, largest, run_trial, trial_scenario

SCENARIO: dict[str, Any] = {
    "name": "shrinking",
    "data": {"source": "synthetic", "samples": 60, "dimensions": 3},
    "partition": {"clients": 4},
    "topology": "ring",
    "learning": {"rounds": 6},
    "unlearning": [{"method": "r2d", "rewind": 0.5, "epsilon": 5.0, "delta": 1e-4}, "retrain", "do-nothing"],
}


def command(tmp_path: Path, capsys: pytest.CaptureFixture[str], *options: str) -> tuple[int, str, str]:
    file = tmp_path / "scenario.yaml"
    file.write_text(yaml.safe_dump(SCENARIO), encoding="utf-8")
    with pytest.raises(SystemExit) as end:
        app(["capacity", str(file), *options])
    said = capsys.readouterr()
    return int(end.value.code or 0), said.out, said.err


@pytest.mark.parametrize("most", [1, 2, 3, 7, 8, 100])
def test_bisection_finds_the_last_that_is_enough(most: int) -> None:
    for capacity in range(most + 1):
        asked: list[int] = []

        def enough(deleted: int, capacity: int = capacity, asked: list[int] = asked) -> bool:
            asked.append(deleted)
            return deleted <= capacity

        assert largest(enough, most) == capacity
        assert len(set(asked)) == len(asked) <= 2 + most.bit_length()
        assert set(asked) <= set(range(1, most + 1))


def test_what_has_no_certificate_is_not_within() -> None:
    assert Trial(3, 0.01, epsilon=1.0).within(0.01)
    assert not Trial(3, 0.02, epsilon=1.0).within(0.01)
    assert not Trial(3, 0.0, epsilon=None).within(0.01)
    assert not Trial(3, None, reason="no").within(0.01)


def test_a_trial_is_what_a_run_says(tmp_path: Path) -> None:
    scenario = trial_scenario(resolve(json.loads(json.dumps(SCENARIO))), 5, 0, 2)
    assert [method.name for method in scenario.unlearning] == ["r2d", "r2d", "retrain", "do-nothing"]
    assert scenario.unlearning[2].settings["delta"] == 1e-4
    trial = run_trial(scenario, 5, 2)
    method = SCENARIO["unlearning"][0]
    # The same computation to the last setting, so that it draws the same noise.
    asked = [method, method, {"method": "retrain", "delta": 1e-4}, "do-nothing"]
    by_hand = {**SCENARIO, "deletion": {"samples": 5}, "unlearning": asked}
    rows = run_through(by_hand, tmp_path / "run").summary
    test = [row["accuracy"]["test"]["mean"] for row in rows]
    assert rows[0]["accuracy"]["test"] != rows[1]["accuracy"]["test"]
    assert trial.retrained == pytest.approx(test[2])
    assert trial.gap == pytest.approx(test[2] - (test[0] + test[1]) / 2)
    assert (trial.epsilon, trial.sigma) == (rows[0]["epsilon_certified"], rows[0]["sigma"])


def test_retraining_can_delete_everything(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "found" / "capacity.json"
    code, said, _ = command(tmp_path, capsys, "--method", "1", "--gamma", "0", "--out", str(out))
    assert code == 0
    assert "deletion capacity of client 0: 12 of its 12 samples" in said
    found = json.loads(out.read_text())
    assert (found["capacity"], found["held"]) == (12, 12)
    assert [(trial["deleted"], trial["gap"]) for trial in found["trials"]] == [(1, 0.0), (12, 0.0)]


def test_doing_nothing_deletes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, said, _ = command(tmp_path, capsys, "--method", "2", "--gamma", "0.9")
    assert code == 0
    assert "deletion capacity of client 0: 0 of its 12 samples" in said
    assert "carries no noise" in said


def test_the_capacity_is_between_the_trials(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "capacity.json"
    assert command(tmp_path, capsys, "--gamma", "0.2", "--draws", "2", "--out", str(out))[0] == 0
    found = json.loads(out.read_text())
    within = {trial["deleted"]: trial["gap"] <= 0.2 for trial in found["trials"]}
    assert found["capacity"] == 0 or within[found["capacity"]]
    assert found["capacity"] == found["held"] or not within[found["capacity"] + 1]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--gamma", "1.5"], "--gamma is a difference of accuracies, in [0, 1), not 1.5"),
        (["--method", "3"], "--method is the number of an unlearning method of the scenario, 0 to 2, not 3"),
        (["--draws", "0"], "--draws is a number of draws of the noise, at least 1, not 0"),
        (["deletion={samples: all, departure: leave}"], "that of one client that stays"),
        (["deletion={requests: [{client: 0}, {client: 1}]}"], "that of one client that stays"),
        (["deletion.client=9"], "deletion.client 9 does not exist"),
    ],
)
def test_bad_input_is_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], words: str
) -> None:
    code, said, problem = command(tmp_path, capsys, *options)
    assert (code, said) == (2, "")
    (line,) = problem.splitlines()
    assert words in line
