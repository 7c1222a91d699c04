"""The files that a scenario reads, known by the sha256 of their content."""

import hashlib
import os
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from rewindnet.clients.data import SOURCES
from rewindnet.clients.data.files import data_root, files_under_root
from rewindnet.experiments.scenario.checkpoint_files import files_in
from rewindnet.experiments.scenario.errors import ScenarioError
from rewindnet.experiments.scenario.scenario import Scenario
from rewindnet.reading import located
from rewindnet.user_code import names_code, source_of

#: What the names of files that are found under `data.root` begin with.
UNDER_ROOT = "data.root/"
#: The key of the folder of a network that learned elsewhere, with which the names of its files begin.
CHECKPOINTS = "learning.checkpoints_from"


class InputFile(NamedTuple):
    """A file that a scenario reads: its path, and the sha256 of its content."""

    path: str
    sha256: str

    def to_record(self) -> dict[str, str]:
        """Return the entry of `record.json`."""
        return self._asdict()


def input_files(scenario: Scenario) -> dict[str, InputFile]:
    """Return every file that a scenario reads, by the key that names it, like `topology.path`.

    These are the files that settings called `path`, or `…_path`, and lists of graphs name; those of code that the model
    or the features name as `package.module:Name` or `file.py:Name`; those that data sources find under `data.root`, by
    their place there, like `data.root/uci-har/uci_har_windows.npz`; and likewise those of the folder
    `learning.checkpoints_from`. A file that is not there is left out: its reader says so. Each file is read once in a
    process, unless it changes.

    Raises:
        ScenarioError: if a file cannot be read.
    """
    data = scenario.data
    root = data_root(None if data.root is None else Path(data.root))
    found = {key: located(text, ScenarioError) for key, text in _named(scenario.plain(), "")}
    found |= {key: file for key, text in code_of(scenario.plain()).items() if (file := source_of(text, ScenarioError))}
    sources = [data.source, *([data.public.other.source] if data.public is not None and data.public.other else [])]
    found |= {f"{UNDER_ROOT}{at}": root / at for source in sources for at in files_under_root(SOURCES[source], root)}
    found |= {f"{CHECKPOINTS}/{file.name}": file for file in _checkpoints(scenario.learning.checkpoints_from)}
    contents = {key: (path, sha256_of(path)) for key, path in sorted(found.items())}
    return {key: InputFile(str(path), sha256) for key, (path, sha256) in contents.items() if sha256 is not None}


def _checkpoints(place: str | None) -> list[Path]:
    """Return the files of the network that learned elsewhere, if it did."""
    try:
        return [] if place is None else files_in(located(place, ScenarioError))
    except OSError as problem:
        raise ScenarioError(f"{CHECKPOINTS}: {place} cannot be read: {problem.strerror}") from None


def code_of(scenario: Mapping[str, Any]) -> dict[str, str]:
    """Return what names code of the user's own in a scenario, by its key.

    Args:
        scenario: the resolved scenario, as plain data.
    """
    named = {f"model.{name}": scenario["model"].get(name) for name in ("path", "loss")}
    named["data.features.path"] = scenario["data"]["features"].get("path")
    return {key: text for key, text in named.items() if isinstance(text, str) and names_code(text)}


def sha256_of(path: Path) -> str | None:
    """Return the sha256 of the content of a file; None if there is no regular file.

    Raises:
        ScenarioError: if it cannot be read.
    """
    try:
        if not path.is_file():
            return None
        status = path.stat()
        identity = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        return _hashed(os.path.realpath(path), identity)
    except (OSError, ValueError) as problem:
        raise ScenarioError(f"{path} cannot be read: {getattr(problem, 'strerror', None) or problem}") from None


def hashes(inputs: Mapping[str, InputFile]) -> dict[str, str]:
    """Return the sha256 of each input by its key."""
    return {key: file.sha256 for key, file in inputs.items()}


def recorded_inputs(record: Mapping[str, Any]) -> dict[str, InputFile]:
    """Return the inputs that `record.json` names; none for a run that recorded none."""
    return {key: InputFile(entry["path"], entry["sha256"]) for key, entry in record.get("inputs", {}).items()}


def changed_input(before: Mapping[str, InputFile], now: Mapping[str, InputFile]) -> str | None:
    """Name the first file whose content is not what it was, with both hashes; None if all are.

    Args:
        before: the inputs that a run has read.
        now: those that there are now.
    """
    for key in sorted({*before, *now}):
        then, today = before.get(key), now.get(key)
        if then is None or today is None or then.sha256 != today.sha256:
            named = (today or then or InputFile("", "")).path
            was, is_now = ("none" if file is None else file.sha256 for file in (then, today))
            return f"{key} {named}: the sha256 of its content was {was} and is {is_now} now"
    return None


def demand_unchanged(before: Mapping[str, InputFile], scenario: Scenario) -> None:
    """Refuse files that have changed while they were read.

    Raises:
        ScenarioError: if one has; the message has both hashes.
    """
    changed = changed_input(before, input_files(scenario))
    if changed:
        raise ScenarioError(f"a file changed while it was read ({changed}); start again when it is whole")


def _named(value: Any, key: str, names_file: bool = False) -> Iterator[tuple[str, str]]:
    """List the texts in plain data that name files, each with its key."""
    if isinstance(value, dict):
        for name, inner in value.items():
            naming = name in ("path", "graphs") or name.endswith("_path")
            yield from _named(inner, f"{key}.{name}" if key else name, naming)
    elif isinstance(value, list):
        for at, inner in enumerate(value):
            yield from _named(inner, f"{key}.{at}", names_file)
    elif names_file and isinstance(value, str):
        yield key, value


@cache
def _hashed(path: str, identity: tuple[int, ...]) -> str:
    """Compute the sha256 of a file in pieces; once for each state that the file is in."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
