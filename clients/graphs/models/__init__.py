"""Models of the nodes of a graph, and their registry."""

from collections.abc import Callable
from typing import Any

from rewindnet.clients.graphs.errors import GraphError
from rewindnet.registry import Registry

__all__ = ["GRAPH_MODELS"]

#: Built as `GRAPH_MODELS[kind](features, classes, *, settings)`; see `base.GraphModel`.
GRAPH_MODELS: Registry[Callable[..., Any]] = Registry(
    "graph model",
    {
        "gcn": "rewindnet.clients.graphs.models.gcn:GCN",
        "gat": "rewindnet.clients.graphs.models.gat:GAT",
        "sgc": "rewindnet.clients.graphs.models.sgc:SGC",
    },
    GraphError,
)
