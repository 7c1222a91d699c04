"""Write and read `study.json`: which runs a study has, and what varies among them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rewindnet.experiments.folder.errors import FolderError
from rewindnet.experiments.folder.files import read_json, write_json

#: The file in the folder of a study, and the version of its format.
FILE, _FORMAT = "study.json", 1


class StudyRun(NamedTuple):
    """A run of a study.

    Attributes:
        folder: the run folder.
        values: the value of each key of the grid.
    """

    folder: Path
    values: dict[str, Any]


class StudyFolder(NamedTuple):
    """The content of `study.json`.

    Attributes:
        path: the folder of the study.
        name: the name of the scenario.
        keys: the keys that vary.
        runs: the runs, finished or not.
    """

    path: Path
    name: str
    keys: list[str]
    runs: list[StudyRun]


def write_study(folder: Path, name: str, keys: Sequence[str], runs: Sequence[StudyRun]) -> None:
    """Write `study.json`.

    Args:
        folder: the folder of the study.
        name: the name of the scenario.
        keys: the keys that vary.
        runs: the runs.
    """
    listed = [{"folder": run.folder.name, "values": run.values} for run in runs]
    write_json(folder / FILE, {"format": _FORMAT, "name": name, "keys": list(keys), "runs": listed})


def is_study(folder: Path) -> bool:
    """Return whether a folder is that of a study."""
    return (folder / FILE).is_file()


def read_study(folder: Path) -> StudyFolder:
    """Read `study.json`.

    Raises:
        FolderError: if it is missing, damaged or of another format.
    """
    if not folder.is_dir():
        raise FolderError(f"{folder} is not a folder" if folder.exists() else f"there is no folder {folder}")
    if not is_study(folder):
        raise FolderError(f"{folder} is not the folder of a study: it holds no {FILE}; rewindnet sweep writes one")
    content = read_json(folder / FILE)
    if content.get("format") != _FORMAT:
        raise FolderError(
            f"{folder} is a study of format {content.get('format')!r}; this version reads {_FORMAT}: sweep it again"
        )
    try:
        runs = [StudyRun(folder / str(run["folder"]), dict(run["values"])) for run in content["runs"]]
        return StudyFolder(folder, str(content["name"]), [str(key) for key in content["keys"]], runs)
    except (LookupError, TypeError, ValueError):
        raise FolderError(f"{folder / FILE} is damaged: it does not list the runs of a study") from None


def others_in(folder: Path, runs: Sequence[Path]) -> list[str]:
    """Return the names of the run folders in the folder of a study that do not belong to it.

    Args:
        folder: the folder of the study.
        runs: the run folders that belong to it.
    """
    ours = {run.name for run in runs}
    return sorted(path.parent.name for path in folder.glob("*/record.json") if path.parent.name not in ours)
