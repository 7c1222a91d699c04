"""Refuse what can be refused before the libraries that a run takes are imported, which takes seconds."""

import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rewindnet.errors import Notice, UserError
from rewindnet.experiments.folder.format import read_record, state
from rewindnet.experiments.folder.lock import LOCK
from rewindnet.experiments.folder.occupied import occupied
from rewindnet.experiments.scenario.yaml_text import read_yaml
from rewindnet.simulator.transports.mpi.ranks import rank

#: The section of a study file that a single run leaves out.
_STUDY = "study"


def refuse_early(path: Path, settings: Sequence[str], out: Path | None, force: bool) -> None:
    """Refuse a scenario that cannot be read or has unknown sections, and a folder that holds a finished run.

    All is checked again later.

    Args:
        path: the scenario file, or the name of a recipe.
        settings: overrides, each `key=value`.
        out: the folder to write; runs/<name> by default.
        force: overwrite an earlier run there.

    Raises:
        UserError: with a sentence about it.
    """
    with errors_from_first_rank_only():
        raw = read_yaml(path)
        folder = out or _folder_of(raw, settings)
        if folder is not None and not force and _is_settled(folder):
            raise occupied(folder)
        sections = [key for key in raw if key != _STUDY] if isinstance(raw, dict) else []
        _refuse_unknown_sections([*sections, *(text.split("=")[0] for text in settings)])


def _is_settled(folder: Path) -> bool:
    """Return whether a folder holds a finished run, and it takes no more to refuse another.

    To say whether files that the run read have changed takes longer, and so does removing what is left of its work.
    """
    return state(folder) == "complete" and not read_record(folder).get("inputs") and not (folder / LOCK).exists()


def _refuse_unknown_sections(keys: Iterable[Any]) -> None:
    """Refuse a key of a scenario, or the first part of one, that no scenario has.

    Raises:
        UnknownKeyError: if there is such a key.
    """
    from rewindnet.experiments.scenario.scenario import Scenario
    from rewindnet.experiments.scenario.sentences import unknown_key

    for key in keys:
        section = key.partition(".")[0] if isinstance(key, str) else ""
        if section and section not in Scenario.model_fields:
            raise unknown_key([], section)


def _folder_of(raw: Any, settings: Sequence[str]) -> Path | None:
    """Return the folder that a run is written to by default; None if that cannot be said so early."""
    given = [text.removeprefix("name=") for text in settings if text.startswith("name=")]
    name = given[-1] if given else (raw or {}).get("name", "demo") if isinstance(raw, dict | None) else None
    return Path("runs") / name if isinstance(name, str) else None


@contextmanager
def errors_from_first_rank_only() -> Iterator[None]:
    """Print errors about the user's input only in the first of the processes that mpiexec started.

    Raises:
        SystemExit: with code 2, in the other processes, instead of a `UserError`.
    """
    if rank() == 0:
        yield
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Notice)
        try:
            yield
        except UserError:
            raise SystemExit(2) from None
