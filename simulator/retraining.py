"""Retraining that heals as a release does, without noise: what releases that heal are compared with."""

from collections.abc import Iterable
from dataclasses import replace

from torch import Tensor

from rewindnet.certificates import Release
from rewindnet.clients.methods import UnlearningPlan
from rewindnet.clients.steps.learning import unlearning_program
from rewindnet.simulator.engine import execute
from rewindnet.simulator.outcome import Outcome, Trajectory
from rewindnet.simulator.simulation import Simulation
from rewindnet.simulator.task import Task


def healed_retraining(simulation: Simulation, release: Release, oracle: Trajectory, request: int = 0) -> Tensor:
    """Return what retraining gives that heals as a release did; nothing of it is counted.

    Args:
        simulation: the network.
        release: as it was carried out, with what heals after its noise.
        oracle: the retraining, with the checkpoint at which the healing begins.
        request: the number of the request.

    Returns:
        [N, d] at the root, [0, d] elsewhere. Collective.
    """
    known = simulation.requests[request]
    healed = release.healed_retraining(known.rounds)
    start = healed.checkpoint_round
    steps = unlearning_program(healed, known.order, simulation.address_of(healed, 0, request)).finish
    task = Task("healed", request + 1, oracle.checkpoint_names[start], (), steps, start, frozenset())
    execute(simulation.network, task, known.mixing)
    return simulation.network.fetch()


def begins_healing(plans: Iterable[UnlearningPlan], rounds: int) -> set[int]:
    """Return after which rounds of retraining the healing begins that releases are compared with.

    Args:
        plans: of the releases.
        rounds: T.
    """
    return {plan.release.healed_retraining(rounds).checkpoint_round for plan in plans if plan.release.healing}


def with_healed_retraining(simulation: Simulation, outcome: Outcome, oracle: Trajectory, request: int) -> Outcome:
    """Return an outcome with the models of healed retraining, if the release heals. Collective.

    Args:
        simulation: the network.
        outcome: of the release.
        oracle: the retraining.
        request: the number of the request.
    """
    release = outcome.plan.release
    if not release.healing:
        return outcome
    return replace(outcome, retrained_alike=healed_retraining(simulation, release, oracle, request))
