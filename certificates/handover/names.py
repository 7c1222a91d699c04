"""What the nodes are called of which a certificate's file speaks."""

from collections.abc import Mapping
from typing import Any

from rewindnet.certificates.errors import CertificateError
from rewindnet.certificates.view import View, node_title


def names_in(document: Mapping[str, Any]) -> dict[int, str]:
    """Return the names of nodes by their numbers; a file without names has none.

    Args:
        document: a certificate's file, or its members so far.
    """
    return {int(node): name for node, name in document.get("names", {}).items()}


def client_in(document: Mapping[str, Any], node: int) -> str:
    """Return a client for a sentence: by its number, or by its name with its number.

    Args:
        document: a certificate's file.
        node: the number.
    """
    return node_title(node, names_in(document)).removeprefix("node ")


def spoken_of(document: Mapping[str, Any]) -> set[int]:
    """Return the nodes of which a file speaks: those that delete or leave, and the one that the view is of.

    Args:
        document: a certificate's file, or its members `guarantee` and `request`.

    Raises:
        CertificateError: if its view does not exist.
    """
    node, request = View.of(document["guarantee"]["view"]).node, document["request"]
    nodes = {*request["departed"], *(one["client"] for one in request["deleted"])}
    return nodes if node is None else {*nodes, node}


def check_names(document: Mapping[str, Any]) -> None:
    """Refuse names of nodes of which the file does not speak.

    Raises:
        CertificateError: with the first of them.
    """
    given = document.get("names", {})
    known = {str(node) for node in spoken_of(document)} if given else set()
    for node in given:
        if node not in known:
            raise CertificateError(f"names has a name of {node}, and the file speaks of no such node")
