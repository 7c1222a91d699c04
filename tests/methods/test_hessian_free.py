"""Hessian-free unlearning is retraining where the loss is quadratic, and close to it for few samples elsewhere."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from federated import unlearned
from learnings import SETTINGS
from networks import SMALL, Network

from rewindnet.certificates import certify
from rewindnet.clients.methods import METHODS, MethodError
from rewindnet.clients.step_records import from_record, to_record
from rewindnet.clients.training.optimizers import SGD

CASE = replace(SMALL, step=0.3, model="mlp", deleted="one")


def quadratic(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the test networks learn a linear model by least squares."""
    monkeypatch.setitem(SETTINGS, "mlp", {"widths": [], "loss": "mse"})


def distances(case: Network) -> tuple[float, float]:
    """How far the released models are from retraining, and how far the learned ones are, at the worst node."""
    simulation, learned, outcome = unlearned(METHODS["hessian-free"](), case)
    oracle = simulation.retrain(case.rounds, {case.rounds}).at(case.rounds)
    away = [float((models - oracle).norm(dim=1).max()) for models in (outcome.released, learned.at(case.rounds))]
    return away[0], away[1]


@pytest.mark.parametrize(
    ("schedule", "order"),
    [
        ("static", "adapt-then-combine"),
        ("static", "consensus-plus-gradient"),
        ("node-sleep", "adapt-then-combine"),
        ("node-sleep", "consensus-plus-gradient"),
        ("walk metropolis", "adapt-then-combine"),
    ],
)
def test_it_is_retraining_where_the_loss_is_quadratic(
    schedule: str, order: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    quadratic(monkeypatch)
    case = replace(CASE, schedule=schedule, order=order, rounds=12, step_factors=(1.0, 0.5) * 6, deleted="half")
    released, untouched = distances(case)
    assert untouched > 1e-3
    assert released < 1e-12


@pytest.mark.parametrize("model", ["logistic", "mlp"])
def test_it_is_close_to_retraining_for_one_sample(model: str) -> None:
    released, untouched = distances(replace(CASE, model=model))
    assert released < untouched / 10


def test_it_is_certified_of_nothing_and_its_step_is_a_record() -> None:
    method = METHODS["hessian-free"]()
    simulation, learned, outcome = unlearned(method, CASE)
    certificate = certify(simulation.requests[-1], outcome.plan.release, outcome.plan.claim)
    assert certificate.epsilon is None
    assert "what the first order leaves out" in str(certificate.reason)
    program = method.program(outcome.plan.release, simulation.requests[-1], outcome.address, learned.checkpoint_names)
    for step in program.approach:
        assert from_record(to_record(step)) == step
    fast = unlearned(method, replace(CASE, precision="exact"))[2].released
    torch.testing.assert_close(fast, outcome.released, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize(
    ("settings", "changes", "words"),
    [
        ({}, {"local_steps": 2}, "one local step a round"),
        ({}, {"order": "combine-then-adapt"}, "learning.order=adapt-then-combine"),
        ({}, {"sampling": "poisson"}, "full gradients"),
        ({}, {"radius": 9.0}, "not cut"),
        ({}, {"optimizer": SGD(momentum=0.5)}, "sgd without momentum"),
        ({}, {"departure": "leave", "deleted": "all", "radius": None}, "deletion.departure=relay"),
        ({}, {"early": 0.5, "deleted": "half"}, "a first request"),
        ({"memory": 1e-9}, {}, "GiB here, and its memory allows 1e-09 GiB"),
    ],
)
def test_what_it_does_not_follow_is_refused(settings: dict[str, Any], changes: dict[str, Any], words: str) -> None:
    with pytest.raises(MethodError, match=words):
        METHODS["hessian-free"](**settings).plan(replace(CASE, **changes).simulation().requests[-1])
    with pytest.raises(MethodError, match="memory of hessian-free"):
        METHODS["hessian-free"](memory=0.0)
