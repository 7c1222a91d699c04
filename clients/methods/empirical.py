"""The base class of methods that go on from the learned model and forget in practice, without a certificate."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from typing import ClassVar

from rewindnet.certificates import TrainingRun, Uncertified
from rewindnet.clients.methods.base import Method, MethodError, UnlearningPlan, quiet_plan


@dataclass(frozen=True, kw_only=True)
class Empirical(Method):
    """A method that begins at the learned model, and of which nothing is proven.

    Attributes:
        name: of the method.
        view: the view of the observer.
        delta: δ of the certificate.
    """

    name: ClassVar[str]
    #: Why there is no ε, as the part of a sentence after a colon.
    why_none: ClassVar[str]
    view: str = "node"
    delta: float = 1e-5

    def checkpoints(self, rounds: int) -> Sequence[int]:
        """Return the end of learning."""
        return (rounds,)

    def requested_depth(self, rounds: int) -> tuple[int, int]:
        """Return the end of learning, and no rounds of plain descent."""
        return rounds, 0

    def plan(self, learning: TrainingRun) -> UnlearningPlan:
        """Return what is done; nothing of it is certified."""
        mechanism = Uncertified(self.why_none, self._deed(learning))
        return quiet_plan(learning, self.name, self.requested_depth(learning.rounds), self.view, self.delta, mechanism)

    @abstractmethod
    def _deed(self, learning: TrainingRun) -> str:
        """Return what is done, as the part of a sentence that follows "it"."""

    def _check(self, positive: Sequence[str] = (), counts: Sequence[str] = (), shares: Sequence[str] = ()) -> None:
        """Refuse settings that are not positive, not numbers of at least 1, or not in [0, ∞)."""
        for name in positive:
            if not (isfinite(getattr(self, name)) and getattr(self, name) > 0):
                raise MethodError(f"{name} of {self.name} must be a positive number, not {getattr(self, name)}")
        for name in counts:
            if getattr(self, name) < 1:
                raise MethodError(f"{name} of {self.name} is a number of at least 1, not {getattr(self, name)}")
        for name in shares:
            if not (isfinite(getattr(self, name)) and getattr(self, name) >= 0):
                raise MethodError(f"{name} of {self.name} must not be negative, but it is {getattr(self, name)}")
