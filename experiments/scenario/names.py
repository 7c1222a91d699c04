"""Clients and classes by the names that they have in data and graph files."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rewindnet.clients.data import Dataset
from rewindnet.clients.data.deletion import DeletionError
from rewindnet.clients.data.names import listed
from rewindnet.errors import UserError, notice

Names = Sequence[str] | None


def node_of(
    given: int | str,
    names: Names,
    nodes: int,
    key: str = "deletion.client",
    error: type[UserError] = DeletionError,
) -> tuple[int, str]:
    """Return the node of a client that is given by its name or by the number of its node; names come first.

    Args:
        given: the name or the number.
        names: the names of the nodes, in order; None if they have none.
        nodes: N.
        key: the key that gives the client, for messages.
        error: what to raise.

    Returns:
        The node; and a sentence about how an ambiguous number was understood, or nothing.

    Raises:
        UserError: if there is no such client.
    """
    called = "" if names is None else f", named {listed(tuple(names))}"
    if names is not None and str(given) in names:
        node = list(names).index(str(given))
        said = f"{given} is the client named {given}, which is node {node}: names come before the numbers of nodes"
        return node, said if isinstance(given, int) and given != node else ""
    if isinstance(given, str) or given >= nodes:
        several = f"; for several values of {key} use rewindnet sweep" if "," in str(given) else ""
        raise error(f"{key} {given} does not exist; clients are 0 to {nodes - 1}{called}{several}")
    numeric = names is not None and any(name.removeprefix("-").isdecimal() for name in names)
    said = f"no client is named {given}, so it is node {given}, which is named {names[given]}" if names else ""
    return given, said if numeric else ""


def node_named(key: str, given: int | str, names: Names, nodes: int, error: type[UserError] = DeletionError) -> int:
    """Return the node of the client that a key of a scenario gives, and tell how an ambiguous number was understood.

    Args:
        key: the key, such as deletion.client.
        given: the name or the number.
        names: the names of the nodes, in order; None if they have none.
        nodes: N.
        error: what to raise.

    Raises:
        UserError: if there is no such client.
    """
    node, said = node_of(given, names, nodes, key, error)
    if said:
        notice(f"{key}: {said}")
    return node


def class_number(given: int | str, names: Names, key: str = "deletion.samples") -> int:
    """Return the number of a class that is given by its name, or by its number where classes have no names.

    Args:
        given: the name or the number.
        names: the names of the classes; None if they have none.
        key: the key that gives the class, for messages.

    Raises:
        DeletionError: if there is no such class.
    """
    if names is not None and str(given) in names:
        return list(names).index(str(given))
    if names is not None or isinstance(given, str):
        called = "numbered" if names is None else f"named {listed(tuple(names))}"
        raise DeletionError(f"{key} names the class {given}, and the classes are {called}")
    return given


def names_of_clients(dataset: Dataset, rows: Sequence[NDArray[np.int64]]) -> tuple[str, ...] | None:
    """Return the ids that the clients have in the data, if each client is one natural client; None otherwise.

    A notice names the natural clients that have no training rows.

    Args:
        dataset: the data.
        rows: for each client, its training rows.
    """
    if dataset.client is None or not rows:
        return None
    ids = [np.unique(dataset.client[of_client]) for of_client in rows]
    held = sum(map(len, rows)) == np.isin(dataset.client, np.concatenate(ids)).sum()
    if any(len(own) != 1 for own in ids) or len(np.unique(np.concatenate(ids))) < len(ids) or not held:
        return None
    if dataset.without_training:
        absent = tuple(map(dataset.client_name, dataset.without_training))
        notice(f"clients without training rows are no part of the network: {listed(absent)}; the others keep their ids")
    return tuple(dataset.client_name(int(own[0])) for own in ids)


def client_title(node: int, names: Names) -> str:
    """Return a client for a sentence: by its number, or by its name with its number where they differ."""
    if names is None or names[node] == str(node):
        return str(node)
    return f"{names[node]} (node {node})"
