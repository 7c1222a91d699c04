"""Find the files that a scenario names: beside the scenario file, or else from the current folder."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from rewindnet.errors import notice
from rewindnet.experiments.scenario.errors import ScenarioError
from rewindnet.reading import located
from rewindnet.user_code import names_code

#: The keys whose values are paths; `graphs` is a list of them.
_PATHS = ("path", "root", "checkpoints_from")


def beside(raw: dict[str, Any], folder: Path) -> None:
    """Replace relative paths in a scenario's plain data, in place, where the file is beside the scenario file.

    Args:
        raw: the plain data.
        folder: the folder of the scenario file.

    Raises:
        ScenarioError: if a path has a NUL character, or names the home of a user who does not exist.
    """
    _replace(raw, lambda path: _found(path, folder))


def _replace(value: Any, found: Callable[[str], str]) -> None:
    """Replace each path in a mapping and in those inside it."""
    for key, inner in value.items() if isinstance(value, dict) else ():
        code = key == "loss" and isinstance(inner, str) and names_code(inner)
        if (key in _PATHS or str(key).endswith("_path") or code) and isinstance(inner, str):
            value[key] = found(inner)
        elif key == "graphs" and isinstance(inner, list):
            value[key] = [found(each) if isinstance(each, str) else each for each in inner]
        else:
            _replace(inner, found)


def _found(path: str, folder: Path) -> str:
    """Return where a path leads: beside the scenario file if it exists there, else as it is.

    Of code, `file.py:Name`, the part before the name is the path.
    """
    file, _, name = path.rpartition(":")
    if file.endswith(".py"):
        return f"{_found(file, folder)}:{name}"
    place = located(path, ScenarioError)
    here = folder / place
    if place.is_absolute() or not here.exists() or here.resolve() == place.resolve():
        return path
    if place.exists():
        notice(f"'{path}' is there twice: {here}, beside the scenario, is read, and not that in the current folder")
    return str(here)
