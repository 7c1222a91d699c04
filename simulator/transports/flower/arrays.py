"""Arrays on Flower's wire: the raw bytes of a numpy array, little-endian, its dtype and shape beside them."""

import sys

import numpy as np
from flwr.app import Array
from numpy.typing import NDArray

from rewindnet.simulator.transports.flower.errors import FlowerError

#: How the bytes are to be read. Flower's own `np.save`, "numpy.ndarray", costs twenty times as much at 400 kB.
STYPE = "raw.little-endian"
_KINDS = "biufc"
_NATIVE = sys.byteorder == "little"


def pack(array: NDArray[np.generic]) -> Array:
    """Return the array as Flower carries it.

    Args:
        array: booleans or numbers, of any shape and order in memory.

    Returns:
        A copy: the array may be overwritten at once.

    Raises:
        FlowerError: for any other kind of array.
    """
    if array.dtype.kind not in _KINDS:
        raise FlowerError(f"an array of {array.dtype} does not travel; booleans and numbers do")
    if not _NATIVE or not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("<"))
    return Array(array.dtype.name, array.shape, STYPE, array.tobytes())


def unpack(array: Array) -> NDArray[np.generic]:
    """Return the array that was packed.

    Returns:
        A view of the bytes that came, read-only: copy it to write on it or to hand it to `torch.from_numpy`.

    Raises:
        FlowerError: if it was not packed by `pack`, or its bytes do not fill its shape.
    """
    if array.stype != STYPE:
        raise FlowerError(f"an array came as {array.stype!r}; {STYPE!r} is understood")
    try:
        dtype = np.dtype(array.dtype)
        if dtype.kind not in _KINDS:
            raise FlowerError(f"an array of {array.dtype} does not travel; booleans and numbers do")
        return np.frombuffer(array.data, dtype.newbyteorder("<")).reshape(array.shape)
    except (TypeError, ValueError) as error:
        raise FlowerError(
            f"an array of {array.dtype} with shape {array.shape} came with {len(array.data)} bytes: {error}"
        ) from error
