"""Projected gradient ascent: a client that deletes unlearns alone, and the others' learning heals what that has hurt.

Halimi, Kadhe, Rawat and Baracaldo (2022), "Federated unlearning: how to erase a client in FL?", arXiv 2207.05521. The
paper is for a server that averages, here topology complete with W = 11ᵀ/N. On another graph the reference is what the
neighbours send, weighted as they are mixed, and the model that the ascent leaves goes from node to node until all have
it. Several clients ascend at once, each on its own forget set near those that forget nothing, and a node takes the
model of the nearest of them. A client that deletes some of its samples ascends on these and goes on learning on the
others. The authors' code also has momentum, minibatches, and stops early at a distance found by hand; here are none.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, isfinite

import numpy as np

from rewindnet.certificates import Release, TrainingRun, Uncertified
from rewindnet.clients.methods.base import Method, MethodError, UnlearningPlan, quiet_plan
from rewindnet.clients.steps.program import Program
from rewindnet.clients.training.noise import NoiseAddress

_REASON = "no certificate is known: what ascent leaves of the forget set has no bound, and no noise hides it"


@dataclass(frozen=True, kw_only=True)
class GradientAscent(Method):
    """Ascend on the forget set near the others' models, then learn on without it: Halimi et al. 2022, no certificate.

    Args:
        ascent_steps: of the client that deletes, each on its whole forget set.
        step_size: of the ascent; by default that of learning.
        radius: of the ball around the average of the others' models; by default a third of that average's distance to
            the model that learning began with, the paper's rule with this one for its random models.
        clip: the largest norm of a gradient of the ascent, as in the authors' code; null for none.
        rounds: of learning afterwards, on the retained data; by default a tenth of those of learning.
        view: the view of the observer.
        delta: δ of the certificate.

    Raises:
        MethodError: if a setting is out of range.
    """

    ascent_steps: int = 10
    step_size: float | None = None
    radius: float | None = None
    clip: float | None = 5.0
    rounds: int | None = None
    view: str = "node"
    delta: float = 1e-5

    def __post_init__(self) -> None:
        """Check the settings."""
        if self.ascent_steps < 1:
            raise MethodError(f"ascent_steps is a number of steps, at least 1, not {self.ascent_steps}")
        if self.rounds is not None and self.rounds < 0:
            raise MethodError(f"rounds is a number of rounds of learning after the ascent, not {self.rounds}")
        for name in ("step_size", "radius", "clip"):
            value = getattr(self, name)
            if value is not None and not (isfinite(value) and value > 0):
                raise MethodError(f"{name} of gradient-ascent must be a positive number, not {value}")

    def checkpoints(self, rounds: int) -> Sequence[int]:
        """Return the start, the round before the last, and the end."""
        return sorted({0, rounds - 1, rounds})

    def requested_depth(self, rounds: int) -> tuple[int, int]:
        """Return the end of learning, and no rounds of plain descent."""
        return rounds, 0

    def plan(self, learning: TrainingRun) -> UnlearningPlan:
        """Return ascent, and learning again; nothing of it is certified.

        Raises:
            MethodError: if a client that deletes has left, or the last update cannot be computed again.
        """
        if learning.uncovered and learning.order == "adapt-then-combine":
            raise MethodError(
                "gradient-ascent computes updates of earlier rounds again, here those of plain gradient steps alone: "
                "use learning.optimizer=sgd without momentum, and no learning.gradient_clip"
            )
        if learning.departed:
            raise MethodError(
                "gradient-ascent is done by the client that deletes, so it must stay: use deletion.departure=relay"
            )
        description = (
            f"took {self.ascent_steps} steps of ascent on what is to be forgotten, near the models of those that "
            f"delete nothing, passed the model on, and learned for {self._recovery(learning)} rounds on the retained "
            "data"
        )
        depth = self.requested_depth(learning.rounds)
        return quiet_plan(learning, "gradient-ascent", depth, self.view, self.delta, Uncertified(_REASON, description))

    def program(
        self, release: Release, learning: TrainingRun, address: NoiseAddress, checkpoint_names: Mapping[int, str]
    ) -> Program:
        """Return the ascent, with the round in which the others' models come in; the spreading; the learning."""
        from rewindnet.clients.steps.gradient_ascent import GradientAscentRounds
        from rewindnet.clients.steps.learning import Descend
        from rewindnet.clients.steps.spreading import spread

        T = learning.rounds
        forget = learning.deleted - learning.already_deleted(T)
        ascend = GradientAscentRounds(
            order=learning.order,
            rounds=range(T - 1, T),
            forget=tuple(forget.tolist()),
            steps=self.ascent_steps,
            step_size=learning.step_size if self.step_size is None else self.step_size,
            radius=self.radius,
            clip=self.clip,
            last=checkpoint_names[T - 1],
            first=checkpoint_names[0],
        )
        passed = spread(learning.mixing, np.flatnonzero(forget).tolist(), T)
        end = passed.rounds.stop
        return Program((ascend, passed, Descend(learning.order, range(end, end + self._recovery(learning)))))

    def _recovery(self, learning: TrainingRun) -> int:
        return ceil(learning.rounds / 10) if self.rounds is None else self.rounds
