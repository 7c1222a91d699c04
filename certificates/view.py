"""Views: what an observer of the unlearning sees."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from rewindnet.certificates.errors import CertificateError

Kind = Literal["node", "joint", "average", "transcript", "transcript:all"]

#: The names of nodes, in order or by their numbers; None where they have none.
Names = Sequence[str] | Mapping[int, str] | None

#: The written forms of views; v stands for the number of a node.
VIEWS = ("node", "node:v", "joint", "average", "transcript", "transcript:v", "transcript:all")


def node_title(node: int, names: Names) -> str:
    """Return a node for a sentence: by its number, or by its name with its number where they differ.

    Args:
        node: its number.
        names: the names of the nodes, in order or by number; None if they have none.
    """
    known = names if isinstance(names, Mapping) else dict(enumerate(names or ()))
    name = known.get(node, str(node))
    return f"node {node}" if name == str(node) else f"{name} (node {node})"


@dataclass(frozen=True)
class View:
    """What an observer of the unlearning sees.

    Attributes:
        kind: `node`, the released model of one node; `joint`, all released models; `average`, the average of the
            released models alone; `transcript`, all messages that one node receives and the model that it releases;
            `transcript:all`, all messages.
        node: the node v of the kinds `node` and `transcript`; None for the node for which the guarantee is weakest.
    """

    kind: Kind
    node: int | None = None

    def __post_init__(self) -> None:
        """Refuse a view that does not exist."""
        if self.kind not in get_args(Kind):
            raise CertificateError(f"unknown view {self.kind!r}; it is one of: {', '.join(VIEWS)}")
        if self.node is not None and (not self.of_one_node or self.node < 0):
            raise CertificateError(f"the view {self.kind} cannot be restricted to node {self.node}")

    @classmethod
    def of(cls, view: "str | View") -> "View":
        """Return the view with one of the written forms in `VIEWS`.

        Args:
            view: the written form, or a view, which is returned as it is.

        Raises:
            CertificateError: if there is no such view.
        """
        if isinstance(view, View):
            return view
        kind, _, which = view.partition(":")
        if view in get_args(Kind):
            return cls(view)  # type: ignore[arg-type]
        if kind in ("node", "transcript") and which.isascii() and which.isdigit():
            return cls(kind, int(which))  # type: ignore[arg-type]
        raise CertificateError(f"unknown view {view!r}; it is one of: {', '.join(VIEWS)}")

    def __str__(self) -> str:
        return self.kind if self.node is None else f"{self.kind}:{self.node}"

    @property
    def of_one_node(self) -> bool:
        """Whether the view is of a single node: its released model, or what it receives."""
        return self.kind in ("node", "transcript")

    @property
    def shows_messages(self) -> bool:
        """Whether the view includes messages of the unlearning, not only released models."""
        return self.kind.startswith("transcript")

    @property
    def observer(self) -> str:
        """The observer, in words for a reader who is not an expert."""
        return self.observer_among(None)

    def titled(self, names: Sequence[str] | None) -> str:
        """Return the written form, with the name of its node in brackets where that has one.

        Args:
            names: the names of the nodes, in order; None if they have none.
        """
        titled = node_title(self.node or 0, names)
        return f"{self} ({names[self.node]})" if names and self.node is not None and "(" in titled else str(self)

    def observer_among(self, names: Names) -> str:
        """Return the observer in words for a reader who is not an expert, a node by its name.

        Args:
            names: the names of the nodes, in order or by number; None if they have none.
        """
        received = "with every message received during the unlearning"
        node = "" if self.node is None else node_title(self.node, names)
        return {
            "node": "an observer of " + (f"the released model of {node}" if node else "any one released model"),
            "joint": "an observer of all released models together",
            "average": "an observer of the released network average",
            "transcript": f"{node or 'any one peer'}, {received}",
            "transcript:all": "all peers together, with every message of the unlearning",
        }[self.kind]

    def within(self, nodes: int) -> "View":
        """Return the view itself if it fits a network of so many nodes.

        Args:
            nodes: N.

        Raises:
            CertificateError: if the view names a node outside the network.
        """
        if self.node is not None and self.node >= nodes:
            raise CertificateError(f"view '{self}' names a node that does not exist; nodes are 0 to {nodes - 1}")
        return self
