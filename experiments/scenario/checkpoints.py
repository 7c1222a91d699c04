"""Read the folder of a network that learned elsewhere, and check that it fits the scenario."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import isclose
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors import SafetensorError, safe_open

from rewindnet.certificates import TrainingRun
from rewindnet.clients.steps.learning import InitialModel
from rewindnet.experiments.scenario.checkpoint_files import DESCRIPTION, MIXING, files_in, models_file, rounds_in
from rewindnet.experiments.scenario.errors import ScenarioError
from rewindnet.experiments.scenario.inputs import sha256_of
from rewindnet.late import torch
from rewindnet.reading import located

if TYPE_CHECKING:
    from torch import Tensor

#: The keys of the description: those that it must have, and those that it may have.
_REQUIRED, _OPTIONAL = ("rounds", "step_size", "samples"), ("local_steps", "order", "constants")
#: The largest size of the description in bytes.
_LARGEST = 50_000_000
#: The relative difference up to which two constants, or two weights, are equal.
_EQUAL = 1e-6


@dataclass(frozen=True, eq=False)
class Checkpoints:
    """The checkpoints of a network that learned elsewhere; nothing is written into their folder.

    Attributes:
        folder: the folder.
        rounds: the rounds after which models are stored, increasing.
        learning: the content of `training.json`.
        dtype: the floating-point type in which the clients compute here.
        sha256: a hash of the names and contents of all files that are read.
    """

    folder: Path
    rounds: tuple[int, ...]
    learning: Mapping[str, Any]
    dtype: torch.dtype
    sha256: str

    def models(self, round: int) -> Tensor:
        """Return the models [N, d] after a round.

        Args:
            round: one of `rounds`.

        Raises:
            ScenarioError: if the file cannot be read.
        """
        file = models_file(self.folder, round)
        try:
            with safe_open(file, framework="pt") as tensors:
                theta: Tensor = tensors.get_tensor("theta")
        except (OSError, SafetensorError) as problem:
            raise ScenarioError(f"{file} is not a safetensors file with the tensor theta: {problem}") from None
        return theta.to(self.dtype)

    @property
    def mixing(self) -> np.ndarray[Any, Any] | None:
        """The mixing matrices of learning, [N, N] or [T, N, N]; None if the folder has none."""
        file = self.folder / MIXING
        if not file.is_file():
            return None
        try:
            return np.asarray(np.load(file, allow_pickle=False), dtype=np.float64)
        except (OSError, ValueError) as problem:
            raise ScenarioError(f"{file} holds no matrices: {problem}") from None


def read_checkpoints(place: str, dtype: torch.dtype) -> Checkpoints:
    """Read what a folder of checkpoints holds, and compute its hash.

    Args:
        place: the folder.
        dtype: the floating-point type in which the clients compute here.

    Raises:
        ScenarioError: if it is no such folder.
    """
    folder = located(place, ScenarioError)
    if not (folder / DESCRIPTION).is_file():
        raise ScenarioError(f"learning.checkpoints_from: {folder} is no folder with the file {DESCRIPTION}")
    rounds = rounds_in(folder)
    learning = _description(folder / DESCRIPTION)
    if len(rounds) < 2 or rounds[0] != 0 or rounds[-1] != learning["rounds"]:
        raise ScenarioError(
            f"{folder} holds the models after the rounds {_listed(rounds)}; it must hold those after round 0 and after "
            f"the last round, {learning['rounds']}, in files like round-000000.safetensors"
        )
    return Checkpoints(folder, rounds, learning, dtype, _hash(folder))


def _description(file: Path) -> dict[str, Any]:
    """Read the description of learning."""
    try:
        if file.stat().st_size > _LARGEST:
            raise ValueError("it is too large")
        content = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as problem:
        raise ScenarioError(f"{file} cannot be read: {problem}") from None
    keys = set(content) if isinstance(content, dict) else set()
    if not set(_REQUIRED) <= keys <= {*_REQUIRED, *_OPTIONAL}:
        raise ScenarioError(
            f"{file} is a mapping of the keys {', '.join(_REQUIRED)} and, optionally, {', '.join(_OPTIONAL)}; it has "
            f"{', '.join(sorted(keys)) or 'none'}"
        )
    return dict(content)


def _hash(folder: Path) -> str:
    """Hash the names and the contents of all files that are read."""
    total = hashlib.sha256()
    for file in files_in(folder):
        total.update(f"{file.name} {sha256_of(file)}\n".encode())
    return total.hexdigest()


def misfits(checkpoints: Checkpoints, training: TrainingRun, initial: InitialModel, model: Any) -> Iterator[str]:
    """Yield a sentence about everything in which the checkpoints do not fit the scenario.

    Args:
        checkpoints: the checkpoints.
        training: how the network learns by the scenario.
        initial: makes the model with which learning begins.
        model: the model of the scenario.
    """
    described = checkpoints.learning
    for name in ("rounds", "step_size", "local_steps", "order"):
        given, here = described.get(name, getattr(training, name)), getattr(training, name)
        if given != here:
            yield f"the network of {checkpoints.folder} learned with {name} {given}; learning.{name} is {here}"
    if described["samples"] != training.samples.tolist():
        yield f"the clients of {checkpoints.folder} have other numbers of samples than the partition gives them here"
    constants = described.get("constants", {})
    for name in ("G", "L", "l2", "strong_convexity"):
        here = getattr(training.constants, name).value
        given = constants.get(name, here) if isinstance(constants, dict) else None
        if not isinstance(given, int | float) or not isclose(given, here, rel_tol=_EQUAL, abs_tol=1e-12):
            yield f"the constant {name} of {checkpoints.folder} is {given}; the model and features here give {here:g}"
    yield from _misfit_models(checkpoints, training.mixing.nodes, initial.initial(model, checkpoints.dtype))
    yield from _misfit_mixing(checkpoints, training)


def _misfit_models(checkpoints: Checkpoints, nodes: int, initial: Tensor) -> Iterator[str]:
    """Yield sentences about models of another shape, and about another beginning than that of retraining."""
    wanted = (nodes, len(initial))
    for t in checkpoints.rounds:
        theta = checkpoints.models(t)
        if tuple(theta.shape) != wanted:
            yield (
                f"{models_file(checkpoints.folder, t)} holds models of the shape {list(theta.shape)}; this network has "
                f"{list(wanted)}"
            )
            return
        if not bool(torch.isfinite(theta).all()):
            yield f"{models_file(checkpoints.folder, t)} has entries that are not finite"
    if not torch.equal(checkpoints.models(0), initial.expand(wanted)):
        yield (
            f"the models of {checkpoints.folder} after round 0 are not the initial model of the scenario, from which "
            "retraining begins: 0 for logistic and huber-logistic, drawn from the seed for sigmoid"
        )


def _misfit_mixing(checkpoints: Checkpoints, training: TrainingRun) -> Iterator[str]:
    """Yield a sentence if the mixing matrices are not those of the scenario."""
    matrices, learning = checkpoints.mixing, training.mixing_before or training.mixing
    if matrices is None:
        return
    N, T = learning.nodes, training.rounds
    if matrices.shape not in ((N, N), (T, N, N)):
        yield f"{MIXING} has the shape {list(matrices.shape)}; it is [{N}, {N}] or [{T}, {N}, {N}]"
        return
    for t in range(T):
        given = matrices if matrices.ndim == 2 else matrices[t]
        if not np.allclose(given, learning.matrix(t).toarray(), rtol=_EQUAL, atol=1e-9):
            yield (
                f"the mixing matrix of round {t} in {checkpoints.folder} is not that of the scenario; "
                "topology.mixing={kind: file, path: …} takes matrices of your own"
            )
            return


def _listed(rounds: tuple[int, ...]) -> str:
    """Name the first and the last of some rounds."""
    if len(rounds) <= 6:
        return ", ".join(map(str, rounds)) or "none"
    return f"{rounds[0]}, {rounds[1]}, …, {rounds[-1]}"
