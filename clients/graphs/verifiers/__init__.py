"""Verifiers of unlearning in graph networks, which give evidence and no certificate, and their registry."""

from collections.abc import Callable
from typing import Any

from rewindnet.clients.graphs.errors import GraphError
from rewindnet.registry import Registry

__all__ = ["VERIFIERS"]

#: Called as `verifier(case, *, settings)`; see `case.Case` and `case.Evidence`.
VERIFIERS: Registry[Callable[..., Any]] = Registry(
    "verifier",
    {
        "explain-paper": "rewindnet.clients.graphs.verifiers.explain_paper:explain_paper",
        "explain-audit": "rewindnet.clients.graphs.verifiers.explain_audit:explain_audit",
    },
    GraphError,
)
