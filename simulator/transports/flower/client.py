"""The client's half: what a node does when the server's half tells it to, its state kept in `context.state`.

A message holds a list of instructions and the arrays that go with them; the answer holds the arrays that were asked
for. A trip that comes again, because its answer was lost, is answered again and not done again.
"""

import json
from collections.abc import Callable, Iterator, MutableMapping
from typing import Any

import torch
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp
from scipy.sparse import csr_array
from torch import Tensor

from rewindnet.clients.steps.base import CommunicationStep, LocalStep
from rewindnet.clients.steps.records import from_record
from rewindnet.clients.worker import ClientWorker
from rewindnet.simulator.transports.flower.arrays import pack, unpack
from rewindnet.simulator.transports.flower.errors import FlowerError
from rewindnet.simulator.transports.sums import in_node_order

#: The records of a message and of an answer.
TRIP, ARRAYS = "trip", "arrays"
#: Where a state's name begins, among the records that a client keeps.
_SHELF = "shelf "

Arrays = dict[str, Tensor]


def make_app(crew_of: Callable[[Context], ClientWorker]) -> ClientApp:
    """The ClientApp of a network whose node a context belongs to is a crew of one."""
    app = ClientApp()

    @app.query()
    def serve(message: Message, context: Context) -> Message:
        return Message(_serve(message.content, context, crew_of), reply_to=message)

    return app


def _serve(content: RecordDict, context: Context, crew_of: Callable[[Context], ClientWorker]) -> RecordDict:
    asked = content.config_records[TRIP]
    number, state = int(str(asked["number"])), context.state
    before = int(str(state.config_records[TRIP]["number"])) if TRIP in state else 0
    if number == before:
        return RecordDict({ARRAYS: state.array_records[ARRAYS], TRIP: _partition(context)})
    if number != before + 1:
        raise FlowerError(f"this client has lost its state: it is asked for trip {number} and remembers {before}")
    given = content.array_records.get(ARRAYS, ArrayRecord())
    clients = _Client(crew_of(context), state)
    for instruction in json.loads(str(asked["instructions"])):
        clients.do(instruction, given)
    clients.save(number)
    return RecordDict({ARRAYS: state.array_records[ARRAYS], TRIP: _partition(context)})


def _partition(context: Context) -> ConfigRecord:
    return ConfigRecord({"partition": int(context.node_config["partition-id"])})


class _Client:
    """A crew of one that has just woken up, and goes back to sleep when its instructions are done."""

    def __init__(self, worker: ClientWorker, state: RecordDict) -> None:
        self._crew, self._state, self._answer = worker, state, Arrays()
        self._shelf = worker.checkpoints = _Checkpoints(state)
        if TRIP in state:
            kept = {name: tensor(array) for name, array in state.array_records["crew"].items()}
            worker.theta = kept.pop("theta")
            worker.resume(
                int(str(state.config_records[TRIP]["data"])),
                {int(node): measured.numpy() for node, measured in kept.items()},
            )
            self._sent = state.array_records[ARRAYS].get("message")

    def do(self, instruction: list[Any], given: ArrayRecord) -> None:
        """One instruction: what to do, and with what."""
        worker = self._crew
        match instruction:
            case ["begin", data, name, *measured]:
                worker.begin(data, name, {node: tensor(given[f"measured-{node}"]).numpy() for node in measured})
            case ["apply", record]:
                step = from_record(record)
                assert isinstance(step, LocalStep)
                worker.apply(step)
            case ["message", record, round]:
                self._answer["message"] = worker.message(_exchange(record), round)
            case ["absorb", record, round, heard, weights, lost, changed]:
                if lost:
                    worker.measure_drift(round, self._mix(lost, changed, given))
                worker.combine(_exchange(record), round, self._mix(heard, weights, given))
            case ["keep", name]:
                worker.keep(name)
            case ["drop", name]:
                del worker.checkpoints[name]
            case ["store", name]:
                worker.checkpoints[name] = tensor(given["stored"]).to(worker.full.blank())
            case ["tell", name]:
                self._answer["told"] = worker.theta if name is None else worker.checkpoints[name]
            case ["disturbances"]:
                self._answer |= {str(node): torch.from_numpy(own) for node, own in worker.disturbances().items()}
            case _:
                raise FlowerError(f"this client does not know how to {instruction[:1]}")

    def _mix(self, heard: list[int], weights: list[float], given: ArrayRecord) -> Tensor:
        """The weighted sum of what came in, in order of node; one's own message never left."""
        (own,) = self._crew.nodes
        sources = [self._sent if node == own else given[f"from-{node}"] for node in heard]
        messages = [tensor(array).flatten() for array in sources if array is not None]
        row = csr_array((weights, range(len(weights)), [0, len(weights)]), shape=(1, len(weights)))
        return in_node_order(row, messages, self._crew.full.blank())

    def save(self, number: int) -> None:
        """Put everything that must be known the next time into the node's state."""
        worker, measured = self._crew, self._crew.disturbances()
        kept = {"theta": worker.theta, **{str(node): torch.from_numpy(own) for node, own in measured.items()}}
        self._state["crew"] = record(kept)
        self._state[ARRAYS] = record(self._answer)
        self._shelf.commit()
        self._state[TRIP] = ConfigRecord({"number": number, "data": worker.requests_met})


class _Checkpoints(MutableMapping[str, Tensor]):
    """The states that a client keeps, each a record of the node's state.

    What changes is put there at the end of a trip: a trip that fails on the way leaves everything as it was, and can be
    made again.
    """

    def __init__(self, state: RecordDict) -> None:
        self._state = state
        self._changed: dict[str, Tensor | None] = {}

    def __getitem__(self, name: str) -> Tensor:
        if name in self._changed:
            changed = self._changed[name]
            if changed is None:
                raise KeyError(name)
            return changed
        return tensor(self._state.array_records[_SHELF + name]["theta"])

    def __setitem__(self, name: str, theta: Tensor) -> None:
        self._changed[name] = theta

    def __delitem__(self, name: str) -> None:
        self._changed[name] = None

    def __iter__(self) -> Iterator[str]:
        kept = {name.removeprefix(_SHELF) for name in self._state if name.startswith(_SHELF)}
        there = {name for name, theta in self._changed.items() if theta is not None}
        return iter((kept - self._changed.keys()) | there)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def commit(self) -> None:
        """Put what has changed into the node's state."""
        for name, theta in self._changed.items():
            if theta is not None:
                self._state[_SHELF + name] = record({"theta": theta})
            elif _SHELF + name in self._state:
                del self._state[_SHELF + name]


def _exchange(given: dict[str, Any]) -> CommunicationStep:
    step = from_record(given)
    assert isinstance(step, CommunicationStep)
    return step


def record(tensors: Arrays) -> ArrayRecord:
    """Tensors as Flower carries them."""
    return ArrayRecord({name: pack(value.cpu().contiguous().numpy()) for name, value in tensors.items()})


def tensor(array: Any) -> Tensor:
    """A tensor that Flower carried, in memory of its own."""
    return torch.from_numpy(unpack(array).copy())
