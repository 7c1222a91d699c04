"""What a task cost the network: counted in rounds, gradients, messages and bytes, and as time on a modelled network."""

from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from torch import Tensor

from rewindnet.clients.steps.base import CommunicationStep
from rewindnet.simulator.cost.clock import Clock
from rewindnet.simulator.cost.network_model import NetworkModel
from rewindnet.simulator.engine import Task


@dataclass(frozen=True)
class Cost:
    """What a program cost the network.

    Attributes:
        gradients: per-sample gradients.
        rounds: rounds.
        messages: parameter vectors sent over a directed edge.
        bytes: on the wire.
        seconds: of this machine.
        simulated_seconds: that it would take on the modelled network.
    """

    gradients: int = 0
    rounds: int = 0
    messages: int = 0
    bytes: int = 0
    seconds: float = 0.0
    simulated_seconds: float = 0.0

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(**{f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)})


class CostMeter:
    """Counts what every round of a task costs.

    Args:
        gradients: [N], the per-sample gradients that each node's local steps take in a round of learning.
        samples: [N], how many samples each node holds.
        message_bytes: the size of a message.
        network_model: the modelled network; its clock begins at 0 with the task.
    """

    def __init__(
        self,
        gradients: Callable[[int], NDArray[np.int64]],
        samples: NDArray[np.int64],
        message_bytes: int,
        network_model: NetworkModel,
    ) -> None:
        self._gradients, self._samples, self._message_bytes = gradients, samples, message_bytes
        self._clock = Clock(network_model)
        self._cost = Cost()

    def after_round(
        self, task: Task, step: CommunicationStep, round: int, W: csr_array, theta: Tensor | None, repeated: bool
    ) -> None:
        """Count one round."""
        before, after = step.work(round, self._gradients(round), self._samples)
        messages = int(W.nnz - np.count_nonzero(W.diagonal()))
        self._clock.advance(W, self._message_bytes, before, after)
        self._cost += Cost(int(before.sum() + after.sum()), 1, messages, messages * self._message_bytes)

    def total(self) -> Cost:
        """Everything so far."""
        return self._cost + Cost(simulated_seconds=self._clock.elapsed)
