"""A damped Newton step by a stochastic inverse Hessian: against torch, its published claims, and what is certified."""

from dataclasses import replace
from math import log, sqrt
from typing import Any

import numpy as np
import pytest
import torch
from addresses import address_at
from federated import CASE, data, unlearned
from networks import SMALL
from runs import SharedRuns
from torch import Tensor
from torch.nn.functional import cross_entropy

from rewindnet.certificates import CertificateError, certify, epsilon_of, mu_of
from rewindnet.clients.methods import METHODS, MethodError
from rewindnet.clients.step_records import from_record, to_record
from rewindnet.experiments.verify.verify import verify_folder
from rewindnet.topologies.rng import Stream, rng_at

ALONE = replace(SMALL, family="path", nodes=1, client=0, sizes=(23,), l2=0.05, model="logistic")
SETTINGS: dict[str, Any] = {"damping": 0.5, "scale": 4.0, "recursions": 2, "terms": 6, "batch": 3}


def scores(theta: Tensor, x: Tensor) -> Tensor:
    if len(theta) == 3 * x.shape[1]:
        return x @ theta.view(3, -1).T
    first, shift, last, offset = theta.split([64 * x.shape[1], 64, 3 * 64, 3])
    return torch.relu(x @ first.view(64, -1).T + shift) @ last.view(3, -1).T + offset


@pytest.mark.parametrize("model", ["logistic", "mlp"])
def test_the_step_is_the_published_recursion_of_one_client(model: str) -> None:
    method = METHODS["cns"](**SETTINGS, sigma=0.0)
    simulation, learned, outcome = unlearned(method, replace(ALONE, model=model))
    x, y = (torch.from_numpy(part) for part in data(simulation, 0, 1))
    theta, l2 = learned.at(ALONE.rounds)[0].clone().requires_grad_(True), ALONE.l2
    drawn = rng_at(simulation.addresses[0].seed, Stream.BATCH, ALONE.rounds, 0, context="CNSStep ").integers(
        len(y), size=(6, 2, 3)
    )

    def loss(rows: Any, penalty: float) -> Tensor:
        return cross_entropy(scores(theta, x[rows]), y[rows]) + penalty / 2 * theta.square().sum()

    (gradient,) = torch.autograd.grad(loss(slice(None), l2), theta)
    found = []
    for recursion in range(2):
        h = gradient.clone()
        for places in drawn[:, recursion]:
            (slope,) = torch.autograd.grad(loss(places, l2 + 0.5), theta, create_graph=True)
            (image,) = torch.autograd.grad(slope @ h, theta)
            h = h + gradient - image / 4.0
        found.append(h / 4.0)
    expected = theta.detach() - torch.stack(found).mean(dim=0)
    torch.testing.assert_close(outcome.released[0], expected, rtol=1e-11, atol=1e-12)
    assert outcome.cost.gradients == len(y) + 2 * 2 * 6 * 3


def test_many_terms_solve_for_the_damped_newton_step() -> None:
    """With all of many terms the recursion is the inverse: one sample makes every batch the whole of the data."""
    settings = {**SETTINGS, "terms": 300, "recursions": 1, "batch": 1}
    simulation, learned, outcome = unlearned(METHODS["cns"](**settings, sigma=0.0), replace(ALONE, sizes=(2,)))
    x, y = (torch.from_numpy(part) for part in data(simulation, 0, 1))
    assert len(y) == 1

    def loss(theta: Tensor) -> Tensor:
        return cross_entropy(scores(theta, x), y) + ALONE.l2 / 2 * theta.square().sum()

    theta = learned.at(ALONE.rounds)[0]
    point = theta.clone().requires_grad_(True)
    (gradient,) = torch.autograd.grad(loss(point), point)
    hessian = torch.autograd.functional.hessian(loss, theta) + 0.5 * torch.eye(len(theta), dtype=theta.dtype)
    torch.testing.assert_close(outcome.released[0], theta - torch.linalg.solve(hessian, gradient))


def published(learning: Any, method: Any, root: float) -> float:
    """Δ, written down as in the paper."""
    C, M, lam, low = learning.radius, method.hessian_lipschitz, method.damping, method.lowest
    G, L = learning.constants.G.value, learning.constants.L.value
    return (2 * C * (M * C + lam) + G) / (lam + low) + (16 * root / (lam + low) + 1 / 16) * (2 * L * C + G)


@pytest.mark.parametrize("epsilon", [0.5, 3.0])
@pytest.mark.parametrize("formula", ["paper", "code"])
def test_what_is_claimed_is_the_published_formula(formula: str, epsilon: float) -> None:
    simulation, _, _ = unlearned(METHODS["cns"](**SETTINGS), CASE)
    learning = replace(simulation.requests[-1], radius=2.0)
    method = METHODS["cns"](**SETTINGS, epsilon=epsilon, formula=formula, hessian_lipschitz=0.7, lowest=-0.1)
    plan = method.plan(learning)
    assert learning.arithmetic is not None
    share = learning.arithmetic.parameters / 0.1
    bound = published(learning, method, sqrt(log(share)) if formula == "paper" else sqrt(share))
    unit = sqrt(2 * log(1.25 / 1e-5)) / epsilon if epsilon <= 1 else 1 / mu_of(epsilon, 1e-5)
    np.testing.assert_allclose(plan.release.sigma, bound * unit)
    assert plan.claim.claimed_epsilon == pytest.approx(epsilon)
    assert f"{bound:.4g} by the {formula}" in str(plan.claim.claimed_by)
    certificate = certify(learning, plan.release, plan.claim)
    assert certificate.epsilon is None
    assert str(certificate.reason).startswith("no certificate is known: the published bound")
    # The same noise, by the other formula.
    other = METHODS["cns"](
        **SETTINGS, sigma=float(plan.release.sigma[0]), hessian_lipschitz=0.7, lowest=-0.1,
        formula="code" if formula == "paper" else "paper",
    )  # fmt: skip
    claimed = other.plan(learning).claim.claimed_epsilon
    assert claimed is not None
    assert (claimed > epsilon) == (formula == "paper")


def test_no_epsilon_is_claimed_without_a_bound_on_the_weights() -> None:
    simulation, _, outcome = unlearned(METHODS["cns"](**SETTINGS), CASE)
    assert outcome.plan.claim.claimed_epsilon is None
    assert "unknown without learning.radius" in str(outcome.plan.claim.claimed_by)
    with pytest.raises(CertificateError, match=r"the formula of cns takes learning\.radius"):
        METHODS["cns"](**SETTINGS, epsilon=1.0).plan(simulation.requests[-1])


@pytest.mark.parametrize("model", ["logistic", "sigmoid", "mlp"])
def test_it_runs_on_a_network(model: str) -> None:
    method = METHODS["cns"](**SETTINGS)
    simulation, learned, outcome = unlearned(method, replace(CASE, model=model))
    assert bool(torch.isfinite(outcome.released).all())
    assert not torch.equal(outcome.centre, learned.at(CASE.rounds))
    assert outcome.plan.release.sigma.tolist() == [1e-3] * CASE.nodes
    assert outcome.cost.rounds == 1
    learning = simulation.requests[-1]
    program = method.program(outcome.plan.release, learning, address_at(3), learned.checkpoint_names)
    assert from_record(to_record(program.approach[0])) == program.approach[0]
    again = unlearned(method, replace(CASE, model=model, precision="fast"))[2].released
    np.testing.assert_allclose(again.numpy(), outcome.released.numpy(), rtol=1e-9, atol=1e-11)


def test_its_noise_is_audited_and_its_columns_say_which_is_which(run_once: SharedRuns) -> None:
    scenario = {
        "name": "cns",
        "data": {"source": "synthetic", "samples": 120, "dimensions": 4},
        "partition": {"clients": 5},
        "topology": "ring",
        "learning": {"rounds": 8, "radius": 1.0},
        "deletion": {"client": 2, "samples": 5},
        "unlearning": [{"method": "cns", **SETTINGS, "sigma": 0.05}],
        "measures": {"membership": False},
    }
    run = run_once(scenario)
    row = run.summary[0]
    assert row["epsilon_certified"] is None
    assert row["epsilon_claimed"] > 1
    # One Gaussian hides the measured divergence of the worst node.
    divergence = max(run.methods[0].audit["divergence"])
    assert row["epsilon_empirical"] == pytest.approx(epsilon_of(divergence / 0.05, 1e-5))
    assert row["noise_audit"] == "holds"
    assert all(finding.holds for finding in verify_folder(run.path))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"terms": 0}, "terms of cns"),
        ({"damping": 0.0}, "damping of cns"),
        ({"scale": 200.0}, "scale of cns must be larger than damping, 200, or the terms grow; it is 200"),
        ({"formula": "book"}, "formula of cns is one of paper, code, not 'book'"),
        ({"lowest": -200.0}, "lowest of cns must be larger than −damping, -200, not -200"),
        ({"failure": 1.0}, "failure of cns is a probability strictly between 0 and 1, not 1"),
        ({"epsilon": 1.0, "sigma": 1.0}, "cns takes epsilon or sigma"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(MethodError, match=words):
        METHODS["cns"](**settings)
