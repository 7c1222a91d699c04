"""Read matrices from files by numpy and scipy, and the links that an adjacency matrix has."""

import io
import math
from typing import Any

import numpy as np
from scipy import sparse
from scipy.io import loadmat, mminfo, mmread, whosmat

from rewindnet.arrays import check_memory, check_npz, load_npy
from rewindnet.reading import content_of
from rewindnet.topologies.errors import TopologyError
from rewindnet.topologies.links import Links, suffix_of

#: The suffixes of files with a matrix, which may also be a list of links [m, 2] in a .npy file.
MATRICES = (".npy", ".npz", ".mtx", ".mat")


def matrix_links(matrix: Any, path: str, names: list[str] | None = None) -> Links:
    """Return a link for each entry of an adjacency matrix that is not 0.

    Args:
        matrix: [N, N], sparse or dense.
        path: the file, for the message.
        names: of its rows; their numbers by default.

    Raises:
        TopologyError: if it is not square, or holds something other than finite numbers.
    """
    if getattr(matrix, "ndim", 0) != 2 or matrix.dtype.kind not in "fiub":
        raise TopologyError(f"'{path}' holds no table of real numbers")
    if matrix.shape[0] != matrix.shape[1]:
        size = " × ".join(map(str, matrix.shape))
        raise TopologyError(f"an adjacency matrix has as many rows as columns; that in '{path}' is {size}")
    entries = sparse.coo_array(matrix)
    entries.sum_duplicates()
    if not np.isfinite(entries.data).all():
        raise TopologyError(f"the adjacency matrix in '{path}' has an entry that is not finite")
    row, column = (index[entries.data != 0].tolist() for index in (entries.row, entries.col))
    names = list(map(str, range(matrix.shape[0]))) if names is None else names
    mirrored = set(zip(column, row, strict=True)) == set(zip(row, column, strict=True))
    # Of a symmetric matrix one entry a link is enough: its mirror image says nothing more.
    pairs = [(names[i], names[j]) for i, j in zip(row, column, strict=True) if not mirrored or i <= j]
    return Links(names, pairs, not mirrored)


def array_of(path: str) -> Any:
    """Return the matrix in a .npy file, a .npz archive of scipy or of one array, a MatrixMarket or a MATLAB file.

    Args:
        path: the file, which may be gzipped.

    Raises:
        TopologyError: if it cannot be read, or holds no such matrix.
    """
    content = content_of(path, TopologyError)
    try:
        if content[:2] == b"PK":
            check_npz(io.BytesIO(content), f"'{path}'", TopologyError)
            return _archived(content, path)
        if content.startswith(b"%%MatrixMarket"):
            rows, columns, entries, form, *_ = mminfo(io.BytesIO(content))
            if entries * (4 if form == "coordinate" else 2) > len(content) + 4 or max(rows, columns) > 10**7:
                raise ValueError(f"its header announces {rows} × {columns} with {entries} entries")
            return mmread(io.BytesIO(content), spmatrix=False)
        if suffix_of(path) == ".mat":
            return _matlab(content, path)
        return load_npy(content, f"'{path}'", TopologyError)
    except TopologyError as problem:
        raise TopologyError(f"{problem}: it holds no matrix of its kind") from None
    except (OSError, ValueError, EOFError, KeyError, TypeError, OverflowError, IndexError) as problem:
        raise TopologyError(f"'{path}' holds no matrix of its kind: {problem}") from None


def _archived(content: bytes, path: str) -> Any:
    """Return the matrix in an .npz archive."""
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        names = list(archive)
        if "format" not in names:
            if len(names) != 1:
                raise ValueError(f"it holds {', '.join(names) or 'nothing'}; one array, or a sparse matrix of scipy")
            return archive[names[0]]
    matrix = sparse.load_npz(io.BytesIO(content))
    if hasattr(matrix, "check_format"):
        matrix.check_format(full_check=True)
    if max(matrix.shape) > 10**7:
        raise ValueError(f"its shape is {matrix.shape}")
    return matrix


def _matlab(content: bytes, path: str) -> Any:
    """Return the matrix in a MATLAB file: the only square one, or that called A or adj…."""
    try:
        announced = whosmat(io.BytesIO(content))
        if max((max(shape, default=0) for _, shape, _ in announced), default=0) > 10**7:
            raise ValueError("it announces a matrix of more than ten million rows or columns")
        for name, shape, kind in announced:
            if kind != "sparse":
                check_memory(math.prod(map(float, shape)) * 8, f"{name} in '{path}'", TopologyError)
        found = {
            name: value for name, value in loadmat(io.BytesIO(content), spmatrix=False).items() if name[:2] != "__"
        }
    except TopologyError:
        raise
    except NotImplementedError:
        raise ValueError("it is of MATLAB 7.3, which is HDF5; save it with the option -v7") from None
    except Exception as problem:  # damaged files raise nearly every built-in exception
        raise ValueError(f"it is no MATLAB file, or is damaged ({type(problem).__name__}: {problem})") from None
    # The SuiteSparse collection keeps the matrix in a field of a structure.
    structures = [value for value in found.values() if getattr(getattr(value, "dtype", None), "names", None)]
    for value in structures:
        found |= {name: value[name].flat[0] for name in value.dtype.names if value.size == 1}
    square = {name: value for name, value in found.items() if _is_square(value)}
    called = [name for name in square if name == "A" or name.lower().startswith("adj")]
    chosen = list(square) if len(square) == 1 else called
    if len(chosen) != 1:
        raise ValueError(
            f"it holds {', '.join(found) or 'nothing'}; one square matrix, or one called A or adj, is needed"
        )
    return square[chosen[0]]


def _is_square(value: Any) -> bool:
    """Return whether a value is a matrix of numbers with as many rows as columns, and more than one."""
    shape: tuple[int, ...] = getattr(value, "shape", ())
    return len(shape) == 2 and shape[0] == shape[1] > 1 and value.dtype.kind in "fiub"
