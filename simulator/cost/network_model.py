"""The network model: the delay of messages, and the speed of each node.

A kind is a function `kind(graph, seed, *, settings) -> NetworkModel` and a line in `NETWORK_MODELS`; keyword-only
settings are what a scenario sets. All kinds take the settings of the nominal link, `latency` and `bandwidth`, and of
the nodes: `stragglers`, the share of them that are slow, drawn at random and rounded to whole nodes; `slowdown`, how
many times as long a slow one takes; and `gradient_seconds`, how long a nominal one takes for a per-sample gradient.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import networkx as nx
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from rewindnet.registry import Registry
from rewindnet.topologies.errors import TopologyError

Floats = NDArray[np.float64]


def _none(dtype: type) -> Callable[[], NDArray[Any]]:
    return lambda: np.empty(0, dtype=dtype)


@dataclass(frozen=True, eq=False)
class NetworkModel:
    """The latency and bandwidth of links, and the speed of nodes.

    Every directed edge has a latency and a bandwidth: those given for it here, or else the nominal ones. Two nodes that
    are not linked in the graph can send each other messages all the same, as with a server that averages all nodes or a
    token that is handed to any node: such a message is relayed, and takes as long as over one nominal link. Links do
    not get in each other's way: a node that sends to eight neighbours does so over eight links at once.

    Args:
        nominal_latency: seconds, of a link of which nothing else is said.
        nominal_bandwidth: bytes a second, of such a link.
        slowness: [N], positive: how many times as long as a nominal node each node takes to compute.
        gradient_seconds: the seconds that a nominal node takes for a per-sample gradient.
        places: [m], ascending: i·N + j for every directed edge, from j to i, that has values of its own.
        latency: [m], their seconds, 0 or more.
        bandwidth: [m], their bytes a second, positive.

    Raises:
        TopologyError: if the arrays do not fit together, or a value is out of range.
    """

    nominal_latency: float
    nominal_bandwidth: float
    slowness: Floats
    gradient_seconds: float
    places: NDArray[np.int64] = field(default_factory=_none(np.int64))
    latency: Floats = field(default_factory=_none(np.float64))
    bandwidth: Floats = field(default_factory=_none(np.float64))

    def __post_init__(self) -> None:
        if not self.places.shape == self.latency.shape == self.bandwidth.shape == (self.places.size,):
            raise TopologyError("links have as many latencies and bandwidths as places, one for each directed edge")
        inside = not self.places.size or (self.places[0] >= 0 and self.places[-1] < self.nodes**2)
        if not (inside and np.all(self.places[1:] > self.places[:-1])):
            raise TopologyError(
                f"the places of links on {self.nodes} nodes ascend from 0 to {self.nodes**2 - 1} at most"
            )
        latencies, bandwidths = (self.nominal_latency, self.latency), (self.nominal_bandwidth, self.bandwidth)
        if not all(np.all((seconds >= 0) & (seconds < np.inf)) for seconds in (*latencies, self.gradient_seconds)):
            raise TopologyError("latencies and the time for a gradient are finite numbers of seconds, 0 or more")
        if not all(np.all((positive > 0) & (positive < np.inf)) for positive in (*bandwidths, self.slowness)):
            raise TopologyError("bandwidths and the slowness of nodes are finite positive numbers")

    @property
    def nodes(self) -> int:
        """N, the number of nodes."""
        return len(self.slowness)

    def delays(self, W: csr_array, size: int) -> Floats:
        """Return the seconds that messages take, latency + size/bandwidth: [nnz], in the order of W's stored entries.

        Args:
            W: [N, N], of any values: a stored entry (i, j) is a message from j to i. One with i = j takes no time.
            size: of every message, in bytes.

        Raises:
            TopologyError: if W is not of this network's size.
        """
        if W.shape != (self.nodes, self.nodes):
            raise TopologyError(
                f"links on {self.nodes} nodes carry no messages of a {' × '.join(map(str, W.shape))} matrix"
            )
        receivers = np.repeat(np.arange(self.nodes), np.diff(W.indptr))
        apart = receivers != W.indices
        seconds = np.zeros(W.indices.size)
        seconds[apart] = self._on_the_way(receivers[apart] * self.nodes + W.indices[apart], size)
        return seconds

    def _on_the_way(self, places: NDArray[np.int64], size: int) -> Floats:
        """Return the seconds from node to node."""
        own = self.latency + size / self.bandwidth
        if np.array_equal(places, self.places):
            return own
        nominal = self.nominal_latency + size / self.nominal_bandwidth
        if not self.places.size:
            return np.full(places.size, nominal)
        at = np.minimum(np.searchsorted(self.places, places), self.places.size - 1)
        return np.where(self.places[at] == places, own[at], nominal)


#: Called as `kind(graph, seed, *, settings)`.
NETWORK_MODELS: Registry[Callable[..., NetworkModel]] = Registry(
    "network model",
    {
        "uniform": "rewindnet.simulator.cost.network_kinds:uniform",
        "heterogeneous": "rewindnet.simulator.cost.network_kinds:heterogeneous",
        "file": "rewindnet.simulator.cost.link_files:measured_links",
    },
    TopologyError,
)


def build_network_model(kind: str, graph: nx.Graph, seed: int, **settings: Any) -> NetworkModel:
    """Return the network model of a kind of `NETWORK_MODELS` on a graph.

    Raises:
        TopologyError: if there is no such kind or setting, or a setting is out of range.
    """
    built: NetworkModel = NETWORK_MODELS.build(kind, graph, seed, **settings)
    return built
