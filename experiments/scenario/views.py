"""Views of a scenario, whose node may be given by its name in the data or the graph."""

from collections.abc import Mapping, Sequence
from typing import Any

from rewindnet.certificates.errors import CertificateError
from rewindnet.experiments.scenario.names import Names, node_named
from rewindnet.experiments.scenario.registries import registry

_OF_ONE_NODE = ("node", "transcript")


def named_node(view: object) -> str:
    """Return the node of a view as it is written, by name or number; nothing where the view is of none in particular.

    Args:
        view: the written form, like `node:alice`.
    """
    kind, _, which = str(view).partition(":")
    return which if kind in _OF_ONE_NODE and view != "transcript:all" else ""


def build_unnamed(method: str, settings: Mapping[str, Any]) -> Any:
    """Build a method to check its settings before the names of the nodes are known: a named node passes for node 0.

    Args:
        method: the name of the method.
        settings: its settings.

    Raises:
        UserError: if the method refuses them.
    """
    which = named_node(settings.get("view"))
    known = {**settings, "view": f"{_kind(settings)}:0"} if which and not _is_number(which) else settings
    return registry("method").build(method, **known)


def with_node(settings: Mapping[str, Any], names: Names, nodes: int, key: str) -> dict[str, Any]:
    """Return the settings of a method with the node of its view by number; names come first, as for clients.

    Args:
        settings: the settings.
        names: the names of the nodes, in order; None if they have none.
        nodes: N.
        key: the key of the method in the scenario, for messages.

    Raises:
        CertificateError: if no node has that name.
    """
    which = named_node(settings.get("view"))
    if not which or (_is_number(which) and names is None):
        return dict(settings)
    given = int(which) if _is_number(which) else which
    node = node_named(f"{key}.view {_kind(settings)}", given, names, nodes, CertificateError)
    return {**settings, "view": f"{_kind(settings)}:{node}"}


def build_methods(methods: Sequence[tuple[str, Mapping[str, Any]]], names: Names, nodes: int) -> list[Any]:
    """Build the methods of a scenario for a network whose names are known.

    Args:
        methods: the name and the settings of each.
        names: the names of the nodes, in order; None if they have none.
        nodes: N.

    Raises:
        UserError: if a view names no node of the network, or a method refuses its settings.
    """
    keyed = ((f"unlearning.{at}", name, settings) for at, (name, settings) in enumerate(methods))
    return [registry("method").build(name, **with_node(settings, names, nodes, key)) for key, name, settings in keyed]


def _kind(settings: Mapping[str, Any]) -> str:
    """Return what a view shows of its node."""
    return str(settings["view"]).partition(":")[0]


def _is_number(which: str) -> bool:
    """Return whether a node is given by a number."""
    return which.isascii() and which.isdecimal()
