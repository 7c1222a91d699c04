"""Views: what an observer of the unlearning sees."""

from typing import TYPE_CHECKING

from rewindnet.certificates.errors import CertificateError

if TYPE_CHECKING:
    pass


VIEWS = ("node", "node:v", "joint", "average", "transcript", "transcript:v", "transcript:all")


def parse_view(view: str, nodes: int | None = None) -> tuple[str, int | None]:
    """Split a view into its kind and, for `node:v` and `transcript:v`, the node.

    Raises:
        CertificateError: for a view that does not exist, or a node outside the network.
    """
    kind, _, which = view.partition(":")
    if view in ("node", "joint", "average", "transcript", "transcript:all"):
        return view, None
    one = kind in ("node", "transcript") and which.isascii() and which.isdigit()
    if one and (nodes is None or int(which) < nodes):
        return kind, int(which)
    if one:
        raise CertificateError(f"view {view!r} names a node that does not exist; nodes are 0 to {(nodes or 0) - 1}")
    raise CertificateError(f"unknown view {view!r}; it is one of: {', '.join(VIEWS)}")
