"""Sweeps: the grid, the skipping of what is finished, several runs at a time, failures, and one table."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from click.testing import Result
from kills import everything
from parity import family
from typer.testing import CliRunner

from rewindnet.experiments.cli import app
from rewindnet.experiments.folder.format import UNFINISHED
from rewindnet.experiments.folder.lock import LOCK, FolderBusyError
from rewindnet.experiments.folder.shared import SharedLearning, learning_key, models_key
from rewindnet.experiments.runs.launch import run_in
from rewindnet.experiments.runs.progress import Progress
from rewindnet.experiments.scenario.yaml_files import load, resolve
from rewindnet.experiments.studies import attempt, jobs, points
from rewindnet.experiments.studies.display import Terminal, duration
from rewindnet.experiments.studies.grid import axes_of_settings
from rewindnet.experiments.studies.points import Point, identity
from rewindnet.experiments.studies.queue import Queue
from rewindnet.experiments.studies.study_folder import read_study
from rewindnet.experiments.studies.sweep import _raise_failures
from rewindnet.simulator.errors import MachineError, RunError
from rewindnet.simulator.transports.in_process import WorkerNetwork

ROOT = Path(__file__).parents[2]

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
    given = arguments if "--jobs" in arguments else (*arguments, "--jobs", "1")
    return CliRunner().invoke(app, ["sweep", str(scenario), *given], env={"COLUMNS": "200"})


def runs_in(out: Path) -> dict[str, Path]:
    """The run folders of a study, by their names without the hash."""
    return {path.name.rpartition("-")[0]: path for path in sorted(out.glob("[!.]*")) if path.is_dir()}


def test_every_combination_is_run_once_and_shown_in_one_table(scenario: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    grid = ["topology.kind=ring,star", "deletion.client=0,5", "--out", str(out)]
    first = sweep(scenario, *grid)
    assert first.exit_code == 0, first.stderr
    runs = runs_in(out)
    folders = list(runs)
    assert folders == [f"topology.kind={kind},deletion.client={u}" for kind in ("ring", "star") for u in (0, 5)]
    rows = [line for line in first.stdout.splitlines() if line.startswith("│") and ("r2d" in line or "retrain" in line)]
    assert len(rows) == 8
    assert "topology.kind" in first.stdout
    records = {path: path.stat().st_mtime_ns for path in out.rglob("record.json")}

    # One run is missing, one was killed: only those are run when the sweep is given again.
    killed, gone = runs[folders[0]] / "record.json", runs[folders[3]]
    killed.write_text(json.dumps(json.loads(killed.read_text()) | {"state": "incomplete"}))
    # And one was killed when it had just been finished.
    for left in (LOCK, f"{UNFINISHED}/descent.safetensors"):
        (runs[folders[1]] / left).parent.mkdir(exist_ok=True)
        (runs[folders[1]] / left).touch()
    for path in sorted(gone.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    gone.rmdir()
    second = sweep(scenario, *grid)
    assert second.exit_code == 0, second.stderr
    assert "(1 of 2)" in second.stdout
    assert "(2 of 2)" in second.stdout
    again = {path: path.stat().st_mtime_ns for path in out.rglob("record.json")}
    unchanged = {path.parent for path in records if again[path] == records[path]}
    assert unchanged == {runs[name] for name in folders[1:3]}
    assert not (runs[folders[1]] / LOCK).exists()
    assert not (runs[folders[1]] / UNFINISHED).exists()
    assert all(json.loads(path.read_text())["state"] == "complete" for path in again)


def test_a_run_of_another_scenario_is_not_taken_for_this_one(scenario: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert sweep(scenario, "deletion.client=0,1", "--out", str(out)).exit_code == 0
    changed = sweep(scenario, "deletion.client=0,1", "--out", str(out))
    assert "(1 of 2)" not in changed.stdout
    assert "(2 of 2)" not in changed.stdout
    before = runs_in(out)
    scenario.write_text(SCENARIO.replace("rounds: 6", "rounds: 8"))
    other = sweep(scenario, "deletion.client=0,1", "--out", str(out))
    assert other.exit_code == 0, other.stderr
    assert "(2 of 2)" in other.stdout
    left = ", ".join(path.name for path in before.values())
    assert f"not part of this study, in its folder: {left}" in other.stdout
    assert len(list(out.glob("*/record.json"))) == 4
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
        (["seed=0,1", "--seeds", "2"], "seed is given twice, in the grid and as seeds"),
        (["--seeds", "0"], "--seeds is the number of seeds, at least 1, not 0"),
        (["--jobs", "0"], "--jobs is the number of runs at the same time, at least 1, not 0"),
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
    assert len(runs_in(tmp_path / "out")) == 3


# Study files


STUDY = {"grid": {"topology.kind": ["ring", "star"], "deletion": [{"client": 1}, {"client": 2, "samples": 5}]}}


def study_file(folder: Path, study: Any) -> Path:
    path = folder / "study.yaml"
    path.write_text(SCENARIO + yaml.safe_dump({"study": study}, sort_keys=False))
    return path


def test_a_study_file_says_what_varies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings of the command line take the place of those of the file, seeds come last."""
    made: list[str] = []
    monkeypatch.setattr(attempt, "run_in", lambda scenario, folder, *_: made.append(folder.name))
    file = study_file(tmp_path, {**STUDY, "seeds": 2})
    sweep(file, "topology.kind=complete", "--out", str(tmp_path / "out"))
    assert [name.rpartition("-")[0] for name in made] == [
        f"topology.kind=complete,deletion={deletion},seed={seed}"
        for deletion in ("client-1", "client-2-samples-5")
        for seed in (0, 1)
    ]
    study = read_study(tmp_path / "out")
    assert study.keys == ["deletion", "seed"]
    assert study.runs[3].values == {"topology.kind": "complete", "deletion": {"client": 2, "samples": 5}, "seed": 1}


@pytest.mark.parametrize(
    ("study", "says"),
    [
        ({"grids": {}}, "unknown key 'grids' in study; allowed: grid, seeds (did you mean 'grid'?)"),
        ([1], "study must be a mapping of the keys grid and seeds, not [1]"),
        ({"grid": {}}, "study.grid is empty: give it keys with lists of values"),
        ({"seeds": None}, "nothing varies in "),
        ({"grid": ["a"]}, "study.grid must be a mapping of keys to lists of values, not ['a']"),
        ({"grid": {"deletion.client": 3}}, "deletion.client takes a list of values, not 3"),
        ({"grid": {"deletion.client": []}}, "deletion.client has no values"),
        ({"grid": {"deletion.client": [1, 1]}}, "deletion.client has a value twice"),
        ({"grid": {"topology.kind": ["ring", "stir"]}}, "unknown topology 'stir'"),
        ({"grid": {"toplogy.kind": ["ring"]}}, "toplogy"),
        ({"seeds": 0}, "seeds is the number of seeds, at least 1, or a list of them"),
        ({"seeds": "many"}, "study.seeds is a number of seeds or a list of them, not 'many'"),
        ({"seeds": [-1]}, "seed"),
    ],
)
def test_a_study_file_that_is_not_valid_is_a_sentence(tmp_path: Path, study: Any, says: str) -> None:
    result = sweep(study_file(tmp_path, study), "--out", str(tmp_path / "out"))
    assert result.exit_code == 2
    assert says in result.stderr
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_single_run_of_a_study_file_leaves_the_grid_out(tmp_path: Path) -> None:
    file = study_file(tmp_path, STUDY)
    with pytest.warns(UserWarning, match="the section study of .* is left out: rewindnet sweep runs the study"):
        assert load(file).topology.kind == "erdos-renyi"
    refused = CliRunner().invoke(app, ["run", str(file), "topology.kind=stir", "--out", str(tmp_path / "out")])
    assert "unknown topology 'stir'" in refused.stderr


def test_a_range_of_seeds() -> None:
    assert axes_of_settings(["seed=0-2,7"]) == {"seed": ["0", "1", "2", "7"]}
    assert axes_of_settings(["data.path=0-2"]) == {"data.path": ["0-2"]}


# Names


def test_a_run_is_named_by_its_scenario_its_inputs_and_the_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ring.edges").write_text("0 1\n1 2\n2 0\n")
    scenario = resolve({"topology": {"kind": "file", "path": str(tmp_path / "ring.edges")}})
    names = [identity(scenario), identity(resolve(scenario.plain(), {"seed": 1}))]
    (tmp_path / "ring.edges").write_text("0 1\n1 2\n2 0\n2 3\n")
    names.append(identity(scenario))
    monkeypatch.setattr(points, "code_sha256", lambda: "other")
    names.append(identity(scenario))
    assert len(set(names)) == 4
    assert identity(scenario) == names[3]


def test_a_name_is_not_longer_than_a_system_allows(tmp_path: Path) -> None:
    values = {f"deletion.samples.{'x' * 60}{at}": "1" for at in range(9)}
    (point,) = points.placed([(values, resolve({}))], tmp_path)
    assert 120 < len(point.folder.name) < 140


# Failures


def point(number: int) -> Point:
    return Point({}, resolve({}), Path(str(number)))


@pytest.mark.parametrize(
    ("problem", "kind"),
    [
        (RunError("no noise reaches ε 1"), "failed"),
        (MachineError("No space left on device"), "machine"),
        (KeyError("client"), "failed"),
        (OSError(28, "No space left on device"), "machine"),
        (MemoryError(), "machine"),
        (FolderBusyError("another process is writing"), "left"),
    ],
)
def test_whatever_keeps_a_run_from_ending_is_its_ending(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, problem: Exception, kind: str
) -> None:
    def run_in(*_: Any) -> None:
        raise problem

    monkeypatch.setattr(attempt, "run_in", run_in)
    assert attempt.attempt(resolve({}), tmp_path, False, Progress(), None, None).kind == kind


@pytest.mark.parametrize(
    ("ended", "error", "says"),
    [
        (("failed",), RunError, "1 of 4 runs failed; the others are finished"),
        (("failed", "machine"), MachineError, "2 of 4 runs failed; the same command goes on"),
    ],
)
def test_a_machine_that_fails_is_told_from_a_run_that_fails(
    capsys: pytest.CaptureFixture[str], ended: tuple[Any, ...], error: type[RunError], says: str
) -> None:
    failed = [(point(at), attempt.Ending(kind, "why")) for at, kind in enumerate(ended)]
    with pytest.raises(error) as raised:
        _raise_failures(attempt.Outcome(failed=failed), Path("s.yaml"), 4)
    assert type(raised.value) is error
    assert str(raised.value) == says
    assert "0 failed: why; repeat it with: rewindnet run s.yaml --out 0" in capsys.readouterr().err


def test_a_run_that_fails_does_not_stop_the_others(
    scenario: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = attempt.run_in

    def run_in(described: Any, *rest: Any) -> Any:
        if described.deletion.client == 1:
            raise KeyError("client")
        return real(described, *rest)

    monkeypatch.setattr(attempt, "run_in", run_in)
    out = tmp_path / "a study"
    result = sweep(scenario, "deletion.client=0,1,2", "learning.rounds=3", "--out", str(out))
    assert result.exit_code == 2
    assert "failed: KeyError: 'client'; repeat it with: rewindnet run " in result.stderr
    assert "Traceback" not in result.stderr
    assert "grid: 2 runs" in result.stdout
    assert {name.partition(",")[0] for name in runs_in(out)} == {"deletion.client=0", "deletion.client=2"}

    # The command that is named makes the run that failed, so that the sweep finds it finished.
    monkeypatch.setattr(attempt, "run_in", real)
    command = shlex.split(result.stderr.splitlines()[0].partition("repeat it with: ")[2])
    assert command[0] == "rewindnet"
    assert CliRunner().invoke(app, command[1:]).exit_code == 0
    again = sweep(scenario, "deletion.client=0,1,2", "learning.rounds=3", "--out", str(out))
    assert again.exit_code == 0, again.stderr
    assert "(1 of" not in again.stdout
    assert "grid: 3 runs" in again.stdout


# Learning that several runs have in common


def test_what_runs_learn_is_told_apart(scenario: Path) -> None:
    def key(*settings: str) -> str | None:
        return learning_key(load(scenario, settings))

    assert key() is not None
    for same in (
        "unlearning.0.rewind=0.3",
        "unlearning=[rr-du]",
        "name=other",
        "audit.draws=0",
        "record.weights=false",
    ):
        assert key(same) == key(), same
    for other in ("seed=1", "deletion.client=1", "learning.rounds=7", "topology.kind=ring", "network.latency=1"):
        assert key(other) not in (key(), None), other
    released = ("deletion={requests: [{samples: 1, round: 3}, {samples: 1}]}", "unlearning=[{method: noise-only}]")
    assert key(*released, "learning.after_request=continue-from-release") is None
    assert key("unlearning.0.noise_source=os") is None
    assert key("learning.checkpoints={every: 2}") is None


def watched_rounds(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list to which the step of every round that is run from now on is added."""
    rounds: list[str] = []
    real = WorkerNetwork.run_round

    def run_round(self: Any, step: Any, round: int, *rest: Any) -> None:
        rounds.append(type(step).__name__)
        real(self, step, round, *rest)

    monkeypatch.setattr(WorkerNetwork, "run_round", run_round)
    return rounds


def test_learning_is_computed_once_and_the_releases_are_those_of_runs_alone(
    scenario: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds = watched_rounds(monkeypatch)
    grid, out = ("unlearning.0.rewind=0.5,1.0", "unlearning.0.placement=output,rewind", "learning.rounds=8"), "out"
    made = sweep(scenario, *grid, "--out", str(tmp_path / out))
    assert made.exit_code == 0, made.stderr
    assert "were computed once" in made.stdout
    # Learning and retraining, 8 rounds each; two descents of 4 rounds, one of 8, and one that is the retraining.
    assert len(rounds) == 8 + 8 + 4 + 4 + 8
    assert not list((tmp_path / out).glob(".learned-*"))
    for at, run in enumerate([*runs_in(tmp_path / out).values()][2:]):
        alone = tmp_path / f"alone-{at}"
        again = CliRunner().invoke(app, ["run", str(run / "scenario.yaml"), "--out", str(alone)])
        assert again.exit_code == 0, again.stderr
        assert _compared(alone) == _compared(run)


def _compared(run: Path) -> dict[str, Any]:
    """The content of a run folder, without what tells of time, and without how often the network was looked at."""
    return {name: content for name, content in everything(run).items() if name != "metrics.jsonl"}


def test_a_damaged_shared_state_is_not_taken(scenario: Path, tmp_path: Path) -> None:
    """A run that finds damaged states of another one learns by itself, and says so."""
    described = load(scenario, ["learning.rounds=4"])
    key = learning_key(described)
    assert key is not None
    shared = SharedLearning(tmp_path / "shared", key, (0, 2, 4))
    first = run_in(described, tmp_path / "first", shared=shared)
    states = sorted((tmp_path / "shared" / UNFINISHED).iterdir())
    assert [state.stem for state in states] == [
        f"{task}-00000{t}" for task in ("learned", "retrained") for t in (0, 2, 4)
    ]
    content = bytearray(states[1].read_bytes())
    content[-1] ^= 1
    states[1].write_bytes(content)
    with pytest.warns(UserWarning, match="learned-000002.safetensors is damaged"):
        second = run_in(described, tmp_path / "second", shared=shared)
    assert second.record["sha256"] == first.record["sha256"]


# Runs that learn the same, and delete something else


def test_what_runs_learn_whatever_they_delete_is_told_apart(scenario: Path) -> None:
    def key(*settings: str) -> str | None:
        return models_key(load(scenario, settings))

    assert key() is not None
    for same in ("deletion.client=1", "deletion.samples=2", "deletion.samples=all", "unlearning=[rr-du]"):
        assert key(same) == key(), same
    for other in ("seed=1", "learning.rounds=7", "topology.kind=ring", "backend.precision=exact"):
        assert key(other) not in (key(), None), other
    assert key("deletion={requests: [{samples: 1, round: 3}, {samples: 1}]}") is None
    assert key("deletion={samples: all, departure: leave}") is None
    assert key("unlearning.0.noise_source=os") is None


#: No client is computed along with another.
_ALONE = "backend.precision=exact"


@pytest.mark.parametrize(
    "how",
    [
        pytest.param([], marks=pytest.mark.slow),
        [
            "learning.order=combine-then-adapt",
            "learning.local_steps=2",
            "learning.sampling={kind: poisson, batch: 5}",
            _ALONE,
        ],
        pytest.param(
            ["learning.order=consensus-plus-gradient", "learning.local_steps=2", _ALONE], marks=pytest.mark.slow
        ),
    ],
    ids=["full", "batches", "dsgd"],
)
def test_runs_that_delete_something_else_follow_the_models_of_the_first(
    scenario: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: list[str]
) -> None:
    rounds = watched_rounds(monkeypatch)
    made = sweep(scenario, "deletion.client=0,4", "unlearning=[retrain]", *how, "--out", str(tmp_path / "out"))
    assert made.exit_code == 0, made.stderr
    assert "were computed once" in made.stdout
    # Learning once and retraining twice; and the rounds in which the other client measures.
    assert [rounds.count(step) for step in ("Descend", "DescendAgain")] == [6 + 2 * 6, 6]
    assert not list((tmp_path / "out").glob(".*"))
    second = list(runs_in(tmp_path / "out").values())[1]
    run_in(load(second / "scenario.yaml"), tmp_path / "alone")
    assert everything(tmp_path / "alone") == everything(second)


def test_a_run_that_cannot_follow_learns_by_itself(scenario: Path, tmp_path: Path) -> None:
    """States that were lent and are damaged are not taken, which is said aloud; nor are those of fewer rounds."""
    first, second = (load(scenario, [f"deletion.client={client}", "unlearning=[retrain]"]) for client in (0, 1))
    key = models_key(first)
    assert key is not None
    shared = [SharedLearning(tmp_path / str(at), str(at), (), key) for at in range(2)]
    alone = run_in(second, tmp_path / "alone")
    run_in(first, tmp_path / "first", shared=shared[0])
    states = sorted((shared[0].models_folder / UNFINISHED).iterdir())
    assert [state.stem for state in states] == [f"learned-00000{t}" for t in range(7)]
    content = bytearray(states[3].read_bytes())
    content[-1] ^= 1
    states[3].write_bytes(content)
    with pytest.warns(UserWarning, match="learned-000003.safetensors is damaged"):
        run = run_in(second, tmp_path / "second", shared=shared[1])
    record = everything(run.path)["record.json"]
    assert "is damaged" in record.pop("notes")[0]
    assert everything(run.path) | {"record.json": record} == everything(alone.path)


# Several runs at a time


def test_runs_that_learn_the_same_wait_for_the_first_of_them() -> None:
    runs = [point(number) for number in range(5)]
    keys = {"0": "a", "1": "a", "2": "b", "4": "a"}
    queue = Queue(runs, {Path(run): SharedLearning(Path("x"), key, (0,)) for run, key in keys.items()})
    assert [queue.take(), queue.take(), queue.take(), queue.take()] == [runs[0], runs[2], runs[3], None]
    queue.ended(runs[2])
    assert queue.take() is None
    queue.ended(runs[0])
    assert [queue.take(), queue.take()] == [runs[1], runs[4]]
    assert not queue.remain


def test_runs_that_follow_others_wait_for_the_first_of_them() -> None:
    runs = [point(number) for number in range(5)]
    learning = {"0": ("a", "m"), "1": ("b", "m"), "2": ("b", "m"), "3": ("c", "n"), "4": ("a", "m")}
    shared = {Path(run): SharedLearning(Path("x"), key, (0,), models) for run, (key, models) in learning.items()}
    queue = Queue(runs, shared)
    assert [queue.take(), queue.take(), queue.take()] == [runs[0], runs[3], None]
    queue.ended(runs[0])
    # The third learns and retrains as the second does, whose models of learning are there.
    assert [queue.take(), queue.take(), queue.take()] == [runs[1], runs[4], None]
    queue.ended(runs[1])
    assert queue.take() is runs[2]


def test_jobs_are_as_many_as_cores_memory_and_runs_allow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "processors", lambda: 8)
    monkeypatch.setattr(jobs, "_free_memory", lambda: 10e9)
    assert jobs.default_jobs([(1e9, 1, True)] * 20) == 8
    assert jobs.default_jobs([(1e9, 1, True)] * 3) == 3
    assert jobs.default_jobs([(1e9, 3, True)] * 20) == 2
    assert jobs.default_jobs([(1e9, 1, True)] * 19 + [(2.4e9, 1, True)]) == 4
    assert jobs.default_jobs([(99e9, 1, True)] * 20) == 1
    # The processes of another transport take all cores by themselves.
    assert jobs.default_jobs([(1e9, 1, True), (1e9, 1, False)]) == 1
    assert jobs.default_jobs([]) == 1


def test_the_time_that_is_left_is_said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from rewindnet.experiments.console import terminal
    from rewindnet.experiments.studies import display

    now = SimpleNamespace(seconds=0.0)
    monkeypatch.setattr(display, "monotonic", lambda: now.seconds)
    shown = Terminal(terminal())
    shown.begin(4, 1)
    shown.started(point(0))
    now.seconds = 100.0
    shown.ended(point(0), attempt.Ending("done"))
    shown.started(point(1))
    shown.ended(point(1), attempt.Ending("failed", "no noise reaches it"))
    said = capsys.readouterr().out
    assert "0 (1 of 4)\n" in said
    assert "1 (2 of 4), about 5 min left\n" in said
    assert "FAILED 1: no noise reaches it" in said
    assert [duration(seconds) for seconds in (119, 121, 7199, 7201)] == ["119 s", "2 min", "120 min", "2.0 h"]


def start(*arguments: object) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "rewindnet", *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for_lines(out: Path, most: float = 120.0) -> list[Path]:
    """Wait until a run has written rounds."""
    until = time.monotonic() + most
    while not (found := [file for file in out.glob("*/metrics.jsonl") if file.stat().st_size]):
        assert time.monotonic() < until
        time.sleep(0.02)
    return found


LONG = ("learning.rounds=200", "unlearning=[{method: r2d, rewind: 0.5}]", "audit.draws=0")


@pytest.mark.slow
def test_several_runs_at_a_time_give_what_one_at_a_time_gives(scenario: Path, tmp_path: Path) -> None:
    grid = ("topology.kind=ring,star", "seed=0,1")
    several, one = tmp_path / "several", tmp_path / "one"
    made = sweep(scenario, *grid, "--jobs", "2", "--out", str(several))
    assert made.exit_code == 0, made.stderr
    assert "4 runs, 2 at a time" in made.stdout
    assert sweep(scenario, *grid, "--out", str(one)).exit_code == 0
    hashes = [
        {path.parent.name: json.loads(path.read_text())["sha256"] for path in out.glob("*/record.json")}
        for out in (several, one)
    ]
    assert hashes[0] == hashes[1]
    assert len(hashes[0]) == 4


@pytest.mark.slow
def test_a_sweep_that_is_killed_leaves_no_process_and_goes_on(scenario: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = ("sweep", scenario, "seed=0-3", *LONG, "--jobs", "2", "--out", out)
    killed = start(*arguments)
    wait_for_lines(out)
    workers = family(killed.pid)
    os.kill(killed.pid, signal.SIGKILL)
    killed.communicate()
    until = time.monotonic() + 30
    while any(Path(f"/proc/{worker}").exists() for worker in workers):
        assert time.monotonic() < until
        time.sleep(0.05)
    assert len(workers) == 2
    states = [json.loads(path.read_text())["state"] for path in out.glob("*/record.json")]
    assert "incomplete" in states
    begun = len(states)
    said, complained = start(*arguments).communicate()
    assert "grid: 4 runs" in said, complained
    records = [json.loads(path.read_text()) for path in out.glob("*/record.json")]
    assert [record["state"] for record in records] == ["complete"] * 4
    assert 1 <= sum(bool(record["resumed"]) for record in records) <= begun


@pytest.mark.slow
def test_a_process_that_is_lost_fails_its_run_alone(scenario: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    running = start("sweep", scenario, "seed=0-3", *LONG, "--jobs", "2", "--out", out)
    wait_for_lines(out)
    os.kill(min(family(running.pid)), signal.SIGKILL)
    said, complained = running.communicate()
    assert running.returncode == 3
    assert "its process was ended by SIGKILL" in complained
    assert "repeat it with: rewindnet run" in complained
    assert "1 of 4 runs failed; the same command goes on" in complained
    assert "grid: 3 runs" in said


@pytest.mark.slow
def test_an_interrupted_sweep_ends_its_processes(scenario: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    running = start("sweep", scenario, "seed=0-3", *LONG, "--jobs", "2", "--out", out)
    wait_for_lines(out)
    workers = family(running.pid)
    for process in (running.pid, *workers):
        os.kill(process, signal.SIGINT)
    _, complained = running.communicate()
    assert running.returncode == 130
    assert "interrupted" in complained
    assert "Traceback" not in complained
    assert not any(Path(f"/proc/{worker}").exists() for worker in workers)
