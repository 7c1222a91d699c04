"""Verify learning.json: its settings, the constants of the model, and the measured disturbances."""

from collections.abc import Mapping
from math import isclose, sqrt
from typing import Any

import numpy as np

from rewindnet.certificates import TrainingRun, derive, settings_of, worst_case_disturbance
from rewindnet.certificates.constants import DERIVATIONS, Constants
from rewindnet.certificates.findings import OnRecord
from rewindnet.certificates.sensitivity.departure import weight_change
from rewindnet.certificates.training import CLIP_TOLERANCE
from rewindnet.experiments.folder.reader import RunFolder, goes_on_from_releases
from rewindnet.experiments.scenario.settings import LearningSettings
from rewindnet.experiments.verify.forget_sets import check_forget_set
from rewindnet.experiments.verify.halved import check_halved
from rewindnet.experiments.verify.rebuild import Rebuilt
from rewindnet.experiments.verify.records import TOLERANCE, UNIT_ROUNDOFF, demand, recorded_requests
from rewindnet.experiments.verify.recovered import check_recovered
from rewindnet.simulator.training_facts import uncovered

#: The constants that are derived from the model and the feature norm.
_DERIVED = ("G", "L", "l2", "strong_convexity")


def check_learning(folder: RunFolder, rebuilt: Rebuilt) -> str:
    """Check the record of learning against the scenario, for every request, and the size of its models.

    Args:
        folder: the run folder.
        rebuilt: what follows from the scenario, the seed and the data.

    Returns:
        A sentence about what was checked.

    Raises:
        MismatchError: if the record does not follow from the scenario.
    """
    training_runs, scenario = recorded_requests(folder), folder.scenario
    last = training_runs[-1]
    demand(last.rounds == scenario["learning"]["rounds"], "learning ends in another round than was asked for")
    for request, training in enumerate(training_runs):
        _check_settings(training, scenario)
        _check_constants(training.constants, scenario)
        check_forget_set(folder, training, request)
        _check_arithmetic(training, scenario["backend"]["dtype"])
        _check_size(training, rebuilt)
        _check_disturbances(training)
    recovered = check_recovered(folder, last) + check_halved(folder, last)
    derivable = last.constants.model in DERIVATIONS and last.constants.radius.provenance != "estimated"
    derived = "derived again" if derivable else "taken from the record"
    sentence = f"{last.rounds} rounds, constants {derived}, disturbances within their bound{recovered}"
    return sentence if derivable else OnRecord(sentence)


def _check_settings(training: TrainingRun, scenario: Mapping[str, Any]) -> None:
    """Check the settings of learning and the kind of the model."""
    # The tolerance says something, and is recorded, only where clients clip.
    clip = ("client_clip",) if scenario["learning"].get("client_clip") is None else ("client_clip", "clip_tolerance")
    for key in ("step_size", "local_steps", "order", "radius", *clip):
        # Scenarios that were recorded before clients could clip have no such entries.
        wanted = scenario["learning"].get(key, CLIP_TOLERANCE if key == "clip_tolerance" else None)
        recorded = getattr(training, key)
        demand(wanted == recorded, f"learning.{key} is {wanted} in the scenario and {recorded} in the record")
    learning = LearningSettings.model_validate(scenario["learning"])
    mixed = scenario["backend"].get("mixed_precision") is not None
    wanted_steps = (
        learning.sizes(),
        uncovered(learning.optimizer.build(), learning.gradient_clip, learning.augmentation is not None, mixed),
    )
    demand(
        wanted_steps == (training.step_sizes, training.uncovered),
        "step sizes, or what keeps learning from being covered, are recorded otherwise than they follow",
    )
    for setting, charged, recorded in (
        ("recover", learning.recovery_error, training.recovery_error),
        ("half_precision", learning.storage_error, training.storage_error),
    ):
        demand(charged == recorded, f"learning.checkpoints.{setting} charges {charged:g}, and the record {recorded:g}")
    declared = scenario["data"].get("public") is not None
    demand(
        declared == bool(training.public and training.public.rows),
        "public rows are recorded otherwise than the scenario declares them",
    )
    going_on = training.rounds < scenario["learning"]["rounds"]
    from_release = going_on and goes_on_from_releases(scenario)
    demand(
        (training.continued, training.from_release, training.earlier_releases) == (going_on, from_release, ()),
        f"it is recorded otherwise from which models learning went on after round {training.rounds}",
    )
    model = training.constants.model
    demand(model == scenario["model"]["kind"], f"the constants are those of another model, {model}")


def _check_constants(constants: Constants, scenario: Mapping[str, Any]) -> None:
    """Derive the constants again; constants without a known derivation must not be recorded as proven."""
    if constants.model not in DERIVATIONS:
        demand(
            constants.conditional or not constants.known,
            f"no derivation is known of the constants of {constants.model}, said to be proven",
        )
        return
    settings = {name: float(scenario["model"][name]) for name in settings_of(constants.model)}
    expected = derive(constants.model, constants.radius, **settings)
    demand(
        constants.settings == expected.settings,
        f"the constants are those of the settings {dict(constants.settings)}, not of {settings}",
    )
    for name in _DERIVED:
        recorded, derived = getattr(constants, name), getattr(expected, name)
        equal = isclose(recorded.value, derived.value, rel_tol=TOLERANCE, abs_tol=1e-15)
        demand(
            equal and recorded.provenance == derived.provenance,
            f"the constant {name} is {recorded.value} ({recorded.provenance}); "
            f"it follows as {derived.value} ({derived.provenance})",
        )
    demand(
        constants.radius.provenance == _radius_provenance(scenario["data"]["features"]),
        f"the feature norm is said to be {constants.radius.provenance}, which these features do not support",
    )
    _check_radius(constants.radius.value, scenario)


def _radius_provenance(features: Mapping[str, Any]) -> str:
    """Return the provenance of the feature norm that follows from the settings of the features."""
    if features["kind"] == "raw":
        return "estimated" if features.get("radius") is None else "enforced"
    return "proven"


def _check_radius(radius: float, scenario: Mapping[str, Any]) -> None:
    """Check the feature norm, including the bias, where the features enforce one; an estimated norm is not checked."""
    features, bias = scenario["data"]["features"], float(scenario["model"].get("bias", 0.0))
    enforced = 1.0 if features["kind"] != "raw" else features.get("radius")
    if enforced is not None:
        expected = sqrt((1 - bias**2) * enforced**2 + bias**2) if bias else enforced
        demand(isclose(radius, expected, rel_tol=TOLERANCE), f"the feature norm is {expected:.6g}, not {radius:.6g}")


def _check_arithmetic(training: TrainingRun, dtype: str) -> None:
    """Check that certificates account for the rounding of the scenario's floating-point type."""
    charged = training.arithmetic is not None and training.arithmetic.unit_roundoff == UNIT_ROUNDOFF[dtype]
    demand(charged, f"rounding is not charged as that of {dtype}")


def _check_size(training: TrainingRun, rebuilt: Rebuilt) -> None:
    """Check the number of parameters against the model, where there are data to make it for."""
    if training.arithmetic is not None and rebuilt.network is not None:
        recorded, made = training.arithmetic.parameters, rebuilt.network.model.parameters
        demand(recorded == made, f"a model is recorded to have {recorded:,} parameters and has {made:,}")


def _check_disturbances(training: TrainingRun) -> None:
    """Check that no measured disturbance and no measured drift exceeds the bound that the constants give."""
    ledger = training.ledger
    if ledger is None or not training.constants.known:
        return
    for t, measured in enumerate(ledger.disturbance):
        allowed = worst_case_disturbance(training, t)[:, list(ledger.nodes)]
        excess = np.divide(measured, allowed, out=np.where(measured > 0, np.inf, 0.0), where=allowed > 0)
        worst = float(excess.max(initial=0.0))
        demand(worst <= 1 + 1e-6, f"a measured disturbance is {worst:.4g} times what the constants allow")
    if ledger.mixing_drift is not None and training.radius is not None:
        for t, drift in enumerate(ledger.mixing_drift):
            allowed = training.radius * weight_change(training, t)[list(ledger.affected_nodes)]
            demand(bool(np.all(drift <= allowed * (1 + 1e-6))), "a measured drift is more than the radius allows")
