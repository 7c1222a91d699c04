"""What runs in a process of its own with the code of a copy; nothing here may import rewindnet before the copy is set.

A process is forked from one that has imported the libraries, but no rewindnet: most of a small run would be importing.
"""

import contextlib
import importlib
import io
import json
import multiprocessing
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

#: What copies need of libraries. Not hypothesis, whose assertions pytest wants to see first.
_LIBRARIES = (
    "torch", "scipy.optimize", "scipy.stats", "scipy.sparse.linalg", "scipy.spatial", "networkx", "pydantic", "typer",
    "rich.table", "yaml", "safetensors.numpy", "filelock", "sklearn.linear_model", "dp_accounting", "pytest",
)  # fmt: skip
#: The longest that a job may take, in seconds.
_PATIENCE = 600


class BrokenJobError(Exception):
    """A job that has ended without a result, or not at all."""


def result_of(job: Callable[..., dict[str, Any]], place: Path, *arguments: Any) -> dict[str, Any]:
    """Return what a job returns that is called in a process of its own, with the code of a copy.

    Args:
        job: a function of this module.
        place: the copy.
        arguments: of the job.

    Raises:
        BrokenJobError: if it ends otherwise than by returning.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(_LIBRARIES))
    log, result = place.parent / "log.txt", place.parent / "result.json"
    result.unlink(missing_ok=True)
    process = context.Process(target=_in_copy, args=(job, place, log, result, arguments))
    process.start()
    process.join(_PATIENCE)
    if process.is_alive():
        process.kill()
        process.join()
        raise BrokenJobError(f"it had not ended after {_PATIENCE} seconds")
    if not result.exists():
        raise BrokenJobError(f"it ended with code {process.exitcode}: {log.read_text(errors='replace')[-2000:]}")
    found: dict[str, Any] = json.loads(result.read_text(encoding="utf-8"))
    return found


def _in_copy(
    job: Callable[..., dict[str, Any]], place: Path, log: Path, result: Path, arguments: Sequence[Any]
) -> None:
    """Call a job where rewindnet is that of the copy, and write down what it returns."""
    import torch

    with log.open("w", encoding="utf-8") as written:
        for stream in (1, 2):
            os.dup2(written.fileno(), stream)
    torch.set_num_threads(1)
    os.chdir(place)
    sys.path.insert(0, str(place))
    os.environ |= {"PYTHONPATH": str(place), "OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg"}
    for name in [name for name in os.environ if name.startswith(("PYTEST_", "COV_"))]:
        del os.environ[name]
    assert "rewindnet" not in sys.modules
    found = json.dumps(job(*arguments))
    assert Path(str(sys.modules["rewindnet"].__file__)).is_relative_to(place)
    result.write_text(found, encoding="utf-8")


def run_and_verify(scenario: str, folder: str, module: str) -> dict[str, Any]:
    """Run a scenario and verify its folder by the command line.

    Args:
        scenario: the file of the scenario.
        folder: the folder to write.
        module: a module that must be importable by itself.

    Returns:
        `stage` (import, run or verify), `code` (the exit code; −1 for a traceback) and what was `said`.
    """
    try:
        importlib.import_module(module)
    except Exception:
        return {"stage": "import", "code": -1, "said": traceback.format_exc()}
    found = {"stage": "run", **_command("run", scenario, "--out", folder)}
    return found if found["code"] else {"stage": "verify", **_command("verify", folder)}


def _command(*arguments: str) -> dict[str, Any]:
    """Call the command line, and return its exit code and what it said; −1 and the traceback if it broke."""
    from rewindnet.experiments.cli import app

    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            app(list(arguments))
    except SystemExit as end:
        return {"code": int(end.code or 0), "said": said.getvalue()}
    except Exception:
        return {"code": -1, "said": traceback.format_exc()}
    return {"code": 0, "said": said.getvalue()}


def run_tests(record: str, tests: Sequence[str]) -> dict[str, Any]:
    """Run fast tests up to the first that fails.

    Args:
        record: the XML file to write.
        tests: files or single tests, from the root of the copy.

    Returns:
        The exit `code` of pytest.
    """
    import pytest

    options = ["-x", "-q", "-m", "not slow", "--hypothesis-profile=ci", "-p", "no:cacheprovider"]
    places = [f"--junitxml={record}", f"--basetemp={record}-files"]
    return {"code": int(pytest.main([*options, *places, *tests]))}
