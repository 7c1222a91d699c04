"""Verify what metrics.json says of a person whose images were deleted, on the stored models."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from rewindnet.clients.metrics.concepts import concept_measures
from rewindnet.clients.models import Model
from rewindnet.experiments.runs.evaluation import Evaluation
from rewindnet.experiments.verify.records import demand

#: By what share a measure that is no share of answers may differ.
_ROUNDING = 1e-3


def check_concepts(
    metrics: Mapping[str, Any],
    model: Model,
    evaluation: Evaluation,
    released: NDArray[Any],
    learned: NDArray[Any] | None,
) -> list[str]:
    """Measure again what is left of the person, at every node; return what was left out.

    Args:
        metrics: the content of `metrics.json`.
        model: the model.
        evaluation: the samples to measure on.
        released: [n, d], the released models.
        learned: [n, d], those that the request found; None where they were not kept.

    Raises:
        MismatchError: if a recorded measure is not that of the models.
    """
    recorded, sets = metrics.get("concepts"), evaluation.concepts
    demand((recorded is None) == (sets is None), "answers about a deleted person are measured of data with such alone")
    if sets is None or recorded is None:
        return []
    if learned is None:
        return ["answers about the deleted person, which compare with models that were not kept"]
    theta, before = (torch.from_numpy(of).to(sets.unseen) for of in (released, learned))
    found = concept_measures(model, theta, before, sets)
    demand(recorded.keys() == found.keys(), f"measures of answers are {list(found)}, not {list(recorded)}")
    counts = {"efficacy": len(sets.trained), "generality": len(sets.unseen), "diversity": len(sets.unseen)}
    counts |= {name: answers.questions for name, answers in sets.right.items()}
    for name, measured in found.items():
        given, now = np.array(recorded[name]), np.array(measured)
        demand(given.shape == now.shape, f"{name} is not that of every node")
        worst = int(np.abs(given - now).argmax())
        demand(
            bool((np.abs(given - now) <= _allowed(now, counts.get(name))).all()),
            f"{name} is recorded as {given[worst]:.4g} where it measures {now[worst]:.4g}",
        )
    return []


def _allowed(measured: NDArray[Any], questions: int | None) -> NDArray[Any]:
    """Return by how much a measure [n] may differ on another machine, which rounds otherwise.

    Of several questions one may have another answer, where two words are as likely.
    """
    if questions is None:
        return np.asarray(_ROUNDING * np.abs(measured).clip(min=1))
    return np.full(len(measured), 1 / questions + 1e-9 if questions > 1 else 1e-9)
