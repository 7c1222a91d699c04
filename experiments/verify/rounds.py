"""Verify metrics.jsonl: the messages of every round, and what was measured where checkpoints are stored."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from scipy.sparse import csr_array

from rewindnet.certificates import Mixing, TrainingRun
from rewindnet.certificates.findings import OnRecord
from rewindnet.clients.metrics.accuracy import accuracy
from rewindnet.experiments.folder.reader import FolderError, Json, RunFolder
from rewindnet.experiments.runs.evaluation import Samples
from rewindnet.experiments.verify.halved import halved_arrays
from rewindnet.experiments.verify.measures import check_consensus, check_scores
from rewindnet.experiments.verify.phases import Phase, phases_of
from rewindnet.experiments.verify.rebuild import Rebuilt
from rewindnet.experiments.verify.records import (
    UNIT_ROUNDOFF,
    MismatchError,
    certificate_of,
    demand,
    recorded_requests,
    request_of,
)


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
    known, lines = phases_of(folder), _lines(folder)
    for phase in known:
        _check_complete(folder, phase, [line["round"] for line in lines[phase.name]])
        for line in lines[phase.name]:
            _check_messages(phase.name, line, phase.matrix(line["round"] - 1))
    releases = {f"{i}-{folder.summary[i]['method']}" for i in range(len(folder.methods))}
    unknown = sorted(set(lines) - {phase.name for phase in known} - releases)
    demand(not unknown, f"no release is called {', '.join(unknown)}")
    for name, mixing in _plain_descents(folder, recorded_requests(folder)).items():
        for line in lines[name]:
            _check_messages(name, line, mixing.matrix(line["round"] - 1))
    measured = _check_checkpoints(folder, rebuilt, lines, known)
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


def _plain_descents(folder: RunFolder, training_runs: list[TrainingRun]) -> dict[str, Mixing]:
    """Return the mixing matrices of the releases whose rounds are those of learning."""
    plain = {}
    for index, method in enumerate(folder.methods):
        release = certificate_of(method).release
        if release.mechanism.plain_descent and not release.averaged:
            plain[f"{index}-{release.method}"] = training_runs[request_of(folder, index)].mixing
    return plain


def _check_complete(folder: RunFolder, phase: Phase, found: list[int]) -> None:
    """Check that a phase has a line for every round, in order; an interruption may have lost some."""
    expected = [t + 1 for t in phase.rounds]
    took = f"{phase.name} took {len(expected)} rounds"
    if folder.record["resumed"]:
        demand(found == [t for t in expected if t in set(found)], f"{took}, and has lines of others")
        return
    demand(found == expected, f"{took}; {len(found)} are recorded")


def _check_messages(phase: str, line: Json, W: csr_array) -> None:
    """Check the number of messages of a round."""
    messages = int(W.nnz - np.count_nonzero(W.diagonal()))
    demand(
        line["messages"] == messages,
        f"round {line['round']} of {phase} takes {messages} messages, not {line['messages']}",
    )


def _check_checkpoints(
    folder: RunFolder, rebuilt: Rebuilt, lines: dict[str, list[Json]], phases: Sequence[Phase]
) -> int:
    """Measure the stored checkpoints again; return how many lines of metrics.jsonl were compared.

    Lines are measured before the noise of an earlier release, checkpoints are stored with it. Lines are measured on
    models as they were, and some checkpoints are kept in half precision.
    """
    halved = halved_arrays(folder)
    test = rebuilt.evaluations[0].sets["test"] if rebuilt.evaluations else None
    compared = 0
    for phase in phases:
        for line in lines[phase.name]:
            name = f"checkpoints/{phase.checkpoints}-{line['round']:06d}"
            theta = None if name in halved else folder.weights(name)
            if theta is not None and "consensus_distance" in line and line["round"] not in phase.noised_after:
                _check_line(f"round {line['round']} of {phase.name}", line, theta, folder, rebuilt, test)
                compared += 1
    return compared


def _check_line(where: str, line: Json, theta: Any, folder: RunFolder, rebuilt: Rebuilt, test: Samples | None) -> None:
    """Measure the consensus distance and the accuracy of the average of models [N, d] again."""
    plain = theta.astype(np.float64)
    roundoff = UNIT_ROUNDOFF[folder.scenario["backend"]["dtype"]]
    check_consensus(f"the consensus distance after {where}", line["consensus_distance"], plain, roundoff)
    if test is None or rebuilt.network is None:
        return
    design, targets = test
    average = torch.from_numpy(plain.mean(axis=0, keepdims=True)).to(design)
    recorded = np.array([line["test_accuracy_of_average_model"]])
    measured = accuracy(rebuilt.network.model, average, design, targets)
    check_scores(f"the test accuracy after {where}", recorded, measured, len(targets))
