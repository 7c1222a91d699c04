"""Ridge regression on the features, in closed form: exact forgetting by summing again, wherever it applies."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import TYPE_CHECKING, ClassVar

from rewindnet.certificates import Release, TrainingRun
from rewindnet.certificates.mechanisms.closed_form import ClosedForm
from rewindnet.clients.methods.base import Method, MethodError, UnlearningPlan, quiet_plan
from rewindnet.clients.steps.program import Program
from rewindnet.clients.training.noise import NoiseAddress
from rewindnet.topologies import TopologyError
from rewindnet.topologies.routing import adjacency_of_weights, spreading_tree

if TYPE_CHECKING:
    from rewindnet.clients.steps.base import CommunicationStep

#: The models whose parameters are one weight for each class and feature.
_MODELS = ("logistic", "huber-logistic")


@dataclass(frozen=True, kw_only=True)
class Ridge(Method):
    """Sum the statistics of the retained data again and solve ridge regression on the features: exact, ε = 0.

    The rival of every linear model that is learned in rounds. Nothing of learning is used, so nothing of it is left.

    Args:
        penalty: λ, on the mean of the squares.
        view: the view of the observer.
        delta: δ of the certificate.

    Raises:
        MethodError: if the penalty is not positive.
    """

    needs_checkpoints_alone: ClassVar[bool] = True
    penalty: float = 1e-4
    view: str = "joint"
    delta: float = 1e-5

    def __post_init__(self) -> None:
        """Check the settings."""
        if not 0 < self.penalty < inf:
            raise MethodError(f"penalty must be a positive number, not {self.penalty}")

    def checkpoints(self, rounds: int) -> Sequence[int]:
        """Return the initial round: nothing of learning is needed."""
        return (0,)

    def check(self, learning: TrainingRun) -> None:
        """Refuse models that are not linear, and networks whose edges change or do not connect all clients."""
        super().check(learning)
        if learning.constants.model not in _MODELS or learning.arithmetic is None:
            raise MethodError(f"ridge takes the models {' and '.join(_MODELS)}, whose parameters are one weight each")
        if learning.departed:
            raise MethodError("ridge sums over all nodes; use deletion.departure: relay")
        first = learning.mixing.matrix(0)
        if any(learning.mixing.matrix(t) is not first for t in range(max(2, learning.rounds))):
            raise MethodError("ridge sums up a tree of edges, which a schedule that changes them does not keep")
        self._sums(learning)

    def plan(self, learning: TrainingRun) -> UnlearningPlan:
        """Return the release, without noise."""
        plan = quiet_plan(learning, "ridge", (0, 0), self.view, self.delta)
        return replace(plan, release=replace(plan.release, mechanism=ClosedForm(self.penalty)))

    def program(
        self, release: Release, learning: TrainingRun, address: NoiseAddress, checkpoint_names: Mapping[int, str]
    ) -> Program:
        """Return the sums up a tree, and the way of the solution down."""
        return Program((), (), self._sums(learning))

    def _sums(self, learning: TrainingRun) -> "tuple[CommunicationStep, ...]":
        """Return the sums up a tree of the edges, and the way of the solution down."""
        from rewindnet.clients.steps.ridge import RidgeSums, parts
        from rewindnet.clients.steps.spreading import along

        assert learning.arithmetic is not None
        try:
            tree = spreading_tree(adjacency_of_weights(learning.mixing.matrix(0)), 0)
        except TopologyError:
            raise MethodError("ridge sums over all nodes, and the edges of this network do not connect them") from None
        rounds = parts(learning.arithmetic.inputs, learning.arithmetic.outputs) + max(1, *tree.depths) - 1
        return RidgeSums(range(rounds), tree.parents, self.penalty), along(tree, rounds)
