"""Kinds of network models: links that are all alike, and links that are drawn."""

import networkx as nx
import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from rewindnet.simulator.cost.network_model import Floats, NetworkModel
from rewindnet.topologies.errors import TopologyError
from rewindnet.topologies.graphs.edges import Edges, edge_array
from rewindnet.topologies.rng import Stream, rng_at

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
        graph: the graph on the nodes 0 … N − 1.
        seed: the seed of the draw of stragglers.
        latency: seconds.
        bandwidth: bytes a second.
        stragglers: the share of slow nodes.
        slowdown: how many times as long a slow node takes.
        gradient_seconds: the seconds that a nominal node takes for a per-sample gradient.

    Raises:
        TopologyError: if a setting is out of range.
    """
    check_settings(latency=latency, bandwidth=bandwidth, gradient_seconds=gradient_seconds)
    return NetworkModel(latency, bandwidth, slowness_of(len(graph), seed, stragglers, slowdown), gradient_seconds)


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
        graph: the graph on the nodes 0 … N − 1.
        seed: the seed of the draws of links and stragglers.
        latency: the median, in seconds.
        bandwidth: the median, in bytes a second.
        spread: the standard deviation of the logarithm of either; at 0.5, 19 links of 20 are within a factor 2.7.
        stragglers: the share of slow nodes.
        slowdown: how many times as long a slow node takes.
        gradient_seconds: the seconds that a nominal node takes for a per-sample gradient.

    Raises:
        TopologyError: if a setting is out of range, or the graph is no topology.
    """
    check_settings(latency=latency, bandwidth=bandwidth, spread=spread, gradient_seconds=gradient_seconds)
    slowness = slowness_of(len(graph), seed, stragglers, slowdown)
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


def check_settings(where: str = "", **values: float) -> None:
    """Refuse settings outside their range.

    Args:
        where: what the sentence begins with.
        values: the settings, by name.

    Raises:
        TopologyError: for the first that is.
    """
    for name, value in values.items():
        least, most, unit = _RANGES[name]
        if not least <= value <= most:
            raise TopologyError(f"{where}{name} must lie in {least:g} … {most:g} {unit}, not {value}")


def slowness_of(nodes: int, seed: int, stragglers: float, slowdown: float) -> Floats:
    """Return the slowness [N], `slowdown` for stragglers and 1 for others.

    A larger share has the stragglers of a smaller one, and more.
    """
    check_settings(stragglers=stragglers, slowdown=slowdown)
    luck = rng_at(seed, Stream.STRAGGLERS).random(nodes)
    slowness = np.ones(nodes)
    slowness[np.argsort(luck)[: round(stragglers * nodes)]] = slowdown
    return slowness


def _keys(seed: int) -> NDArray[np.uint64]:
    """Return what the draws of latencies and of bandwidths begin from."""
    return rng_at(seed, Stream.NETWORK_MODEL).integers(2**64, size=2, dtype=np.uint64)


def _normals(key: np.uint64, ends: Edges) -> Floats:
    """Draw a standard normal for each edge [m, 2], by its address alone: a generator each would take far too long."""
    bits = _splitmix(_splitmix(np.full(len(ends), key), ends[:, 0]), ends[:, 1])
    return np.asarray(ndtri(((bits >> 12) + 0.5) * 2.0**-52))


def _splitmix(seeds: NDArray[np.uint64], index: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Return the numbers at these indices of the SplitMix64 generators with these seeds.

    Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA (2014).
    """
    golden, first, second = (np.uint64(n) for n in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))
    state = seeds + (index.astype(np.uint64) + np.uint64(1)) * golden
    state = (state ^ (state >> np.uint64(30))) * first
    state = (state ^ (state >> np.uint64(27))) * second
    return np.asarray(state ^ (state >> np.uint64(31)))
