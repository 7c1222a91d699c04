"""Verify metrics.jsonl: the messages of every round, and what was measured where checkpoints are stored."""

from collections import defaultdict
from typing import Any

import numpy as np
import torch
from scipy.sparse import csr_array

from rewindnet.certificates import Mixing, TrainingRun
from rewindnet.clients.methods.baselines import Retrain
from rewindnet.clients.metrics.accuracy import accuracy
from rewindnet.experiments.folder.reader import FolderError, Json, RunFolder
from rewindnet.experiments.runs.evaluation import Samples
from rewindnet.experiments.verify.plans import method_of
from rewindnet.experiments.verify.rebuild import Rebuilt
from rewindnet.experiments.verify.records import (
    UNIT_ROUNDOFF,
    MismatchError,
    OnRecord,
    certificate_of,
    demand,
    recorded_requests,
    request_of,
)

#: The name of learning in metrics.jsonl, as recorded runs have it.
_LEARN = "learn"


def check_rounds(folder: RunFolder, rebuilt: Rebuilt) -> str:
    """Check the rounds and messages of learning, retraining and plain descents, and measure checkpoints again.

    Args:
        folder: the run folder.
        rebuilt: what follows from the scenario, the seed and the data.

    Returns:
        A sentence about what was checked.

    Raises:
        MismatchError: if a round is missing, carried other messages, or measures something else at a checkpoint.
    """
    training_runs, lines = recorded_requests(folder), _lines(folder)
    known = {_LEARN: _learning(training_runs), **_retraining(folder, training_runs)}
    for phase, matrices in known.items():
        _check_complete(folder, phase, [line["round"] for line in lines[phase]], len(matrices))
        for line in lines[phase]:
            _check_messages(phase, line, matrices[line["round"] - 1])
    plain = _plain_descents(folder, training_runs)
    unknown = sorted(
        set(lines) - set(known) - {f"{i}-{folder.summary[i]['method']}" for i in range(len(folder.methods))}
    )
    demand(not unknown, f"no release is called {', '.join(unknown)}")
    for phase, mixing in plain.items():
        for line in lines[phase]:
            _check_messages(phase, line, mixing.matrix(line["round"] - 1))
    measured = _check_checkpoints(folder, rebuilt, lines, list(known))
    return OnRecord(
        "the messages of learning, retraining and plain descents are those of their matrices, and stored models were "
        f"measured again after {measured:,} of {sum(map(len, lines.values())):,} rounds; the other measures are on the "
        "record's word"
    )


def _lines(folder: RunFolder) -> defaultdict[str, list[Json]]:
    """Read metrics.jsonl by phase."""
    lines: defaultdict[str, list[Json]] = defaultdict(list)
    try:
        for line in folder.metrics_lines():
            lines[line["phase"]].append(line)
    except FolderError as problem:
        raise MismatchError(str(problem)) from None
    return lines


def learning_matrix(training_runs: list[TrainingRun], round: int) -> csr_array:
    """Return the mixing matrix [N, N] of a round of learning.

    Args:
        training_runs: for each request, how the network learned up to it.
        round: t.
    """
    met = sum(training.rounds <= round for training in training_runs)
    training = training_runs[max(met - 1, 0)]
    before = training.mixing_before
    return (training.mixing if met or before is None else before).matrix(round)


def _learning(training_runs: list[TrainingRun]) -> list[csr_array]:
    """Return the matrix of every round of learning."""
    return [learning_matrix(training_runs, t) for t in range(training_runs[-1].rounds)]


def _retraining(folder: RunFolder, training_runs: list[TrainingRun]) -> dict[str, list[csr_array]]:
    """Return the matrix of every round of retraining, for each request."""
    phases = {}
    for request, training in enumerate(training_runs):
        suffix = f"-{request}" if len(training_runs) > 1 else ""
        phases[f"{Retrain.name}{suffix}"] = [training.mixing.matrix(t) for t in range(horizon(folder, training))]
    return phases


def horizon(folder: RunFolder, training: TrainingRun) -> int:
    """Return the number of rounds of the retraining that all methods are compared with.

    Args:
        folder: the run folder.
        training: how the network learned up to the request.
    """
    methods = range(len(folder.scenario["unlearning"]))
    return max(method_of(folder, index).horizon(training.rounds) for index in methods)


def _plain_descents(folder: RunFolder, training_runs: list[TrainingRun]) -> dict[str, Mixing]:
    """Return the mixing matrices of the releases whose rounds are those of learning."""
    plain = {}
    for index, method in enumerate(folder.methods):
        release = certificate_of(method).release
        if release.mechanism.plain_descent and not release.averaged:
            plain[f"{index}-{release.method}"] = training_runs[request_of(folder, index)].mixing
    return plain


def _check_complete(folder: RunFolder, phase: str, found: list[int], rounds: int) -> None:
    """Check that a phase has a line for every round, in order; an interruption may have lost some."""
    expected = list(range(1, rounds + 1))
    if folder.record["resumed"]:
        demand(found == sorted(set(found) & set(expected)), f"{phase} took {rounds} rounds, and has lines of others")
        return
    demand(found == expected, f"{phase} took {rounds} rounds; {len(found)} are recorded")


def _check_messages(phase: str, line: Json, W: csr_array) -> None:
    """Check the number of messages of a round."""
    messages = int(W.nnz - np.count_nonzero(W.diagonal()))
    demand(
        line["messages"] == messages,
        f"round {line['round']} of {phase} takes {messages} messages, not {line['messages']}",
    )


def _check_checkpoints(folder: RunFolder, rebuilt: Rebuilt, lines: dict[str, list[Json]], phases: list[str]) -> int:
    """Measure the stored checkpoints again; return how many lines of metrics.jsonl were compared."""
    test = rebuilt.evaluations[0].sets["test"] if rebuilt.evaluations else None
    compared = 0
    for phase in phases:
        name = phase.replace(Retrain.name, "retrained") if phase != _LEARN else "learned"
        for line in lines[phase]:
            theta = folder.weights(f"checkpoints/{name}-{line['round']:06d}")
            if theta is not None and "consensus_distance" in line:
                _check_line(f"round {line['round']} of {phase}", line, theta, folder, rebuilt, test)
                compared += 1
    return compared


def _check_line(where: str, line: Json, theta: Any, folder: RunFolder, rebuilt: Rebuilt, test: Samples | None) -> None:
    """Measure the consensus distance and the accuracy of the average of models [N, d] again."""
    plain = theta.astype(np.float64)
    mean, roundoff = plain.mean(axis=0), UNIT_ROUNDOFF[folder.scenario["backend"]["dtype"]]
    distance = float(np.linalg.norm(plain - mean, axis=1).mean())
    allowed = 1e-6 * distance + 64 * roundoff * float(np.linalg.norm(plain, axis=1).max()) + 1e-12
    recorded = line["consensus_distance"]
    demand(
        abs(recorded - distance) <= allowed,
        f"the consensus distance after {where} is recorded as {recorded:.6g} and measures {distance:.6g}",
    )
    if test is None or rebuilt.network is None:
        return
    design, targets = test
    score = float(accuracy(rebuilt.network.model, torch.from_numpy(mean[None]).to(design), design, targets)[0])
    recorded, samples = line["test_accuracy_of_average_model"], len(targets)
    demand(
        abs(recorded - score) <= (1 + samples // 1000) / samples * (1 + 1e-9),
        f"the test accuracy after {where} is recorded as {recorded:.4f} and measures {score:.4f}",
    )
