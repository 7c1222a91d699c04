"""Read mixing matrices from files."""

from pathlib import Path
from pickle import UnpicklingError
from typing import Any
from zipfile import BadZipFile

import networkx as nx
import numpy as np
from scipy import sparse

from rewindnet.topologies.errors import TopologyError
from rewindnet.topologies.files import is_number, text_lines
from rewindnet.topologies.mixing import canonical, validate


def weights_from_file(graph: nx.Graph, *, path: str, symmetric: bool = True) -> sparse.csr_array:
    """Read a mixing matrix from a .npy, .npz (scipy sparse), .csv or .txt file, and check it against the graph.

    A text file has one row of the matrix in each line, separated by commas or else by whitespace; `#` begins a comment.

    Args:
        graph: the graph on the nodes 0..N-1.
        path: the file.
        symmetric: whether the matrix must be symmetric.

    Raises:
        TopologyError: if the file cannot be read, or does not hold a mixing matrix of this graph; see `validate`.
    """
    suffix = Path(path).suffix.lower()
    if suffix in (".npy", ".npz"):
        matrix = _binary(path, sparse.load_npz if suffix == ".npz" else np.load)
    elif suffix in (".csv", ".txt"):
        matrix = _numbers(path)
    else:
        raise TopologyError(f"a mixing matrix is read from .npy, .npz, .csv or .txt, not from '{path}'")
    weights = canonical(matrix)
    validate(weights, graph, symmetric=symmetric)
    return weights


def _binary(path: str, load: Any) -> Any:
    """Return the matrix in a numpy or scipy file."""
    try:
        matrix = load(path)
        if isinstance(matrix, sparse.csr_array | sparse.csc_array | sparse.csr_matrix | sparse.csc_matrix):
            matrix.check_format(full_check=True)
    except FileNotFoundError as error:
        raise TopologyError(f"'{path}' cannot be read: {error.strerror}") from error
    except (OSError, ValueError, EOFError, KeyError, BadZipFile, UnpicklingError) as error:
        raise TopologyError(f"'{path}' holds no matrix of its kind: {error}") from error
    if matrix.ndim != 2 or matrix.dtype.kind not in "fiub":
        raise TopologyError(f"'{path}' must hold a table of real numbers, not {matrix.ndim} axes of {matrix.dtype}")
    return matrix


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
