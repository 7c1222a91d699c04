"""Read mixing matrices from files."""

from typing import Any

import networkx as nx
import numpy as np
from scipy import sparse

from rewindnet.errors import notice
from rewindnet.topologies.errors import TopologyError
from rewindnet.topologies.link_lists import is_number, text_lines
from rewindnet.topologies.links import suffix_of
from rewindnet.topologies.matrix_files import MATRICES, array_of
from rewindnet.topologies.mixing import TOLERANCE, canonical, validate

#: The tolerance within which a matrix is taken for a mixing matrix that was rounded to single precision.
ROUNDING = 1e-6


def weights_from_file(graph: nx.Graph, *, path: str, symmetric: bool = True) -> sparse.csr_array:
    """Read a mixing matrix from a .npy, .npz, .mtx, .mat, .csv or .txt file, and check it against the graph.

    A text file has one row of the matrix in each line, separated by commas or else by whitespace; `#` begins a comment.
    Rows and mirrored entries of a matrix in single precision are off by its rounding. Where all rows sum to 1, and, if
    the matrix must be symmetric, all mirrored entries agree, to within `ROUNDING`, mirrored entries are replaced by
    their mean and each diagonal entry by what the rest of its row leaves, in float64; a notice says so. The matrix
    that is returned is exactly symmetric then, so its columns sum to 1 as its rows do.

    Args:
        graph: the graph on the nodes 0..N-1.
        path: the file; `~` is the home directory.
        symmetric: whether the matrix must be symmetric.

    Raises:
        TopologyError: if the file cannot be read, or does not hold a mixing matrix of this graph; see `validate`.
    """
    suffix = suffix_of(path)
    if suffix in MATRICES:
        matrix = array_of(path)
        if matrix.ndim != 2 or matrix.dtype.kind not in "fiub":
            raise TopologyError(f"'{path}' must hold a table of real numbers, not {matrix.ndim} axes of {matrix.dtype}")
    elif suffix in (".csv", ".txt"):
        matrix = _numbers(path)
    else:
        raise TopologyError(f"a mixing matrix is read from .npy, .npz, .mtx, .mat, .csv or .txt, not from '{path}'")
    if matrix.shape != (len(graph), len(graph)):
        size = " × ".join(map(str, matrix.shape))
        raise TopologyError(f"the mixing matrix of {len(graph)} nodes is {len(graph)} × {len(graph)}, not {size}")
    weights = _without_rounding(canonical(matrix), path, symmetric)
    validate(weights, graph, symmetric=symmetric)
    return weights


def _without_rounding(W: sparse.csr_array, path: str, symmetric: bool) -> sparse.csr_array:
    """Return the matrix with rows that sum to 1, if all that is wrong with it is rounding; else as it is."""
    if not np.isfinite(W.data).all():
        return W
    rows, columns = (float(np.abs(W.sum(axis=axis) - 1).max(initial=0)) for axis in (1, 0))
    if rows > ROUNDING >= columns:
        raise TopologyError(
            f"the columns of the mixing matrix in '{path}' sum to 1 and its rows do not: it is written for messages "
            "that are sent, and row i must hold the weights of what node i receives; transpose it"
        )
    mirrored = float(np.abs((W - W.T).data).max(initial=0)) if symmetric else 0.0
    if rows > ROUNDING or mirrored > ROUNDING or max(rows, mirrored) <= TOLERANCE:
        return W
    rest = sparse.csr_array((W + W.T) / 2 if symmetric else W)
    rest.setdiag(0)
    whole = canonical(rest + sparse.diags_array(1 - rest.sum(axis=1), format="csr"))
    notice(
        f"'{path}': the rows of the mixing matrix are off by up to {max(rows, mirrored):.1g}, as by single precision; "
        "the diagonal was set in double precision so that they sum to 1"
    )
    return whole


def _numbers(path: str) -> Any:
    """Return the matrix in a text file."""
    rows: list[list[float]] = []
    for number, fields in text_lines(path):
        if not all(map(is_number, fields)):
            raise TopologyError(f"line {number} of '{path}' is not a row of numbers")
        if rows and len(fields) != len(rows[0]):
            raise TopologyError(
                f"line {number} of '{path}' has {len(fields)} numbers, but the first row has {len(rows[0])}"
            )
        rows.append([float(field) for field in fields])
    if not rows:
        raise TopologyError(f"'{path}' holds no numbers")
    return np.array(rows)
