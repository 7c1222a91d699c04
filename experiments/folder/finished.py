"""Remember which releases of an unfinished run are whole: the hashes of their files and of what belongs to them."""

import hashlib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from rewindnet.experiments.folder.errors import FolderError
from rewindnet.experiments.folder.format import UNFINISHED, read_record, state


def release_marks(folder: Path, index: int, place: str, lines: str, weights: Mapping[str, str]) -> dict[str, Any]:
    """Return the hashes by which a process that resumes knows that a release is whole.

    Args:
        folder: the run folder.
        index: the number of the release.
        place: the subfolder of the release.
        lines: its lines of metrics.jsonl.
        weights: the hashes of all recorded arrays.
    """
    files = [*sorted((folder / place).glob("*.json")), *sorted((folder / place).glob("*.safetensors"))]
    noise = folder / UNFINISHED / f"noise-{index}.npz"
    return {
        "files": {
            file.relative_to(folder).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
            for file in [*files, noise]
            if file.is_file()
        },
        "lines": hashlib.sha256(lines.encode()).hexdigest(),
        "weights": {name: value for name, value in weights.items() if name.startswith(f"{place}/")},
    }


def lost_releases(folder: Path) -> dict[str, Any]:
    """Return the releases with secret noise of an incomplete run, which a new run discards: the hash of each, by name.

    Args:
        folder: the run folder.
    """
    with suppress(FolderError):
        if state(folder) == "incomplete":
            record = read_record(folder)
            made = {
                name: value
                for name, value in record["weights_sha256"].items()
                if name.endswith("/released") and record.get("secret")
            }
            return {**record.get("lost_releases", {}), **made}
    return {}


def lost_sentence(lost: Mapping[str, Any]) -> str:
    """Return what is to be said about releases that were discarded."""
    names = ", ".join(sorted(name.split("/")[1] for name in lost))
    return (
        f"a run that did not end had released models with secret noise ({names}); they are discarded, and this run "
        "releases others: an observer of both knows more than one certificate says"
    )
