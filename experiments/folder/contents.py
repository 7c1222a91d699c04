"""The files of a run folder: what each of them holds, which are secret, and their hashes."""

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

from rewindnet.experiments.folder.format import UNFINISHED

#: Endings of files that reports and users add to a finished run: pages and pictures.
_ADDED = (".html", ".pdf", ".png", ".svg")
#: Files that other commands add to a finished run.
_ADDED_NAMES = ("klom.json",)
#: Files of runs and of other commands that are not in the table: the page, and what is there until a run is complete.
_ALSO_WRITTEN = (*_ADDED_NAMES, "report.html", f"{UNFINISHED}/*")

#: When a file must not be shared: never, in a simulation whose noise is drawn from the seed, or always.
Secrecy = Literal["never", "simulation", "always"]


@dataclass(frozen=True)
class Kind:
    """A kind of file in a run folder.

    Attributes:
        pattern: its path, with `*` in place of names and numbers.
        holds: what it holds.
        secret: when it must not be shared.
        why: why not.
    """

    pattern: str
    holds: str
    secret: Secrecy
    why: str = ""


#: The pattern of the files of released models.
RELEASED = "methods/*/released.safetensors"
_WITHOUT_NOISE = "models without noise"

#: Every kind of file that a run writes.
KINDS = (
    Kind("README.md", "this page", "never"),
    Kind("scenario.yaml", "the scenario, with every default", "always", "the forget set is in it, or follows from it"),
    Kind(
        "record.json",
        "state, versions and times, and the hashes of the code, of the files that were read and of all other files",
        "always",
        "the seed; and a guess of the forget set can be confirmed by the hashes",
    ),
    Kind("topology.json", "the graph, its mixing matrix and its schedule", "always", "the seed"),
    Kind(
        "learning.json",
        "how the network learned, the forget sets, and the salts of the commitments to them",
        "always",
        "forget sets, salts, and what clients measured on their data",
    ),
    Kind("metrics.jsonl", "a line for each round", "simulation", f"measured on {_WITHOUT_NOISE}"),
    Kind("traffic.json", "the number of messages over every edge", "never"),
    Kind("summary.json", "the table", "always", f"distances and attacks measured on {_WITHOUT_NOISE}"),
    Kind(
        "methods/*/certificate.json",
        "the certificate of a release",
        "always",
        "numbers of single nodes may confirm a guess of the forget set, where they were measured on data; hand over "
        "what `rewindnet certificate export` makes of it",
    ),
    Kind("methods/*/audit.json", "the audit of a release", "always", f"distances between {_WITHOUT_NOISE}"),
    Kind("methods/*/metrics.json", "accuracies, attacks and costs", "always", "measured with the forget set"),
    Kind(RELEASED, "the released models", "simulation", "the noise can be drawn again"),
    Kind("methods/*/noised.safetensors", "the models right after the noise", "always", "more than is released"),
    Kind("methods/*/centre.safetensors", "the models before the noise", "always", _WITHOUT_NOISE),
    Kind("checkpoints/*.safetensors", "the models after a round of learning or retraining", "always", _WITHOUT_NOISE),
)


def is_written(name: str) -> bool:
    """Return whether a file may have been written by a run, or by another command about it.

    Args:
        name: its path in the run folder.
    """
    patterns = [*(kind.pattern for kind in KINDS), *_ALSO_WRITTEN]
    return any(name.count("/") == pattern.count("/") and fnmatchcase(name, pattern) for pattern in patterns)


def file_hashes(folder: Path, arrays: Collection[str], own: bool = False) -> dict[str, str]:
    """Return the sha256 of every file of a run by its path, but for those that are not hashed as files.

    These are `record.json`, which lists the hashes; arrays, which have hashes of their own; hidden files; the states of
    an unfinished run; and pages, pictures and results that are added to a finished run.

    Args:
        folder: the run folder.
        arrays: the names of the recorded arrays.
        own: leave out files that no run writes.
    """
    not_hashed = {"record.json", *_ADDED_NAMES, *(f"{name}.safetensors" for name in arrays)}
    hashes = {}
    for path in sorted(folder.rglob("*")):
        place = path.relative_to(folder)
        skipped = place.parts[0] == UNFINISHED or any(part.startswith(".") for part in place.parts)
        foreign = own and not is_written(place.as_posix())
        if (
            path.is_file()
            and not skipped
            and not foreign
            and place.suffix not in _ADDED
            and place.as_posix() not in not_hashed
        ):
            hashes[place.as_posix()] = hashlib.sha256(path.read_bytes()).hexdigest()
    return hashes


def other_files(folder: Path) -> list[str]:
    """Return the files in a run folder that no run has written, by their paths; hidden files are left out."""
    names = (path.relative_to(folder) for path in sorted(folder.rglob("*")) if path.is_file())
    visible = (name for name in names if not any(part.startswith(".") for part in name.parts))
    return [name.as_posix() for name in visible if not is_written(name.as_posix())]


def differences(recorded: Mapping[str, str], found: Mapping[str, str]) -> list[str]:
    """Return a phrase for each file that is missing, changed or surplus.

    Args:
        recorded: the hashes that the run recorded.
        found: the hashes of the files that are there.
    """
    phrases = []
    for place in sorted({*recorded, *found}):
        if place not in found:
            phrases.append(f"{place} is missing")
        elif place not in recorded:
            phrases.append(f"{place} is surplus")
        elif recorded[place] != found[place]:
            phrases.append(f"{place} was changed")
    return phrases
