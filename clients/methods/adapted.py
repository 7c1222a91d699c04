"""The base class of methods that have clients learn low-rank adapters, and send these alone."""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from rewindnet.certificates import Release, TrainingRun
from rewindnet.clients.methods.base import MethodError, UnlearningPlan
from rewindnet.clients.methods.empirical import Empirical
from rewindnet.clients.steps.base import CommunicationStep
from rewindnet.clients.steps.program import Program
from rewindnet.clients.training.noise import NoiseAddress

if TYPE_CHECKING:
    from rewindnet.clients.models import Model


@dataclass(frozen=True, kw_only=True)
class Adapted(Empirical):
    """A method by which clients that delete learn an adapter, which comes to all others.

    Attributes:
        rank: of each adapter.
    """

    rank: int = 16

    def plan(self, learning: TrainingRun) -> UnlearningPlan:
        """Return what is done; nothing of it is certified.

        Raises:
            MethodError: if the clients that delete are not there.
        """
        if learning.departed:
            raise MethodError(
                f"{self.name} is done by the client that deletes, so it must stay: use deletion.departure=relay, or "
                "npo with way: gossip"
            )
        return super().plan(learning)

    def message_parameters(self, parameters: int, model: "Model | None") -> int | None:
        """Return the numbers of an adapter, which follow from the matrices of the model."""
        from rewindnet.clients.training.adapters import LowRank

        return None if model is None else LowRank(parameters, model.matrices, self.rank, 1.0).size

    @abstractmethod
    def _step(self, **shared: Any) -> CommunicationStep:
        """Return the step of the method, with these attributes of every step of its kind."""

    def program(
        self, release: Release, learning: TrainingRun, address: NoiseAddress, checkpoint_names: Mapping[int, str]
    ) -> Program:
        """Return the round in which adapters are learned, and those in which they come to all others."""
        from rewindnet.clients.steps.spreading import spread

        T = learning.rounds
        sources = np.flatnonzero(learning.deleted - learning.already_deleted(T)).tolist()
        passed = spread(learning.mixing, sources, T + 1)
        rounds = range(T, max(T + 1, passed.rounds.stop))
        return Program(
            (self._step(rounds=rounds, heard=passed.heard, at=passed.at, seed=address.seed, rank=self.rank),)
        )
