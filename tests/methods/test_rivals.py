"""R2D's rivals against torch, at one client as published; on a network they run, get no number, and say why."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from addresses import address_at
from federated import CASE, data, unlearned
from networks import SMALL
from torch import Tensor
from torch.nn.functional import cross_entropy, kl_div, log_softmax, softmax

from rewindnet.certificates import certify
from rewindnet.clients.methods import METHODS, MethodError
from rewindnet.clients.step_records import from_record, to_record
from rewindnet.clients.training.noise import draw
from rewindnet.simulator.simulation import Simulation
from rewindnet.topologies.rng import Stream, rng_at

ALONE = replace(SMALL, family="path", nodes=1, client=0, sizes=(23,), l2=0.05, model="logistic")
T = ALONE.rounds
#: A linear model, and one with a hidden layer of 64 units.
MODELS = ("logistic", "mlp")


def samples(simulation: Simulation, request: int) -> tuple[Tensor, Tensor]:
    x, y = data(simulation, 0, request)
    return torch.from_numpy(x), torch.from_numpy(y)


def order(simulation: Simulation, epoch: int, count: int, context: str) -> Tensor:
    return torch.from_numpy(
        rng_at(simulation.addresses[0].seed, Stream.BATCH, T + epoch, 0, context=context).permutation(count)
    )


def scores(theta: Tensor, x: Tensor) -> Tensor:
    """The scores [n, 3] of a linear model, or of one with a hidden layer, by the number of parameters θ."""
    if len(theta) % 3 == 0 and len(theta) // 3 == x.shape[1]:
        return x @ theta.view(3, -1).T
    first, shift, last, offset = theta.split([64 * x.shape[1], 64, 3 * 64, 3])
    return torch.relu(x @ first.view(64, -1).T + shift) @ last.view(3, -1).T + offset


def loss(theta: Tensor, x: Tensor, y: Tensor) -> Tensor:
    return cross_entropy(scores(theta, x), y) + ALONE.l2 / 2 * (theta**2).sum()


@pytest.mark.parametrize("model", MODELS)
def test_finetune_is_minibatch_descent_of_one_client(model: str) -> None:
    method = METHODS["finetune"](epochs=3, step_size=0.2, batch=5)
    simulation, learned, outcome = unlearned(method, replace(ALONE, model=model))
    x, y = samples(simulation, 1)
    theta = learned.at(T)[0].clone().requires_grad_(True)
    optimizer = torch.optim.SGD([theta], lr=0.2)
    for epoch in range(3):
        for batch in order(simulation, epoch, len(y), "FinetuneEpochs ").split(5):
            optimizer.zero_grad()
            loss(theta, x[batch], y[batch]).backward()
            optimizer.step()
    torch.testing.assert_close(outcome.released[0], theta.detach(), rtol=1e-12, atol=1e-12)
    assert outcome.cost.gradients == 3 * len(y)


@pytest.mark.parametrize("model", MODELS)
def test_scrub_is_the_students_of_one_client(model: str) -> None:
    settings: dict[str, Any] = {"epochs": 3, "max_steps": 1, "step_size": 0.1, "batch": 4, "forget_batch": 3}
    method = METHODS["scrub"](alpha=0.3, gamma=0.7, **settings)
    simulation, learned, outcome = unlearned(method, replace(ALONE, model=model))
    (whole, labels), (x, y) = samples(simulation, 0), samples(simulation, 1)
    kept = {tuple(row) for row in x.tolist()}
    gone = whole[[tuple(row) not in kept for row in whole.tolist()]]
    assert len(gone) == len(labels) - len(y) > 3
    teacher, temperature = learned.at(T)[0].clone(), 4.0
    theta = teacher.clone().requires_grad_(True)

    def distance(batch: Tensor) -> Tensor:
        student, wanted = (scores(of, batch) / temperature for of in (theta, teacher))
        return kl_div(log_softmax(student, 1), softmax(wanted, 1), reduction="batchmean") * temperature**2

    for epoch in range(3):
        optimizer = torch.optim.SGD([theta], lr=0.1, momentum=0.9, weight_decay=5e-4)

        def step(objective: Tensor, optimizer: torch.optim.SGD = optimizer) -> None:
            optimizer.zero_grad()
            objective.backward()
            optimizer.step()

        if epoch < 1:
            for batch in order(simulation, epoch, len(gone), "ScrubEpochs forget").split(3):
                step(-distance(gone[batch]))
        for batch in order(simulation, epoch, len(y), "ScrubEpochs retain").split(4):
            step(0.7 * loss(theta, x[batch], y[batch]) + 0.3 * distance(x[batch]))
    torch.testing.assert_close(outcome.released[0], theta.detach(), rtol=1e-11, atol=1e-11)
    assert outcome.cost.gradients == 3 * len(y) + len(gone)


@pytest.mark.parametrize(("model", "most"), [("logistic", 3.0), ("logistic", 1e3), ("mlp", 3.0)])
def test_fisher_is_noise_by_the_inverse_information(model: str, most: float) -> None:
    method = METHODS["fisher-forgetting"](alpha=1e-4, most=most)
    simulation, learned, outcome = unlearned(method, replace(ALONE, model=model))
    x, y = samples(simulation, 1)
    theta, information = learned.at(T)[0].clone(), torch.zeros(learned.at(T).shape[1], dtype=torch.float64)
    for row in x:
        odds = softmax(scores(theta, row[None])[0], 0)
        for label in range(3):
            point = theta.clone().requires_grad_(True)
            log_softmax(scores(point, row[None])[0], 0)[label].backward()
            assert point.grad is not None
            information += odds[label] * point.grad**2 / len(x)
    deviation = (1e-4 * (1 / (information + 1e-8)).clamp(max=most)).sqrt()
    noise = torch.from_numpy(draw(len(theta), simulation.address_of(outcome.plan.release, 0, 0), 0))
    torch.testing.assert_close(outcome.released[0], theta + deviation * noise, rtol=1e-10, atol=1e-12)
    assert outcome.cost.gradients == 3 * len(y)


@pytest.mark.parametrize("model", ["logistic", "sigmoid", "mlp"])
@pytest.mark.parametrize("name", ["finetune", "scrub", "fisher-forgetting"])
def test_rivals_run_on_a_network_and_get_no_number(name: str, model: str) -> None:
    simulation, learned, outcome = unlearned(METHODS[name](), replace(CASE, model=model))
    assert bool(torch.isfinite(outcome.released).all())
    assert not torch.equal(outcome.released, learned.at(CASE.rounds))
    learning = simulation.requests[-1]
    certificate = certify(learning, outcome.plan.release, outcome.plan.claim)
    assert certificate.epsilon is None
    assert str(certificate.reason).startswith("no certificate is known: ")
    rounds = 0 if name == "fisher-forgetting" else METHODS[name]().epochs  # type: ignore[attr-defined]
    assert outcome.cost.rounds == rounds
    program = METHODS[name]().program(outcome.plan.release, learning, address_at(3), learned.checkpoint_names)
    for step in (*program.approach, *program.noise):
        assert from_record(to_record(step)) == step
    again = unlearned(METHODS[name](), replace(CASE, model=model, precision="fast"))[2].released
    np.testing.assert_allclose(again.numpy(), outcome.released.numpy(), rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize(
    ("name", "settings", "words"),
    [
        ("finetune", {"epochs": 0}, "epochs of finetune"),
        ("finetune", {"step_size": float("nan")}, "step_size of finetune"),
        ("scrub", {"momentum": 1.0}, "momentum of scrub"),
        ("scrub", {"alpha": -1.0}, "alpha of scrub"),
        ("fisher-forgetting", {"most": 0.0}, "most of fisher-forgetting"),
    ],
)
def test_settings_of_rivals_out_of_range_are_refused(name: str, settings: dict[str, Any], words: str) -> None:
    with pytest.raises(MethodError, match=words):
        METHODS[name](**settings)


@pytest.mark.parametrize("model", ["logistic", {"kind": "mlp", "widths": [4]}])
def test_a_token_after_learning_with_momentum_is_certified_of_nothing_and_audited(model: Any, run_once: Any) -> None:
    learning = {"rounds": 4, "step_size": 0.2, "optimizer": {"kind": "sgd", "momentum": 0.9}}
    done = run_once({"model": model, "learning": learning, "unlearning": ["rr-du"]})
    ((certificate, audit),) = done.certified[:1]
    assert certificate.epsilon is None
    assert len(audit.shifts) == len(certificate.release.mechanism.events) > 0
