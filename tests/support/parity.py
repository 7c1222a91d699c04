"""Runs by the command line, in processes of their own: how they are started and ended, and what they left."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import chdir, suppress
from pathlib import Path
from typing import Any, TypeVar

import pytest
import yaml
from runs import WITHOUT_ATTACKS

from rewindnet.experiments.folder.contents import file_hashes
from rewindnet.experiments.runs.launch import run_scenario

T = TypeVar("T")
Run = "subprocess.Popen[str]"

COMMAND = (sys.executable, "-m", "rewindnet", "run")
BESIDE = Path(sys.executable).with_name("mpiexec")
MPIEXEC = str(BESIDE) if BESIDE.is_file() else shutil.which("mpiexec")
with_mpi = pytest.mark.skipif(MPIEXEC is None, reason="there is no mpiexec")

#: How a scenario is told to run over a transport.
IN_PROCESS = ("backend.kind=in-process",)
FLOWER = ("backend.kind=flower",)
RAY = ("backend.kind=flower", "backend.runtime=ray")
DEPLOYED = ("backend.kind=flower", "backend.runtime=deployment")


def mpi(ranks: int) -> tuple[str, ...]:
    return "backend.kind=mpi", f"backend.ranks={ranks}"


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "COLUMNS": "250"}


def exact(scenario: Mapping[str, Any]) -> dict[str, Any]:
    """The scenario, to be summed in node order, and without membership attacks unless it speaks of them."""
    return {**WITHOUT_ATTACKS, **scenario, "backend": {"precision": "exact", **scenario.get("backend", {})}}


def write(scenario: Mapping[str, Any], folder: Path) -> Path:
    """That scenario as a file."""
    file = folder / "scenario.yaml"
    file.write_text(yaml.safe_dump(exact(scenario)), encoding="utf-8")
    return file


def start(
    file: Path, out: Path, *settings: str, before: Sequence[str] = COMMAND, added: Mapping[str, str] | None = None
) -> "subprocess.Popen[str]":
    """The run of a scenario, in the background; its environment may have variables added."""
    return subprocess.Popen(
        [*before, str(file), *settings, "--out", str(out)],
        cwd=file.parent,
        env={**environment(), **(added or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def ended(run: "subprocess.Popen[str]", seconds: float = 200) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a run, once it has ended; it and all that it started are ended if it does not."""
    started = family(run.pid)
    try:
        said, complained = run.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        started = family(run.pid)
        raise
    finally:
        if run.poll() is None:
            for pid in (run.pid, *started):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            run.communicate()
    return run.returncode, said, complained


def through(file: Path, out: Path, *settings: str, before: Sequence[str] = COMMAND, seconds: float = 200) -> str:
    """Run a scenario to its end, which must be a good one; what it said."""
    code, said, complained = ended(start(file, out, *settings, before=before), seconds)
    assert code == 0, complained
    return said


def side_by_side(file: Path, folder: Path, runs: Mapping[str, Sequence[str]]) -> dict[str, dict[str, Any]]:
    """What runs of a scenario left: of one process here, of several in processes of their own, at the same time."""
    with ThreadPoolExecutor(1) as pool:
        elsewhere = {name: settings for name, settings in runs.items() if not _in_one_process(settings)}
        started = [pool.submit(through, file, folder / name, *settings) for name, settings in elsewhere.items()]
        with chdir(file.parent):
            for name in runs.keys() - elsewhere.keys():
                assert run_scenario(file, runs[name], folder / name, False) == []
        for done in started:
            done.result()
    return {name: left(folder / name) for name in runs}


def _in_one_process(settings: Sequence[str]) -> bool:
    return not any(setting.startswith(("backend.kind=mpi", "backend.runtime=")) for setting in settings)


def left(folder: Path) -> dict[str, Any]:
    """All that a run left but for what tells of time and machine: files by name, as bytes or read."""
    record = read(folder / "record.json")
    assert record["state"] == "complete", f"{folder} is {record['state']}"
    scraps = [str(file) for file in (*folder.rglob("*.part"), *folder.glob("unfinished"))]
    assert scraps == [], f"there is still {scraps}"
    assert record["files_sha256"] == file_hashes(folder, record["weights_sha256"])
    found: dict[str, Any] = {"sha256": record["sha256"], "weights_sha256": record["weights_sha256"]}
    names = ("README.md", "certificate.json", "audit.json", "learning.json", "topology.json", "metrics.jsonl")
    for file in sorted(folder.rglob("*")):
        name = str(file.relative_to(folder))
        if file.name in names or file.suffix == ".safetensors":
            found[name] = file.read_bytes()
        elif file.name in ("metrics.json", "traffic.json"):
            found[name] = timeless(read(file))
    found["summary.json"] = timeless(read(folder / "summary.json"))
    return found


def timeless(content: Any) -> Any:
    """The same without the seconds of this machine."""
    if isinstance(content, dict):
        return {key: timeless(value) for key, value in content.items() if key != "seconds"}
    return [timeless(value) for value in content] if isinstance(content, list) else content


def same(found: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    """Nothing is different; says what is."""
    different = [name for name in {**expected, **found} if found.get(name) != expected.get(name)]
    assert different == [], f"different: {', '.join(different)}"


def read(file: Path) -> Any:
    return json.loads(file.read_text(encoding="utf-8"))


def lines(folder: Path) -> list[dict[str, Any]]:
    """The whole lines of metrics.jsonl."""
    file = folder / "metrics.jsonl"
    text = file.read_text(encoding="utf-8") if file.is_file() else ""
    return [json.loads(line) for line in text.split("\n")[:-1]]


def wait_for(condition: Callable[[], T], run: "subprocess.Popen[str] | None" = None, seconds: float = 120) -> T:
    """What the condition gives, once that is something; the run must go on meanwhile."""
    give_up = time.monotonic() + seconds
    while not (found := condition()):
        assert run is None or run.poll() is None, ended(run)
        assert time.monotonic() < give_up, f"it did not happen within {seconds} s"
        time.sleep(0.01)
    return found


def reached(folder: Path, phase: str, rounds: int) -> Callable[[], bool]:
    """Whether a run has so many rounds of a phase behind it."""
    return lambda: sum(line["phase"] == phase for line in lines(folder)) >= rounds


def family(pid: int) -> list[int]:
    """The processes that a process has started, and those that they have."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            for child in map(int, task.read_text(encoding="utf-8").split()):
                found += [child, *family(child)]
    return found


def words(pid: int) -> list[str]:
    """The command line of a process."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8").split("\0")
    return []


def alive(pid: int) -> bool:
    """Whether a process runs: one that has ended and is not yet buried does not."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    return False


def gone(pids: Sequence[int], seconds: float = 15) -> None:
    """All of these processes end by themselves; they are ended if they do not."""
    give_up = time.monotonic() + seconds
    while (still := [pid for pid in pids if alive(pid)]) and time.monotonic() < give_up:
        time.sleep(0.05)
    for pid in still:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    assert not still, f"{len(still)} processes were left running"
