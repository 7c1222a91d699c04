"""Count the cost of a task: rounds, gradients, messages and bytes, and time on a modelled network."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from scipy.sparse import csr_array
from torch import Tensor

from rewindnet.clients.training.gradient_counter import RoundGradients
from rewindnet.simulator.cost.clock import Clock
from rewindnet.simulator.cost.network_model import NetworkModel

#: What of a cost the meter counts; the seconds are measured elsewhere.
_COUNTED = ("gradients", "rounds", "messages", "bytes", "evaluations", "gossip_rounds")


@dataclass(frozen=True)
class Cost:
    """The cost of a program.

    Attributes:
        gradients: the number of per-sample gradients, one for each sample and local step.
        rounds: the number of rounds.
        messages: the number of parameter vectors sent over a directed edge.
        bytes: the number of bytes sent.
        seconds: the seconds on this machine.
        simulated_seconds: the seconds on the modelled network.
        evaluations: how often the gradient of a sample was evaluated: as often as there are gradients, and more often
            where a step solves an inner problem, as clients that clip do.
        gossip_rounds: how many of the rounds read no data.
    """

    gradients: int = 0
    rounds: int = 0
    messages: int = 0
    bytes: int = 0
    seconds: float = 0.0
    simulated_seconds: float = 0.0
    evaluations: int = 0
    gossip_rounds: int = 0

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(**{f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)})


class CostMeter:
    """Counts what a task costs, round by round.

    Args:
        network_model: the modelled network; its clock begins at 0 with the task.

    Attributes:
        noted: the cost up to the checkpoints of the task, by the number of rounds.
    """

    def __init__(self, network_model: NetworkModel) -> None:
        self._clock = Clock(network_model)
        self._cost = Cost()
        self.noted: dict[int, Cost] = {}

    def count(self, W: csr_array | None, gradients: RoundGradients) -> None:
        """Count one round, or what the clients did by themselves between rounds.

        Args:
            W: [N, N], the weights of the round; every entry off the diagonal is a message. None: there was no round.
            gradients: that were taken, [N] before and after the messages, and the size of each message.
        """
        if W is None:
            self._clock.compute(gradients.before)
            self._cost += Cost(gradients.of_steps, evaluations=gradients.total)
            return
        messages = int(W.nnz - np.count_nonzero(W.diagonal()))
        self._clock.advance(W, gradients.message_bytes, gradients.before, gradients.after)
        cost = Cost(gradients.of_steps, 1, messages, messages * gradients.message_bytes)
        self._cost += replace(cost, evaluations=gradients.total, gossip_rounds=int(not gradients.total))

    def total(self) -> Cost:
        """Return the cost of everything so far."""
        return self._cost + Cost(simulated_seconds=self._clock.elapsed)

    def note(self, rounds: int, seconds: float) -> None:
        """Note the cost of everything so far, and of so many seconds, as that of a number of rounds."""
        self.noted[rounds] = self.total() + Cost(seconds=seconds)

    def state(self) -> Mapping[str, Tensor]:
        """Return the state that `restore` continues from."""
        counts = torch.tensor([getattr(self._cost, name) for name in _COUNTED], dtype=torch.int64)
        return {"counts": counts, "clock": torch.from_numpy(self._clock.now.copy())}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Continue from a state of a meter of the same network; those of earlier versions have fewer counts."""
        counts = state["counts"].tolist()
        self._cost = replace(Cost(evaluations=counts[0]), **dict(zip(_COUNTED, counts, strict=False)))
        self._clock.now = state["clock"].numpy().copy()
