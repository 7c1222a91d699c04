"""Check what numpy files announce before memory is taken for it."""

import hashlib
import io
import math
import os
import zipfile
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from rewindnet.errors import UserError

_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def sha256_of(array: NDArray[Any]) -> str:
    """Return the sha256 of the numbers of an array in their order, little-endian."""
    return hashlib.sha256(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes()).hexdigest()


def check_memory(size: float, what: str, error: type[UserError] = UserError) -> None:
    """Refuse what would take more memory than this machine has.

    Args:
        size: in bytes.
        what: it is, for the message.
        error: what to raise.

    Raises:
        UserError: if it is larger than all memory of this machine.
    """
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if size > memory:
        raise error(f"{what} would take {size / 1e9:,.1f} GB of memory; this machine has {memory / 1e9:,.1f} GB")


def check_npy(file: BinaryIO, size: int, what: str, error: type[UserError] = UserError) -> None:
    """Refuse a .npy stream whose header announces more than it holds, or Python objects.

    Args:
        file: the stream, at its beginning.
        size: of the stream in bytes, header included.
        what: it is, for the message.
        error: what to raise.

    Raises:
        UserError: if the header is damaged, or does not match the size.
    """
    try:
        version = np.lib.format.read_magic(file)
        if version not in _HEADERS:
            raise ValueError(f"its format has the version {version}")
        shape, _, dtype = _HEADERS[version](file)
    except (ValueError, EOFError, OSError) as problem:
        raise error(f"{what} is no numpy array, or is damaged ({problem})") from None
    if dtype.hasobject:
        raise error(f"{what} holds Python objects, which are not read")
    announced, found = math.prod(shape) * dtype.itemsize, size - file.tell()
    if announced != found:
        raise error(f"{what} does not match its header: {announced} bytes expected for {shape}, {found} found")
    check_memory(announced, what, error)


def check_npz(file: BinaryIO, what: str, error: type[UserError] = UserError) -> None:
    """Refuse an .npz archive in which an array announces more than it holds, or Python objects.

    Args:
        file: the archive, at any place; it is at its beginning afterwards.
        what: it is, for the message.
        error: what to raise.

    Raises:
        UserError: if it is no archive, is damaged, or one of its arrays does not match its header.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            members = [member for member in archive.infolist() if member.filename.endswith(".npy")]
            check_memory(sum(member.file_size for member in members), what, error)
            for member in members:
                with archive.open(member) as stream:
                    check_npy(cast(BinaryIO, stream), member.file_size, f"{what}: {member.filename}", error)
    except UserError:
        raise
    # NotImplementedError, RuntimeError: compressed or encrypted in a way that Python does not know.
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, NotImplementedError, RuntimeError) as problem:
        raise error(f"{what} is no .npz archive, or is damaged ({problem})") from None
    file.seek(0)


def load_npy(content: bytes, what: str, error: type[UserError] = UserError) -> Any:
    """Return the array [any shape] in the bytes of a .npy file.

    Args:
        content: the bytes.
        what: it is, for the message.
        error: what to raise.

    Raises:
        UserError: as `check_npy`.
    """
    check_npy(io.BytesIO(content), len(content), what, error)
    return np.load(io.BytesIO(content), allow_pickle=False)
