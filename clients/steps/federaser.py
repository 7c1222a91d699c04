"""FedEraser's calibration: kept rounds of learning again, with updates of the length that they had.

Liu, Ma, Yang, Wang and Liu (2021), "FedEraser: enabling efficient client-level data removal from federated learning
models", IWQoS, Section III: with U the update that a client sent in a kept round and Û the one that it works out from
the calibrated model with less work,

    Ũ = ‖U‖·Û/‖Û‖

is what it sends now, and what the others make of it is the calibrated model of the next kept round.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from rewindnet.clients.steps.base import CommunicationStep
from rewindnet.clients.training.client_block import ClientBlock
from rewindnet.clients.training.probe import Probe


@dataclass(frozen=True)
class FedEraserCalibration(CommunicationStep):
    """Repeat the kept rounds of learning on retained data, where clients adapt before they combine.

    They begin at the state before the first of them. No client that deletes has had a part in that, so that this
    round's updates stand as they were. A client that deletes can keep none of its old updates: it works them out anew,
    from the kept states on the data it retains; every other client gets the very bits that it had, which costs a client
    that has kept them nothing.

    Attributes:
        rounds: the addresses of the kept rounds, evenly spaced.
        checkpoints: the names of the states before them.
        steps: local steps of a calibration.
        anew: for each of the rounds, the nodes that have deleted something since.
    """

    rounds: range
    checkpoints: tuple[str, ...]
    steps: int
    anew: tuple[tuple[int, ...], ...]

    def required_checkpoints(self, round: int) -> Sequence[str]:
        """Return the name of the state that learning had before the round."""
        return (self.checkpoints[self.rounds.index(round)],)

    def message(self, block: ClientBlock, theta: Tensor, round: int, probe: Probe | None) -> Tensor:
        """Return θ + Ũ [b, d]."""
        (before,) = block.recalled_checkpoints
        anew = self.anew[self.rounds.index(round)]
        after = _adapted(block.counted_at([row for row, node in enumerate(block.nodes) if node in anew]), before, round)
        if round == self.rounds.start:
            return after
        update = _adapted(replace(block, local_steps=self.steps), theta, round).sub_(theta)
        # Row by row, so that a client's bits do not depend on which other clients are in its block.
        for calibrated, old, new in zip(update, before, after, strict=True):
            norm = float(calibrated.norm())
            if norm > 0:
                calibrated *= float((new - old).norm()) / norm
        return block.project(update.add_(theta))


def _adapted(block: ClientBlock, theta: Tensor, round: int) -> Tensor:
    """Compute what the clients send in a round of learning from θ."""
    return block.project(block.descend(theta, round))
