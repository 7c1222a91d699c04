"""A Flower app that counts: each client adds up the arrays it is sent, and keeps sum and count in its state."""

import json
import os
import time
from pathlib import Path

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp

from rewindnet.simulator.transports.flower.arrays import pack, unpack
from rewindnet.simulator.transports.flower.exchange import exchange, node_ids


def record(array):
    arrays = ArrayRecord()
    arrays["array"] = pack(array)
    return arrays


def to_each(ids, arrays):
    return [
        Message(RecordDict({"arrays": record(array)}), node, "train") for node, array in zip(ids, arrays, strict=True)
    ]


client = ClientApp()


@client.query()
def who(message: Message, context: Context) -> Message:
    partition = {"partition-id": context.node_config["partition-id"], "of": context.node_config["num-partitions"]}
    return Message(RecordDict({"who": ConfigRecord({**partition, "pid": os.getpid()})}), reply_to=message)


@client.train()
def add(message: Message, context: Context) -> Message:
    if context.run_config.get("client-fails") == "yes":
        raise ArithmeticError("the client cannot count")
    array = unpack(message.content["arrays"]["array"])
    state = context.state
    calls = state["count"]["calls"] if "count" in state else 0
    total = unpack(state["total"]["array"]) + array if "total" in state else array
    state["count"] = ConfigRecord({"calls": calls + 1})
    state["total"] = record(total)
    count = ConfigRecord({"calls": calls + 1, "pid": os.getpid()})
    return Message(RecordDict({"arrays": record(total), "count": count}), reply_to=message)


@client.evaluate()
def fail(message: Message, context: Context) -> Message:
    raise ArithmeticError(f"client {context.node_config['partition-id']} cannot count")


def partitions(grid: Grid, clients: int) -> list[int]:
    """Node ids in the order of the partitions."""
    ids = node_ids(grid, clients)
    answers = exchange(grid, [Message(RecordDict(), node, "query") for node in ids])
    order = {int(answer.content["who"]["partition-id"]): node for node, answer in zip(ids, answers, strict=True)}
    assert all(answer.content["who"]["of"] == clients for answer in answers)
    return [order[partition] for partition in range(clients)]


def count(grid: Grid, clients: int, rounds: int, size: int = 10) -> dict:
    """Send client i the number i + round each round, in an array of this size; what the last answers say."""
    ids = partitions(grid, clients)
    times = []
    for round in range(rounds):
        began = time.monotonic()
        answers = exchange(grid, to_each(ids, [np.full(size, i + round, np.float32) for i in range(clients)]))
        times.append(time.monotonic() - began)
    return {
        "calls": [int(answer.content["count"]["calls"]) for answer in answers],
        "totals": [unpack(answer.content["arrays"]["array"]).tolist()[:3] for answer in answers],
        "pids": [int(answer.content["count"]["pid"]) for answer in answers],
        "times": times,
    }


def expected(clients: int, rounds: int) -> list:
    return [[float(sum(i + round for round in range(rounds)))] * 3 for i in range(clients)]


server = ServerApp()


@server.main()
def main(grid: Grid, context: Context) -> None:
    config = {key: str(value) for key, value in context.run_config.items()}
    out = Path(config["out"])
    out.with_suffix(".started").write_text(str(os.getpid()))
    outcome = count(grid, int(config["clients"]), int(config["rounds"]), int(config.get("size", "10")))
    out.write_text(json.dumps({**outcome, "config": config, "pid": os.getpid()}))
    if config.get("fails") == "yes":
        raise ArithmeticError("the server cannot count")
