"""ManiF-SMC against torch at one client; what it reads and what it does on a network."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from federated import CASE, data, unlearned
from networks import SMALL
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

from rewindnet.certificates import certify
from rewindnet.clients.methods import METHODS, MethodError
from rewindnet.clients.models import MODELS
from rewindnet.clients.steps.alternating import AlternatingEpochs
from rewindnet.simulator.simulation import Simulation
from rewindnet.topologies.rng import Stream, rng_at

ALONE = replace(SMALL, family="path", nodes=1, client=0, sizes=(23,), l2=0.05, model="mlp")
SETTINGS: dict[str, Any] = {"epochs": 2, "step_size": 0.02, "forget_step_size": 0.01, "forget_batch": 4, "batch": 6}


def sets(simulation: Simulation) -> tuple[Tensor, Tensor, Tensor]:
    """What the client erased, and its retained samples with their labels."""
    (whole, _), (x, y) = data(simulation, 0, 0), data(simulation, 0, 1)
    kept = {tuple(row) for row in x.tolist()}
    gone = np.array([tuple(row) not in kept for row in whole.tolist()])
    return torch.from_numpy(whole[gone]), torch.from_numpy(x), torch.from_numpy(y)


def hidden(theta: Tensor, x: Tensor) -> Tensor:
    """The outputs [n, 64] of the hidden layer, of length 1."""
    first, shift = theta[: 64 * x.shape[1]], theta[64 * x.shape[1] : 65 * x.shape[1] + 64 - x.shape[1]]
    return normalize(torch.relu(x @ first.view(64, -1).T + shift), dim=1)


def scores(theta: Tensor, x: Tensor) -> Tensor:
    first, shift, last, offset = theta.split([64 * x.shape[1], 64, 3 * 64, 3])
    return torch.relu(x @ first.view(64, -1).T + shift) @ last.view(3, -1).T + offset


def half_way(
    theta: Tensor, start: Tensor, near: Tensor, kept: Tensor, labels: Tensor, margin: str, generator: Any
) -> Tensor:
    """The middle of the curve whose control point torch learns on the neighbours alone."""
    control = ((theta + start) / 2).clone().requires_grad_(True)
    optimizer = torch.optim.Adam([control], lr=0.02)
    places = torch.from_numpy(np.unique(near.numpy()))
    for _ in range(20):
        t, chosen = generator.random(), torch.from_numpy(generator.permutation(len(places))[:6])
        some = places[chosen]
        point = (1 - t) ** 2 * theta + 2 * t * (1 - t) * control + t**2 * start
        optimizer.zero_grad()
        if margin == "smc":
            loss = cross_entropy(scores(point, kept[some]), labels[some]) + ALONE.l2 / 2 * (point**2).sum()
        else:
            drift = hidden(point, kept[some]) - hidden(start, kept[some])
            # Adam makes steps of the size of its step size of what rounding leaves at the learned model.
            loss = drift.where(drift.abs() > 1e-12, 0.0).square().sum(dim=1).mean()
        loss.backward()
        optimizer.step()
    return (theta + 2 * control.detach() + start) / 4


@pytest.mark.parametrize("margin", ["smc", "smc-label-free", "fixed"])
def test_it_is_what_torch_makes_of_one_client(margin: str) -> None:
    method = METHODS["manif-smc"](**SETTINGS, margin=margin, alpha=0.3, keep=0.7, neighbours=3)
    simulation, learned, outcome = unlearned(method, ALONE)
    gone, kept, labels = sets(simulation)
    start, T = learned.at(ALONE.rounds)[0], ALONE.rounds
    nearest = torch.stack([(hidden(start, kept) @ row).topk(3).indices for row in hidden(start, gone)])
    centre = torch.stack([hidden(start, kept)[of].mean(dim=0) for of in nearest])
    theta = start.clone().requires_grad_(True)
    optimizer = torch.optim.Adam([theta], lr=0.01)
    for epoch in range(2):

        def generator(what: str, address: int = T + epoch) -> Any:
            return rng_at(simulation.addresses[0].seed, Stream.BATCH, address, 0, context=f"ManifoldEpochs {what}")

        order = generator("forget")
        permutation = order.permutation(len(gone))
        drawn = order.integers(0, 3, len(gone))
        between = half_way(theta.detach(), start, nearest, kept, labels, margin, generator("control"))
        for first in range(0, len(gone), 4):
            objective = torch.zeros((), dtype=torch.float64)
            places = permutation[first : first + 4]
            for place, which in zip(places, drawn[first : first + 4], strict=True):
                erased, positive = gone[place][None], kept[nearest[place, which]][None]

                def apart(of: Tensor, point: Tensor, where: Tensor) -> Tensor:
                    return (hidden(point, of)[0] - where).square().sum()

                alpha: Any = 0.3
                if margin != "fixed":
                    middle = hidden(between, kept[nearest[place]]).mean(dim=0)
                    alpha = apart(erased, between, middle) - apart(positive, between, middle)
                held = apart(positive, theta, centre[place])
                hinge = held - apart(erased, theta, centre[place]) + alpha
                # The margin of the first batch is the gap itself: whether that is above 0 is decided by rounding.
                objective = objective + (hinge if hinge > 1e-12 else 0.0) + 0.7 * held
            optimizer.zero_grad()
            (objective / len(places)).backward()
            optimizer.step()
    torch.testing.assert_close(outcome.released[0], theta.detach(), rtol=1e-8, atol=1e-10)
    control = 0 if margin == "fixed" else 2 * 20 * min(6, len(nearest.unique()))
    assert outcome.cost.gradients == 2 * 2 * len(gone) + control


def test_no_label_of_an_erased_sample_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    _, learned, outcome = unlearned(METHODS["manif-smc"](**SETTINGS), ALONE)
    forget_set = AlternatingEpochs.forget_set

    def mislabelled(self: AlternatingEpochs, block: Any, node: int) -> Any:
        samples = forget_set(self, block, node)
        return samples._replace(y=(samples.y + 1) % 3)

    monkeypatch.setattr(AlternatingEpochs, "forget_set", mislabelled)
    assert torch.equal(unlearned(METHODS["manif-smc"](**SETTINGS), ALONE)[2].released, outcome.released)
    assert not torch.equal(outcome.released, learned.at(ALONE.rounds))


@pytest.mark.parametrize("model", ["logistic", "sigmoid", "mlp"])
def test_on_a_network_only_who_deletes_changes_and_nothing_is_certified(model: str) -> None:
    case = replace(CASE, model=model)
    simulation, learned, outcome = unlearned(METHODS["manif-smc"](**SETTINGS, margin="fixed", alpha=1.0), case)
    change = outcome.released - learned.at(case.rounds)
    torch.testing.assert_close(change, change[case.client].expand_as(change), rtol=0, atol=1e-14)
    assert model == "sigmoid" or change.any()
    certificate = certify(simulation.requests[-1], outcome.plan.release, outcome.plan.claim)
    assert certificate.epsilon is None
    assert str(certificate.reason).startswith("no certificate is known: ")
    gone = unlearned(METHODS["manif-smc"](epochs=1), replace(case, deleted="all"))
    assert torch.equal(gone[2].released, gone[1].at(case.rounds))


def test_what_a_model_makes_of_samples_before_its_last_layer() -> None:
    theta, x = torch.randn(2, 1000), torch.randn(7, 5)
    mlp = MODELS["mlp"](5, 3, widths=[6, 4])
    assert mlp.representation(theta[:, : mlp.parameters], x).shape == (2, 7, 4)
    flat = MODELS["mlp"](5, 3, widths=[])
    point = theta[:, : flat.parameters]
    assert torch.equal(flat.representation(point, x), flat.scores(point, x))
    cnn = MODELS["cnn"](64, 3, (8, 8), channels=[2], kernel=3, widths=[6])
    images, point = torch.randn(7, 64), torch.randn(2, cnn.parameters) / 10
    read = cnn.representation(point, images)
    assert read.shape == (2, 7, 6)
    views = cnn.layout.views(point)
    weight, bias = (
        next(of for name, of in reversed(views.items()) if name.endswith(kind)) for kind in ("weight", "bias")
    )
    torch.testing.assert_close(read @ weight.transpose(1, 2) + bias[:, None], cnn.scores(point, images))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"margin": "wide"}, "margin of manif-smc is one of smc"),
        ({"neighbours": 0}, "neighbours of manif-smc"),
        ({"keep": -1.0}, "keep of manif-smc"),
        ({"control_steps": 0}, "control_steps of manif-smc"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(MethodError, match=words):
        METHODS["manif-smc"](**settings)
