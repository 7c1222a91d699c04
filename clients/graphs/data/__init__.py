"""Graphs whose nodes are samples, and their registry."""

from collections.abc import Callable

from rewindnet.clients.data import DataError
from rewindnet.clients.graphs.node_graph import NodeGraph
from rewindnet.registry import Registry

__all__ = ["GRAPHS"]

#: Called as `source(root, seed, *, settings)`.
GRAPHS: Registry[Callable[..., NodeGraph]] = Registry(
    "graph",
    {
        "sbm": "rewindnet.clients.graphs.data.sbm:sbm",
        "cora": "rewindnet.clients.graphs.data.cora:cora",
    },
    DataError,
)
