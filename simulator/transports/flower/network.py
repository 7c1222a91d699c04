"""The server side of the Flower transport: it sends instructions to the clients and forwards their messages.

Instructions gather in a queue and go out with the next trip that needs an answer, so that a round is one trip: every
client combines what its neighbours sent in the last round, computes, and answers with its next message. How many
gradients an instruction took comes with the answer to its trip.
"""

import json
from collections import Counter, deque
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np
import torch
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, RecordDict
from flwr.serverapp import Grid
from scipy.sparse import csr_array
from torch import Tensor

from rewindnet.certificates.audits.noise.log import NoiseLogs
from rewindnet.clients.step_records import to_record
from rewindnet.clients.steps.base import CommunicationStep, LocalStep
from rewindnet.clients.training.disturbance import MeasuredDisturbances
from rewindnet.clients.training.gradient_counter import Counts, RoundGradients
from rewindnet.simulator.errors import BrokenTransportError
from rewindnet.simulator.transports.flower.arrays import pack
from rewindnet.simulator.transports.flower.client import ARRAYS, TRIP, Arrays, answered, log_of, log_record
from rewindnet.simulator.transports.flower.errors import FlowerError, LateError
from rewindnet.simulator.transports.flower.exchange import exchange, node_ids
from rewindnet.simulator.transports.network import Network
from rewindnet.simulator.transports.sums import canonical

T = TypeVar("T")

#: How often a trip is made before it is given up; clients that have answered answer again, and do nothing twice.
_ATTEMPTS = 3

#: What a node is told: an instruction, and the arrays that go with it.
Instruction = tuple[list[Any], Mapping[str, Array]]


class FlowerNetwork(Network):
    """Flower clients, each a node.

    Args:
        grid: a grid of Flower.
        nodes: N.

    Raises:
        BrokenTransportError: if the clients do not come, or fail.
    """

    root = True

    def __init__(self, grid: Grid, nodes: int) -> None:
        self._grid, self._nodes = grid, nodes
        self._queue: list[Callable[[int], Instruction]] = []
        self._carried: Counter[tuple[int, int]] = Counter()
        self._gradients = _GradientStream()
        self._number = 0
        try:
            self._ids = node_ids(grid, nodes)
        except FlowerError as problem:
            raise BrokenTransportError(str(problem)) from None
        self._ids = self._in_order()

    def begin(self, requests_met: int, name: str | None, measured: MeasuredDisturbances | None = None) -> None:
        """Queue the beginning of a task, with earlier measurements; discard gradient counts that were not requested."""
        measured = measured or {}
        self._gradients.discard()

        def instruction(node: int) -> Instruction:
            arrays = {f"measured-{node}": pack(measured[node])} if node in measured else {}
            return ["begin", requests_met, name, *([node] if arrays else [])], arrays

        self._queue.append(instruction)

    def apply(self, step: LocalStep) -> None:
        """Queue a step that every client takes by itself."""
        self._instruct_all("apply", to_record(step))
        self._gradients.expect(1)

    def run_round(self, step: CommunicationStep, round: int, W: csr_array, changed: csr_array | None = None) -> None:
        """Request the message of every client, and queue the messages that each client is to combine."""
        record, weights = to_record(step), canonical(W)
        without = None if changed is None else canonical(changed)
        self._instruct_all("message", record, round)
        self._gradients.expect(2)
        messages = [pack(answer["message"].numpy()) for answer in self._trip()]
        self._gradients.sent(max(len(message.data) for message in messages))

        def instruction(node: int) -> Instruction:
            senders, shares = _row(weights, node)
            changes = ([], []) if without is None else _row(without, node)
            forwarded = {f"from-{sender}": messages[sender] for sender in {*senders, *changes[0]} if sender != node}
            self._carried.update((node, sender) for sender in senders if sender != node)
            return ["combine", record, round, senders, shares, *changes], forwarded

        # Messages are assigned and counted now; the clients receive them with the next trip.
        instructions = [instruction(node) for node in range(self._nodes)]
        self._queue.append(instructions.__getitem__)

    def gradients(self, everything: bool = False) -> list[RoundGradients]:
        """Return the gradient counts that have arrived with answers.

        Args:
            everything: make a trip for the counts that have not arrived.
        """
        if everything and self._gradients.awaited:
            self._trip()
        return self._gradients.take()

    def keep(self, name: str) -> None:
        """Queue that every client keeps its state under this name."""
        self._instruct_all("keep", name)

    def halve(self, name: str) -> None:
        """Queue that every client keeps the state of this name in half precision."""
        self._instruct_all("halve", name)

    def drop(self, name: str) -> None:
        """Queue that every client forgets the state of this name."""
        self._instruct_all("drop", name)

    def fetch(self, name: str | None = None) -> Tensor:
        """Ask every client for its model."""
        self._instruct_all("tell", name)
        return torch.cat([answer["told"] for answer in self._trip()])

    def state(self) -> Tensor:
        """Ask every client for its current state."""
        self._instruct_all("tell_state")
        return torch.cat([answer["told"] for answer in self._trip()])

    def store(self, name: str, theta: Tensor) -> None:
        """Send every client its row of θ."""
        rows = theta.cpu().numpy()
        self._queue.append(lambda node: (["store", name], {"stored": pack(rows[node : node + 1])}))
        # Two states stored in one trip would get into each other's way.
        self._trip()

    def disturbances(self) -> MeasuredDisturbances:
        """Ask every client for its measurements."""
        self._instruct_all("disturbances")
        return {int(node): own.numpy() for answer in self._trip() for node, own in answer.items()}

    def measure_noise(self, logs: NoiseLogs) -> None:
        """Queue that every client measures the noise that it adds, with what it has measured already."""
        self._queue.append(lambda node: (["measure_noise"], log_record(logs[node]) if node in logs else {}))

    def noise_logs(self, erase: bool = False) -> NoiseLogs:
        """Ask every client for what it has measured of its noise."""
        self._instruct_all("noise_logs", erase)
        logs = {node: log_of(answer) for node, answer in enumerate(self._trip())}
        return {node: log for node, log in logs.items() if log is not None}

    def carried(self) -> csr_array:
        """Return how many messages were forwarded since the last call."""
        ends = np.array(list(self._carried), dtype=np.int64).reshape(-1, 2)
        counts = np.array(list(self._carried.values()), dtype=np.int64)
        self._carried.clear()
        return csr_array((counts, (ends[:, 0], ends[:, 1])), shape=(self._nodes, self._nodes))

    def agree(self, value: T) -> T:
        """Return the value: the server is alone."""
        return value

    def _instruct_all(self, *instruction: Any) -> None:
        self._queue.append(lambda node: (list(instruction), {}))

    def _in_order(self) -> list[int]:
        """Return the ids of the nodes, in the order of their partitions."""
        partitions = [int(str(answer["partition"])) for answer in self._answers()]
        if sorted(partitions) != list(range(self._nodes)):
            raise BrokenTransportError(
                f"the clients are the partitions {sorted(partitions)}, not 0 to {self._nodes - 1}"
            )
        return [self._ids[partitions.index(node)] for node in range(self._nodes)]

    def _trip(self) -> list[Arrays]:
        """Send what is in the queue; return the arrays that the nodes answer with, in order of node."""
        answers = self._answers()
        counts = [json.loads(str(answer["gradients"])) for answer in answers]
        self._gradients.add(np.array(counts, dtype=np.int64).reshape(self._nodes, -1, 2))
        return [answered(answer) for answer in answers]

    def _answers(self) -> list[ConfigRecord]:
        self._number += 1
        contents = [self._content(node) for node in range(self._nodes)]
        self._queue.clear()
        for attempt in range(_ATTEMPTS):
            messages = [Message(content, id_, "query") for content, id_ in zip(contents, self._ids, strict=True)]
            try:
                return [answer.content.config_records[TRIP] for answer in exchange(self._grid, messages)]
            except FlowerError as problem:
                if attempt == _ATTEMPTS - 1 or isinstance(problem, LateError):
                    raise BrokenTransportError(str(problem)) from None
        raise AssertionError

    def _content(self, node: int) -> RecordDict:
        instructions = [instruct(node) for instruct in self._queue]
        arrays = {name: array for _, own in instructions for name, array in own.items()}
        trip = ConfigRecord({"number": self._number, "instructions": json.dumps([what for what, _ in instructions])})
        return RecordDict({TRIP: trip, ARRAYS: ArrayRecord(arrays)})


class _GradientStream:
    """The gradient counts of instructions, in the order in which they were given: one for an `apply`, two a round."""

    def __init__(self) -> None:
        # How many counts belong together, whether they are wanted, and the bytes of each message of their round.
        self._expected: deque[tuple[int, bool, int]] = deque()
        self._counts: deque[Counts] = deque()

    @property
    def awaited(self) -> bool:
        """Whether some of the expected counts have not come yet."""
        return sum(number for number, *_ in self._expected) > len(self._counts)

    def expect(self, instructions: int) -> None:
        """Await the counts of so many instructions, which belong together."""
        self._expected.append((instructions, True, 0))

    def sent(self, size: int) -> None:
        """Note the bytes of each message of the round whose counts are expected last."""
        self._expected[-1] = (*self._expected[-1][:2], size)

    def discard(self) -> None:
        """Return none of the counts that are expected up to now."""
        self._expected = deque((number, False, size) for number, _, size in self._expected)

    def add(self, counts: Counts) -> None:
        """Take in the counts [N, instructions, 2] of a trip: of all gradients, and of those for inner problems."""
        self._counts.extend(counts.transpose(1, 0, 2))

    def take(self) -> list[RoundGradients]:
        """Return the counts that are complete."""
        complete = []
        while self._expected and self._expected[0][0] <= len(self._counts):
            number, wanted, size = self._expected.popleft()
            before = self._counts.popleft()
            after = self._counts.popleft() if number == 2 else np.zeros_like(before)
            if wanted:
                complete.append(RoundGradients(before[:, 0], after[:, 0], before[:, 1] + after[:, 1], size))
        return complete


def _row(A: csr_array, node: int) -> tuple[list[int], list[float]]:
    """Return the columns and the values of a row."""
    row = slice(A.indptr[node], A.indptr[node + 1])
    return A.indices[row].tolist(), A.data[row].tolist()
