"""The model that never saw a client: learned from public rows alone, at every node, with ε = 0 for all to see."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from networks import SMALL

import rewindnet
from rewindnet.certificates import CertificateError, certify
from rewindnet.certificates.public_facts import PublicFacts
from rewindnet.clients.methods import MethodError
from rewindnet.clients.methods.public_only import PublicOnly
from rewindnet.clients.training.client_block import ClientBlock
from rewindnet.experiments.runs.run_setup import build_run

PUBLIC = replace(SMALL, public=True)


@pytest.mark.parametrize(
    ("change", "steps"),
    [
        ({}, 6),
        ({"family": "path", "nodes": 1, "client": 0, "sizes": (12,)}, 6),
        ({"schedule": "matchings", "local_steps": 2, "precision": "exact"}, 12),
        ({"departure": "leave", "deleted": "all", "client": 0, "family": "complete"}, 6),
        ({"radius": 0.01}, 6),
    ],
)
def test_every_node_has_what_one_client_learns_from_the_public_rows(change: dict[str, Any], steps: int) -> None:
    simulation = replace(PUBLIC, **change).simulation()
    learned, (*_, learning) = simulation.learn([0])
    method = PublicOnly()
    method.check(learning)
    plan = method.plan(learning)
    outcome = simulation.execute(method, plan, learned, 0)
    block: ClientBlock = simulation.network.worker.blocks[1]  # type: ignore[attr-defined]
    assert block.public is not None
    (bucket,) = block.public.buckets
    x, y = bucket.x[0].numpy(), np.eye(3)[bucket.y[0].numpy().astype(int)]
    theta = np.zeros((3, x.shape[1]))
    for step in range(steps):
        odds = np.exp(x @ theta.T)
        gradient = (odds / odds.sum(axis=1, keepdims=True) - y).T @ x / 7 + 0.1 * theta
        theta = theta - block.step_size * gradient
        norm = np.linalg.norm(theta)
        if "radius" in change and norm > 0.01 and step % block.local_steps == block.local_steps - 1:
            theta *= 0.01 / norm
    present = learning.present
    assert np.abs(theta).max() > 1e-3
    assert np.allclose(outcome.released.numpy()[present], theta.ravel(), rtol=1e-6, atol=1e-9)
    assert not outcome.released.numpy()[~present].any()
    assert outcome.cost.gradients == 7 * steps
    certificate = certify(learning, plan.release, plan.claim)
    assert (str(certificate.view), certificate.epsilon, certificate.mu) == ("transcript:all", 0.0, 0.0)
    assert any("7 rows are declared public: the rows of nobody" in premise for premise in certificate.premises)


def test_it_is_the_same_whatever_the_clients_hold_and_delete() -> None:
    def released(network: Any) -> torch.Tensor:
        simulation = network.simulation()
        learned, (*_, learning) = simulation.learn([0])
        method = PublicOnly()
        return simulation.execute(method, method.plan(learning), learned, 0).released

    expected = released(PUBLIC)
    for change in ({"deleted": "all"}, {"client": 3}, {"spread": 5.0}):
        assert torch.equal(released(replace(PUBLIC, **change)), expected)  # type: ignore[arg-type]


def test_without_public_rows_it_is_refused_and_certifies_nothing() -> None:
    learning = SMALL.simulation().training_run
    unlabelled = replace(learning, public=PublicFacts(7, False, "the rows of nobody"))
    with pytest.raises(CertificateError, match="no such rows are declared"):
        certify(unlabelled, PublicOnly().plan(unlabelled).release, PublicOnly().plan(unlabelled).claim)
    with pytest.raises(
        MethodError, match=r"public-only learns from public rows, and none are declared; set data\.public"
    ):
        PublicOnly().check(learning)
    plan = PublicOnly().plan(learning)
    with pytest.raises(CertificateError, match="no such rows are declared"):
        certify(learning, plan.release, plan.claim)


def scenario(public: Any) -> dict[str, Any]:
    return {
        "name": "public-only",
        "data": {"source": "synthetic", "samples": 90, "dimensions": 4, "classes": 4, "public": public},
        "partition": {"clients": 5},
        "topology": "ring",
        "model": {"kind": "logistic", "l2": 0.05},
        "learning": {"rounds": 3, "step_size": 0.3},
        "deletion": {"client": 1, "samples": "all"},
        "unlearning": ["public-only"],
        "audit": {"draws": 0},
        "measures": {"membership": False},
    }


def test_in_a_run_it_has_a_row_like_all_others(tmp_path: Any) -> None:
    result = rewindnet.run(scenario({"clients": 2}), tmp_path / "run")
    row, *others = result.rows()
    assert (row["method"], row["epsilon_certified"], row["epsilon_empirical"]) == ("public-only", 0.0, 0.0)
    assert set(row) == set(others[0])
    assert rewindnet.verify(tmp_path / "run").holds
    setup = build_run(rewindnet.load(scenario({"clients": 2})))
    public, volunteers = setup.worker([0, 1]).full.public, [setup.network.partition[node] for node in (3, 4)]
    assert public is not None
    expected = setup.network.model.design(
        torch.from_numpy(setup.network.features.x[np.concatenate(volunteers)]).double()
    )
    assert torch.equal(public.buckets[0].x[0], expected)


def test_rows_without_labels_of_the_task_are_refused() -> None:
    with pytest.raises(rewindnet.UserError, match=r"of the classes 3, .* have no labels of it"):
        rewindnet.run(scenario({"classes": [3]}))
