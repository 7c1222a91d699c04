"""FedEraser: go through some of the rounds of learning again without the forget set, with calibrated updates.

Liu, Ma, Yang, Wang and Liu (2021), "FedEraser: enabling efficient client-level data removal from federated learning
models", IWQoS. The paper is for a server that averages, here topology complete with W = 11ᵀ/N, and for a client that is
erased as a whole: with departure leave the average is over the others, as there; with relay the client stays and sends
what it makes of no data. Here every node calibrates its own update, which is then mixed by W_t as in learning, on any
graph; and a client that deletes some of its samples calibrates on the others. Norms are those of the whole update.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rewindnet.certificates import Release, TrainingRun, Uncertified
from rewindnet.clients.methods.base import Method, MethodError, UnlearningPlan, quiet_plan
from rewindnet.clients.steps.program import Program
from rewindnet.clients.training.noise import NoiseAddress
from rewindnet.topologies import Walk

_REASON = (
    "no certificate is known: how far calibrated updates end up from retraining has no bound, and no noise hides it"
)


@dataclass(frozen=True, kw_only=True)
class FedEraser(Method):
    """Repeat every few rounds with calibrated updates on the retained data: Liu et al. 2021, no certificate.

    It takes learning order adapt-then-combine, where clients send updates. Like retraining it begins at the initial
    model; it is compared with retraining for as long as learning.

    Args:
        interval: Δt, one in how many rounds is kept and repeated.
        ratio: r, the share of a round's local steps that a calibration takes, at least one step; in (0, 1].
        view: the view of the observer.
        delta: δ of the certificate.

    Raises:
        MethodError: if a setting is out of range.
    """

    interval: int = 2
    ratio: float = 0.5
    view: str = "node"
    delta: float = 1e-5

    def __post_init__(self) -> None:
        """Check the settings."""
        if self.interval < 1:
            raise MethodError(f"interval is a number of rounds, at least 1, not {self.interval}")
        if not 0 < self.ratio <= 1:
            raise MethodError(f"ratio is the share of the local steps of a round, in (0, 1], not {self.ratio}")

    def checkpoints(self, rounds: int) -> Sequence[int]:
        """Return the rounds before the kept ones, and the end."""
        return [*range(0, rounds, self.interval), rounds]

    def requested_depth(self, rounds: int) -> tuple[int, int]:
        """Return the end of learning, and no rounds of descent."""
        return rounds, 0

    def plan(self, learning: TrainingRun) -> UnlearningPlan:
        """Return some rounds again; nothing of it is certified.

        Raises:
            MethodError: if updates are not what clients send, or not what can be computed again.
        """
        if learning.uncovered:
            raise MethodError(
                "federaser computes updates of earlier rounds again, here those of plain gradient steps alone: use "
                "learning.optimizer=sgd without momentum, and no learning.gradient_clip"
            )
        if learning.order != "adapt-then-combine":
            raise MethodError(
                f"federaser calibrates the updates that clients send, and with order {learning.order} they send none: "
                "use learning.order=adapt-then-combine"
            )
        if isinstance(learning.mixing, Walk) and self.interval > 1:
            raise MethodError(
                f"one model that walks cannot skip {self.interval - 1} of {self.interval} hops: use interval 1"
            )
        steps = self._steps(learning)
        if learning.batches is not None and steps != learning.local_steps:
            raise MethodError(
                f"with minibatches a calibration takes all {learning.local_steps} local steps of a round: use ratio 1"
            )
        description = (
            f"went through one in {self.interval} of {learning.rounds} rounds again from the initial model, with "
            f"updates worked out in {steps} local steps on the retained data and made as long as those of learning"
        )
        depth = self.requested_depth(learning.rounds)
        return quiet_plan(learning, "federaser", depth, self.view, self.delta, Uncertified(_REASON, description))

    def program(
        self, release: Release, learning: TrainingRun, address: NoiseAddress, checkpoint_names: Mapping[int, str]
    ) -> Program:
        """Return the kept rounds."""
        from rewindnet.clients.steps.federaser import FedEraserCalibration

        rounds = range(0, learning.rounds, self.interval)
        anew = (np.flatnonzero(learning.deleted > learning.already_deleted(t)).tolist() for t in rounds)
        return Program(
            (
                FedEraserCalibration(
                    rounds=rounds,
                    checkpoints=tuple(checkpoint_names[t] for t in rounds),
                    steps=self._steps(learning),
                    anew=tuple(tuple(nodes) for nodes in anew),
                ),
            )
        )

    def _steps(self, learning: TrainingRun) -> int:
        return max(1, round(self.ratio * learning.local_steps))
