"""The results of learning and unlearning: trajectories and outcomes, and the distance between models."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from rewindnet.certificates.audits.noise.log import NoiseLogs
from rewindnet.clients.methods import UnlearningPlan
from rewindnet.clients.training.noise import NoiseAddress
from rewindnet.simulator.cost.meter import Cost
from rewindnet.simulator.transports.network import Network


@dataclass(frozen=True)
class Trajectory:
    """The checkpoints of a training run, and its cost.

    Attributes:
        network: the network that stores the checkpoints.
        checkpoint_names: the names of the checkpoints, by their round.
        cost: the cost of the rounds.
        branch: the end of the names of what begins from it; empty where all methods share it.
    """

    network: Network
    checkpoint_names: Mapping[int, str]
    cost: Cost
    branch: str = ""

    def at(self, rounds: int) -> Tensor:
        """Return the models after a number of rounds: [N, d] at the root, [0, d] in other processes. Collective."""
        return self.network.fetch(self.checkpoint_names[rounds])


@dataclass(frozen=True)
class Outcome:
    """The outcome of an unlearning method; models are [N, d] at the root and [0, d] in other processes.

    Attributes:
        centre: the models before the noise is added, which must stay secret.
        noised: the models after the noise is added.
        released: the released models, after the rounds that follow the noise.
        cost: the cost of all rounds.
        plan: the executed plan, as refined during execution.
        shifts: [events], the measured shifts of the mechanism.
        address: where the noise was drawn.
        noise: what each node has measured of the noise that it added; nothing where none was to be added.
        released_name: the name under which the clients keep the released models; empty where they do not.
    """

    centre: Tensor
    noised: Tensor
    released: Tensor
    cost: Cost
    plan: UnlearningPlan
    shifts: NDArray[np.float64]
    address: NoiseAddress
    noise: NoiseLogs = field(default_factory=dict)
    released_name: str = ""


def divergence(first: Tensor, second: Tensor) -> NDArray[np.float64]:
    """Compute ‖θ_i − θ'_i‖₂ of every node [N], in double precision, from θ and θ' [N, d]."""
    result: NDArray[np.float64] = (first.double() - second.double()).norm(dim=1).cpu().numpy()
    return result
