"""Sweeps: the grid, the skipping of what is finished, and one table."""

import json
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from rewindnet.experiments.cli import app

SCENARIO = """
name: grid
data: {source: synthetic, samples: 120, dimensions: 4}
partition: {clients: 6}
topology: {kind: erdos-renyi, p: 0.7}
learning: {rounds: 6}
deletion: {client: 0, samples: 3}
unlearning:
  - {method: r2d, rewind: 0.5, bound: instance}
  - {method: retrain}
measures: {membership: false}
"""


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    path = tmp_path / "grid.yaml"
    path.write_text(SCENARIO)
    return path


def sweep(scenario: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["sweep", str(scenario), *arguments], env={"COLUMNS": "200"})


def test_every_combination_is_run_once_and_shown_in_one_table(scenario: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    grid = ["topology.kind=ring,star", "deletion.client=0,5", "--out", str(out)]
    first = sweep(scenario, *grid)
    assert first.exit_code == 0, first.stderr
    folders = sorted(path.name for path in out.iterdir())
    assert folders == [f"topology.kind={kind},deletion.client={u}" for kind in ("ring", "star") for u in (0, 5)]
    rows = [line for line in first.stdout.splitlines() if line.startswith("│") and ("r2d" in line or "retrain" in line)]
    assert len(rows) == 8
    assert "topology.kind" in first.stdout
    records = {path: path.stat().st_mtime_ns for path in out.rglob("record.json")}

    # One run is missing, one was killed: only those are run when the sweep is given again.
    killed, gone = out / folders[0] / "record.json", out / folders[3]
    killed.write_text(json.dumps(json.loads(killed.read_text()) | {"state": "incomplete"}))
    for path in sorted(gone.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    gone.rmdir()
    second = sweep(scenario, *grid)
    assert second.exit_code == 0, second.stderr
    assert "(1 of 2)" in second.stdout
    assert "(2 of 2)" in second.stdout
    again = {path: path.stat().st_mtime_ns for path in out.rglob("record.json")}
    assert {path.parent.name for path in records if again[path] == records[path]} == set(folders[1:3])
    assert all(json.loads(path.read_text())["state"] == "complete" for path in again)


def test_a_run_of_another_scenario_is_not_taken_for_this_one(scenario: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert sweep(scenario, "deletion.client=0,1", "--out", str(out)).exit_code == 0
    changed = sweep(scenario, "deletion.client=0,1", "--out", str(out))
    assert "(1 of 2)" not in changed.stdout
    assert "(2 of 2)" not in changed.stdout
    scenario.write_text(SCENARIO.replace("rounds: 6", "rounds: 8"))
    refused = sweep(scenario, "deletion.client=0,1", "--out", str(out))
    assert refused.exit_code == 2
    assert "--force" in refused.stderr
    forced = sweep(scenario, "deletion.client=0,1", "--out", str(out), "--force")
    assert forced.exit_code == 0
    assert "(2 of 2)" in forced.stdout


@pytest.mark.parametrize(
    ("grid", "says"),
    [
        (["topology.kind=ring,stir"], "unknown topology 'stir'"),
        (["deletion.client=0,9"], "deletion.client 9 does not exist"),
        (["deletion.client="], "has no values"),
        (["rounds"], "key=value"),
        (["learning.rounds=3,3"], "twice"),
        (["seed=0,1", "seed=2,3"], "seed is given twice"),
    ],
)
def test_bad_input_is_found_before_the_first_run(scenario: Path, tmp_path: Path, grid: list[str], says: str) -> None:
    result = sweep(scenario, *grid, "--out", str(tmp_path / "out"))
    assert result.exit_code == 2
    assert says in result.stderr
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_values_may_hold_commas_of_their_own(scenario: Path, tmp_path: Path) -> None:
    grid = ["deletion.samples=2,{indices: [0, 1, 4]},all", "--out", str(tmp_path / "out")]
    result = sweep(scenario, *grid)
    assert result.exit_code == 0, result.stderr
    assert len(list((tmp_path / "out").iterdir())) == 3
