"""Estimate the constants of a model along the rounds of learning, for models of which none are proven."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import reduce

import numpy as np
import torch
from torch import Tensor

from rewindnet.certificates import Constants, TrainingRun
from rewindnet.clients.training.client_block import ClientBlock
from rewindnet.clients.training.estimation import Estimates, estimate
from rewindnet.clients.training.make_block import make_block
from rewindnet.experiments.scenario.errors import ScenarioError
from rewindnet.experiments.scenario.kept_rounds import estimation_rounds
from rewindnet.experiments.scenario.network_setup import NetworkSetup
from rewindnet.experiments.scenario.obstacles import Obstacles
from rewindnet.simulator.outcome import Trajectory


def with_estimates(
    network: NetworkSetup, learned: Trajectory, training_runs: Sequence[TrainingRun]
) -> tuple[TrainingRun, ...]:
    """Return how the network learned, with constants that are estimated where the model asks for it. Collective.

    Args:
        network: the network of the scenario.
        learned: the checkpoints of learning.
        training_runs: for each request, how the network learned up to it.
    """
    if not network.model.estimates:
        return tuple(training_runs)
    states = {t: learned.at(t) for t in estimation_rounds(network.training_run.rounds)}
    constants = learned.network.agree(estimated_constants(network, states) if learned.network.root else None)
    assert constants is not None
    return tuple(replace(training, constants=constants) for training in training_runs)


def estimated_constants(network: NetworkSetup, states: Mapping[int, Tensor]) -> Constants:
    """Estimate the constants from models of some rounds, on all data of all clients.

    The lowest curvature is at most 0: a few models show no convexity.

    Args:
        network: the network of the scenario.
        states: θ [N, d] after each of these rounds.
    """
    block, model, known = _all_clients(network), network.model, network.training.constants
    size, seed = model.parameters, network.scenario.seed
    found = [estimate(block, theta[:, :size].to(block.buckets[0].x), seed) for theta in states.values()]
    all_of_them: Estimates = reduce(Estimates.joined, found)
    return Constants.estimates(
        known.model, known.radius, model.l2, all_of_them.G, all_of_them.smoothness, min(all_of_them.lowest, 0.0)
    )


def rounds_of_estimates(network: NetworkSetup) -> set[int]:
    """Return the rounds of learning whose models constants are estimated from; none where they are not."""
    return set(estimation_rounds(network.training_run.rounds)) if network.model.estimates else set()


def check_estimation(network: NetworkSetup, obstacles: Obstacles) -> None:
    """Note settings under which the models that constants are estimated from may not be there.

    Args:
        network: the network.
        obstacles: gathers them.
    """
    learning = network.scenario.learning
    in_the_way = {
        "learning.checkpoints": learning.checkpoints is not None,
        "learning.checkpoints_from": learning.checkpoints_from is not None,
    }
    for setting in [name for name, given in in_the_way.items() if given and network.model.estimates]:
        obstacles.note(
            ScenarioError(
                "model.constants=estimated takes models of rounds of learning that are kept for it: "
                f"leave {setting} out, or use model.constants=unknown"
            )
        )


def _all_clients(network: NetworkSetup) -> ClientBlock:
    """Return all clients in this process, on the CPU, with the data of before any deletion."""
    rows = np.concatenate(network.partition)
    ends = np.cumsum([len(held) for held in network.partition])
    return make_block(
        network.model,
        torch.from_numpy(network.features.x[rows]).to(network.dtype),
        network.labels[rows],
        np.split(np.arange(len(rows)), ends[:-1]),
        step_size=network.training.step_size,
        nodes=range(network.nodes),
    )
