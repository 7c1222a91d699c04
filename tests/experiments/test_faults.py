"""Runs on machines that fail, and into folders that hold something else."""

import errno
import os
import re
import resource
import signal
import stat
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import parity
import pytest
from filelock import FileLock
from parity import mpi, with_mpi
from runs import SharedRuns
from typer.testing import CliRunner

from rewindnet.errors import Notice
from rewindnet.experiments.cli import app
from rewindnet.experiments.folder import files, recorder
from rewindnet.experiments.folder.files import write
from rewindnet.experiments.folder.replacement import REPLACEMENT
from rewindnet.experiments.runs.job import RunJob
from rewindnet.experiments.runs.launch import run_in, run_scenario
from rewindnet.experiments.runs.run_setup import build_run
from rewindnet.experiments.runs.scratch import sweep
from rewindnet.experiments.scenario.errors import ScenarioError
from rewindnet.experiments.scenario.yaml_files import resolve
from rewindnet.experiments.verify.verify import verify_folder
from rewindnet.simulator.errors import RunError, TransportError
from rewindnet.simulator.transports.mpi import mpiexec

pytestmark = [
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

TINY: dict[str, Any] = {
    "name": "tiny",
    "data": {"source": "synthetic", "samples": 60, "dimensions": 2},
    "partition": {"clients": 3},
    "topology": "ring",
    "learning": {"rounds": 6},
    "deletion": {"samples": 1},
    "unlearning": [{"method": "r2d", "rewind": 0.5}, "retrain"],
    "measures": {"membership": False},
    "backend": {"precision": "exact"},
}


class Stop(BaseException):
    """In place of a kill."""


def stopped_before(monkeypatch: pytest.MonkeyPatch, name: str, problem: BaseException) -> pytest.MonkeyPatch:
    """Every write of a file of this name raises."""
    original = files.write

    def failing(path: Path, content: str | bytes) -> None:
        if path.name == name:
            raise problem
        original(path, content)

    for module in (files, recorder):
        monkeypatch.setattr(module, "write", failing)
    return monkeypatch


@pytest.mark.parametrize(
    ("problem", "code", "says"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), 3, "No space left on device; the same command goes on"),
        (MemoryError(), 3, "the memory of this machine does not suffice; the same command goes on with it"),
        (OSError(errno.EACCES, "Permission denied"), 2, "Permission denied"),
        (KeyboardInterrupt(), 130, "rewindnet: interrupted; the same command goes on"),
    ],
)
def test_a_failure_of_the_machine_has_its_own_exit_code_and_the_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, problem: BaseException, code: int, says: str
) -> None:
    file, out = parity.write(TINY, tmp_path), tmp_path / "out"
    with monkeypatch.context() as patched:
        stopped_before(patched, "audit.json", problem)
        done = CliRunner().invoke(app, ["run", str(file), "--out", str(out)])
    (line,) = done.stderr.strip().splitlines()
    assert (done.exit_code, says in line) == (code, True), done.stderr
    assert run_scenario(file, (), out, False) == []
    assert len(parity.read(out / "record.json")["resumed"]) == 1


def test_a_file_that_does_not_fit_is_named_and_the_run_goes_on_when_there_is_room(tmp_path: Path) -> None:
    file, out = parity.write(TINY, tmp_path), tmp_path / "out"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4_000, limits[1]))  # as a disk of which 4,000 bytes are left
    try:
        done = CliRunner().invoke(app, ["run", str(file), "--out", str(out)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    (line,) = done.stderr.strip().splitlines()
    assert done.exit_code == 3, done.stderr
    assert re.search(rf"failed: File too large \({out}/\S+\); the same command goes on", line)
    assert not list(out.rglob("*.part"))
    assert run_scenario(file, (), out, False) == []


def test_the_second_of_two_assembled_runs_does_not_touch_the_first(tmp_path: Path) -> None:
    scenario, out = resolve(TINY), tmp_path / "out"
    first, second = (RunJob(build_run(scenario), out, False, tmp_path) for _ in range(2))
    scenario.backend.build().execute(first)
    before = parity.left(out)
    with pytest.raises(RunError, match="already holds a run; choose another with --out"):
        scenario.backend.build().execute(second)
    assert parity.left(out) == before
    assert not (out / ".lock").exists()


def test_what_a_kill_at_the_end_of_a_run_has_left_is_removed_by_the_same_command(
    tmp_path: Path, run_once: SharedRuns
) -> None:
    """The run is complete by then, and holds states that nobody needs any more."""
    file, out = parity.write(TINY, tmp_path), run_once(TINY).path
    (out / "unfinished").mkdir()
    (out / "unfinished" / "learned-000000.safetensors").write_bytes(b"models without noise")
    (out / ".lock").touch()
    done = CliRunner().invoke(app, ["run", str(file), "--out", str(out)])
    assert (done.exit_code, "already holds a run" in done.stderr) == (2, True), done.stderr
    assert not (out / "unfinished").exists()
    assert not (out / ".lock").exists()
    parity.left(out)


@pytest.mark.slow
def test_two_starts_of_one_run_never_lose_it(tmp_path: Path) -> None:
    file = parity.write(TINY, tmp_path)
    for number in range(20):
        out = tmp_path / str(number)
        codes = sorted(parity.ended(run)[0] for run in [parity.start(file, out) for _ in range(2)])
        assert codes == [0, 2]
        parity.left(out)


def test_a_forced_run_takes_the_place_of_the_old_one_only_when_it_is_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    run_in(resolve(TINY), out)
    before = parity.left(out)
    other = resolve({**TINY, "seed": 5})
    with monkeypatch.context() as patched:
        stopped_before(patched, "audit.json", Stop())
        with pytest.raises(Stop):
            run_in(other, out, force=True)
    assert all(finding.holds for finding in verify_folder(out))
    assert {name: value for name, value in parity.left(out).items() if not name.startswith(REPLACEMENT)} == before
    assert list((out / REPLACEMENT / "unfinished").glob("*.safetensors"))
    done = run_in(other, out, force=True)
    assert (len(done.record["resumed"]), done.record["seed"]) == (1, 5)
    assert not (out / REPLACEMENT).exists()
    run_in(other, tmp_path / "alone")
    assert parity.left(out) == parity.left(tmp_path / "alone")


def test_a_run_without_weights_is_replaced_by_another(tmp_path: Path) -> None:
    bare = {**TINY, "record": {"weights": False}}
    for seed in (0, 1):
        done = run_in(resolve({**bare, "seed": seed}), tmp_path / "out", force=True)
    assert done.record["seed"] == 1
    assert not list((tmp_path / "out").rglob("*.safetensors"))


def test_nothing_is_removed_that_no_run_wrote(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.part").write_text("mine")
    with pytest.raises(ScenarioError, match="is not a run folder"):
        run_in(resolve(TINY), out)
    (out / "record.json").write_text('{"song": 1}')
    with pytest.raises(ScenarioError, match="is not a run folder"):
        run_in(resolve(TINY), out, force=True)
    assert sorted(path.name for path in out.iterdir()) == ["record.json", "thesis.part"]


def test_a_symbolic_link_to_a_folder_is_used_and_one_to_nothing_refused(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "disk")
    for seed in (0, 1):
        run_in(resolve({**TINY, "seed": seed}), tmp_path / "link", force=True)
    assert (tmp_path / "link").is_symlink()
    assert parity.read(tmp_path / "disk" / "record.json")["seed"] == 1
    (tmp_path / "nowhere").symlink_to(tmp_path / "missing")
    with pytest.raises(ScenarioError, match="is a symbolic link to nothing"):
        run_in(resolve(TINY), tmp_path / "nowhere")


def test_a_planted_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("safe")
    (tmp_path / "x.json.part").symlink_to(tmp_path / "victim")
    write(tmp_path / "x.json", "{}")
    assert (tmp_path / "victim").read_text() == "safe"
    assert (tmp_path / "x.json").read_text() == "{}"


def test_a_file_is_on_the_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[tuple[bool, bool]] = []

    def noted(file: int) -> None:
        synced.append((stat.S_ISDIR(os.fstat(file).st_mode), (tmp_path / "x.json").exists()))

    monkeypatch.setattr(os, "fsync", noted)
    write(tmp_path / "x.json", "{}")
    # First the file, under another name; then the folder, in which it has its own.
    assert synced == [(False, False), (True, True)]


@pytest.mark.parametrize("hosts", [{}, {"HYDRA_HOST_FILE": "hosts"}])
def test_ranks_on_one_machine_cannot_be_reached_from_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hosts: dict[str, str]
) -> None:
    asked: list[dict[str, str]] = []

    def started(command: list[str], env: dict[str, str], **_: Any) -> None:
        asked.append(env)
        raise Stop

    for name in ("HYDRA_HOST_FILE", "HYDRA_IFACE", "FI_TCP_IFACE", "SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID"):
        monkeypatch.delenv(name, raising=False)
    for name, value in hosts.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(mpiexec.subprocess, "Popen", started)
    monkeypatch.setattr(mpiexec, "_mpiexec", lambda: "mpiexec")
    job = SimpleNamespace(scratch=tmp_path, description="{}", opener="module:opener")
    with pytest.raises(Stop):
        mpiexec._launch(job, 2, False)  # type: ignore[arg-type]
    (env,) = asked
    assert [env.get(name) for name in ("HYDRA_IFACE", "FI_TCP_IFACE")] == [None if hosts else "lo"] * 2


@pytest.fixture
def interrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run with one finished release."""
    with monkeypatch.context() as patched:
        stopped_before(patched, "summary.json", Stop())
        with pytest.raises(Stop):
            run_in(resolve(TINY), tmp_path / "out")
    return tmp_path / "out"


@pytest.mark.parametrize(
    ("name", "old", "new", "says"),
    [
        ("methods/0-r2d/metrics.json", b"0", b"1", "methods/0-r2d is damaged; the release is made again"),
        ("unfinished/traffic.json", b"1", b"2", "traffic.json is damaged; every release is made again"),
        ("metrics.jsonl", b'"messages": 6', b'"messages": 7', "or the lines before it are; going on from the state"),
    ],
)
def test_what_changed_in_an_unfinished_run_is_made_again(
    interrupted: Path, run_once: SharedRuns, name: str, old: bytes, new: bytes, says: str
) -> None:
    file = interrupted / name
    assert old in file.read_bytes()
    file.write_bytes(file.read_bytes().replace(old, new, 1))
    with pytest.warns(Notice, match=says):
        run_in(resolve(TINY), interrupted)
    assert parity.left(interrupted) == parity.left(run_once(TINY).path)


def test_a_release_with_secret_noise_is_not_discarded_in_silence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = resolve({**TINY, "unlearning": [{"method": "r2d", "rewind": 0.5, "noise_source": "os"}]})
    with monkeypatch.context() as patched:
        stopped_before(patched, "summary.json", Stop())
        with pytest.raises(Stop):
            run_in(secret, tmp_path / "out")
    with pytest.warns(Notice, match=r"had released models with secret noise \(0-r2d\); they are discarded"):
        done = run_in(secret, tmp_path / "out")
    assert list(done.record["lost_releases"]) == ["methods/0-r2d/released"]


def test_scratch_folders_of_lost_processes_are_removed(tmp_path: Path) -> None:
    for name in ("rewindnet-lost", "rewindnet-held", "rewindnet-young", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / ".alive").touch()
        (tmp_path / name / "secret").write_text("key")
    for name in ("rewindnet-lost", "rewindnet-held"):
        os.utime(tmp_path / name, (time.time() - 100, time.time() - 100))
    with FileLock(tmp_path / "rewindnet-held" / ".alive"):
        sweep(tmp_path, 60.0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other", "rewindnet-held", "rewindnet-young"]


def test_only_the_openers_of_jobs_are_called_for_a_run_config() -> None:
    pytest.importorskip("flwr")
    from types import SimpleNamespace

    from rewindnet.simulator.transports.flower.app import _configured

    known = {"opener": "rewindnet.experiments.runs.job:open_scenario", "description": "s.yaml"}
    assert _configured(SimpleNamespace(run_config=known))[1] == "s.yaml"  # type: ignore[arg-type]
    with pytest.raises(TransportError, match="names the opener 'os:system'"):
        _configured(SimpleNamespace(run_config={**known, "opener": "os:system"}))  # type: ignore[arg-type]


def test_a_node_that_does_not_answer_ends_a_trip(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("flwr")
    from rewindnet.simulator.transports.flower.errors import LateError
    from rewindnet.simulator.transports.flower.exchange import exchange

    class Silent:
        def push_messages(self, messages):
            return ["1", "2"]

        def pull_messages(self, ids):
            return []

    monkeypatch.setenv("REWINDNET_FLOWER_SECONDS", "0.05")
    with pytest.raises(LateError, match=r"2 of 2 nodes did not answer within 0.05 s"):
        exchange(Silent(), [None, None])  # type: ignore[arg-type,list-item]


@with_mpi
@pytest.mark.transports
@pytest.mark.slow
def test_a_run_over_mpi_goes_on_over_mpi(interrupted: Path, tmp_path: Path, run_once: SharedRuns) -> None:
    file = parity.write(TINY, tmp_path)
    said = parity.through(file, interrupted, *mpi(2))
    assert "continuing the run in" in said
    parity.same(parity.left(interrupted), parity.left(run_once(TINY).path))


def test_a_run_over_flower_goes_on_over_flower(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flower = resolve({**TINY, "backend": {"kind": "flower", "precision": "exact"}})
    with monkeypatch.context() as patched:
        stopped_before(patched, "audit.json", Stop())
        with pytest.raises(Stop):
            run_in(flower, tmp_path / "out")
    done = run_in(flower, tmp_path / "out")
    assert len(done.record["resumed"]) == 1
    assert done.record["sha256"] == run_in(flower, tmp_path / "whole").record["sha256"]


@with_mpi
@pytest.mark.slow
def test_a_stopped_rank_ends_an_mpi_run(tmp_path: Path) -> None:
    file, out = parity.write({**TINY, "learning": {"rounds": 20000}}, tmp_path), tmp_path / "out"
    run = parity.start(file, out, *mpi(2))
    parity.wait_for(parity.reached(out, "learn", 10), run)
    started = parity.family(run.pid)
    os.kill(started[-1], signal.SIGSTOP)
    code, _, complained = parity.ended(run, 60)
    assert code == 3
    assert "a rank was stopped by a signal, and did not go on within 10 s; the same command goes on" in complained
    parity.gone(started, 5)
