import json
from math import pi, sqrt

import numpy as np
import pytest
import torch
from drawn import examples
from hypothesis import given
from hypothesis import strategies as st
from learnings import SETTINGS

from rewindnet.certificates import CertificateError, Constant, Constants, derive
from rewindnet.clients.models.huber_logistic import HuberLogistic
from rewindnet.clients.models.logistic import Logistic
from rewindnet.clients.models.sigmoid import Sigmoid

SLACK = 1e-9


def features(generator, n, p, radius, kind):
    """[n, p], norms at most `radius`; `equal`: one and the same vector of norm `radius`, the worst case."""
    x = generator.standard_normal((n, p))
    if kind == "equal":
        x = np.repeat(x[:1], n, axis=0)
    x *= radius / np.linalg.norm(x, axis=1, keepdims=True)
    if kind == "inside":
        x *= generator.uniform(0, 1, (n, 1))
    return torch.from_numpy(x)


def objective(model, design, targets):
    """f(θ) for θ [d] of one client that holds these samples."""

    def value(theta):
        return model.losses(theta[None], design[None], targets[None]).mean() + model.l2 / 2 * (theta**2).sum()

    return value


def curvature(model, theta, design, targets):
    """The extreme eigenvalues of ∇²f."""
    hessian = torch.autograd.functional.hessian(objective(model, design, targets), theta)
    eigenvalues = torch.linalg.eigvalsh(hessian)
    return float(eigenvalues[0]), float(eigenvalues[-1])


def gradient_norms(model, theta, design, targets):
    """‖∇loss‖ of every sample, without the l2 term."""

    def losses(point):
        return model.losses(point[None], design[None], targets[None])[0]

    return torch.autograd.functional.jacobian(losses, theta).norm(dim=1)


@st.composite
def problems(draw):
    """A model, its data and a θ."""
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    kind = draw(st.sampled_from([Logistic, Sigmoid, HuberLogistic]))
    n, p, classes = draw(st.integers(1, 6)), draw(st.integers(1, 5)), draw(st.integers(2, 4))
    radius, bias, l2 = draw(st.floats(0.05, 5)), draw(st.sampled_from([0.0, 0.1, 0.7])), draw(st.sampled_from([0, 0.3]))
    model = kind(p, classes, l2=l2, bias=bias)
    x = features(generator, n, p, radius, draw(st.sampled_from(["sphere", "inside", "equal"])))
    design = model.design(x)
    targets = torch.from_numpy(model.targets(generator.integers(0, classes, n)))
    theta = torch.from_numpy(generator.standard_normal(model.parameters)) * 10 ** draw(st.floats(-3, 3))
    if draw(st.booleans()):
        # Along a sample, at the scale where the loss bends: near the worst case for both models.
        row = design[0] / design[0].norm().clamp(min=1e-12) ** 2
        theta = draw(st.floats(-4, 4)) * (torch.cat([row, -row, *[0 * row] * 2])[: model.parameters])
    return model, Constant(radius, "enforced"), design, targets, theta


@examples(150)
@given(problems())
def test_no_gradient_and_no_curvature_is_beyond_the_constants(problem):
    model, radius, design, targets, theta = problem
    constants = model.constants(radius)
    assert float(design.norm(dim=1).max()) <= constants.radius.value * (1 + SLACK)
    assert float(gradient_norms(model, theta, design, targets).max()) <= constants.G.value * (1 + SLACK)
    lowest, highest = curvature(model, theta, design, targets)
    slack = SLACK * (1 + constants.L.value)
    assert highest <= constants.L.value + slack
    assert lowest >= constants.strong_convexity.value - slack


@pytest.mark.parametrize("bias", [0.0, 0.3])
@pytest.mark.parametrize("radius", [0.2, 1.0, 3.0])
def test_the_logistic_constants_are_attained(radius, bias):
    model = Logistic(3, 2, l2=0.01, bias=bias)
    x = torch.tensor([[1.0, 2.0, 2.0]], dtype=torch.float64) * radius / 3
    design, targets = model.design(x), torch.tensor([0])
    constants = model.constants(Constant(radius, "enforced"))
    # θ = 0 with two classes: p = (1/2, 1/2), where diag p − ppᵀ has the largest eigenvalue there is, 1/2.
    start = torch.zeros(model.parameters, dtype=torch.float64)
    lowest, highest = curvature(model, start, design, targets)
    assert highest == pytest.approx(constants.L.value, rel=1e-12)
    assert lowest == pytest.approx(constants.strong_convexity.value, rel=1e-9)
    # θ sure of the wrong class: p − e_y = (−1, 1).
    wrong = 60 / float(design.norm()) ** 2 * torch.cat([-design[0], design[0]])
    assert float(gradient_norms(model, wrong, design, targets)[0]) == pytest.approx(constants.G.value, rel=1e-9)


@pytest.mark.parametrize("bias", [0.0, 0.3])
@pytest.mark.parametrize("radius", [0.2, 1.0, 3.0])
def test_the_sigmoid_constants_are_attained(radius, bias):
    model = Sigmoid(3, 2, l2=0.01, bias=bias)
    x = torch.tensor([[1.0, 2.0, 2.0]], dtype=torch.float64) * radius / 3
    design, targets = model.design(x), torch.tensor([1])
    constants = model.constants(Constant(radius, "enforced"))
    along = design[0] / float(design.norm()) ** 2
    steepest = gradient_norms(model, 0 * along, design, targets)[0]
    assert float(steepest) == pytest.approx(constants.G.value, rel=1e-12)
    # |s''| is largest, 1/(6√3), where s = 1/2 ± 1/(2√3).
    margin = float(np.log((1 + 1 / sqrt(3)) / (1 - 1 / sqrt(3))))
    ends = [curvature(model, side * margin * along, design, targets) for side in (-1, 1)]
    assert max(highest for _, highest in ends) == pytest.approx(constants.L.value, rel=1e-9)
    assert min(lowest for lowest, _ in ends) == pytest.approx(constants.strong_convexity.value, rel=1e-9)


@pytest.mark.parametrize("kind", [Logistic, Sigmoid, HuberLogistic])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_bias_stays_inside_the_radius_in_every_precision(kind, dtype):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2000, 7, generator=generator, dtype=torch.float64)
    # In the precision of the features, rounded towards 0 so that the norms really are at most 1.
    x = (x / x.norm(dim=1, keepdim=True) * (1 - torch.finfo(dtype).eps)).to(dtype)
    assert float(x.double().norm(dim=1).max()) <= 1
    for bias in (0.1, 0.5, pi / 4):
        model = kind(7, 2, bias=bias)
        assert model.constants(Constant(1.0, "enforced")).radius.value == pytest.approx(1.0, rel=1e-15)
        assert float(model.design(x).double().norm(dim=1).max()) <= 1


def test_the_bias_of_features_of_another_norm():
    radius = Logistic(4, 3, bias=0.6).constants(Constant(2.0, "proven")).radius
    assert radius == Constant(pytest.approx(sqrt(0.64 * 4 + 0.36)), "proven")


@pytest.mark.parametrize("provenance", ["proven", "enforced", "estimated", "declared"])
@pytest.mark.parametrize("model", list(SETTINGS))
def test_constants_survive_their_record(model, provenance):
    constants = derive(model, Constant(1.7, provenance), l2=1e-3, **SETTINGS[model])
    assert Constants.from_record(json.loads(json.dumps(constants.to_record()))) == constants
    assert constants.conditional == (provenance in ("estimated", "declared"))


def test_constants_are_derived_only_for_models_that_prove_them():
    known = "logistic, huber-logistic, sigmoid"
    with pytest.raises(CertificateError, match=f"unknown model with provable constants 'mlp'; there are: {known}"):
        derive("mlp", Constant(1.0, "enforced"), l2=0.0)


@pytest.mark.parametrize(
    "damage",
    [
        lambda record: record.pop("G"),
        lambda record: record.pop("model"),
        lambda record: record["L"].update(value="large"),
        lambda record: record.update(l2=3),
        lambda record: record["radius"].pop("provenance"),
        lambda record: record.update(settings=3),
        lambda record: record.update(settings={"clip": "tight"}),
    ],
)
def test_a_damaged_record_is_refused(damage):
    record = derive("logistic", Constant(1.0, "enforced"), l2=0.1).to_record()
    damage(record)
    with pytest.raises(CertificateError, match="the record of the constants is damaged"):
        Constants.from_record(record)


def test_an_unknown_provenance_is_refused():
    record = derive("logistic", Constant(1.0, "enforced"), l2=0.1).to_record()
    record["G"]["provenance"] = "hoped"
    with pytest.raises(CertificateError, match="unknown provenance 'hoped' of the constant G"):
        Constants.from_record(record)


@pytest.mark.parametrize(
    ("model", "l2", "regimes"),
    [
        ("logistic", 0.1, ("nonconvex", "convex", "strongly-convex")),
        ("logistic", 0.0, ("nonconvex", "convex")),
        ("huber-logistic", 0.1, ("nonconvex", "convex", "strongly-convex")),
        ("huber-logistic", 0.0, ("nonconvex", "convex")),
        ("sigmoid", 0.01, ("nonconvex", "weakly-convex")),
        ("sigmoid", 0.2, ("nonconvex", "convex", "strongly-convex")),
    ],
)
def test_the_regimes_that_the_curvature_proves(model, l2, regimes):
    constants = derive(model, Constant(1.0, "enforced"), l2=l2, **SETTINGS[model])
    assert constants.regimes() == regimes
    lowest = [constants.lowest_curvature(regime) for regime in regimes]
    # The strongest comes last: what may be assumed of the Hessian only grows, and never beyond what is proven.
    assert lowest == sorted(lowest)
    assert lowest[0] == -constants.L.value
    assert lowest[-1] == constants.strong_convexity.value if regimes[-1] != "convex" else lowest[-1] == 0
    for refused in {"nonconvex", "weakly-convex", "convex", "strongly-convex"} - set(regimes):
        with pytest.raises(CertificateError, match=f"does not prove the regime '{refused}'; it proves: nonconvex"):
            constants.lowest_curvature(refused)
