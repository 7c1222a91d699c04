"""Simulate a network that learned elsewhere: its checkpoints are read, and some rounds are computed again."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import torch
from torch import Tensor

from rewindnet.certificates import CertificateError, TrainingRun
from rewindnet.simulator.cost.meter import Cost
from rewindnet.simulator.engine import execute
from rewindnet.simulator.outcome import Trajectory
from rewindnet.simulator.simulation import Simulation

#: By how much a round that is computed again may differ, as a share of what it changes and of the norm of the models.
_OF_CHANGE, _OF_NORM = 1e-3, 1e-6


class StoredModels(Protocol):
    """The checkpoints of a network that learned elsewhere."""

    @property
    def rounds(self) -> Sequence[int]:
        """The rounds after which checkpoints are stored, increasing."""

    def models(self, round: int) -> Tensor:
        """Return the models [N, d] after a round.

        Args:
            round: one of `rounds`.
        """


@dataclass
class TrainedElsewhere(Simulation):
    """A network whose learning is read from stored models; nothing is measured of it, and it costs nothing.

    Attributes:
        stored: the models.
    """

    stored: StoredModels | None = None

    def learn(self, keep: Collection[int]) -> tuple[Trajectory, tuple[TrainingRun, ...]]:
        """Read the checkpoints, and compute the rounds between the closest two of them again.

        Args:
            keep: the rounds of the checkpoints.

        Returns:
            The checkpoints, and for each request how the network learned up to it, without a ledger.

        Raises:
            CertificateError: if the rounds do not lead from one checkpoint to the next.
        """
        assert self.stored is not None
        names = {t: f"learned-{t:06d}" for t in sorted({*keep, self.training_run.rounds})}
        start, end = min(pairwise(self.stored.rounds), key=lambda pair: (pair[1] - pair[0], -pair[1]))
        for t in {*names, start}:
            self.network.store(f"learned-{t:06d}", self.stored.models(t) if self.network.root else torch.empty((0, 0)))
        self._compute_again(start, end)
        if start not in names:
            self.network.drop(f"learned-{start:06d}")
        return Trajectory(self.network, names, Cost()), self.requests

    def _compute_again(self, start: int, end: int) -> None:
        """Compute rounds of learning again, uncounted, and compare the result with the stored models."""
        assert self.stored is not None
        known = self.training_run
        task = self._descent("again", f"learned-{start:06d}", 0, range(start, end), ())
        execute(self.network, task, known.mixing_before or known.mixing)
        computed, problem = self.network.fetch(), None
        if self.network.root:
            problem = _difference(self.stored.models(start), self.stored.models(end), computed, start, end)
        problem = self.network.agree(problem)
        if problem is not None:
            raise CertificateError(problem)


def _difference(begin: Tensor, stored: Tensor, computed: Tensor, start: int, end: int) -> str | None:
    """Say how far computed models are from stored ones, all [N, d]; None where that is rounding."""
    begin, stored, computed = (theta.double().cpu() for theta in (begin, stored, computed))
    apart, change = (float((other - stored).norm(dim=1).max()) for other in (computed, begin))
    if apart <= _OF_CHANGE * change + _OF_NORM * float(stored.norm(dim=1).max()):
        return None
    return (
        f"the stored models after round {end} do not follow from those after round {start}: computed again with the "
        f"data, a model is {apart:.3g} away from the stored one, and these rounds change models by up to {change:.3g}. "
        "Data, partition, model, topology, mixing, step_size, local_steps, order and sampling must be those of learning"
    )
