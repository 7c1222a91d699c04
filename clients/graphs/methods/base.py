"""What a method of unlearning nodes is given, and what it leaves."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from rewindnet.clients.graphs.errors import GraphError
from rewindnet.clients.graphs.models.base import GraphModel
from rewindnet.clients.graphs.models.training import GraphTraining
from rewindnet.clients.graphs.node_graph import NodeGraph


@dataclass(frozen=True)
class Learned:
    """A model that has learned from a graph, and the nodes to forget.

    Attributes:
        graph: the graph.
        forget: the nodes to forget, bool [n], all of which are training nodes.
        model: the model.
        training: how it has learned.
        new_model: makes a model of the same kind, which has learned nothing.
    """

    graph: NodeGraph
    forget: Tensor
    model: GraphModel
    training: GraphTraining
    new_model: Callable[[], GraphModel]

    @property
    def remaining(self) -> NodeGraph:
        """The graph without the nodes to forget."""
        return self.graph.without(self.forget)

    def copied_model(self) -> GraphModel:
        """Return a copy of the model, to change."""
        return deepcopy(self.model)

    def stepping(self, step_size: float | None) -> GraphTraining:
        """Return how it has learned, with another step size if one is given.

        Raises:
            GraphError: if it is not above 0.
        """
        if step_size is None:
            return self.training
        if step_size <= 0:
            raise GraphError(f"a step size is above 0, not {step_size}")
        return replace(self.training, step_size=step_size)

    def later(self, epochs: int) -> range:
        """Return so many epochs after those of learning.

        Raises:
            GraphError: if there are less than 0.
        """
        if epochs < 0:
            raise GraphError(f"a method takes 0 epochs or more, not {epochs}")
        return range(self.training.epochs, self.training.epochs + epochs)


@dataclass(frozen=True)
class Unlearned:
    """What a method leaves.

    Attributes:
        model: the model.
        graph: the graph that the model is used on.
        gradients: how many gradients of full batches the method took.
    """

    model: GraphModel
    graph: NodeGraph
    gradients: int

    def __post_init__(self) -> None:
        """Refuse a model that is no longer made of numbers."""
        if not all(bool(torch.isfinite(parameter).all()) for parameter in self.model.parameters()):
            raise GraphError(
                "the parameters of the unlearned model are not finite; a smaller step size, a larger scale or more "
                "damping helps"
            )
