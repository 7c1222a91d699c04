"""Clipping by the Lipschitz envelope: a bound on what a whole client can do in a local step, whatever its data.

Let f be a client's mean data loss, convex and L-smooth, and C > 0. Its envelope is

    f_C(θ) = min_z f(z) + C·‖θ − z‖.

f_C is convex, C-Lipschitz and L-smooth, because its conjugate is f* plus the indicator of the ball ‖g‖ ≤ C, and f* is
1/L-strongly convex; its gradient is ∇f(z) at the minimiser, and f_C = f wherever ‖∇f‖ ≤ C. To scale down ∇f itself
would be something else: clip∘∇f is in general no gradient, and its step may expand distances.

**The error of a solution.** Let ‖∇f(z)‖ ≤ C, w = θ − z and r = ‖w‖. Then g = ∇f(z) is feasible in the dual problem
max_{‖g‖≤C} ⟨g, θ⟩ − f*(g), which is 1/L-strongly concave and in which f_C(θ) is reached at ∇f_C(θ). The duality gap is
at most C·r − ⟨g, w⟩, hence

    ‖∇f(z) − ∇f_C(θ)‖ ≤ √(2L·(C·r − ⟨g, w⟩)).

The difference cancels, so it is computed as r·((C − ‖g‖) + ‖g‖·½‖g/‖g‖ − w/r‖²). Rounding is counted in: g is known up
to an error ε, so z is accepted only if ‖g‖ + ε ≤ C, and r·ε is added to the gap.

Beck and Teboulle (2012), "Smoothing and first order methods: a unified framework", Theorem 4.1, has such envelopes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil, log2, sqrt
from typing import NamedTuple

import torch
from torch import Tensor

from rewindnet.certificates import TrainingRun
from rewindnet.clients.models.multinomial import Multinomial
from rewindnet.clients.training.minimiser import Minimiser
from rewindnet.errors import UserError

_ROUNDOFF = 2.0**-53
#: Scores are summed in blocks of this many terms, and the blocks in pairs, so that few additions follow each other.
_BLOCK = 16
#: Evaluations of ∇f for one local step, after which a client gives up.
MOST_EVALUATIONS = 1000
#: By how much the solver is asked for more, where what it gave was not enough.
_FURTHER = 0.1


class ClientClipError(UserError):
    """A client could not compute its clipped gradient as accurately as the certificate assumes."""


class Samples(NamedTuple):
    """The samples of b clients: designs x [b, n, q], targets y [b, n], weights [b, n], reduced designs [b, n, p].

    The rows of a reduced design have the inner products of those of the design, in p = min(n, q) coordinates, which are
    uncorrelated: `reduced_design`.
    """

    x: Tensor
    y: Tensor
    weight: Tensor
    reduced: Tensor


@dataclass(frozen=True)
class Envelope:
    """The Lipschitz envelope of the data losses of clients.

    Attributes:
        norm: C.
        tolerance: τ₀, the largest error of a gradient.
        smoothness: L of the data loss, without l2.
        steepest: G, the norm that the gradient of one sample's loss has at most.
        radius: R, the norm that a row of a design has at most.
    """

    norm: float
    tolerance: float
    smoothness: float
    steepest: float
    radius: float

    def gradient(self, model: Multinomial, theta: Tensor, samples: Samples) -> tuple[Tensor, Tensor]:
        """Compute ∇f_C + l2·θ of b clients at θ [b, d], which are those of `model.gradient` where ‖∇f‖ ≤ C.

        Returns:
            The gradients [b, d], and how often each client has computed the gradients of its samples, [b].

        Raises:
            ClientClipError: if a client does not reach the tolerance.
        """
        plain = model.gradient(theta, samples.x, samples.y, samples.weight)
        evaluations = torch.ones(len(theta), dtype=torch.int64, device=theta.device)
        length, size = (plain - model.l2 * theta).norm(dim=1), theta.norm(dim=1)
        terms = (samples.x.shape[1] + model.outputs + 14) * self.steepest + model.l2 * 6 * size
        slack = _ROUNDOFF * (terms + self.smoothness * (samples.x.shape[2] + 4) * size + theta.shape[1] * length)
        clipped = length + slack > self.norm
        if not clipped.any():
            return plain, evaluations
        solved, further = _Clients(self, model, theta, samples).solve(clipped)
        plain[clipped] = (solved + model.l2 * theta)[clipped]
        return plain, evaluations + further


def envelope_of(learning: TrainingRun) -> Envelope | None:
    """Return the envelope that clients learn from; None where they do not clip."""
    clip, constants = learning.client_clip, learning.constants
    if clip is None:
        return None
    smoothness = constants.L.value - constants.l2.value
    return Envelope(clip, clip * learning.clip_tolerance, smoothness, constants.G.value, constants.radius.value)


class _Clients:
    """The clients of a part in one local step: all are computed, so that the bits of one do not depend on another."""

    def __init__(self, envelope: Envelope, model: Multinomial, theta: Tensor, samples: Samples) -> None:
        self._envelope, self._model, self._samples = envelope, model, samples
        self._theta = theta.view(len(theta), model.outputs, -1)
        self._scores = _scores(samples.x, self._theta)
        self._size = _norm(theta)
        blocks = ceil(samples.x.shape[2] / _BLOCK)
        self._additions = _BLOCK + ceil(log2(max(2, blocks))) + 4

    def solve(self, wanted: Tensor) -> tuple[Tensor, Tensor]:
        """Return ∇f_C [b, d] of the clients that are wanted, a mask [b], and their evaluations [b]."""
        envelope = self._envelope
        spectrum = (self._samples.weight.unsqueeze(2) * self._samples.reduced.square()).sum(dim=1)
        spectrum = spectrum.repeat(1, self._model.outputs)
        minimiser = Minimiser(self._reduced_gradient, spectrum, wanted, envelope.norm, envelope.smoothness)
        out, open_, accuracy = torch.zeros_like(self._theta).flatten(1), wanted.clone(), 1.0
        while open_.any():
            if int(minimiser.evaluations.max()) > MOST_EVALUATIONS:
                raise ClientClipError(
                    f"{int(open_.sum())} clients did not reach the tolerance {envelope.tolerance:.3g} of the clipped "
                    f"gradient in {MOST_EVALUATIONS} evaluations; set learning.clip_tolerance to more than "
                    f"{envelope.tolerance / envelope.norm:.3g}, or learning.client_clip to more than {envelope.norm:g}"
                )
            minimiser.run(open_, accuracy * envelope.tolerance * sqrt(envelope.norm / (8 * envelope.smoothness)))
            gradient, error = self._on_the_sphere(minimiser, open_)
            reached = open_ & (error <= envelope.tolerance)
            out[reached] = gradient[reached]
            open_ &= ~reached
            accuracy *= _FURTHER
        return out, torch.where(wanted, minimiser.evaluations + 2, 0)

    def _slopes(self, scores: Tensor) -> Tensor:
        """Return the gradients of the weighted losses in the scores [b, n, C]."""
        return self._model.slopes(scores, self._samples.y, self._samples.weight)

    def _reduced_gradient(self, v: Tensor) -> Tensor:
        """Return ∇f [b, C·p] at z = θ − w, for w = v [b, C·p] in the coordinates of the reduced designs."""
        reduced = self._samples.reduced
        w = v.view(len(v), self._model.outputs, -1)
        slopes = self._slopes(self._scores - torch.bmm(reduced, w.transpose(1, 2)))
        return torch.bmm(slopes.transpose(1, 2), reduced).flatten(1)

    def _on_the_sphere(self, minimiser: Minimiser, open_: Tensor) -> tuple[Tensor, Tensor]:
        """Return ∇f(z) [b, d] and its error [b], at z = θ − s·∇f(z') with s such that ‖∇f(z)‖ is just below C.

        z' is what the minimiser has found. A gap of first order comes from the norm alone, and s makes that right.
        """
        samples, envelope = self._samples, self._envelope
        w = minimiser.point.view(len(open_), self._model.outputs, -1)
        slopes = self._slopes(self._scores - torch.bmm(samples.reduced, w.transpose(1, 2)))
        direction = torch.bmm(slopes.transpose(1, 2), samples.x)
        change, length = _scores(samples.x, direction), _norm(direction.flatten(1))
        start = _norm(minimiser.point) / length
        margin = 2 * self._rounding(envelope.steepest, start * length)

        def excess(s: Tensor) -> Tensor:
            moved = self._slopes(self._scores - s[:, None, None] * change)
            return _norm(torch.bmm(moved.transpose(1, 2), samples.reduced).flatten(1)) - (envelope.norm - margin)

        s, evaluations = _root(excess, start, margin / 4, envelope.smoothness * length, open_)
        minimiser.evaluations += evaluations
        slopes = self._slopes(self._scores - s[:, None, None] * change)
        gradient = torch.bmm(slopes.transpose(1, 2), samples.x).flatten(1)
        wrong = float(envelope.radius) * slopes.norm(dim=2).sum(dim=1)
        return gradient, self._error(gradient, direction.flatten(1), s * length, self._rounding(wrong, s * length))

    def _rounding(self, wrong: Tensor | float, distance: Tensor) -> Tensor:
        """Return ε [b], a bound on the error of a computed ∇f at this distance from θ.

        The sum over n samples is of vectors whose norms sum to `wrong`; the slopes are accurate to C + 10 units of G,
        and the scores to as many as additions follow each other, of the norms of θ and w.
        """
        envelope, n = self._envelope, self._samples.x.shape[1]
        slopes = (self._model.outputs + 10) * envelope.steepest
        scores = envelope.smoothness * self._additions * (self._size + 2 * distance)
        return _ROUNDOFF * (n * wrong + slopes + scores)

    def _error(self, gradient: Tensor, direction: Tensor, distance: Tensor, rounding: Tensor) -> Tensor:
        """Return the proven error [b] of a gradient after a step of that direction and length.

        It is infinite where the norm of the gradient may exceed C.
        """
        length = _norm(gradient)
        aligned = (gradient / length[:, None] - direction / _norm(direction)[:, None]).square().sum(dim=1) / 2
        # Norms are sums of squares in pairs: few units of roundoff.
        precise = rounding + 32 * _ROUNDOFF * self._envelope.norm
        short = (self._envelope.norm - length).clamp(min=0.0)
        gap = distance * (short + length * aligned + precise)
        error = (2 * self._envelope.smoothness * gap).sqrt() * (1 + 1e-9) + precise
        feasible = (length + precise <= self._envelope.norm) & (distance >= 0)
        return torch.where(feasible, error, torch.inf)


def reduced_design(x: Tensor) -> Tensor:
    """Return a reduced design [k, n, p] of designs x [k, n, q]: their rows along the principal axes of each client."""
    if x.shape[1] > x.shape[2]:
        rotated: Tensor = x @ torch.linalg.eigh(x.transpose(1, 2) @ x)[1]
        return rotated
    squares, axes = torch.linalg.eigh(x @ x.transpose(1, 2))
    scaled: Tensor = axes * squares.clamp(min=0.0).sqrt().unsqueeze(1)
    return scaled


def _root(
    excess: Callable[[Tensor], Tensor], start: Tensor, accuracy: Tensor, slope: Tensor, open_: Tensor
) -> tuple[Tensor, Tensor]:
    """Return s [b] with |excess(s)| ≤ accuracy, by the secant method, and the number of evaluations [b].

    Args:
        excess: decreases in s.
        start: where to begin.
        accuracy: [b].
        slope: [b], how fast it decreases at most.
        open_: [b], the clients that want it.
    """
    before, value = start, excess(start)
    s, evaluations = (start + value / slope).clamp(min=0.0), open_.to(torch.int64)
    for _ in range(20):
        now = excess(s)
        evaluations += open_
        open_ = open_ & (now.abs() > accuracy)
        if not open_.any():
            break
        fall = (value - now) / (s - before)
        step = torch.where(fall > 0, now / fall, now / slope)
        before, value = torch.where(open_, s, before), torch.where(open_, now, value)
        s = torch.where(open_ & step.isfinite(), (s + step).clamp(min=0.0), s)
    return s, evaluations


def _scores(x: Tensor, theta: Tensor) -> Tensor:
    """Compute x·θᵀ [b, n, C] of x [b, n, q] and θ [b, C, q], so that few additions follow each other."""
    missing = -x.shape[2] % _BLOCK
    left, right = (
        torch.nn.functional.pad(part, (0, missing)).view(*part.shape[:2], -1, _BLOCK).transpose(1, 2)
        for part in (x, theta)
    )
    return _in_pairs(torch.matmul(left, right.transpose(2, 3)))


def _norm(rows: Tensor) -> Tensor:
    """Return the norms [b] of rows [b, d], summed in pairs."""
    return _in_pairs(rows.square()).sqrt()


def _in_pairs(terms: Tensor) -> Tensor:
    """Sum the second dimension of a tensor in pairs."""
    while terms.shape[1] > 1:
        half, odd = terms.shape[1] // 2, terms.shape[1] % 2
        folded = terms[:, :half] + terms[:, half : 2 * half]
        terms = torch.cat([folded, terms[:, -1:]], dim=1) if odd else folded
    return terms[:, 0]
