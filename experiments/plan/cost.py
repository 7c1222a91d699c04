"""Compute the cost of rewinding to each depth, as a share of retraining."""

from collections.abc import Collection, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from rewindnet.certificates import TrainingRun
from rewindnet.certificates.network import Mixing
from rewindnet.experiments.scenario.kept_rounds import replay_cost


def cost_of_depths(
    training_run: TrainingRun, message_bytes: int, depths: Sequence[int], kept: Collection[int] | None = None
) -> dict[int, dict[str, float]]:
    """Compute the cost of unlearning at each depth, as a share of retraining from the start.

    The rounds of a schedule with failing links or sleeping nodes differ in cost, so the share is not simply K/T.

    Args:
        training_run: how the network learns, and what is deleted.
        message_bytes: the size of a message.
        depths: the numbers of rounds K to rewind.
        kept: the rounds whose checkpoints are kept; None: all that are needed. Getting at the others counts as well.

    Returns:
        For each depth: `rounds`; `gradients` and `bytes` as shares of retraining; and `sent`, the number of bytes.
    """
    T, (gradients, messages) = training_run.rounds, _cost_of_rounds(training_run)
    costs = {}
    for K in depths:
        replay = replay_cost(training_run, {T - K} if kept is None else kept, T - K)
        taken, sent = replay["gradients"] + gradients[T - K :].sum(), replay["messages"] + messages[T - K :].sum()
        costs[K] = {
            "rounds": replay["rounds"] + K,
            "gradients": float(taken / (gradients.sum() or 1)),
            "bytes": float(sent / (messages.sum() or 1)),
            "sent": float(sent * message_bytes),
        }
    return costs


def messages_sent(mixing: Mixing, rounds: Iterable[int]) -> int:
    """Count the messages of some rounds, each of which sends one along every link that the round uses, both ways.

    Args:
        mixing: the mixing matrices.
        rounds: the rounds.
    """
    total, count, counted = 0, 0, None
    for t in rounds:
        W = mixing.matrix(t)
        if W is not counted:
            counted, count = W, _messages(W)
        total += count
    return total


def _messages(W: csr_array) -> int:
    """Count the entries of a mixing matrix off its diagonal."""
    return int(W.nnz - np.count_nonzero(W.diagonal()))


def _cost_of_rounds(training_run: TrainingRun) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Count the per-sample gradients and the messages of each round, both [T]."""
    mixing = training_run.mixing
    always = int(training_run.gradients(0, retained=True).sum()) if mixing.participating(0) is None else 0
    gradients = np.full(training_run.rounds, always)
    messages = np.zeros(training_run.rounds, dtype=np.int64)
    counted: csr_array | None = None
    count = 0
    for t in range(training_run.rounds):
        W = mixing.matrix(t)
        if W is not counted:
            counted, count = W, _messages(W)
        messages[t] = count
        if mixing.participating(t) is not None:
            gradients[t] = training_run.gradients(t, retained=True).sum()
    return gradients, messages
