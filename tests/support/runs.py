"""Scenarios run through to their folder, as the command line would.

Membership attacks take most of the time of a small run, so a scenario that says nothing of measures goes without them.
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml
from filelock import FileLock

from rewindnet.experiments.cli import app
from rewindnet.experiments.folder.contents import file_hashes
from rewindnet.experiments.folder.format import sealed
from rewindnet.experiments.folder.reader import RunFolder, read_folder
from rewindnet.experiments.runs.job import RunJob
from rewindnet.experiments.runs.run_setup import build_run
from rewindnet.experiments.scenario.yaml_files import resolve

WITHOUT_ATTACKS: dict[str, Any] = {"measures": {"membership": False}}

#: A run for studies that are told of it.
TOLD: dict[str, Any] = {
    "name": "told",
    "data": {"source": "synthetic", "samples": 100, "dimensions": 3},
    "partition": {"clients": 4},
    "topology": "star",
    "learning": {"rounds": 6},
    "deletion": {"client": 1, "samples": 2},
    "unlearning": [{"method": "r2d", "rewind": 0.5, "bound": "instance"}, "retrain", "do-nothing"],
    "audit": {"draws": 0},
}


def run_through(scenario: Mapping[str, Any], folder: Path, *overrides: str) -> RunFolder:
    """Run a scenario and read what it left."""
    resolved = resolve(deepcopy({**WITHOUT_ATTACKS, **scenario}), overrides)
    resolved.backend.build().execute(RunJob(build_run(resolved), folder, False, folder.parent / "scratch"))
    return read_folder(folder)


class SharedRuns:
    """Runs that are made once in a test session, by whichever worker needs them first.

    Args:
        place: the folder that all workers of the session keep them in.
        copies: makes a new folder, for a copy that is the caller's own.
    """

    def __init__(self, place: Path, copies: Callable[[], Path]) -> None:
        self._place, self._copies = place, copies

    def __call__(self, scenario: Mapping[str, Any], *overrides: str) -> RunFolder:
        """A copy of the run of a scenario, in a folder called `run`; it may be changed."""
        said = json.dumps([scenario, overrides], sort_keys=True)
        kept = self._place / hashlib.sha256(said.encode()).hexdigest()[:20]
        self._place.mkdir(exist_ok=True)
        with FileLock(f"{kept}.lock"):
            if not (kept / "made").exists():
                shutil.rmtree(kept, ignore_errors=True)
                kept.mkdir()
                run_through(scenario, kept / "run", *overrides)
                (kept / "made").touch()
        return read_folder(Path(shutil.copytree(kept / "run", self._copies() / "run")))


def rehash(file: Path) -> None:
    """Have a changed file of a run folder, or all of them, pass for the ones that were written."""
    folder = next(folder for folder in (file, *file.parents) if (folder / "record.json").is_file())
    record = json.loads((folder / "record.json").read_text("utf-8"))
    record["scenario_sha256"] = hashlib.sha256((folder / "scenario.yaml").read_bytes()).hexdigest()
    record["files_sha256"] = file_hashes(folder, record["weights_sha256"])
    (folder / "record.json").write_text(json.dumps(sealed(record)), "utf-8")


def edited(file: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    """Change the content of a JSON file of a run folder, and have it pass for the one that was written."""
    content = json.loads(file.read_text("utf-8"))
    edit(content)
    file.write_text(json.dumps(content), "utf-8")
    rehash(file)


def refused_here(
    scenario: Mapping[str, Any], folder: Path, capsys: pytest.CaptureFixture[str], words: str, *settings: str
) -> None:
    """The command line ends with exit code 2 and one sentence that has these words, and writes nothing."""
    file = folder / "scenario.yaml"
    file.write_text(yaml.safe_dump(dict(scenario)), encoding="utf-8")
    with pytest.raises(SystemExit) as end:
        app(["run", str(file), *settings, "--out", str(folder / "out")])
    said = capsys.readouterr()
    assert (end.value.code, said.out) == (2, "")
    (line,) = said.err.splitlines()
    assert line.startswith("rewindnet: ")
    assert words in line, line
    assert [path.name for path in folder.iterdir()] == ["scenario.yaml"]
