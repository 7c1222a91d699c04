"""Run rounds of learning once more, before anything is erased, for checkpoints that were not kept."""

from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace

from rewindnet.clients.methods import Method
from rewindnet.experiments.runs.estimating import check_estimation, rounds_of_estimates
from rewindnet.experiments.scenario.errors import ScenarioError
from rewindnet.experiments.scenario.kept_rounds import check_replays, missing_parts, rounds_to_keep
from rewindnet.experiments.scenario.network_setup import NetworkSetup
from rewindnet.experiments.scenario.obstacles import Obstacles
from rewindnet.simulator.cost.meter import Cost
from rewindnet.simulator.outcome import Trajectory
from rewindnet.simulator.simulation import Simulation


def kept_rounds(network: NetworkSetup, methods: Sequence[Method], obstacles: Obstacles) -> set[int]:
    """Return the rounds of learning whose checkpoints are kept, those of the requests among them.

    Args:
        network: the network.
        methods: the methods of the scenario.
        obstacles: gathers what keeps rounds from being run again.
    """
    learning = network.scenario.learning
    settings, kept = learning.checkpoints, set[int]()
    check_estimation(network, obstacles)
    if settings is not None and learning.checkpoints_from is not None:
        obstacles.note(ScenarioError("learning.checkpoints has no meaning for a network that learned elsewhere"))
    if settings is not None and len(network.arrivals) > 1:
        obstacles.note(
            ScenarioError(
                "learning.checkpoints is for a single request: what an earlier request has erased is no longer there "
                "to run rounds again with"
            )
        )
    for training in network.training_runs:
        T, state_bytes = training.rounds, network.nodes * network.message_bytes
        with obstacles.gathered():
            kept |= rounds_to_keep(settings, methods, T, state_bytes)
            for method in methods:
                with obstacles.gathered():
                    check_replays(settings, method, T, kept)
    return kept | rounds_of_estimates(network)


def replayed(
    simulation: Simulation,
    learned: Trajectory,
    needed: Iterable[int],
    phase: Callable[[str, int], AbstractContextManager[None]],
) -> Trajectory:
    """Return the checkpoints of learning with those that are needed, and what it cost to get at them.

    Args:
        simulation: the network, before anything is erased.
        learned: the checkpoints that were kept.
        needed: the rounds of the checkpoints that releases begin from.
        phase: announces a phase, with its name and its number of rounds.
    """
    names, costs = dict(learned.checkpoint_names), dict[int, Cost]()
    for part in missing_parts(names, needed):
        with phase(replay_name(part), len(part)):
            names[part.stop], cost = simulation.run_again(part, names[part.start])
        costs[part.stop] = cost + costs.get(part.start, Cost())
    return replace(learned, checkpoint_names=names, replayed=costs)


def replay_name(part: range) -> str:
    """Return the name of a phase in which these rounds are run again."""
    return f"replay-{part.start:06d}"


def replay_start(kept: Collection[int], round: int) -> int:
    """Return the round from which the rounds up to a checkpoint are run again; the same round if it is kept."""
    return max(t for t in kept if t <= round)
