"""Recover earlier models from later ones, before anything is erased, and run the rounds again to see how well."""

import numpy as np
from numpy.typing import NDArray

from rewindnet.certificates.sensitivity.recovery import step_solver
from rewindnet.clients.steps.recovery import Recover
from rewindnet.simulator.cost.meter import Cost
from rewindnet.simulator.outcome import divergence, norms_of
from rewindnet.simulator.simulation import Simulation
from rewindnet.simulator.task import Task

Vector = NDArray[np.float64]


def undo(simulation: Simulation, rounds: range, begin: str) -> tuple[str, Cost]:
    """Undo rounds of learning on all data; collective.

    Args:
        simulation: the network, before anything is erased.
        rounds: the rounds.
        begin: the name of the state after them.

    Returns:
        the name of the state before them; what that cost.

    Raises:
        CertificateError: if a round has no inverse.
    """
    known = simulation.training_run
    step = Recover(known.order, rounds[::-1], *step_solver(known))
    task = Task(f"recovered-{rounds.start:06d}", 0, begin, (), (step,), 0, frozenset({len(rounds)}))
    return task.checkpoint_name(len(rounds)), simulation.run_task(task)


def run_forward(simulation: Simulation, rounds: range, recovered: str, begin: str) -> tuple[Vector, Vector, Cost]:
    """Run rounds again from recovered models, and compare the result with what recovery began from; collective.

    Args:
        simulation: the network.
        rounds: the rounds that were undone.
        recovered: the name of the recovered state.
        begin: the name of the state that recovery began from.

    Returns:
        [N] each: the distances, and the norms of the recovered models; what it cost. Nothing but the cost is known
        where this process is not the root.
    """
    name, cost = simulation.run_again(rounds, recovered)
    apart = divergence(simulation.network.fetch(name), simulation.network.fetch(begin))
    simulation.network.drop(name)
    return apart, norms_of(simulation.network.fetch(recovered)), cost
