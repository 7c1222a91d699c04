"""Clipping by the Lipschitz envelope: its gradient, against a solution by Newton's method and bisection."""

from typing import Any

import numpy as np
import pytest
import torch
from drawn import examples
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import brentq
from torch import Tensor

from rewindnet.clients.models import MODELS
from rewindnet.clients.models.logistic import Logistic
from rewindnet.clients.training import envelope as module
from rewindnet.clients.training.envelope import ClientClipError, Envelope, Samples, reduced_design
from rewindnet.clients.training.minimiser import Minimiser
from rewindnet.clients.training.secant import root

Floats = NDArray[np.float64]


def clients(seed: int, samples: int, features: int = 4, b: int = 3) -> tuple[Logistic, Samples, Tensor]:
    """Three clients of 3 classes, and where they are."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(b, samples, features, dtype=torch.float64, generator=generator)
    x /= x.norm(dim=2, keepdim=True)
    y = torch.randint(0, 3, (b, samples), generator=generator)
    weight = torch.full((b, samples), 1 / samples, dtype=torch.float64)
    theta = 5 * torch.randn(b, 3 * features, dtype=torch.float64, generator=generator)
    model = MODELS["logistic"](features, 3, l2=0.0, bias=0)
    assert isinstance(model, Logistic)
    return model, Samples(x, y, weight, reduced_design(x)), theta


def envelope(norm: float, tolerance: float = 1e-4) -> Envelope:
    return Envelope(norm, norm * tolerance, 0.5, 2**0.5, 1.0)


def data_gradient(theta: Floats, x: Floats, y: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """∇f [3, q] and the Hessian [3q, 3q] of one client, in plain numpy."""
    scores = x @ theta.reshape(3, -1).T
    p = np.exp(scores - scores.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    gradient = (p - np.eye(3)[y]).T @ x / len(x)
    curvature = np.einsum("kc,cd->kcd", p, np.eye(3)) - np.einsum("kc,kd->kcd", p, p)
    return gradient.ravel(), np.einsum("kcd,ki,kj->cidj", curvature, x, x).reshape(theta.size, -1) / len(x)


def proximal(theta: Floats, x: Floats, y: NDArray[np.int64], pull: float) -> Floats:
    """∇f at the minimum of f(z) + pull/2·‖z − θ‖², by Newton's method with halved steps."""
    z = theta.copy()
    for _ in range(200):
        gradient, hessian = data_gradient(z, x, y)
        slope = gradient + pull * (z - theta)
        if np.linalg.norm(slope) < 1e-15:
            break
        step, share = np.linalg.solve(hessian + pull * np.eye(z.size), slope), 1.0
        while share > 1e-9:
            there = z - share * step
            if np.linalg.norm(data_gradient(there, x, y)[0] + pull * (there - theta)) < np.linalg.norm(slope):
                break
            share /= 2
        else:
            break  # rounding is all that is left
        z = there
    return data_gradient(z, x, y)[0]


def exact(theta: Floats, x: Floats, y: NDArray[np.int64], norm: float) -> Floats:
    """∇f_C to some 12 digits: the pull of the proximal point whose gradient has the norm C."""
    gradient = data_gradient(theta, x, y)[0]
    if np.linalg.norm(gradient) <= norm:
        return gradient
    pull = np.exp(
        brentq(
            lambda log: np.linalg.norm(proximal(theta, x, y, np.exp(log))) - norm, np.log(1e-9), np.log(1e9), xtol=1e-14
        )
    )
    return proximal(theta, x, y, float(pull))


@given(
    seed=st.integers(0, 2**20),
    samples=st.integers(1, 9),
    norm=st.sampled_from([0.05, 0.3, 0.9]),
    tolerance=st.sampled_from([1e-2, 3e-4]),
)
@examples(10)
def test_the_gradient_is_that_of_the_envelope_up_to_the_tolerance(
    seed: int, samples: int, norm: float, tolerance: float
) -> None:
    model, given_, theta = clients(seed, samples)
    gradient, evaluations = envelope(norm, tolerance).gradient(model, theta, given_)
    for k in range(3):
        expected = exact(theta[k].numpy(), given_.x[k].numpy(), given_.y[k].numpy(), norm)
        assert np.linalg.norm(gradient[k].numpy() - expected) <= norm * tolerance
        assert float(gradient[k].norm()) <= norm
        plain = float(model.gradient(theta, given_.x, given_.y, given_.weight)[k].norm())
        assert (int(evaluations[k]) > 1) == (plain > norm * (1 - 1e-9)) or abs(plain - norm) < 1e-9


@given(seed=st.integers(0, 2**20), norm=st.sampled_from([0.05, 0.2]))
@example(seed=124, norm=0.05)  # the tolerance is next to what double precision can prove
@example(seed=694, norm=0.05)
@examples(8)
def test_a_step_of_the_envelope_does_not_expand(seed: int, norm: float) -> None:
    """η = 2/L. Scaling down the gradient instead, which is no gradient any more, does expand."""
    model, given_, theta = clients(seed, 6)
    other, learned = theta + 0.1 * theta.flip(0), envelope(norm)
    near, far = (point - 4.0 * learned.gradient(model, point, given_)[0] for point in (theta, other))
    allowed = (theta - other).norm(dim=1) + 2 * 4.0 * learned.tolerance
    assert bool(((near - far).norm(dim=1) <= allowed).all())


def test_where_no_gradient_is_long_nothing_changes_to_the_bit() -> None:
    model, given_, theta = clients(3, 7)
    plain = model.gradient(theta, given_.x, given_.y, given_.weight)
    gradient, evaluations = envelope(float(plain.norm(dim=1).max()) * (1 + 1e-9)).gradient(model, theta, given_)
    assert torch.equal(gradient, plain)
    assert evaluations.tolist() == [1, 1, 1]


def test_a_client_that_need_not_clip_computes_the_same_beside_one_that_must() -> None:
    model, given_, theta = clients(5, 7)
    plain = model.gradient(theta, given_.x, given_.y, given_.weight)
    norm = float(plain.norm(dim=1).sort().values[1]) * (1 + 1e-6)
    gradient, evaluations = envelope(norm).gradient(model, theta, given_)
    kept = plain.norm(dim=1) <= norm
    assert kept.tolist().count(True) == 2
    assert torch.equal(gradient[kept], plain[kept])
    assert (evaluations > 1).tolist() == (~kept).tolist()


@pytest.mark.parametrize("elsewhere", [0.0, 1e-3, 0.3, -1.0])
def test_a_clipped_gradient_keeps_every_bit_whatever_the_others_compute(elsewhere: float) -> None:
    """Else nodes that a deletion cannot have reached would differ from retraining, and their sensitivity is 0."""
    model, given_, theta = clients(11, 40, features=12)
    alone, evaluations = envelope(0.05).gradient(model, theta, given_)
    moved = theta.clone()
    moved[2] *= elsewhere
    beside, again = envelope(0.05).gradient(model, moved, given_)
    assert torch.equal(beside[:2], alone[:2])
    assert torch.equal(again[:2], evaluations[:2])
    assert min(evaluations[:2].tolist()) > 1


@pytest.mark.parametrize("above", [1e-9, 1e-6, 1e-3])
def test_a_client_just_above_the_clip_is_solved_as_quickly_as_others(above: float) -> None:
    """Its minimiser is next to θ, where the function that is minimised is not smooth."""
    model, given_, theta = clients(7, 40, features=12)
    shortest = float(model.gradient(theta, given_.x, given_.y, given_.weight).norm(dim=1).min())
    gradient, evaluations = envelope(shortest * (1 - above)).gradient(model, theta, given_)
    assert int(evaluations.max()) < 60
    assert float(gradient.norm(dim=1).max()) <= shortest * (1 - above)


def test_a_client_next_to_the_clip_is_decided_by_the_gradient_itself() -> None:
    """A norm from reduced designs decides only where it is far from C; next to it ∇f does, less than its rounding."""
    model, given_, theta = clients(7, 40, features=12)
    plain = model.gradient(theta, given_.x, given_.y, given_.weight)
    longest = float(plain.norm(dim=1).max())
    for below in (1e-12, 1e-7, 1e-4, 9e-4):
        gradient, evaluations = envelope(longest * (1 + below)).gradient(model, theta, given_)
        assert torch.equal(gradient, plain)
        assert int(evaluations.max()) == 1
    at = plain.norm(dim=1).argmax()
    _, evaluations = envelope(longest).gradient(model, theta, given_)
    assert int(evaluations[at]) > 1


def test_a_solution_that_is_not_good_enough_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """The solver is nearly always better than it must be, so it is made to stop at its first guess."""
    asked: list[float] = []

    def lazy(self: Minimiser, open_: Tensor, accuracy: float, least: float = 0.0) -> None:
        asked.append(accuracy)
        if len(asked) > 2:
            run(self, open_, accuracy, least)

    run = Minimiser.run
    monkeypatch.setattr(Minimiser, "run", lazy)
    model, given_, theta = clients(2, 9)
    gradient, _ = envelope(0.2).gradient(model, theta, given_)
    assert len(asked) > 2
    for k in range(3):
        expected = exact(theta[k].numpy(), given_.x[k].numpy(), given_.y[k].numpy(), 0.2)
        assert np.linalg.norm(gradient[k].numpy() - expected) <= 0.2 * 1e-4


def test_a_gradient_beyond_the_clip_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """The zero of the norm's excess is made to lie a little short at first, where the gradient is longer than C."""
    calls: list[int] = []

    def short(*given_: Any) -> tuple[Tensor, Tensor]:
        s, evaluations = root(*given_)
        calls.append(1)
        return (s * (1 - 1e-7) if len(calls) == 1 else s), evaluations

    monkeypatch.setattr(module, "root", short)
    model, given_, theta = clients(2, 9)
    gradient, _ = envelope(0.05).gradient(model, theta, given_)
    assert len(calls) > 1
    assert float(gradient.norm(dim=1).max()) <= 0.05


def test_a_part_of_the_data_can_move_a_clipped_gradient_further_than_the_gradient() -> None:
    """Why the disturbance of a part is 2C: the counterexample of `_largest_change`, in the dual problem."""
    C, delta, target = 0.1, 1e-3, np.array([0.099, 5.0])

    def reached(shift: float) -> Floats:
        """The nearest point of the ball to the target, in a metric that holds the first entry."""
        first = target[0] + shift
        return np.array([first, min(target[1], np.sqrt(C**2 - first**2))]) if abs(first) <= C else np.array([C, 0.0])

    moved = float(np.linalg.norm(reached(delta) - reached(0.0)))
    assert moved > 10 * delta
    assert moved <= 2 * C


def test_a_client_that_cannot_be_accurate_enough_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_EVALUATIONS", 60)
    model, given_, theta = clients(1, 7)
    with pytest.raises(ClientClipError, match="clip_tolerance to more than 1e-09"):
        envelope(0.01, 1e-9).gradient(model, theta, given_)
