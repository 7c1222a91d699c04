"""Verify the forget sets of learning.json against the deletion requests of the scenario."""

from collections.abc import Mapping, Sequence
from typing import Any

from rewindnet.certificates import TrainingRun, forget_commitment
from rewindnet.clients.data.deletion import forget_salt
from rewindnet.experiments.folder.reader import RunFolder
from rewindnet.experiments.scenario.names import node_of
from rewindnet.experiments.verify.records import demand


def check_forget_set(folder: RunFolder, training: TrainingRun, request: int) -> None:
    """Check the forget set of a request against the requests that have arrived by then, and the previous forget set.

    Args:
        folder: the run folder.
        training: how the network learned up to the request.
        request: the number of the request.

    Raises:
        MismatchError: if the forget set does not follow from the scenario.
    """
    forget_set = _forget_set(folder, request)
    previous = _forget_set(folder, request - 1) if request else {}
    opened = forget_commitment(_salt(folder, request), forget_set)
    demand(opened == training.forget_commitment, "the forget set is not the one that was certified")
    arrived = _arrived_requests(folder, training.rounds)
    clients = {_node(folder, entry) for entry in arrived}
    demand(set(forget_set) == clients, f"the forget set is not that of the deleting clients {sorted(clients)}")
    for node, positions in forget_set.items():
        n, distinct = int(training.samples[node]), set(positions)
        valid = all(0 <= position < n for position in distinct) and len(distinct) == len(positions)
        demand(valid, f"the forget set of node {node} is not a set of its samples")
        demand(distinct >= set(previous.get(node, [])), f"node {node} deletes less than in the request before")
        requested = [_requested_samples(folder, entry) for entry in arrived if _node(folder, entry) == node]
        _check_count(n, positions, requested)
    _check_counts_of_record(folder, training, request)


def _check_counts_of_record(folder: RunFolder, training: TrainingRun, request: int) -> None:
    """Check the recorded numbers of deleted samples, and the rounds of earlier requests."""
    earlier = enumerate(counts for _, counts in training.earlier_deletions)
    for index, counts in [(request, training.deleted), *earlier]:
        recorded = {node: int(count) for node, count in enumerate(counts) if count}
        expected = {node: len(positions) for node, positions in _forget_set(folder, index).items()}
        demand(recorded == expected, "the numbers of deleted samples are not those of the forget set")
    rounds = [record["rounds"] for record in folder.learning["requests"][:request]]
    demand([start for start, _ in training.earlier_deletions] == rounds, "earlier requests arrived in other rounds")


def _node(folder: RunFolder, request: Mapping[str, Any]) -> int:
    """Return the node of the client of a request, by the names in topology.json."""
    return node_of(request["client"], folder.topology.get("names"), int(folder.topology["nodes"]))[0]


def _forget_set(folder: RunFolder, request: int) -> dict[int, list[int]]:
    """Read the forget set of a request: for each deleting node, the positions of its samples."""
    return {int(node): positions for node, positions in folder.learning["requests"][request]["forget"].items()}


def _salt(folder: RunFolder, request: int) -> bytes:
    """Read the salt that opens the commitment to a forget set; where noise is drawn from the seed, it is too."""
    salt = bytes.fromhex(folder.learning["requests"][request]["forget_salt"])
    if not any(method.get("noise_source") == "os" for method in folder.scenario["unlearning"]):
        demand(
            salt == forget_salt(folder.scenario["seed"], request),
            "the salt of the forget set is not the one that is drawn from the seed",
        )
    return salt


def _arrived_requests(folder: RunFolder, round: int) -> list[Mapping[str, Any]]:
    """List the requests of the scenario that have arrived by a round."""
    deletion, T = folder.scenario["deletion"], folder.scenario["learning"]["rounds"]
    requests: list[Mapping[str, Any]] = deletion.get("requests") or [deletion]
    return [request for request in requests if (request["round"] or T) <= round]


def _requested_samples(folder: RunFolder, request: Mapping[str, Any]) -> Any:
    """Return the samples that a request names; for poisoned samples, the number that the backdoor has."""
    poisoned = request["samples"] == "poisoned"
    return folder.scenario["data"]["backdoor"]["samples"] if poisoned else request["samples"]


def _check_count(n: int, deleted: Sequence[int], requested: Sequence[Any]) -> None:
    """Check the number of samples that a client deletes, as far as it follows without the labels.

    Args:
        n: the number of samples of the client.
        deleted: the positions of its deleted samples.
        requested: the samples that each of its requests names.

    Raises:
        MismatchError: if the number does not follow from the requests.
    """
    if "all" in requested:
        met = len(deleted) == n
    elif all(isinstance(samples, int) for samples in requested):
        met = len(deleted) == sum(requested)
    elif len(requested) == 1 and isinstance(requested[0], float):
        met = len(deleted) == max(1, round(requested[0] * n))
    else:
        listed = [samples["indices"] for samples in requested if isinstance(samples, dict) and "indices" in samples]
        met = all(set(indices) <= set(deleted) for indices in listed)
    demand(met, f"{', '.join(map(str, requested))} of {n} samples were to be deleted, not these {len(deleted)}")
