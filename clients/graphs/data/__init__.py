"""Graphs whose nodes are samples, and their registry."""

from collections.abc import Callable
from typing import Any

from rewindnet.clients.data import DataError
from rewindnet.registry import Registry

__all__ = ["GRAPHS"]

#: Called as `source(root, seed, *, settings)`, and returns a `NodeGraph`.
GRAPHS: Registry[Callable[..., Any]] = Registry(
    "graph",
    {
        "sbm": "rewindnet.clients.graphs.data.sbm:sbm",
        "cora": "rewindnet.clients.graphs.data.cora:cora",
    },
    DataError,
)
