"""Verify learning.json against the data: numbers of samples, forget sets, constants and the initial model."""

from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from rewindnet.certificates.findings import OnRecord
from rewindnet.certificates.training_record import training_record
from rewindnet.clients.steps.learning import InitialModel
from rewindnet.experiments.folder.reader import RunFolder
from rewindnet.experiments.runs.estimating import estimated_constants, rounds_of_estimates
from rewindnet.experiments.scenario.network_setup import NetworkSetup
from rewindnet.experiments.verify.rebuild import Rebuilt
from rewindnet.experiments.verify.records import certificate_of, demand, demand_same, recorded_requests
from rewindnet.experiments.verify.weights import checkpoint_rounds

#: What learning.json has of a request that no data give: what was measured during learning, the salt of the
#: commitment to the forget set, which `check_forget_set` opens, and the hash of checkpoints (`check_elsewhere`).
_NOT_DATA = {"ledger", "forget_salt", "forget_commitment", "checkpoints_sha256"}


def check_data(folder: RunFolder, rebuilt: Rebuilt) -> str:
    """Compare learning.json with what the data give, for every request.

    Args:
        folder: the run folder.
        rebuilt: what follows from the scenario, the seed and the data.

    Returns:
        A sentence about what was checked, or why the record's word was taken.

    Raises:
        MismatchError: if the data give something else, or the run would have been refused.
    """
    demand(not rebuilt.refused, f"a run of this scenario would have been refused: {rebuilt.refused}")
    if rebuilt.network is None:
        return OnRecord(
            "the numbers of samples, the forget sets and the size of the model are on the record's word: "
            f"{rebuilt.no_data}"
        )
    network, requests = rebuilt.network, folder.learning["requests"]
    count = len(network.training_runs)
    demand(len(requests) == count, f"the scenario makes {count} requests, and {len(requests)} are recorded")
    for number, record in enumerate(requests):
        _check_request(record, network, number)
    samples = int(network.samples.sum())
    return (
        f"{samples:,} samples of {network.nodes} clients, forget sets, constants and the size of the model are those "
        f"that the data source {folder.scenario['data']['source']} gives"
    )


def _check_request(record: dict[str, Any], network: NetworkSetup, number: int) -> None:
    """Compare the record of one request with what the data give."""
    training, arrival = network.training_runs[number], network.arrivals[number]
    forget = {str(node): positions.tolist() for node, positions in arrival.forget.items()}
    expected = {**training_record(training), "forget": forget}
    if network.model.estimates:
        # `check_estimates` estimates these again.
        expected["constants"] = record["constants"]
    different = np.flatnonzero(np.array(record["samples"]) != training.samples)
    if len(different):
        node = int(different[0])
        counts = f"{record['samples'][node]} samples are recorded of node {node}, and the data give it"
        demand(False, f"{counts} {training.samples[node]}")
    one, other = ({name: value for name, value in of.items() if name not in _NOT_DATA} for of in (record, expected))
    demand_same(one, other, partial("{1} of request {0} is recorded as {2}; the data give {3}".format, number))


def check_estimates(folder: RunFolder, rebuilt: Rebuilt) -> str:
    """Estimate constants again from the stored models, where the scenario has them estimated.

    Args:
        folder: the run folder.
        rebuilt: what follows from the scenario, the seed and the data.

    Returns:
        A sentence about what was checked, or why the record's word was taken.

    Raises:
        MismatchError: if the models give others.
    """
    network = rebuilt.network
    if network is None:
        return OnRecord(f"constants were estimated, and are on the record's word: {rebuilt.no_data or rebuilt.refused}")
    stored = {t: folder.weights(f"checkpoints/learned-{t:06d}") for t in rounds_of_estimates(network)}
    kept = {t: torch.from_numpy(theta) for t, theta in stored.items() if theta is not None}
    if not kept:
        return OnRecord("constants were estimated from models that were not kept, and are on the record's word")
    wrong = [t for t, theta in kept.items() if theta.shape[1] != network.model.parameters]
    demand(not wrong, f"the models of round {wrong[0] if wrong else 0} are not of the size that the scenario gives")
    found = estimated_constants(network, dict(sorted(kept.items()))).to_record()
    for training in recorded_requests(folder):
        for name, constant in training.constants.to_record().items():
            again = found[name]
            agree = constant == again or (
                isinstance(again, dict)
                and constant["provenance"] == again["provenance"]
                and np.isclose(constant["value"], again["value"], rtol=1e-3, atol=1e-9)
            )
            demand(agree, f"{name} is recorded as {constant}, and the stored models give {again}")
    return f"G, L and the lowest curvature are those that the models of {len(kept)} rounds give; no bounds"


def check_disturbances(folder: RunFolder) -> str:
    """Say which certificates rest on what the clients measured while they learned.

    That no measurement exceeds what the constants allow is checked with learning.

    Args:
        folder: the run folder.
    """
    ledgers = [training.ledger for training in recorded_requests(folder)]
    if not any(
        ledger is not None and (ledger.disturbance.any() or ledger.mixing_drift is not None) for ledger in ledgers
    ):
        return "none measured"
    resting = [index for index, method in enumerate(folder.methods) if certificate_of(method).claim.bound == "instance"]
    rest = f"the instance bounds of releases {', '.join(map(str, resting))} rest" if resting else "no certificate rests"
    return OnRecord(f"what the deleting clients measured while they learned is on the record's word, and {rest} on it")


def check_checkpoints(folder: RunFolder, rebuilt: Rebuilt) -> str:
    """Check the shape of the stored checkpoints, and those of round 0 against the initial model.

    Args:
        folder: the run folder.
        rebuilt: what follows from the scenario, the seed and the data.

    Returns:
        A sentence about what was checked.

    Raises:
        MismatchError: if a checkpoint has another shape, or round 0 is not the initial model.
    """
    names = [name for name in folder.record["weights_sha256"] if checkpoint_rounds(name) is not None]
    stored = {name: theta for name in names if (theta := folder.weights(name)) is not None}
    word = "what the rounds made of them takes the data to follow, step by step, and is on the record's word"
    if not stored:
        return OnRecord("no checkpoint was kept: learning and retraining are on the record's word")
    initial = None
    if rebuilt.network is not None:
        model, dtype = rebuilt.network.model, rebuilt.network.dtype
        initial = InitialModel(rebuilt.network.scenario.seed).initial(model, dtype).numpy()
    nodes, begins = int(folder.topology["nodes"]), 0
    for name, theta in stored.items():
        present = _present(folder, name)
        shape = (nodes, theta.shape[1] if initial is None else len(initial))
        demand(theta.shape == shape, f"{name} is of shape {theta.shape}; the models of this network are {shape}")
        demand(bool(np.isfinite(theta).all()), f"{name} has entries that are not finite")
        demand(not theta[~present].any(), f"{name} has models of nodes that have left")
        if checkpoint_rounds(name) == 0:
            begun = theta[present]
            demand(bool((begun == begun[:1]).all()), f"{name}: clients begin from different models")
            demand(initial is None or bool((begun == initial).all()), f"{name} is not the initial model of this seed")
            begins += initial is not None
    start = "; learning begins from the initial model of the seed" if begins else ""
    return OnRecord(f"{len(stored)} checkpoints of learning and retraining{start}; {word}")


def _present(folder: RunFolder, name: str) -> NDArray[np.bool_]:
    """Return the mask [N] of the nodes that have models in a checkpoint: those that left take no part in retraining."""
    mask = np.ones(int(folder.topology["nodes"]), dtype=bool)
    if name.startswith("checkpoints/retrained"):
        mask[folder.topology["departed"]] = False
    return mask
