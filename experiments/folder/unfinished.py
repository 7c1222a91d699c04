"""Check whether a run may be written into a folder, and read what an unfinished run has left there."""

import hashlib
import io
import json
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from rewindnet.certificates.audits.noise.traces import NoiseTraces
from rewindnet.errors import UserError
from rewindnet.experiments.folder.errors import FolderError
from rewindnet.experiments.folder.files import read_json, write
from rewindnet.experiments.folder.format import UNFINISHED, is_complete, state
from rewindnet.experiments.folder.lock import LOCK, FolderBusyError, FolderLock
from rewindnet.experiments.folder.occupied import occupied
from rewindnet.experiments.folder.replacement import REPLACEMENT, clear, is_waiting, move_in, place_of
from rewindnet.experiments.folder.sameness import difference
from rewindnet.experiments.scenario.errors import ScenarioError
from rewindnet.experiments.scenario.scenario import Scenario


def check_target(folder: Path, scenario: Scenario, force: bool, locked: bool = False) -> bool:
    """Check that a run may be written into a folder.

    Args:
        folder: the run folder; it need not exist.
        scenario: the scenario to run.
        force: take the place of an earlier run.
        locked: whether this process holds the lock of the folder.

    Returns:
        Whether there is an incomplete run of the same scenario, which can be continued: in the folder, or with `force`
        in the subfolder of the run that is to take the place of the earlier one.

    Raises:
        ScenarioError: if the folder cannot be made, is being written to, holds something other than a run, or holds
            another run and `force` is not set.
    """
    if folder.is_symlink() and not folder.exists():
        raise ScenarioError(f"{folder} is a symbolic link to nothing; choose another with --out")
    if not folder.exists():
        blocked = [parent for parent in folder.parents if parent.exists() and not parent.is_dir()]
        if blocked:
            raise ScenarioError(f"{folder} cannot be made: {blocked[0]} is not a folder; choose another with --out")
        return False
    if folder.is_dir() and all(_is_leftover(file) for file in folder.iterdir()):
        return False
    if not _is_run_folder(folder):
        raise ScenarioError(f"{folder} exists and is not a run folder; choose another with --out")
    if (folder / LOCK).exists() and not locked:
        _end_clearing(folder, FolderLock(folder))
    if force:
        return _goes_on(folder / REPLACEMENT, scenario)
    if state(folder) == "complete":
        raise occupied(folder, difference(folder, scenario))
    if not (folder / "scenario.yaml").is_file():
        # The process was killed before it had written its first file.
        return False
    other = difference(folder, scenario)
    if other:
        raise ScenarioError(
            f"{folder} holds an incomplete run {other}; choose another with --out, or overwrite it with --force"
        )
    return not scenario.noise_is_secret


def _end_clearing(folder: Path, lock: FolderLock) -> None:
    """Release the lock of a folder, and remove what a process that was killed at the end of its run has left there."""
    finished = is_complete(folder)
    if finished:
        shutil.rmtree(folder / UNFINISHED, ignore_errors=True)
    lock.release(remove=finished)


def clean_finished(folder: Path) -> None:
    """Remove what a process that was killed at the very end of its run has left in the folder of a finished run."""
    if (folder / LOCK).exists() or (folder / UNFINISHED).exists():
        with suppress(FolderBusyError):
            _end_clearing(folder, FolderLock(folder))


def claim(folder: Path, scenario: Scenario, force: bool) -> tuple[Path, bool]:
    """Decide where a run is written, once its folder is locked, and make room for it there.

    Args:
        folder: the run folder, of which this process holds the lock.
        scenario: the scenario to run.
        force: take the place of an earlier run.

    Returns:
        The folder to write into, and whether the incomplete run in it is continued.

    Raises:
        ScenarioError: as `check_target` does: what is in the folder may have changed since it was called.
    """
    if is_waiting(folder):
        move_in(folder)
    resume, place = check_target(folder, scenario, force, locked=True), place_of(folder, force)
    if not resume:
        clear(place)
    return place, resume


def _goes_on(folder: Path, scenario: Scenario) -> bool:
    """Return whether the incomplete run in a folder can be continued."""
    try:
        return (folder / "record.json").is_file() and check_target(folder, scenario, force=False, locked=True)
    except UserError:
        return False


def _is_run_folder(folder: Path) -> bool:
    """Return whether a folder holds a run: its record says so, or is damaged and has a run's other files beside it."""
    if not (folder / "record.json").is_file():
        return False
    try:
        record = read_json(folder / "record.json")
    except FolderError:
        return all((folder / name).is_file() for name in ("scenario.yaml", "topology.json"))
    return {"format", "state", "versions"} <= record.keys()


def _is_leftover(file: Path) -> bool:
    """Return whether a run that was killed before it had written its record may have left a file."""
    return file.name in ("record.json.part", LOCK)


def note_traffic(folder: Path, parts: Mapping[str, Any]) -> None:
    """Write the numbers of messages of all phases so far, for a process that continues the run."""
    write(folder / UNFINISHED / "traffic.json", json.dumps({"parts": parts, "sha256": _traffic_hash(parts)}))


def earlier_traffic(folder: Path) -> dict[str, Any] | None:
    """Read the numbers of messages that earlier processes have written; None if they are missing or damaged."""
    try:
        content = read_json(folder / UNFINISHED / "traffic.json")
    except FolderError:
        return None
    parts = content.get("parts")
    return parts if isinstance(parts, dict) and content.get("sha256") == _traffic_hash(parts) else None


def _traffic_hash(parts: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def note_noise(folder: Path, index: int, traces: NoiseTraces) -> None:
    """Write down what later releases are compared with of the noise of a release."""
    content = io.BytesIO()
    np.savez(content, **traces._asdict())
    write(folder / UNFINISHED / f"noise-{index}.npz", content.getvalue())


def earlier_noise(folder: Path, index: int) -> NoiseTraces:
    """Read what an earlier process has written down of the noise of a release.

    Raises:
        FolderError: if that is missing or damaged.
    """
    file = folder / UNFINISHED / f"noise-{index}.npz"
    try:
        with np.load(file) as content:
            return NoiseTraces(**{name: content[name] for name in NoiseTraces._fields})
    except (OSError, ValueError, KeyError, BadZipFile):
        raise FolderError(f"{file} is damaged; begin anew with --force") from None
