"""Check whether a run may be written into a folder, and read what an unfinished run has left there."""

import io
import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from rewindnet.certificates.audits.noise.traces import NoiseTraces
from rewindnet.experiments.folder.errors import FolderError
from rewindnet.experiments.folder.files import read_json, write
from rewindnet.experiments.folder.finished import refuse_finished
from rewindnet.experiments.folder.format import state
from rewindnet.experiments.folder.journal import UNFINISHED
from rewindnet.experiments.folder.lock import LOCK, FolderLock
from rewindnet.experiments.folder.sameness import difference
from rewindnet.experiments.scenario.errors import ScenarioError
from rewindnet.experiments.scenario.scenario import Scenario


def check_target(folder: Path, scenario: Scenario, force: bool) -> bool:
    """Check that a run may be written into a folder.

    Args:
        folder: the run folder; it need not exist.
        scenario: the scenario to run.
        force: overwrite an earlier run.

    Returns:
        Whether the folder holds an incomplete run of the same scenario, which can be continued.

    Raises:
        ScenarioError: if the folder cannot be made, is being written to, holds something other than a run, or holds
            another run and `force` is not set.
    """
    if not folder.exists():
        blocked = [parent for parent in folder.parents if parent.exists() and not parent.is_dir()]
        if blocked:
            raise ScenarioError(f"{folder} cannot be made: {blocked[0]} is not a folder; choose another with --out")
        return False
    if folder.is_dir() and all(_is_leftover(file) for file in folder.iterdir()):
        return False
    if not (folder / "record.json").is_file():
        raise ScenarioError(f"{folder} exists and is not a run folder; choose another with --out")
    if (folder / LOCK).exists():
        FolderLock(folder).release()
    if force:
        return False
    if state(folder) == "complete":
        refuse_finished(folder, difference(folder, scenario))
    if not (folder / "scenario.yaml").is_file():
        # The process was killed before it had written its first file.
        return False
    other = difference(folder, scenario)
    if other:
        raise ScenarioError(
            f"{folder} holds an incomplete run {other}; choose another with --out, or overwrite it with --force"
        )
    return not scenario.noise_is_secret


def check_checkpoints(folder: Path, sha256: str) -> None:
    """Check that an unfinished run goes on with the checkpoints of learning elsewhere that it began with.

    Args:
        folder: the run folder.
        sha256: the hash of the checkpoints; empty where the network learns here.

    Raises:
        FolderError: if they have changed.
    """
    if not (folder / "learning.json").is_file():
        return
    began = [request.get("checkpoints_sha256", "") for request in read_json(folder / "learning.json")["requests"]]
    if any(before != sha256 for before in began):
        raise FolderError(
            f"the checkpoints have changed since the run began: their sha256 was {began[0]} and is {sha256}; overwrite "
            "the run with --force"
        )


def _is_leftover(file: Path) -> bool:
    """Return whether a run that was killed before it had written its record may have left a file."""
    return file.suffix == ".part" or file.name in (UNFINISHED, LOCK)


def earlier_lines(folder: Path) -> dict[tuple[str, int], str]:
    """Read the lines of metrics.jsonl that all earlier processes have written, by phase and round.

    Lines that are damaged are left out.
    """
    lines: dict[tuple[str, int], str] = {}
    for file in (folder / UNFINISHED / "metrics.jsonl", folder / "metrics.jsonl"):
        for text in file.read_text("utf-8", errors="replace").splitlines() if file.is_file() else ():
            with suppress(ValueError, KeyError, TypeError):
                line = json.loads(text)
                lines[str(line["phase"]), int(line["round"])] = text
    return lines


def note_traffic(folder: Path, parts: Mapping[str, Any]) -> None:
    """Write the numbers of messages of all phases so far, for a process that continues the run."""
    write(folder / UNFINISHED / "traffic.json", json.dumps(parts))


def earlier_traffic(folder: Path) -> dict[str, Any]:
    """Read the numbers of messages that earlier processes have written.

    Raises:
        FolderError: if the file is damaged.
    """
    file = folder / UNFINISHED / "traffic.json"
    if not file.is_file():
        return {}
    try:
        parts = json.loads(file.read_text("utf-8"))
    except ValueError:
        parts = None
    if not isinstance(parts, dict):
        raise FolderError(f"{file} is damaged; start again with --force")
    return parts


def note_noise(folder: Path, index: int, traces: NoiseTraces) -> None:
    """Write down what later releases are compared with of the noise of a release."""
    content = io.BytesIO()
    np.savez(content, **traces._asdict())
    write(folder / UNFINISHED / f"noise-{index}.npz", content.getvalue())


def has_noise(folder: Path, index: int) -> bool:
    """Return whether an earlier process has written down the noise of a release."""
    return (folder / UNFINISHED / f"noise-{index}.npz").is_file()


def earlier_noise(folder: Path, index: int) -> NoiseTraces:
    """Read what an earlier process has written down of the noise of a release.

    Raises:
        FolderError: if that is missing or damaged.
    """
    file = folder / UNFINISHED / f"noise-{index}.npz"
    try:
        with np.load(file) as content:
            return NoiseTraces(**{name: content[name] for name in NoiseTraces._fields})
    except (OSError, ValueError, KeyError):
        raise FolderError(f"{file} is damaged; begin anew with --force") from None
