"""The regimes of a scenario: each can be asked for by name, and holds what it promises."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from machines import machine
from runs import run_through

from rewindnet.certificates import local_growth, propagate
from rewindnet.experiments.verify.verify import verify_folder


def scenario(model: dict[str, Any], regimes: list[str]) -> dict[str, Any]:
    """One and the same deletion, certified once in each regime."""
    method = {"method": "r2d", "rewind": 0.5, "view": "transcript:all", "placement": "rewind"}
    return {
        "data": {"source": "synthetic", "samples": 120, "dimensions": 4, "classes": 3},
        "partition": {"clients": 5},
        "topology": "ring",
        "learning": {"rounds": 20, "step_size": 0.5},
        "deletion": {"client": 1, "samples": 3},
        "model": model,
        "unlearning": [{**method, "regime": regime} for regime in regimes],
    }


@pytest.mark.parametrize(
    ("model", "regimes"),
    [
        ({"kind": "sigmoid", "l2": 0.0}, ["nonconvex", "weakly-convex"]),
        ({"kind": "sigmoid", "l2": 0.05}, ["nonconvex", "weakly-convex"]),
        ({"kind": "logistic", "l2": 0.0}, ["nonconvex", "convex"]),
        ({"kind": "logistic", "l2": 0.05}, ["nonconvex", "convex", "strongly-convex"]),
        ({"kind": "huber-logistic", "l2": 0.05, "clip": 0.4}, ["nonconvex", "convex", "strongly-convex"]),
    ],
)
def test_a_scenario_may_ask_for_every_regime_that_its_model_proves(
    model: dict[str, Any], regimes: list[str], tmp_path: Path
) -> None:
    finished = run_through(scenario(model, regimes), tmp_path / "run")
    _, learning = finished.network
    largest = []
    for regime, (certificate, audit) in zip(regimes, finished.certified[: len(regimes)], strict=True):
        assert (certificate.claim.regime, certificate.epsilon) == (regime, pytest.approx(1.0))
        assert audit.holds
        assert not certificate.conditional
        e = propagate(learning, disturbed=10, undisturbed=0, regime=regime).total  # type: ignore[arg-type]
        assert certificate.sensitivity == pytest.approx(e.tolist())
        largest.append(max(certificate.sensitivity))
    # Where l2 = 0 the sigmoid's lowest curvature is −L itself, and nothing is won over no assumption at all.
    assert largest == sorted(largest, reverse=True)
    assert (len(set(largest)) == len(largest)) == (model != {"kind": "sigmoid", "l2": 0.0})
    assert all(finding.holds for finding in verify_folder(tmp_path / "run"))


@pytest.mark.parametrize("l2", [0.0, 0.02])
@pytest.mark.parametrize(("T", "K"), [(1, 0), (7, 3), (40, 5)])
def test_the_closed_form_of_a_weakly_convex_machine(l2: float, T: int, K: int) -> None:
    learning = machine("sigmoid", l2, n=50, m=3, eta=0.8, T=T)
    rho, G = -learning.constants.strong_convexity.value, learning.constants.G.value
    growth = 1 + 0.8 * rho
    assert local_growth(learning, "weakly-convex") == pytest.approx(growth)
    e = propagate(learning, disturbed=T - K, undisturbed=K, regime="weakly-convex").total
    assert e == pytest.approx(np.array([2 * 3 * G / (rho * 50) * (growth**T - growth**K)]), rel=1e-10)
