"""One client alone, the setting of the centralized papers: every command works, and bounds are the closed forms."""

import numpy as np
import pytest
from drawn import examples
from hypothesis import given
from hypothesis import strategies as st
from runs import refused_here, run_through
from scipy.optimize import brentq
from scipy.stats import norm
from typer.testing import CliRunner

from rewindnet.experiments.cli import app
from rewindnet.experiments.plan.network import build_planned_network
from rewindnet.experiments.plan.plan import make_plan
from rewindnet.experiments.scenario.yaml_files import resolve
from rewindnet.experiments.verify.verify import verify_folder

ALONE = {
    "name": "alone",
    "data": {"source": "synthetic", "samples": 60, "dimensions": 3, "classes": 3},
    "partition": {"clients": 1},
    "topology": {"kind": "complete"},
    "learning": {"rounds": 8, "step_size": 0.5},
    "deletion": {"samples": 5},
    "audit": {"draws": 0},
}


def closed_form(kind, n, m, constants, eta, T, K):
    """What certificates.md and the R2D paper have for one machine, from their formulas alone."""
    G, L, mu = (constants[name]["value"] for name in ("G", "L", "strong_convexity"))
    if kind == "published":
        growth = 1 + eta * L * n / (n - m)
        return 2 * m * G / (L * n) * (growth ** (T - K) - 1) * (1 + eta * L) ** K
    if kind == "nonconvex":
        return 2 * m * G / (L * n) * ((1 + eta * L) ** T - (1 + eta * L) ** K)
    if kind == "convex":
        return 2 * eta * m * G * (T - K) / n
    gamma = 1 - eta * mu
    return 2 * m * G / (mu * n) * gamma**K * (1 - gamma ** (T - K))


def noise_that_takes(epsilon, delta):
    """σ/Δ of the Gaussian mechanism, by its exact δ (Balle and Wang 2018)."""

    def gap(ratio):
        mu = 1 / ratio
        return norm.cdf(mu / 2 - epsilon / mu) - np.exp(epsilon) * norm.cdf(-mu / 2 - epsilon / mu) - delta

    return brentq(gap, 1e-2, 1e3, xtol=1e-14, rtol=1e-13)


CASES = [
    ("convex", {"kind": "logistic", "l2": 0.0}, {}),
    ("strongly-convex", {"kind": "logistic", "l2": 0.05}, {}),
    ("nonconvex", {"kind": "sigmoid", "l2": 0.0}, {"regime": "nonconvex"}),
    ("nonconvex", {"kind": "logistic", "l2": 0.0}, {"regime": "nonconvex"}),
    ("published", {"kind": "sigmoid", "l2": 0.0}, {"bound": "published"}),
]


def drawn_row(data, T):
    return {
        "method": "r2d",
        "rewind": data.draw(st.integers(0, T - 1)) / T,
        "epsilon": data.draw(st.floats(0.2, 8.0)),
        "delta": data.draw(st.sampled_from([1e-5, 1e-2])),
    }


@pytest.mark.parametrize(("kind", "model", "row"), CASES, ids=[f"{kind}-{model['kind']}" for kind, model, _ in CASES])
@given(data=st.data())
@examples(4, deadline=None)
def test_the_sensitivity_and_the_noise_are_the_closed_forms(kind, model, row, data, tmp_path_factory):
    T, eta, m = data.draw(st.integers(4, 10)), data.draw(st.floats(0.05, 0.6)), data.draw(st.integers(1, 20))
    rows = [drawn_row(data, T) | row for _ in range(4)]
    described = {
        **ALONE,
        "model": model,
        "topology": {"kind": data.draw(st.sampled_from(["complete", "path", "star"]))},
        "learning": {"rounds": T, "step_size": eta},
        "deletion": {"samples": m},
        "unlearning": rows,
    }
    folder = run_through(described, tmp_path_factory.mktemp("alone") / "run")
    (n,) = folder.learning["requests"][0]["samples"]
    for asked, method in zip(rows, folder.methods, strict=False):
        found = method.certificate
        e = closed_form(kind, n, m, found["constants"], eta, T, round(asked["rewind"] * T))
        assert found["sensitivity"][0] - found["rounding"][0] == pytest.approx(e, rel=1e-9)
        assert found["rounding"][0] < 1e-9
        epsilon, delta = asked["epsilon"], asked["delta"]
        # The paper's formula: the textbook's up to epsilon 1, for which alone it holds, and the exact one beyond.
        textbook = kind == "published" and epsilon <= 1
        ratio = np.sqrt(2 * np.log(1.25 / delta)) / epsilon if textbook else noise_that_takes(epsilon, delta)
        assert found["sigma"][0] == pytest.approx(ratio * found["sensitivity"][0], rel=1e-7)
        assert found["regime"] == ("nonconvex" if kind == "published" else kind)


def test_the_published_bound_is_never_below_ours():
    for n, m, eta, T in ((60, 5, 0.3, 8), (94_449, 1_079, 0.01, 3_666), (10, 4, 0.5, 20)):
        constants = {"G": {"value": 0.6}, "L": {"value": 0.2}, "strong_convexity": {"value": 0.0}}
        for K in (0, T // 2, T - 1):
            ours, theirs = (closed_form(kind, n, m, constants, eta, T, K) for kind in ("nonconvex", "published"))
            assert ours <= theirs * (1 + 1e-12)


ROWS = [
    {"method": "r2d", "rewind": 0.5, "placement": placement, "view": view}
    for placement in ("output", "rewind")
    for view in ("node", "node:0", "joint", "average", "transcript", "transcript:0", "transcript:all")
]


def test_all_observers_of_one_client_see_the_same(tmp_path):
    """Nobody else is there: no message is sent, and a transcript shows the release alone."""
    described = {**ALONE, "unlearning": ROWS}
    folder = run_through(described, tmp_path / "run")
    noise = {
        (row["placement"], method.certificate["view"]): method.certificate["sigma"][0]
        for row, method in zip(ROWS, folder.methods, strict=False)
    }
    assert len(noise) == len(ROWS)
    by_placement = {place: [s for (other, _), s in noise.items() if other == place] for place, _ in noise}
    for sigmas in by_placement.values():
        np.testing.assert_allclose(sigmas, sigmas[0], rtol=1e-9)
    assert all(method.certificate["epsilon"] for method in folder.methods[: len(ROWS)])
    plan = make_plan(build_planned_network(resolve(described)), {})
    for answer, method in zip(plan.answers, folder.methods, strict=False):
        assert answer.sigma[0] == pytest.approx(method.certificate["sigma"][0], rel=1e-9)
    assert all(finding.holds for finding in verify_folder(folder.path))


def test_every_command_takes_one_client(tmp_path):
    file = tmp_path / "alone.yaml"
    file.write_text(resolve({**ALONE, "measures": {"membership": False}}).to_yaml())
    runner, out = CliRunner(), str(tmp_path / "run")
    for command in (
        ["run", str(file), "--out", out],
        ["verify", out, "--strict"],
        ["report", out],
        ["compare", out, "--out", str(tmp_path / "compared.md")],
        ["plan", str(file), "--out", str(tmp_path / "plan")],
    ):
        done = runner.invoke(app, command)
        assert done.exit_code == 0, (command, done.output)
    assert (tmp_path / "run" / "report.html").exists()


def test_the_only_client_cannot_leave(tmp_path, capsys):
    leaving = {**ALONE, "deletion": {"samples": "all", "departure": "leave"}, "learning": {"rounds": 4, "radius": 5.0}}
    refused_here(leaving, tmp_path, capsys, "no client would remain in the network; use departure relay")
