"""Read `record.json`: the format of a run folder, whether its run is complete, and the hash of all weights."""

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from rewindnet.experiments.folder.errors import FolderError
from rewindnet.experiments.folder.files import Json, read_json

#: The subfolder of a run folder that exists only until the run is complete.
UNFINISHED = "unfinished"
#: The format versions of run folders that this version reads; the recorder writes the last of them.
FORMATS = (6,)
#: What every record holds, from its beginning.
_ALWAYS: dict[str, type] = {"versions": dict, "seconds": dict, "weights_sha256": dict, "resumed": list}
#: The key of the hash of the record itself; runs of earlier versions have none.
_SEAL = "record_sha256"
#: The versions of rewindnet that read older formats.
_READERS = {1: "0.1", 2: "0.1", 3: "0.1", 4: "0.1"}


def state(path: Path) -> str | None:
    """Return `complete` or `incomplete` for the run in a folder; None if there is no run.

    Raises:
        FolderError: if `record.json` is damaged or of another format.
    """
    if not (path / "record.json").is_file():
        return None
    return "complete" if read_record(path)["state"] == "complete" else "incomplete"


def is_complete(path: Path) -> bool:
    """Return whether a folder holds a finished run, whatever else may be in it."""
    with suppress(FolderError):
        return state(path) == "complete"
    return False


def read_record(path: Path) -> Json:
    """Read `record.json`.

    Raises:
        FolderError: if it is missing, damaged or of another format.
    """
    record = read_json(path / "record.json")
    if record.get("format") not in FORMATS:
        known = ", ".join(map(str, FORMATS))
        given = record.get("format")
        reader = _READERS.get(given) if isinstance(given, int) else None
        older = isinstance(given, int) and given < FORMATS[0]
        advice = ": run its scenario.yaml again" if older else ""
        if reader is not None:
            advice = f": read it with rewindnet {reader}, or run its scenario.yaml again"
        raise FolderError(f"{path} is a run folder of format {given!r}; this version reads: {known}{advice}")
    if "state" not in record:
        raise FolderError(f"{path / 'record.json'} is damaged: it does not say whether the run is complete")
    for key, kind in _ALWAYS.items():
        if not isinstance(record.get(key), kind):
            raise FolderError(f"{path / 'record.json'} is damaged: its {key!r} cannot be read")
    return record


def sealed(record: Mapping[str, Any]) -> Json:
    """Return the content of `record.json` with a hash of all the rest of it."""
    rest = {key: value for key, value in record.items() if key != _SEAL}
    return {**rest, _SEAL: hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()}


def is_sealed(record: Mapping[str, Any]) -> bool:
    """Return whether the content of `record.json` has the hash that it says; True where it says none."""
    return _SEAL not in record or sealed(record)[_SEAL] == record[_SEAL]


def digest(hashes: Mapping[str, str]) -> str:
    """Compute one sha256 for all weights of a run from the sha256 of each array."""
    return hashlib.sha256(json.dumps(hashes, sort_keys=True).encode()).hexdigest()
