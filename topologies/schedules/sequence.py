"""A mixing schedule that repeats a given list of graphs."""

import networkx as nx
import numpy as np
from scipy import sparse

from rewindnet.topologies.errors import TopologyError
from rewindnet.topologies.files import links_from_file
from rewindnet.topologies.graphs.edges import from_edges, is_connected
from rewindnet.topologies.mixing import max_degree, metropolis_hastings
from rewindnet.topologies.schedules.base import Static

_RULES = {"metropolis-hastings": metropolis_hastings, "max-degree": max_degree}


class Graphs(Static):
    """The graphs of a list, one after the other, repeated from the first; each is weighted by a mixing rule.

    Args:
        graph: the topology; every link in the list must be one of its links.
        weights: its mixing matrix; not used.
        seed: not used.
        departed: the nodes that have left, whose links are removed.
        graphs: the list; each graph is an edge list in a file (.txt, .edges, .csv, .tsv; with the topology's names or
            numbers), or a list of pairs of nodes.
        rounds: the number of rounds that each graph lasts.
        rule: metropolis-hastings or max-degree.

    Raises:
        TopologyError: if the list is empty, a graph has a link that the topology does not have, or the union of the
            graphs is not connected.
    """

    def __init__(
        self,
        graph: nx.Graph,
        weights: sparse.csr_array,
        seed: int = 0,
        departed: tuple[int, ...] = (),
        *,
        graphs: list[str | list[list[int]]],
        rounds: int = 1,
        rule: str = "metropolis-hastings",
    ) -> None:
        super().__init__(graph, weights, seed, departed)
        if not graphs or rounds < 1:
            raise TopologyError("the schedule graphs takes at least one graph, for at least one round each")
        if rule not in _RULES:
            raise TopologyError(f"the schedule graphs takes the rule {' or '.join(_RULES)}, not {rule!r}")
        lists = [self._links(index, given) for index, given in enumerate(graphs)]
        union = from_edges(self.nodes, np.concatenate(lists))
        if not is_connected(union):
            parts = nx.number_connected_components(union)
            raise TopologyError(
                f"the {len(graphs)} graphs of the schedule never connect: all of them together leave {parts} parts "
                "without links to each other"
            )
        self.recorded = {"graphs": [links.tolist() for links in lists]}
        remaining = [links[~self._departed[links].any(axis=1)] for links in lists]
        self._rounds, self._matrices = rounds, [_RULES[rule](from_edges(self.nodes, links)) for links in remaining]

    def _links(self, index: int, given: str | list[list[int]]) -> np.ndarray:
        """Return the links [m, 2] of a graph in the list, sorted, each once."""
        links = links_from_file(self.graph, given) if isinstance(given, str) else _pairs(index, given)
        outside = links[(links < 0).any(axis=1) | (links >= self.nodes).any(axis=1) | (links[:, 0] == links[:, 1])]
        if len(outside):
            raise TopologyError(
                f"graph {index} of the schedule links {outside[0].tolist()}; "
                f"it takes two of the nodes 0 to {self.nodes - 1}"
            )
        links = np.unique(np.sort(links, axis=1), axis=0)
        in_topology = np.isin(
            links[:, 0] * self.nodes + links[:, 1], self._edges[:, 0] * self.nodes + self._edges[:, 1]
        )
        if not in_topology.all():
            missing = links[int(np.argmin(in_topology))].tolist()
            raise TopologyError(
                f"graph {index} of the schedule links {missing[0]} and {missing[1]}, which the topology does not; "
                "choose a topology with every link that can occur, such as complete"
            )
        return links

    def _matrix(self, round: int) -> sparse.csr_array:
        return self._matrices[round // self._rounds % len(self._matrices)]


def _pairs(index: int, given: list[list[int]]) -> np.ndarray:
    """Return a list of pairs of nodes as an array [m, 2]."""
    if not all(isinstance(pair, list | tuple) and len(pair) == 2 for pair in given):
        raise TopologyError(f"graph {index} of the schedule is a file or a list of pairs of nodes, not {given!r:.60}")
    return np.array(given, dtype=np.int64).reshape(-1, 2)
