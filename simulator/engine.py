"""The round loop: runs the steps of a program on a block of clients, over a wire."""

from collections.abc import Iterable, Sequence
from typing import Protocol

from torch import Tensor

from clients.block import Block, Witness
from clients.steps import Exchange, LocalStep, Step
from simulator.wire import Wire


class Observer(Protocol):
    """Sees the network after every round."""

    def after_round(self, step: Exchange, round: int, block: Block, theta: Tensor) -> None:
        """θ [b, d] after the round; to be copied if it is to be kept."""


def execute(
    steps: Iterable[Step],
    block: Block,
    wire: Wire,
    theta: Tensor,
    *,
    witness: Witness | None = None,
    observers: Sequence[Observer] = (),
) -> Tensor:
    """Run a program.

    Args:
        steps: the program.
        block: the clients, with the data they hold.
        wire: how messages travel.
        theta: [b, d], where to begin; left as it is.
        witness: sees every local step.
        observers: see every round.

    Returns:
        θ [b, d] at the end, in memory of its own.
    """
    for step in steps:
        if isinstance(step, LocalStep):
            theta = step.apply(block, theta)
            continue
        for round in step.rounds:
            messages = step.message(block, theta, round, witness)
            mixed = wire.combine(messages, step.matrix(round))
            theta = step.absorb(block, theta, mixed, round, witness)
            for observer in observers:
                observer.after_round(step, round, block, theta)
    return theta.clone()
