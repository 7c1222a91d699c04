"""The results of learning and unlearning: trajectories and outcomes, and the distance between models."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rewindnet.certificates.audits.noise.log import NoiseLogs
from rewindnet.clients.methods import UnlearningPlan
from rewindnet.clients.training.noise import NoiseAddress
from rewindnet.clients.training.parallel import split
from rewindnet.simulator.cost.meter import Cost
from rewindnet.simulator.transports.network import Network

#: Numbers that are held at once in double precision.
_AT_ONCE = 1 << 24


@dataclass(frozen=True)
class Trajectory:
    """The checkpoints of a training run, and its cost.

    Attributes:
        network: the network that stores the checkpoints.
        checkpoint_names: the names of the checkpoints, by their round.
        cost: the cost of the rounds.
        branch: the end of the names of what begins from it; empty where all methods share it.
        replayed: what it cost to get at checkpoints that were not kept, by their round.
        recovered: for each checkpoint that was recovered from a later one, in plain JSON, the rounds that were undone
            (`round`, `until`), how far `apart` the models are to which they lead, and how far it may be `off`, both
            [N].
        halved: for each checkpoint that was kept in half precision and that a release begins from, in plain JSON, its
            `round` and the `norms` [N] of its models.
    """

    network: Network
    checkpoint_names: Mapping[int, str]
    cost: Cost
    branch: str = ""
    replayed: Mapping[int, Cost] = field(default_factory=dict)
    recovered: Sequence[Mapping[str, Any]] = ()
    halved: Sequence[Mapping[str, Any]] = ()

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
        retrained_alike: where the release heals, the models of retraining that heals alike; None elsewhere.
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
    retrained_alike: Tensor | None = None


def divergence(first: Tensor, second: Tensor) -> NDArray[np.float64]:
    """Compute ‖θ_i − θ'_i‖₂ of every node [N], in double precision, from θ and θ' [N, d]."""
    pairs = zip(_some_nodes(first), _some_nodes(second), strict=True)
    return _joined([(one.double() - other.double()).norm(dim=1) for one, other in pairs])


def norms_of(theta: Tensor) -> NDArray[np.float64]:
    """Compute ‖θ_i‖₂ of every node [N], in double precision, from θ [N, d]."""
    return _joined([some.double().norm(dim=1) for some in _some_nodes(theta)])


def _some_nodes(theta: Tensor) -> list[Tensor]:
    """Return the models of some nodes at a time: those of all, in double precision, may be larger than the memory.

    On the processor, wherever they were computed, so that the same models measure the same on every transport.
    """
    return [theta[rows].cpu() for rows in split(max(1, len(theta)), max(1, _AT_ONCE // max(1, theta.shape[1])))]


def _joined(parts: list[Tensor]) -> NDArray[np.float64]:
    result: NDArray[np.float64] = torch.cat(parts).cpu().numpy()
    return result
