"""The client side of the Flower transport: a node follows instructions and stores its state in `context.state`.

A message holds a list of instructions and the arrays that go with them; the answer holds the arrays that were asked
for, and the per-sample gradients that each instruction took. A trip that comes again, because its answer was lost, is
answered again and not done again.

The arrays of an answer travel as the bytes of one record that names the message it replies to, so that no two answers
have a part in common. A SuperLink keeps equal parts once. A SuperNode does not wait for a part that the SuperLink has
already, and forgets the whole answer as soon as the rest has gone; flwr 1.41 then fails a client that hands in that
part a moment later.
"""

import json
from collections.abc import Callable, Iterator, MutableMapping
from typing import Any

import torch
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp
from safetensors.torch import load, save
from scipy.sparse import csr_array
from torch import Tensor

from rewindnet.certificates.audits.noise.log import NoiseLog
from rewindnet.clients.step_records import from_record
from rewindnet.clients.steps.base import CommunicationStep, LocalStep
from rewindnet.clients.worker import ClientWorker
from rewindnet.simulator.transports.flower.arrays import pack, unpack
from rewindnet.simulator.transports.flower.errors import FlowerError
from rewindnet.simulator.transports.ordered import in_node_order

#: The records of a message and of an answer.
TRIP, ARRAYS = "trip", "arrays"
#: The record of a client's parameters and measurements, among those that it keeps.
_CLIENT = "client"
#: How the name of a checkpoint's record begins, among those that a client keeps.
_CHECKPOINT = "checkpoint "
#: How the name of an array begins that a client keeps beside its state within a step.
_MEMORY = "memory "
#: The arrays of what a client has measured of its noise.
_ROWS, _LAST = "noise-rows", "noise-last"

Arrays = dict[str, Tensor]


def make_app(worker_of: Callable[[Context], ClientWorker]) -> ClientApp:
    """Return the ClientApp of a network.

    Args:
        worker_of: returns the worker of the one node that a context belongs to.
    """
    app = ClientApp()

    @app.query()
    def serve(message: Message, context: Context) -> Message:
        answer = _serve(message.content, context, worker_of)
        answer["reply_to"] = message.metadata.message_id
        return Message(RecordDict({TRIP: answer}), reply_to=message)

    return app


def _serve(content: RecordDict, context: Context, worker_of: Callable[[Context], ClientWorker]) -> ConfigRecord:
    trip = content.config_records[TRIP]
    number, state = int(str(trip["number"])), context.state
    before = int(str(state.config_records[TRIP]["number"])) if TRIP in state else 0
    if number != before:
        if number != before + 1:
            raise FlowerError(f"this client has lost its state: it is asked for trip {number} and remembers {before}")
        arrays = content.array_records.get(ARRAYS, ArrayRecord())
        client = _Client(worker_of(context), state)
        for instruction in json.loads(str(trip["instructions"])):
            client.do(instruction, arrays)
        client.save(number)
    told = {name: tensor(array) for name, array in state.array_records[ARRAYS].items()}
    return ConfigRecord(
        {
            "partition": int(context.node_config["partition-id"]),
            "gradients": state.config_records[TRIP]["gradients"],
            ARRAYS: save(told),
        }
    )


def answered(answer: ConfigRecord) -> Arrays:
    """Return the arrays of an answer."""
    data = answer[ARRAYS]
    assert isinstance(data, bytes)
    return load(data)


class _Client:
    """A client for one trip: it takes up its state, follows instructions, and saves its state.

    Args:
        worker: of the one node.
        state: of the node, as Flower keeps it.
    """

    def __init__(self, worker: ClientWorker, state: RecordDict) -> None:
        self._worker, self._state, self._answer = worker, state, Arrays()
        self._gradients: list[list[int]] = []
        self._device = worker.full.blank().device
        self._checkpoints = worker.checkpoints = _Checkpoints(state, self._device)
        if TRIP in state:
            saved = {name: tensor(array) for name, array in state.array_records[_CLIENT].items()}
            worker.take_up(saved.pop("theta").to(self._device))
            worker.memory = {
                name.removeprefix(_MEMORY): saved.pop(name).to(self._device)
                for name in sorted(saved)
                if name.startswith(_MEMORY)
            }
            measured_noise = log_of(saved)
            worker.resume(
                int(str(state.config_records[TRIP]["requests_met"])),
                {int(node): measured.numpy() for node, measured in saved.items()},
            )
            # The worker may be another one than in the last trip, or have been through a trip that failed.
            worker.noise_logs(erase=True)
            if state.config_records[TRIP]["measures_noise"]:
                worker.measure_noise({} if measured_noise is None else {worker.nodes[0]: measured_noise})
            self._sent = state.array_records[ARRAYS].get("message")

    def do(self, instruction: list[Any], arrays: ArrayRecord) -> None:
        """Follow one instruction, with the arrays that go with it."""
        worker = self._worker
        match instruction:
            case ["begin", requests_met, name, *measured]:
                worker.begin(
                    requests_met, name, {node: tensor(arrays[f"measured-{node}"]).numpy() for node in measured}
                )
            case ["measure_noise"]:
                given = {name: tensor(arrays[name]) for name in (_ROWS, _LAST) if name in arrays}
                log = log_of(given)
                worker.measure_noise({} if log is None else {worker.nodes[0]: log})
            case ["noise_logs", erase]:
                self._answer |= _log_arrays(worker, erase)
            case ["apply", record]:
                step = from_record(record)
                assert isinstance(step, LocalStep)
                worker.apply(step)
                self._count()
            case ["message", record, round]:
                self._answer["message"] = worker.message(_communication_step(record), round)
                self._count()
            case ["combine", record, round, heard, weights, lost, changed]:
                if lost:
                    worker.measure_drift(round, self._mix(lost, changed, arrays))
                worker.combine(_communication_step(record), round, self._mix(heard, weights, arrays))
                self._count()
            case ["keep", name]:
                worker.keep(name)
            case ["halve", name]:
                worker.halve(name)
            case ["drop", name]:
                del worker.checkpoints[name]
            case ["store", name]:
                worker.checkpoints[name] = tensor(arrays["stored"]).to(worker.full.blank())
            case ["tell", name]:
                self._answer["told"] = worker.models(name)
            case ["tell_state"]:
                self._answer["told"] = worker.state
            case ["disturbances"]:
                self._answer |= {str(node): torch.from_numpy(own) for node, own in worker.disturbances().items()}
            case _:
                raise FlowerError(f"this client does not know how to {instruction[:1]}")

    def _count(self) -> None:
        """Add to the answer how many gradients the instruction took."""
        self._gradients.append([int(counts[0]) for counts in self._worker.gradients_taken()])

    def _mix(self, heard: list[int], weights: list[float], arrays: ArrayRecord) -> Tensor:
        """Return the weighted sum of what came in, in order of node; the client's own message never left."""
        (own,) = self._worker.nodes
        sources = [self._sent if node == own else arrays[f"from-{node}"] for node in heard]
        messages = [tensor(array).flatten().to(self._device) for array in sources if array is not None]
        row = csr_array((weights, range(len(weights)), [0, len(weights)]), shape=(1, len(weights)))
        blank = self._worker.full.blank()
        return in_node_order(row, messages, blank.new_empty(1, len(messages[0])) if messages else blank)

    def save(self, number: int) -> None:
        """Store everything that must be known in the next trip in the node's state."""
        worker, measured = self._worker, self._worker.disturbances()
        saved = {"theta": worker.state, **{str(node): torch.from_numpy(own) for node, own in measured.items()}}
        saved |= {_MEMORY + name: held for name, held in worker.memory.items()} | _log_arrays(worker)
        self._state[_CLIENT] = record(saved)
        self._state[ARRAYS] = record(self._answer)
        self._checkpoints.commit()
        self._state[TRIP] = ConfigRecord(
            {
                "number": number,
                "requests_met": worker.requests_met,
                "gradients": json.dumps(self._gradients),
                "measures_noise": worker.measures_noise,
            }
        )


class _Checkpoints(MutableMapping[str, Tensor]):
    """The states that a client keeps, each a record of the node's state.

    What changes is put there at the end of a trip: a trip that fails on the way leaves everything as it was, and can be
    made again.

    Args:
        state: of the node.
        device: where the client computes.
    """

    def __init__(self, state: RecordDict, device: torch.device) -> None:
        self._state, self._device = state, device
        self._changed: dict[str, Tensor | None] = {}

    def __getitem__(self, name: str) -> Tensor:
        if name in self._changed:
            changed = self._changed[name]
            if changed is None:
                raise KeyError(name)
            return changed
        return tensor(self._state.array_records[_CHECKPOINT + name]["theta"]).to(self._device)

    def __setitem__(self, name: str, theta: Tensor) -> None:
        self._changed[name] = theta.clone()

    def __delitem__(self, name: str) -> None:
        self._changed[name] = None

    def __iter__(self) -> Iterator[str]:
        saved = {name.removeprefix(_CHECKPOINT) for name in self._state if name.startswith(_CHECKPOINT)}
        present = {name for name, theta in self._changed.items() if theta is not None}
        return iter((saved - self._changed.keys()) | present)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def commit(self) -> None:
        """Store what has changed in the node's state."""
        for name, theta in self._changed.items():
            if theta is not None:
                self._state[_CHECKPOINT + name] = record({"theta": theta})
            elif _CHECKPOINT + name in self._state:
                del self._state[_CHECKPOINT + name]


def _log_arrays(worker: ClientWorker, erase: bool = False) -> Arrays:
    """Return what a client has measured of its noise, as arrays; none where it measures nothing."""
    return {
        name: torch.from_numpy(array)
        for log in worker.noise_logs(erase).values()
        for name, array in ((_ROWS, log.rows), (_LAST, log.last))
    }


def log_of(arrays: Arrays) -> NoiseLog | None:
    """Take what a client has measured of its noise out of some arrays; None where they have nothing of it."""
    if _ROWS not in arrays:
        return None
    return NoiseLog(arrays.pop(_ROWS).numpy(), arrays.pop(_LAST).numpy())


def log_record(log: NoiseLog) -> dict[str, Array]:
    """Return what a client has measured of its noise as Flower carries it."""
    return {_ROWS: pack(log.rows), _LAST: pack(log.last)}


def _communication_step(record: dict[str, Any]) -> CommunicationStep:
    step = from_record(record)
    assert isinstance(step, CommunicationStep)
    return step


def record(tensors: Arrays) -> ArrayRecord:
    """Return tensors as Flower carries them."""
    return ArrayRecord({name: pack(value.cpu().contiguous().numpy()) for name, value in tensors.items()})


def tensor(array: Any) -> Tensor:
    """Return a tensor that Flower carried, in memory of its own."""
    return torch.from_numpy(unpack(array).copy())
