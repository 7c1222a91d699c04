"""Check the program on a machine with a GPU, in parts with time limits: prints one report, and writes it as JSON.

    python tests/support/gpu_check.py [--part NAME ...] [--out FOLDER] [--workers N]

`make gpu-check` runs all parts, in 10 minutes. A part that fails or takes too long is reported, and the next one runs.
The parts need no network, and no package beyond those of `rewindnet[sim]` and pytest.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).resolve()
ROOT = HERE.parents[2]
DEEP, LARGE = ("mlp", "module", "cnn"), ("cnn-1000", "resnet18")
#: Seconds in which a part ends that was asked to.
_GRACE = 8
LINEAR = ("minibatch-f32", "full-batch-f32", "nodes")


class Part(NamedTuple):
    """A command with a time limit in seconds; `{out}` in it is the folder for results."""

    limit: float
    command: tuple[str, ...]


def _bench(contests: tuple[str, ...], repeats: int, name: str) -> tuple[str, ...]:
    options = ("--device", "cuda", "--repeats", str(repeats), "--out", f"{{out}}/{name}.json")
    return (sys.executable, "-m", "rewindnet", "bench", *contests, *options)


def _own(work: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "gpu_work", work, "{out}")


def parts(workers: int) -> Mapping[str, Part]:
    """Return the parts by name, in the order in which they run."""
    plugins = ("-p", "no:cacheprovider", "-p", "no:benchmark")
    pytest = (sys.executable, "-m", "pytest", "-q", "-m", "not slow", *plugins, "-n", str(workers))
    return {
        "machine": Part(20, _own("machine")),
        "same": Part(50, _own("same")),
        "ways": Part(50, _own("ways")),
        "large": Part(110, _bench(LARGE, 1, "large")),
        "resnet": Part(80, _own("resnet")),
        "deep": Part(60, _bench(DEEP, 1, "deep")),
        "linear": Part(40, _bench(LINEAR, 1, "linear")),
        "tests": Part(
            180, (*pytest, "--continue-on-collection-errors", "--tb=line", "--hypothesis-profile=ci", "tests")
        ),
    }


def run(part: Part, out: Path) -> dict[str, Any]:
    """Run a part, stop it at its limit with what it has started, and return how it ended and what it printed."""
    command = [word.format(out=out) for word in part.command]
    paths = os.pathsep.join([str(ROOT), str(HERE.parent), os.environ.get("PYTHONPATH", "")])
    # Without lines that rewrite themselves, and with tables as wide as they are.
    env = {**os.environ, "PYTHONPATH": paths, "PYTHONUNBUFFERED": "1", "TERM": "dumb", "MPLBACKEND": "Agg"}
    began = time.monotonic()
    started = subprocess.Popen(
        command, cwd=ROOT, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
    )
    try:
        said, _ = started.communicate(timeout=part.limit)
        ended = "done" if started.returncode == 0 else f"failed, exit status {started.returncode}"
    except subprocess.TimeoutExpired:
        said = _stop(started)
        ended = f"stopped after {part.limit} s"
    return {"ended": ended, "seconds": round(time.monotonic() - began, 1), "said": said}


def _stop(started: subprocess.Popen[str]) -> str:
    """Ask a part to end, which lets tests name those that failed; end it and all that it has started soon after."""
    started.send_signal(signal.SIGINT)
    try:
        return started.communicate(timeout=_GRACE)[0]
    except subprocess.TimeoutExpired:
        os.killpg(started.pid, signal.SIGKILL)
        return started.communicate()[0]


def main(arguments: list[str] | None = None) -> int:
    """Run the parts that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    known = parts(1)
    parser.add_argument("--part", action="append", choices=list(known), help="run this part alone; may be repeated")
    parser.add_argument("--out", type=Path, default=Path("gpu-check"), help="the folder for the report")
    parser.add_argument("--workers", type=int, default=min(16, os.cpu_count() or 1), help="processes of the tests")
    asked = parser.parse_args(arguments)
    asked.out.mkdir(parents=True, exist_ok=True)
    out = asked.out.resolve()
    written, report = out / "report.json", {}
    if written.is_file() and asked.part:
        report = json.loads(written.read_text("utf-8"))
    chosen = [name for name in known if not asked.part or name in asked.part]
    for name in chosen:
        report[name] = {**run(parts(asked.workers)[name], out), "results": None}
        text = f"== {name}: {report[name]['ended']}, {report[name]['seconds']} s\n{report[name]['said']}"
        print(text, end="", flush=True)
        with (out / "report.txt").open("a", encoding="utf-8") as file:
            file.write(text)
        if (out / f"{name}.json").is_file():
            report[name]["results"] = json.loads((out / f"{name}.json").read_text("utf-8"))
        written.write_text(json.dumps(report, indent=1), "utf-8")
    return int(any(report[name]["ended"] != "done" for name in chosen))


if __name__ == "__main__":
    sys.exit(main())
