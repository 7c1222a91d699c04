"""The IDX format of the MNIST family, plain or gzipped."""

import math
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rewindnet.clients.data.dataset import DataError
from rewindnet.clients.data.files import read_bytes

IMAGES = 0x0803
LABELS = 0x0801
INTEGER_TABLE = 0x0C02

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
    raw, whole = _unzipped(path, read_bytes(path))
    number = int.from_bytes(raw[:4], "big")
    if len(raw) >= 4 and number != magic:
        raise DataError(f"{path} has the magic number {number}, {magic} was expected: it is another kind of file")
    start = 4 + 4 * (magic & 0xFF)
    if len(raw) < start:
        raise DataError(f"{path} is truncated: {len(raw)} bytes found, its header alone takes {start}")
    shape = struct.unpack_from(f">{magic & 0xFF}I", raw, 4)
    dtype = _DTYPES[magic >> 8]
    expected = start + math.prod(shape) * dtype.itemsize
    if len(raw) != expected or not whole:
        problem = "does not match its header" if whole else "is a gzip file that ends early"
        size = "×".join(map(str, shape))
        raise DataError(f"{path} {problem}: {expected} bytes expected for {size} values, {len(raw)} found")
    return np.frombuffer(raw, dtype, offset=start).reshape(shape)


def _unzipped(path: Path, raw: bytes) -> tuple[bytes, bool]:
    """Return the content, and whether the gzip stream reached its end (always so for a plain file)."""
    if raw[:2] != b"\x1f\x8b":
        return raw, True
    # zlib rather than gzip: it hands over what a truncated file still holds, so that the error can count it.
    stream = zlib.decompressobj(wbits=31)
    try:
        return stream.decompress(raw), stream.eof
    except zlib.error as error:
        raise DataError(f"{path} is a damaged gzip file ({error})") from None
