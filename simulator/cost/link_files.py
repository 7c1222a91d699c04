"""Network models from files that list links."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np

from rewindnet.reading import content_of
from rewindnet.simulator.cost.network_kinds import (
    BANDWIDTH,
    GRADIENT_SECONDS,
    LATENCY,
    SLOWDOWN,
    STRAGGLERS,
    check_settings,
    slowness_of,
)
from rewindnet.simulator.cost.network_model import NetworkModel
from rewindnet.topologies.errors import TopologyError
from rewindnet.topologies.link_lists import is_number, text_lines


def measured_links(
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
        graph: the graph on the nodes 0 … N − 1.
        seed: the seed of the draw of stragglers.
        path: of the file.
        latency: the nominal one, in seconds.
        bandwidth: the nominal one, in bytes a second.
        stragglers: the share of slow nodes.
        slowdown: how many times as long a slow node takes.
        gradient_seconds: the seconds that a nominal node takes for a per-sample gradient.

    Raises:
        TopologyError: if a setting is out of range; the file is missing or of another kind; or something in it is no
            link of the graph, is listed twice, or is out of range (the message says where).
    """
    check_settings(latency=latency, bandwidth=bandwidth, gradient_seconds=gradient_seconds)
    slowness = slowness_of(len(graph), seed, stragglers, slowdown)
    listed = _listed(path, graph, {"latency": latency, "bandwidth": bandwidth})
    both_ways = {(receiver, sender): values for (sender, receiver), values in listed.items()} | listed
    places = np.array([receiver * len(graph) + sender for sender, receiver in both_ways], dtype=np.int64)
    values = np.array(list(both_ways.values()), dtype=np.float64).reshape(-1, 2)
    order = np.argsort(places)
    return NetworkModel(latency, bandwidth, slowness, gradient_seconds, places[order], *values[order].T)


def _listed(path: str, graph: nx.Graph, nominal: Mapping[str, float]) -> dict[tuple[int, int], tuple[float, float]]:
    """Read latency and bandwidth of every link in the file, by its sender and receiver."""
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
        check_settings(f"{where}: ", **own)
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
        entries = json.loads(content_of(path, TopologyError))
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
