"""Follow rounds of learning that another run has made, and measure what the deletions of this run change on the way."""

import torch

from rewindnet.certificates import Mixing
from rewindnet.clients.steps.learning import Descend, DescendAgain
from rewindnet.simulator.journal import Journal, write_borrowed
from rewindnet.simulator.task import Task
from rewindnet.simulator.transports.network import Network


def follow(network: Network, task: Task, mixing: Mixing, journal: Journal) -> bool:
    """Follow the rounds of a task, and leave its states in the journal, as if this run had made them.

    Every round begins from the models that the other run had before it, and only clients that delete take their local
    steps, so that it costs what they compute alone. Collective.

    Args:
        network: the clients.
        task: learning from the initial models, on all data.
        mixing: the network's mixing matrices.
        journal: of the run.

    Returns:
        Whether all rounds were there to be followed.
    """
    names = [task.checkpoint_name(rounds) for rounds in range(task.start, task.end + 1)]
    plain = task.begin is None and task.remaining is None and all(type(step) is Descend for step in task.steps)
    if not network.agree(network.root and plain and set(names) <= set(journal.lent())):
        return False
    followed = all(_follow_round(network, task, round, mixing, journal) for round in range(task.start, task.end))
    measured = network.disturbances() if followed else {}
    # Neither these messages nor these gradients are the run's.
    network.carried()
    network.gradients(everything=True)
    if followed and network.root:
        for rounds in sorted({*task.keep, task.end}):
            borrowed = journal.borrow(task.checkpoint_name(rounds))
            if borrowed is not None:
                write_borrowed(journal, task.checkpoint_name(rounds), borrowed, measured)
    return followed


def _follow_round(network: Network, task: Task, round: int, mixing: Mixing, journal: Journal) -> bool:
    """Measure one round; return whether the models before it were there. Collective."""
    name = task.checkpoint_name(round)
    if not _recall(network, journal, name):
        return False
    if round == task.start:
        network.begin(task.requests_met, name, task.measured)
    step = next(step for step in task.steps if round in step.rounds)
    assert isinstance(step, Descend)
    again = DescendAgain(step.order, step.rounds, task.name)
    network.run_round(again, round, again.mixing_matrix(round, mixing))
    network.drop(name)
    return True


def _recall(network: Network, journal: Journal, name: str) -> bool:
    """Have the clients keep a state of the other run; return whether it was the one that was lent. Collective."""
    state = journal.borrow(name) if network.root else None
    found: bool = network.agree(state is not None)
    if found:
        network.store(name, torch.empty(0) if state is None else state["theta"])
    return found
