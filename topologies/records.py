"""Convert a topology with its mixing matrix to plain data, and back."""

from collections.abc import Mapping
from typing import Any

import networkx as nx
import numpy as np
from scipy import sparse

from rewindnet.topologies.errors import TopologyError
from rewindnet.topologies.graphs.edges import edge_array, from_edges
from rewindnet.topologies.mixing import canonical, is_symmetric, validate
from rewindnet.topologies.spectral import spectral_gap

_GAP_TOLERANCE = 1e-6


def record(graph: nx.Graph, weights: sparse.csr_array) -> dict[str, Any]:
    """Return the record of a topology, which is plain JSON.

    Args:
        graph: the graph on the nodes 0..N-1; the node attribute `name`, where all nodes have it, is recorded too.
        weights: its mixing matrix [N, N].

    Returns:
        A dictionary with the keys nodes; names (only if there are any); edges, sorted pairs i < j; weights, sorted
        triples i, j, W_ij of all entries that are not 0; spectral_gap; symmetric.

    Raises:
        TopologyError: if weights is not a mixing matrix of the graph.
    """
    weights = canonical(weights)
    symmetric = weights.shape[0] == weights.shape[1] and is_symmetric(weights)
    validate(weights, graph, symmetric=symmetric)
    names = nx.get_node_attributes(graph, "name")
    entries = weights.tocoo()
    triples = zip(entries.row.tolist(), entries.col.tolist(), entries.data.tolist(), strict=True)
    return {
        "nodes": len(graph),
        **({"names": [str(names[node]) for node in graph]} if len(names) == len(graph) else {}),
        "edges": sorted(np.sort(edge_array(graph), axis=1).tolist()),
        "weights": [list(triple) for triple in triples],
        "spectral_gap": spectral_gap(weights),
        "symmetric": symmetric,
    }


def from_record(data: Mapping[str, Any]) -> tuple[nx.Graph, sparse.csr_array]:
    """Return the graph and the mixing matrix of a record, checked; the inverse of `record`.

    Args:
        data: the record.

    Raises:
        TopologyError: if something is missing or malformed, or a stated property of the matrix is wrong.
    """
    nodes = _nodes(data)
    ends, _ = _entries(data, "edges", nodes, width=2)
    graph = from_edges(nodes, ends)
    if graph.number_of_edges() != len(ends):
        raise TopologyError("a topology's record lists each of its edges once")
    if "names" in data:
        nx.set_node_attributes(graph, dict(enumerate(_names(data, nodes))), "name")
    places, values = _entries(data, "weights", nodes, width=3)
    weights = canonical(sparse.coo_array((values, (places[:, 0], places[:, 1])), shape=(nodes, nodes)))
    if weights.nnz != len(values):
        raise TopologyError("a topology's record lists each weight that is not 0 once")
    symmetric = _field(data, "symmetric", bool)
    validate(weights, graph, symmetric=symmetric)
    _check_properties(weights, symmetric, _field(data, "spectral_gap", float))
    return graph, weights


def _field(data: Mapping[str, Any], key: str, kind: type) -> Any:
    """Return the value of a key if it has the right type."""
    if not isinstance(data, Mapping) or key not in data:
        raise TopologyError(f"a topology's record needs the key '{key}'")
    value = data[key]
    if kind is float and type(value) is int and value in (0, 1):
        return float(value)
    if type(value) is not kind:
        raise TopologyError(f"'{key}' in a topology's record is a {kind.__name__}, not {value!r:.60}")
    return value


def _nodes(data: Mapping[str, Any]) -> int:
    """Return the number of nodes of a record."""
    nodes: int = _field(data, "nodes", int)
    if nodes < 1:
        raise TopologyError(f"'nodes' in a topology's record is at least 1, not {nodes}")
    return nodes


def _names(data: Mapping[str, Any], nodes: int) -> list[str]:
    """Return the node names of a record."""
    names: list[str] = _field(data, "names", list)
    if not all(type(name) is str for name in names) or not len(names) == nodes == len(set(names)):
        raise TopologyError(f"'names' in a topology's record are {nodes} different names, one a node")
    return names


def _entries(data: Mapping[str, Any], key: str, nodes: int, width: int) -> tuple[Any, Any]:
    """Return the index pairs [n, 2] and the last column [n] of a list of pairs or triples."""
    entries = _field(data, key, list)
    for place, entry in enumerate(entries):
        if not _is_entry(entry, nodes, width):
            shape = "[i, j]" if width == 2 else "[i, j, weight]"
            raise TopologyError(
                f"'{key}' in a topology's record are {shape} with nodes from 0 to {nodes - 1}; "
                f"number {place} is {entry!r:.60}"
            )
    pairs = np.array([entry[:2] for entry in entries], dtype=np.int64).reshape(-1, 2)
    return pairs, np.array([entry[-1] for entry in entries], dtype=np.float64)


def _is_entry(entry: Any, nodes: int, width: int) -> bool:
    """Return whether a value is a pair of nodes or a triple with a weight."""
    if not isinstance(entry, list | tuple) or len(entry) != width:
        return False
    ends = all(type(end) is int and 0 <= end < nodes for end in entry[:2])
    # JSON writers may turn 1.0 into 1.
    return ends and (width == 2 or type(entry[2]) is float or (type(entry[2]) is int and entry[2] in (0, 1)))


def _check_properties(weights: sparse.csr_array, symmetric: bool, gap: float) -> None:
    """Refuse a record whose symmetry or spectral gap is not that of its weights."""
    if is_symmetric(weights) != symmetric:
        raise TopologyError("a topology's record says that its weights are not symmetric, but they are")
    actual = spectral_gap(weights)
    if not abs(actual - gap) <= _GAP_TOLERANCE:
        raise TopologyError(f"a topology's record claims the spectral gap {gap}, but its weights have {actual}")
