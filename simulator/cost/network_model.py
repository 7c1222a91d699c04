"""Links: how long a message is on its way, and how fast each node computes.

A kind of links is a function `kind(graph, seed, *, settings) -> Links` and a line in `LINKS`; keyword-only settings are
what a scenario sets. All kinds take the settings of the nominal link, `latency` and `bandwidth`, and of the nodes:
`stragglers`, the share of them that are slow, drawn at random and rounded to whole nodes; `slowdown`, how many times as
long a slow one takes; and `gradient_seconds`, how long a nominal one takes for a per-sample gradient.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.special import ndtri

from rewindnet.registry import Registry
from rewindnet.topologies.errors import TopologyError
from rewindnet.topologies.files import is_number, text_lines
from rewindnet.topologies.graphs.edges import Edges, edge_array
from rewindnet.topologies.rng import Stream, rng_at

Floats = NDArray[np.float64]

LATENCY = 0.02
BANDWIDTH = 12.5e6
"""Peers on the internet: 20 ms from one to another, 100 Mbit/s."""

STRAGGLERS = 0.0
SLOWDOWN = 10.0
GRADIENT_SECONDS = 1e-5

_RANGES = {
    "latency": (0, 1e6, "seconds"),
    "bandwidth": (1, 1e12, "bytes a second"),
    "spread": (0, 5, "(a standard deviation of the logarithm)"),
    "stragglers": (0, 1, "(a share of the nodes)"),
    "slowdown": (1, 1e6, "times a nominal node's time"),
    "gradient_seconds": (0, 1e6, "seconds"),
}


def _none(dtype: type) -> Callable[[], NDArray[Any]]:
    return lambda: np.empty(0, dtype=dtype)


@dataclass(frozen=True, eq=False)
class NetworkModel:
    """What a network can carry and compute, and how fast.

    Every directed edge has a latency and a bandwidth: those given for it here, or else the nominal ones. Two nodes that
    are not linked in the graph can send each other messages all the same, as with a server that averages everybody or a
    token that is handed to anyone: such a message is relayed, and takes as long as over one nominal link. Links do not
    get in each other's way: a node that sends to eight neighbours does so over eight links at once.

    Args:
        nominal_latency: seconds, of a link of which nothing else is said.
        nominal_bandwidth: bytes a second, of such a link.
        slowness: [N], positive: how many times as long as a nominal node each node takes to compute.
        gradient_seconds: that a nominal node takes for a per-sample gradient.
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
        """The seconds that messages take, latency + size/bandwidth: [nnz], in the order in which W stores its entries.

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
        """The seconds from node to node."""
        own = self.latency + size / self.bandwidth
        if np.array_equal(places, self.places):
            return own
        nominal = self.nominal_latency + size / self.nominal_bandwidth
        if not self.places.size:
            return np.full(places.size, nominal)
        found = np.minimum(np.searchsorted(self.places, places), self.places.size - 1)
        return np.where(self.places[found] == places, own[found], nominal)


def uniform(
    graph: nx.Graph,
    seed: int,
    *,
    latency: float = LATENCY,
    bandwidth: float = BANDWIDTH,
    stragglers: float = STRAGGLERS,
    slowdown: float = SLOWDOWN,
    gradient_seconds: float = GRADIENT_SECONDS,
) -> NetworkModel:
    """The same latency and bandwidth on every link.

    Args:
        graph: on the nodes 0..N-1.
        seed: of the draw of stragglers.
        latency: seconds.
        bandwidth: bytes a second.
        stragglers: the share of slow nodes.
        slowdown: of a slow node.
        gradient_seconds: that a nominal node takes for a per-sample gradient.

    Raises:
        TopologyError: if a setting is out of range.
    """
    _require(latency=latency, bandwidth=bandwidth, gradient_seconds=gradient_seconds)
    return NetworkModel(latency, bandwidth, _slowness(len(graph), seed, stragglers, slowdown), gradient_seconds)


def heterogeneous(
    graph: nx.Graph,
    seed: int,
    *,
    latency: float = LATENCY,
    bandwidth: float = BANDWIDTH,
    spread: float = 0.5,
    stragglers: float = STRAGGLERS,
    slowdown: float = SLOWDOWN,
    gradient_seconds: float = GRADIENT_SECONDS,
) -> NetworkModel:
    """Latency and bandwidth drawn for each link, log-normal around the nominal ones; both directions have the same.

    A link's draw depends on the seed and its two ends alone, so two topologies agree on the links that they share. A
    relayed message takes the nominal latency and bandwidth, the medians.

    Args:
        graph: on the nodes 0..N-1.
        seed: of the draws of links and stragglers.
        latency: the median, in seconds.
        bandwidth: the median, in bytes a second.
        spread: the standard deviation of the logarithm of either; at 0.5, 19 links of 20 are within a factor 2.7.
        stragglers: the share of slow nodes.
        slowdown: of a slow node.
        gradient_seconds: that a nominal node takes for a per-sample gradient.

    Raises:
        TopologyError: if a setting is out of range, or the graph is no topology.
    """
    _require(latency=latency, bandwidth=bandwidth, spread=spread, gradient_seconds=gradient_seconds)
    slowness = _slowness(len(graph), seed, stragglers, slowdown)
    ends = np.sort(edge_array(graph), axis=1)
    latencies, bandwidths = (
        median * np.exp(spread * _normals(key, ends))
        for median, key in zip((latency, bandwidth), _keys(seed), strict=True)
    )
    places = np.concatenate([ends[:, 0] * len(graph) + ends[:, 1], ends[:, 1] * len(graph) + ends[:, 0]])
    order = np.argsort(places)
    each = order % max(1, len(ends))
    return NetworkModel(
        latency, bandwidth, slowness, gradient_seconds, places[order], latencies[each], bandwidths[each]
    )


def links_from_file(
    graph: nx.Graph,
    seed: int,
    *,
    path: str,
    latency: float = LATENCY,
    bandwidth: float = BANDWIDTH,
    stragglers: float = STRAGGLERS,
    slowdown: float = SLOWDOWN,
    gradient_seconds: float = GRADIENT_SECONDS,
) -> NetworkModel:
    """Latency and bandwidth of each link from a .csv or .json file.

    A .csv file has one link a line: two nodes, latency, bandwidth; a latency or bandwidth left empty is the nominal
    one, and `#` begins a comment. A .json file is a list of links, objects with `from`, `to`, and `latency` or
    `bandwidth` or both. A link is that from the first node to the second; the way back is the same unless it is listed
    too. Links that are not listed, and relayed messages, have the nominal latency and bandwidth. Nodes have the names
    that the graph gives them in the attribute `name`, or else their numbers.

    Args:
        graph: on the nodes 0..N-1.
        seed: of the draw of stragglers.
        path: of the file.
        latency: the nominal one, in seconds.
        bandwidth: the nominal one, in bytes a second.
        stragglers: the share of slow nodes.
        slowdown: of a slow node.
        gradient_seconds: that a nominal node takes for a per-sample gradient.

    Raises:
        TopologyError: if a setting is out of range; the file is missing or of another kind; or something in it is no
            link of the graph, is listed twice, or is out of range (the message says where).
    """
    _require(latency=latency, bandwidth=bandwidth, gradient_seconds=gradient_seconds)
    slowness = _slowness(len(graph), seed, stragglers, slowdown)
    listed = _listed(path, graph, {"latency": latency, "bandwidth": bandwidth})
    both_ways = {(other, one): values for (one, other), values in listed.items()} | listed
    places = np.array([receiver * len(graph) + sender for sender, receiver in both_ways], dtype=np.int64)
    values = np.array(list(both_ways.values()), dtype=np.float64).reshape(-1, 2)
    order = np.argsort(places)
    return NetworkModel(latency, bandwidth, slowness, gradient_seconds, places[order], *values[order].T)


#: Called as `kind(graph, seed, *, settings)`.
NETWORK_MODELS: Registry[Callable[..., NetworkModel]] = Registry(
    "network model",
    {
        "uniform": uniform,
        "heterogeneous": heterogeneous,
        "file": links_from_file,
    },
    TopologyError,
)


def connect(kind: str, graph: nx.Graph, seed: int, **settings: Any) -> NetworkModel:
    """The links of a kind of `LINKS` on a graph.

    Raises:
        TopologyError: if there is no such kind or setting, or a setting is out of range.
    """
    built: NetworkModel = NETWORK_MODELS.build(kind, graph, seed, **settings)
    return built


def _require(where: str = "", **values: float) -> None:
    """Refuses values outside their range."""
    for name, value in values.items():
        least, most, unit = _RANGES[name]
        if not least <= value <= most:
            raise TopologyError(f"{where}{name} must lie in {least:g} … {most:g} {unit}, not {value}")


def _slowness(nodes: int, seed: int, stragglers: float, slowdown: float) -> Floats:
    """[N]: `slowdown` for stragglers, 1 for others. A larger share has the stragglers of a smaller one, and more."""
    _require(stragglers=stragglers, slowdown=slowdown)
    luck = rng_at(seed, Stream.STRAGGLERS).random(nodes)
    slowness = np.ones(nodes)
    slowness[np.argsort(luck)[: round(stragglers * nodes)]] = slowdown
    return slowness


def _keys(seed: int) -> NDArray[np.uint64]:
    """What the draws of latencies and of bandwidths begin from."""
    return rng_at(seed, Stream.NETWORK_MODEL).integers(2**64, size=2, dtype=np.uint64)


def _normals(key: np.uint64, ends: Edges) -> Floats:
    """A standard normal for each edge [m, 2], by its address alone: a generator each would take far too long."""
    bits = _splitmix(_splitmix(np.full(len(ends), key), ends[:, 0]), ends[:, 1])
    return np.asarray(ndtri(((bits >> 12) + 0.5) * 2.0**-52))


def _splitmix(seeds: NDArray[np.uint64], index: NDArray[np.int64]) -> NDArray[np.uint64]:
    """The number at this index of the SplitMix64 generator with this seed.

    Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA (2014).
    """
    golden, first, second = (np.uint64(n) for n in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))
    state = seeds + (index.astype(np.uint64) + np.uint64(1)) * golden
    state = (state ^ (state >> np.uint64(30))) * first
    state = (state ^ (state >> np.uint64(27))) * second
    return np.asarray(state ^ (state >> np.uint64(31)))


def _listed(path: str, graph: nx.Graph, nominal: Mapping[str, float]) -> dict[tuple[int, int], tuple[float, float]]:
    """Latency and bandwidth of every link in the file, by its sender and receiver."""
    suffix = Path(path).suffix.lower()
    if suffix not in (".csv", ".json"):
        raise TopologyError(f"links are read from .csv or .json, not from '{path}'")
    names = nx.get_node_attributes(graph, "name")
    number = {str(names[node] if len(names) == len(graph) else node): node for node in graph}
    listed: dict[tuple[int, int], tuple[float, float]] = {}
    for where, ends, own in (_csv if suffix == ".csv" else _json)(path):
        for name in ends:
            if name not in number:
                raise TopologyError(f"{where} names the node '{name}', which the graph does not have")
        link = (number[ends[0]], number[ends[1]])
        if not graph.has_edge(*link):
            raise TopologyError(f"{where} links '{ends[0]}' and '{ends[1]}', which are not linked in the graph")
        if link in listed:
            raise TopologyError(f"{where} lists the link from '{ends[0]}' to '{ends[1]}' once more; remove one")
        _require(f"{where}: ", **own)
        values = {**nominal, **own}
        listed[link] = (values["latency"], values["bandwidth"])
    return listed


Listed = Iterator[tuple[str, tuple[str, str], dict[str, float]]]
"""Where it stands, the names of sender and receiver, and what is said of the link between them."""


def _csv(path: str) -> Listed:
    for number, fields in text_lines(path):
        where = f"line {number} of '{path}'"
        if len(fields) != 4 or not all(fields[:2]) or not all(text == "" or is_number(text) for text in fields[2:]):
            raise TopologyError(f"{where} is no link: it takes two nodes, a latency and a bandwidth")
        own = zip(("latency", "bandwidth"), fields[2:], strict=True)
        yield where, (fields[0], fields[1]), {name: float(text) for name, text in own if text}


def _json(path: str) -> Listed:
    try:
        entries = json.loads(Path(path).read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise TopologyError(f"'{path}' cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise TopologyError(f"'{path}' is no JSON: {error}") from error
    if not isinstance(entries, list):
        raise TopologyError(f"'{path}' must hold a list of links")
    for place, entry in enumerate(entries, start=1):
        where = f"link {place} of '{path}'"
        if not _is_link(entry):
            raise TopologyError(
                f"{where} must be an object with 'from', 'to', 'latency' and 'bandwidth', not {entry!r:.60}"
            )
        own = {name: entry[name] for name in ("latency", "bandwidth") if name in entry}
        yield where, (str(entry["from"]), str(entry["to"])), own


def _is_link(entry: Any) -> bool:
    kinds = {"from": (int, str), "to": (int, str), "latency": (int, float), "bandwidth": (int, float)}
    if not isinstance(entry, dict) or not {"from", "to"} <= entry.keys() <= kinds.keys():
        return False
    return all(isinstance(value, kinds[key]) and not isinstance(value, bool) for key, value in entry.items())
