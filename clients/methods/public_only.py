"""The model that never saw a client: what learning from clients must beat."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from rewindnet.certificates import Release, TrainingRun
from rewindnet.certificates.mechanisms.public_rows import PublicRows
from rewindnet.clients.methods.base import Method, MethodError, UnlearningPlan, quiet_plan
from rewindnet.clients.steps.program import Program
from rewindnet.clients.training.noise import NoiseAddress


@dataclass(frozen=True, kw_only=True)
class PublicOnly(Method):
    """Release the model that was learned from public rows alone, by the steps of learning: ε = 0, for any request.

    One client learns from the rows that `data.public` declares, with the step size, the optimizer and the rounds of
    learning, and its model passes to the others, hop by hop. With features `network`, nothing in it has seen a client.

    Args:
        view: the view of the observer.
        delta: δ of the certificate.
    """

    needs_checkpoints_alone: ClassVar[bool] = True
    learns_public_rows: ClassVar[bool] = True
    view: str = "transcript:all"
    delta: float = 1e-5

    def checkpoints(self, rounds: int) -> Sequence[int]:
        """Return the initial round: nothing of learning is needed."""
        return (0,)

    def check(self, learning: TrainingRun) -> None:
        """Refuse a network in which no rows with labels of the task are public."""
        super().check(learning)
        if learning.public is None or not learning.public.rows:
            raise MethodError(
                "public-only learns from public rows, and none are declared; set data.public, such as "
                "data.public.clients=5 for clients who volunteer theirs"
            )
        if not learning.public.labelled:
            raise MethodError(
                f"public-only learns the task itself, and {learning.public.origin} have no labels of it; leave it out, "
                "or let clients volunteer (data.public.clients)"
            )

    def plan(self, learning: TrainingRun) -> UnlearningPlan:
        """Return the release, without noise."""
        plan = quiet_plan(learning, "public-only", (0, 0), self.view, self.delta)
        return replace(plan, release=replace(plan.release, mechanism=PublicRows()))

    def program(
        self, release: Release, learning: TrainingRun, address: NoiseAddress, checkpoint_names: Mapping[int, str]
    ) -> Program:
        """Return the round in which one client learns, and those in which its model passes to all others."""
        from rewindnet.clients.steps.public_only import LearnPublicRows
        from rewindnet.clients.steps.spreading import spread

        node = int(np.flatnonzero(learning.present)[0])
        first = LearnPublicRows(range(1), node, address.seed, learning.rounds)
        return Program((), (), (first, spread(learning.mixing, (node,), 1)))
