"""Find and read the files of data sets, with errors that name what is missing."""

import os
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from rewindnet.arrays import check_npz
from rewindnet.clients.data.dataset import DataError
from rewindnet.pickles import unpickled
from rewindnet.reading import located, opened

ROOT_VARIABLE = "REWINDNET_DATA"

_DAMAGED = (OSError, ValueError, EOFError, NotImplementedError, zipfile.BadZipFile, zlib.error)


def data_root(root: Path | None) -> Path:
    """Return the folder of official files: `root`, else the environment variable REWINDNET_DATA, else ./data."""
    return located(root or os.environ.get(ROOT_VARIABLE) or "data", DataError)


Source = TypeVar("Source", bound=Callable[..., Any])


def reads(*files: Sequence[str]) -> Callable[[Source], Source]:
    """Say which files a data source reads under its root, so that their content is part of every run.

    Args:
        files: for each file the places where it is looked for, relative to the root; the first that is there is read.
    """

    def mark(source: Source) -> Source:
        source.files_under_root = files  # type: ignore[attr-defined]
        return source

    return mark


def files_under_root(source: Callable[..., Any], root: Path) -> list[str]:
    """Return the places under a root at which a data source finds its files; see `reads`."""
    wanted: Sequence[Sequence[str]] = getattr(source, "files_under_root", ())
    found = (next((place for place in places if (root / place).is_file()), None) for places in wanted)
    return [place for place in found if place is not None]


def find(candidates: Sequence[Path], wanted: str) -> Path:
    """Return the first candidate that is a file.

    Args:
        candidates: the paths to look at, in order.
        wanted: the official distribution, for the error.

    Raises:
        DataError: if there is none.
    """
    for path in candidates:
        if path.is_file():
            return path
    looked = ", ".join(map(str, candidates))
    raise DataError(
        f"no such file: {looked}; set data.root, or the environment variable {ROOT_VARIABLE} "
        f"where the scenario sets none, to a folder that holds {wanted}"
    )


def read_bytes(path: Path) -> bytes:
    """Read the bytes of a file.

    Raises:
        DataError: if it cannot be read.
    """
    with opened(path, DataError) as file:
        return file.read()


def read_pickle(path: Path) -> Any:
    """Read the content of a pickle of plain values and arrays; nothing else in it is called or imported.

    Args:
        path: a pickle of any protocol, of Python 2 or 3.

    Raises:
        DataError: if the pickle asks for anything else, or is damaged.
    """
    return unpickled(read_bytes(path), str(path), DataError)


def read_arrays(path: Path, required: Sequence[str], optional: Sequence[str] = ()) -> dict[str, NDArray[Any]]:
    """Read the named arrays of an .npz archive; nothing in it is ever unpickled.

    Args:
        path: the archive.
        required: arrays that must be there.
        optional: arrays that are read if they are there.

    Raises:
        DataError: if the file is no valid .npz archive, or lacks an array, or an array holds Python objects.
    """
    # Opened here because numpy leaves a damaged archive's file open.
    with opened(path, DataError) as file:
        if file.read(2) == b"PK":
            check_npz(file, str(path), DataError)
        file.seek(0)
        try:
            archive = np.load(file, allow_pickle=False)
        except _DAMAGED as error:
            raise DataError(f"{path} is not an .npz archive of plain arrays, or is damaged ({error})") from None
        if not isinstance(archive, np.lib.npyio.NpzFile):
            raise DataError(f"{path} holds a single array; an .npz archive with {', '.join(required)} is needed")
        missing = [name for name in required if name not in archive]
        if missing:
            raise DataError(f"{path} lacks {', '.join(missing)}; it holds {', '.join(archive) or 'nothing'}")
        return {name: _member(path, archive, name) for name in [*required, *optional] if name in archive}


def _member(path: Path, archive: "np.lib.npyio.NpzFile", name: str) -> NDArray[Any]:
    try:
        array = np.asarray(archive[name])
    except _DAMAGED as error:
        raise DataError(f"{path}: the array {name} holds Python objects or is damaged ({error})") from None
    if array.ndim == 0:
        raise DataError(f"{path}: {name} is a single value; an array with a row per example is needed")
    return array
