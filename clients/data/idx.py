"""The IDX format of the MNIST family, plain or gzipped."""

import math
import struct
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from rewindnet.arrays import check_memory
from rewindnet.clients.data.dataset import DataError
from rewindnet.reading import unzipped

IMAGES = 0x0803
LABELS = 0x0801
INTEGER_TABLE = 0x0C02

_PIECE = 2**16

_DTYPES: dict[int, np.dtype[Any]] = {0x08: np.dtype(">u1"), 0x0C: np.dtype(">i4")}


def read_idx(path: Path, magic: int) -> NDArray[Any]:
    """Read the array in an IDX file: big-endian, a magic number, the sizes as uint32, then the values.

    Args:
        path: the file, plain or gzipped (told by its first two bytes, not by its name).
        magic: the magic number it must have; its low byte is the number of dimensions and the one above it
            the type (0x08 uint8, 0x0C int32).

    Returns:
        A read-only array of the announced shape.

    Raises:
        DataError: if the file cannot be read or unzipped, has another magic number, or is too short or too
            long.
    """
    with unzipped(path, DataError) as file:
        raw, whole = _header_and_values(path, file, magic)
    start = 4 + 4 * (magic & 0xFF)
    shape = struct.unpack_from(f">{magic & 0xFF}I", raw, 4)
    dtype = _DTYPES[magic >> 8]
    expected = start + math.prod(shape) * dtype.itemsize
    if len(raw) != expected or not whole:
        problem = "does not match its header" if whole else "is a gzip file that ends early"
        size = "×".join(map(str, shape))
        found = f"more than {expected}" if len(raw) > expected else len(raw)
        raise DataError(f"{path} {problem}: {expected} bytes expected for {size} values, {found} found")
    return np.frombuffer(raw, dtype, offset=start).reshape(shape)


def _header_and_values(path: Path, file: BinaryIO, magic: int) -> tuple[bytes, bool]:
    """Return what the header announces and at most one byte more, and whether the file did not end early."""
    start = 4 + 4 * (magic & 0xFF)
    raw, whole = _read(file, start)
    number = int.from_bytes(raw[:4], "big")
    if len(raw) >= 4 and number != magic:
        raise DataError(f"{path} has the magic number {number}, {magic} was expected: it is another kind of file")
    if len(raw) < start:
        raise DataError(f"{path} is truncated: {len(raw)} bytes found, its header alone takes {start}")
    size = math.prod(struct.unpack_from(f">{magic & 0xFF}I", raw, 4)) * _DTYPES[magic >> 8].itemsize
    check_memory(size, str(path), DataError)
    values, whole = _read(file, size + 1)
    return raw + values, whole


def _read(file: BinaryIO, size: int) -> tuple[bytes, bool]:
    """Read so many bytes, or all there are; return them, and whether a gzip file did not end early."""
    parts: list[bytes] = []
    while size > 0:
        try:
            parts.append(file.read(min(size, _PIECE)))
        except EOFError:
            return b"".join(parts), False
        if not parts[-1]:
            break
        size -= len(parts[-1])
    return b"".join(parts), True
