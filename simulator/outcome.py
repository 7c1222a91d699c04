"""What learning and unlearning leave: trajectories, outcomes, and the distance between two of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from rewindnet.certificates.audits.noise import NoiseLogs
from rewindnet.clients.methods import Plan
from rewindnet.simulator.cost.meter import Cost
from rewindnet.simulator.transports.network import Network


@dataclass(frozen=True)
class Trajectory:
    """The states that the network kept while it learned, and what the rounds cost.

    Attributes:
        network: keeps them.
        checkpoint_names: their names, by the number of rounds behind them.
        cost: of the rounds.
    """

    network: Network
    checkpoint_names: Mapping[int, str]
    cost: Cost

    def at(self, rounds: int) -> Tensor:
        """Return θ after so many rounds: [N, d] at the root, [0, d] elsewhere. Collective."""
        return self.network.fetch(self.checkpoint_names[rounds])


@dataclass(frozen=True)
class Outcome:
    """What an unlearning method left: [N, d] at the root, [0, d] elsewhere.

    Attributes:
        centre: the nodes' parameters where the noise is added, before it; a secret of every node.
        noised: the same with the noise.
        released: what is released: what has become of it after the rounds that follow the noise.
        cost: of all its rounds.
        plan: what was done, as it was refined on the way.
        shifts: [events] of the mechanism, as measured.
        noise: what each node has measured of the noise that it added; nothing where none was to be added.
    """

    centre: Tensor
    noised: Tensor
    released: Tensor
    cost: Cost
    plan: Plan
    shifts: NDArray[np.float64]
    noise: NoiseLogs = field(default_factory=dict)


def divergence(first: Tensor, second: Tensor) -> NDArray[np.float64]:
    """Compute ‖θ_i − θ'_i‖₂ of every node [N], in double precision, from θ and θ' [N, d]."""
    result: NDArray[np.float64] = (first.double() - second.double()).norm(dim=1).cpu().numpy()
    return result
