"""Write a new run in place of an old one: beside its files first, and moved into their place when it is finished."""

import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from rewindnet.experiments.folder.contents import is_written
from rewindnet.experiments.folder.files import Json, sync_folder
from rewindnet.experiments.folder.format import UNFINISHED, is_complete, read_record

#: The subfolder of a run folder in which the run is written that will take its place.
REPLACEMENT = ".replacement"


def place_of(folder: Path, force: bool) -> Path:
    """Return where a run is written: into its folder, or into a subfolder while an old run is still there.

    Args:
        folder: the run folder.
        force: whether the run is to take the place of an old one.
    """
    return folder / REPLACEMENT if force and (folder / "record.json").is_file() else folder


def is_waiting(folder: Path) -> bool:
    """Return whether a finished run waits in a folder to take the place of the old one."""
    return is_complete(folder / REPLACEMENT)


def clear(place: Path) -> None:
    """Remove what a run has written into a folder, and nothing else; `record.json` goes last."""
    if place.name == REPLACEMENT:
        shutil.rmtree(place, ignore_errors=True)
        return
    for name in [*_written(place), "record.json"]:
        _remove(place / name)
    _remove_empty_folders(place)


def move_in(folder: Path) -> None:
    """Put the finished run that waits in a folder in the place of the old one.

    Whenever this ends in the middle, it can be done again: the record of the old run is replaced last.
    """
    place = folder / REPLACEMENT
    new = manifest(read_record(place))
    for name in new:
        if (place / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (place / name).replace(folder / name)
    for name in set(_written(folder)) - new:
        _remove(folder / name)
    # Weights that the scenario does not store are in the manifest, and their folder need not be there.
    for changed in {(folder / name).parent for name in new if (folder / name).is_file()}:
        sync_folder(changed)
    (place / "record.json").replace(folder / "record.json")
    sync_folder(folder)
    shutil.rmtree(place, ignore_errors=True)
    _remove_empty_folders(folder)


def manifest(record: Json) -> set[str]:
    """Return the files of a finished run but for its record, by their paths."""
    return {*record["files_sha256"], *(f"{name}.safetensors" for name in record["weights_sha256"])}


def _written(folder: Path) -> Iterator[str]:
    """Find the files that runs and commands have written into a folder, by their paths; without `record.json`."""
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        whole = name.removesuffix(".part")
        if (is_written(whole) and whole != "record.json") or name == "record.json.part":
            yield name


def _remove(path: Path) -> None:
    """Remove a file or a link; a folder of this name is not what was written, and stays."""
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)


def _remove_empty_folders(folder: Path) -> None:
    """Remove the folders of a run that have nothing in them any more."""
    for path in [*folder.glob("methods/*"), folder / "methods", folder / "checkpoints", folder / UNFINISHED]:
        with suppress(OSError):
            path.rmdir()
