"""Read pickles of plain values and arrays without trusting them: nothing else in them is called or imported."""

import io
import pickle
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import sparse

from rewindnet.arrays import check_memory
from rewindnet.errors import UserError


def unpickled(content: bytes, what: str, error: type[UserError] = UserError) -> Any:
    """Return the content of a pickle of plain values, numpy arrays, sparse matrices and dictionaries of lists.

    Args:
        content: a pickle of any protocol, of Python 2 or 3.
        what: it is, for the message.
        error: what to raise.

    Raises:
        UserError: if the pickle asks for anything else, or is damaged.
    """
    try:
        return _ArraysOnly(io.BytesIO(content), encoding="latin1").load()
    except _RefusedError as refused:
        raise error(f"{what} asks for {refused}; only plain values and numpy arrays are read") from None
    except Exception as problem:  # damaged pickles raise nearly every built-in exception
        raise error(f"{what} is a damaged pickle ({type(problem).__name__}: {problem})") from None


class SparseRows:
    """A sparse matrix as old versions of scipy wrote it, known by the arrays in its pickle."""

    def __setstate__(self, state: Any) -> None:
        self._state = dict(state)

    def toarray(self) -> Any:
        """Return the matrix as an array [n, p].

        Raises:
            ValueError: if its parts do not fit together.
        """
        parts = [self._state.get(name) for name in ("data", "indices", "indptr")]
        shape = self._state.get("_shape", self._state.get("shape"))
        if not all(isinstance(part, np.ndarray) for part in parts) or not isinstance(shape, tuple):
            raise ValueError("it is no sparse matrix in rows")
        matrix = sparse.csr_array(tuple(parts), shape=shape)
        matrix.check_format(full_check=True)
        check_memory(matrix.shape[0] * matrix.shape[1] * matrix.dtype.itemsize, "the matrix")
        return matrix.toarray()


class _RefusedError(Exception):
    """A pickle asks for a name that it may not import; the message is that name."""


class _ArraysOnly(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise _RefusedError(f"{module}.{name}")
        return _ALLOWED[module, name]


def _latin1(text: str, encoding: str) -> bytes:
    if encoding != "latin1":
        raise _RefusedError(f"the codec {encoding}")
    return text.encode("latin1")


# How numpy names its array constructor depends on the version that wrote the pickle; this is the one at hand.
_RECONSTRUCT: Callable[..., Any] = np.empty(0).__reduce__()[0]  # type: ignore[assignment]
_ALLOWED: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy.core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy._core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("_codecs", "encode"): _latin1,
    ("scipy.sparse.csr", "csr_matrix"): SparseRows,
    ("scipy.sparse._csr", "csr_matrix"): SparseRows,
    ("collections", "defaultdict"): defaultdict,
    ("__builtin__", "list"): list,
    ("builtins", "list"): list,
}
