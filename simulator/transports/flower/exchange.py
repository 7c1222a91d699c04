"""One round trip: a message to every node, and an answer from every one of them, on any runtime."""

import os
import time
from collections.abc import Sequence

from flwr.app import Message
from flwr.serverapp import Grid

from rewindnet.simulator.transports.flower.errors import FlowerError, LateError
from rewindnet.simulator.transports.flower.patience import Patience

#: Seconds between two counts of the nodes.
_PAUSE = 0.1
#: How many seconds a trip may take, however much it computes, and the variable that says otherwise.
DEADLINE, DEADLINE_VARIABLE = 600.0, "REWINDNET_FLOWER_SECONDS"


def deadline() -> float:
    """Return how many seconds one trip to all nodes and back may take."""
    given = os.environ.get(DEADLINE_VARIABLE, "")
    try:
        seconds = float(given or DEADLINE)
    except ValueError:
        seconds = 0.0
    if not seconds > 0:
        raise FlowerError(f"{DEADLINE_VARIABLE} is a number of seconds above 0, not {given!r}")
    return seconds


def exchange(grid: Grid, messages: Sequence[Message]) -> list[Message]:
    """Send the messages and wait for the answer to each.

    Args:
        grid: a grid of Flower.
        messages: to the nodes.

    Returns:
        The answers, in the order of the messages.

    Raises:
        FlowerError: as soon as one message is not taken, or answered by an error, with the error's words.
        LateError: if a node has not answered in time.
    """
    seconds = deadline()
    give_up = time.monotonic() + seconds
    ids = list(grid.push_messages(messages))
    if len(ids) != len(messages) or not all(ids):
        raise FlowerError(f"the network took {sum(map(bool, ids))} of {len(messages)} messages")
    answers: dict[str, Message] = {}
    patience = Patience()  # Flower's own grid for deployments waits 3 s
    while True:
        for answer in grid.pull_messages([sent for sent in ids if sent not in answers]):
            if answer.has_error():
                raise FlowerError(f"node {answer.metadata.src_node_id} answered with an error: {answer.error.reason}")
            answers[answer.metadata.reply_to_message_id] = answer
        if len(answers) == len(ids):
            return [answers[sent] for sent in ids]
        if time.monotonic() > give_up:
            silent = len(ids) - len(answers)
            raise LateError(f"{silent} of {len(ids)} nodes did not answer within {seconds:g} s")
        patience.pause()


def node_ids(grid: Grid, clients: int, *, seconds: float = 60.0) -> list[int]:
    """Return the ids of the nodes, once all have joined.

    The ids are in increasing order, which says nothing of which node is which partition: ask the nodes for the
    `partition-id` in their `node_config`.

    Args:
        grid: a grid of Flower.
        clients: how many are expected.
        seconds: how long to wait for them.

    Raises:
        FlowerError: if they do not come, or too many do.
    """
    give_up = time.monotonic() + seconds
    while len(ids := sorted(grid.get_node_ids())) < clients and time.monotonic() < give_up:
        time.sleep(_PAUSE)
    if len(ids) != clients:
        raise FlowerError(f"{len(ids)} nodes joined within {seconds:g} s; the network has {clients}")
    return ids
