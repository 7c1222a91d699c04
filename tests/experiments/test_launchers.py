"""Studies on clusters: an array of jobs for Slurm, and tasks of Ray, both without a cluster."""

import os
import re
import shlex
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from rewindnet.experiments.cli import app
from rewindnet.experiments.folder.format import is_complete
from rewindnet.experiments.scenario.errors import ScenarioError
from rewindnet.experiments.studies.making import Missing
from rewindnet.experiments.studies.slurm import submit_command, write_array

#: Ray leaves files open when it starts and ends.
RAY_WARNS = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
SCENARIO = """
name: far
data: {source: synthetic, samples: 60, dimensions: 3}
partition: {clients: 4}
topology: ring
learning: {rounds: 4}
deletion: {client: 0, samples: 2}
unlearning: [{method: r2d, rewind: 0.5, bound: instance}]
measures: {membership: false}
audit: {draws: 0}
"""


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    path = tmp_path / "far away.yaml"
    path.write_text(SCENARIO)
    return path


def sweep(scenario: Path, out: Path, *more: str) -> Any:
    words = ["sweep", str(scenario), "topology.kind=ring,star", "--out", str(out), *more]
    return CliRunner().invoke(app, words, env={"COLUMNS": "300"})


def missing(place: str, memory: float = 1e9, threads: int = 2, one_process: bool = True) -> Missing:
    point: Any = SimpleNamespace(values={"topology": "{kind: ring}", "seed": "3"}, folder=Path(place))
    return Missing(point, memory, threads, one_process, None, None, frozenset())


def test_an_array_has_a_line_for_every_run_that_is_not_finished(scenario: Path, tmp_path: Path) -> None:
    out = tmp_path / "my out"
    done = sweep(scenario, out, "--launcher", "slurm-array", "--jobs", "3")
    assert done.exit_code == 0, done.stderr
    assert f"cd '{out}' && sbatch sweep.sbatch" in done.stdout
    first, second = map(shlex.split, (out / "commands.txt").read_text().splitlines())
    for words, kind in ((first, "ring"), (second, "star")):
        assert words[1:4] == ["-P", "-m", "rewindnet"]
        assert words[4:7] == ["run", str(scenario), f"topology.kind={kind}"]
        assert words[7] == "--out"
        assert Path(words[8]).parent == out
        assert Path(words[8]).name.startswith(f"topology.kind={kind}-")
    options = re.findall(r"^#SBATCH (.*)$", (out / "sweep.sbatch").read_text(), re.MULTILINE)
    assert options[0] == "--job-name=far"
    assert "--array=1-2%3" in options
    assert not [folder for folder in out.iterdir() if folder.is_dir()]


def test_what_an_array_asks_for_is_what_its_largest_run_takes(tmp_path: Path) -> None:
    runs = [missing("a"), missing("b", memory=4e9, threads=1)]
    write_array(runs, Path("s.yaml"), tmp_path, "s", True, None)
    text = (tmp_path / "sweep.sbatch").read_text()
    for option in ("--array=1-2\n", "--cpus-per-task=2\n", "--mem=5000M\n"):
        assert f"#SBATCH {option}" in text
    line = (tmp_path / "commands.txt").read_text().splitlines()[0]
    assert shlex.split(line)[5:] == ["s.yaml", "topology={kind: ring}", "seed=3", "--out", "a", "--force"]
    assert write_array([], Path("s.yaml"), tmp_path, "s", False, None) == []
    assert submit_command(Path("/a b")) == "cd '/a b' && sbatch sweep.sbatch"


def test_what_no_array_can_make_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match="makes each run in one process"):
        write_array([missing("a", one_process=False)], Path("s"), tmp_path, "s", False, None)
    with pytest.raises(ScenarioError, match="has to fit on one line"):
        write_array([missing("a\nb")], Path("s"), tmp_path, "s", False, None)
    assert list(tmp_path.iterdir()) == []


def test_other_launchers_are_refused(scenario: Path, tmp_path: Path) -> None:
    done = sweep(scenario, tmp_path / "out", "--launcher", "moon")
    assert done.exit_code == 2
    assert "--launcher is one of: local, slurm-array, ray, not 'moon'" in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_the_tasks_of_an_array_make_the_study_that_a_sweep_gathers(scenario: Path, tmp_path: Path) -> None:
    out = tmp_path / "my out"
    assert sweep(scenario, out, "--launcher", "slurm-array").exit_code == 0
    for task in (1, 2, 3):
        env = {**os.environ, "SLURM_ARRAY_TASK_ID": str(task), "SLURM_CPUS_PER_TASK": "1"}
        done = subprocess.run(["bash", out / "sweep.sbatch"], cwd="/", env=env, capture_output=True, text=True)
        assert done.returncode == (0 if task < 3 else 1), done.stderr
    runs = [folder for folder in out.iterdir() if folder.is_dir()]
    assert len(runs) == 2
    assert all(map(is_complete, runs))
    written = {run: (run / "record.json").read_bytes() for run in runs}
    assert "nothing to submit" in sweep(scenario, out, "--launcher", "slurm-array").stdout
    gathered = sweep(scenario, out)
    assert gathered.exit_code == 0, gathered.stderr
    assert (out / "results.csv").read_text().count("\n") == 7
    assert {run: (run / "record.json").read_bytes() for run in runs} == written


@pytest.mark.slow
@RAY_WARNS
def test_tasks_of_ray_make_the_runs_that_a_sweep_makes(scenario: Path, tmp_path: Path) -> None:
    ray = pytest.importorskip("ray")
    done = sweep(scenario, tmp_path / "ray", "--launcher", "ray", "--jobs", "2")
    assert done.exit_code == 0, done.output
    assert not ray.is_initialized()
    assert sweep(scenario, tmp_path / "here", "--jobs", "1").exit_code == 0
    one, other = (
        {folder.name: (folder / "summary.json").read_text() for folder in sorted((tmp_path / place).glob("topology*"))}
        for place in ("ray", "here")
    )
    assert list(one) == list(other)
    assert len(one) == 2
    plain = re.compile(r'"(seconds|simulated_seconds)": [^,\n]*')
    assert [plain.sub("", text) for text in one.values()] == [plain.sub("", text) for text in other.values()]
    assert (tmp_path / "ray" / "results.csv").is_file()


@pytest.mark.slow
@RAY_WARNS
def test_a_task_of_ray_that_is_lost_fails_and_the_others_go_on(
    scenario: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ray")
    from rewindnet.experiments.studies import on_ray

    make = on_ray.make_run

    def fragile(task: dict[str, Any]) -> tuple[str, str]:
        if "star" in task["folder"]:
            os._exit(9)
        return make(task)

    monkeypatch.setattr(on_ray, "make_run", fragile)
    done = sweep(scenario, tmp_path / "ray", "--launcher", "ray", "--jobs", "1")
    assert done.exit_code == 3, done.output
    assert "its task was lost" in done.output
    assert len([folder for folder in (tmp_path / "ray").glob("topology*") if is_complete(folder)]) == 1
