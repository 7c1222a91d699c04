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

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING, NamedTuple

from rewindnet.certificates import TrainingRun
from rewindnet.clients.models.logistic import Logistic
from rewindnet.clients.training.minimiser import Minimiser
from rewindnet.clients.training.secant import root
from rewindnet.clients.training.sums import additions_of_a_score, norms, scores_by_class
from rewindnet.errors import UserError
from rewindnet.late import torch

if TYPE_CHECKING:
    from torch import Tensor

_ROUNDOFF = 2.0**-53
#: Evaluations of ∇f for one local step, after which a client gives up.
MOST_EVALUATIONS = 1000
#: By how much the solver is asked for more, where what it gave was not enough.
_FURTHER = 0.1
#: Squares of the samples along an axis that are next to 0, beside those along another.
_UNSEEN = 1e-10
#: A gradient is longer than C for certain if its reduced coordinates are longer than C by this share, and this length.
_SURELY = 1e-3, 1e-6
#: The share of the gap of a sufficient solution that is left to the difference of C and the norm of its gradient.
_SHORT = 0.25
#: How far below C the norm of the gradient is, in units of its rounding, where the tolerance leaves no room for twice.
_TIGHT = 1.1
#: The slope, in units of C, down to which the solver computes in single precision.
_SINGLE = 1e-5


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

    def gradient(self, model: Logistic, theta: Tensor, samples: Samples) -> tuple[Tensor, Tensor]:
        """Compute ∇f_C + l2·θ of b clients at θ [b, d], which are those of `model.gradient` where ‖∇f‖ ≤ C.

        Returns:
            The gradients [b, d], and how often each client has computed the gradients of its samples, [b].

        Raises:
            ClientClipError: if a client does not reach the tolerance.
        """
        slopes = model.slopes_at(theta, samples.x, samples.y, samples.weight)
        first = torch.bmm(slopes, samples.reduced).flatten(1)
        evaluations = torch.ones(len(theta), dtype=torch.int64, device=theta.device)
        share, least = _SURELY
        clipped, plain = first.norm(dim=1) > (1 + share) * self.norm + least, None
        if not clipped.all():
            plain = model.gradient_of(theta, slopes, samples.x)
            clipped |= self._may_exceed(model, theta, samples.x, plain)
            if not clipped.any():
                return plain, evaluations
        solved, further = _Clients(self, model, theta, samples).solve(clipped, first)
        gradient = solved.add_(theta, alpha=model.l2)
        return gradient if plain is None else torch.where(clipped[:, None], gradient, plain), evaluations + further

    def _may_exceed(self, model: Logistic, theta: Tensor, x: Tensor, plain: Tensor) -> Tensor:
        """Return for which clients, [b], the norm of ∇f may exceed C, of which `plain` [b, d] is ∇f + l2·θ."""
        length, size = (plain - model.l2 * theta).norm(dim=1), theta.norm(dim=1)
        terms = (x.shape[1] + model.outputs + 14) * self.steepest + model.l2 * 6 * size
        slack = _ROUNDOFF * (terms + self.smoothness * (x.shape[2] + 4) * size + theta.shape[1] * length)
        exceeds: Tensor = length + slack > self.norm
        return exceeds


def envelope_of(learning: TrainingRun) -> Envelope | None:
    """Return the envelope that clients learn from; None where they do not clip."""
    clip, constants = learning.client_clip, learning.constants
    if clip is None:
        return None
    smoothness = constants.L.value - constants.l2.value
    return Envelope(clip, clip * learning.clip_tolerance, smoothness, constants.G.value, constants.radius.value)


class _Clients:
    """The clients of a part in one local step: all are computed, so that the bits of one do not depend on another.

    Scores and slopes [b, C, n] have the classes before the samples.
    """

    def __init__(self, envelope: Envelope, model: Logistic, theta: Tensor, samples: Samples) -> None:
        self._envelope, self._model, self._samples = envelope, model, samples
        self._theta = theta.view(len(theta), model.outputs, -1)
        self._scores = scores_by_class(self._theta, samples.x)
        self._size = norms(theta)
        self._right = torch.zeros_like(self._scores)
        self._right.scatter_(1, samples.y.unsqueeze(1), samples.weight.unsqueeze(1))
        self._squares = samples.reduced.square().sum(dim=1)

    def solve(self, wanted: Tensor, first: Tensor) -> tuple[Tensor, Tensor]:
        """Return ∇f_C [b, d] of the clients that are wanted, a mask [b], and their evaluations [b].

        Args:
            wanted: the mask.
            first: [b, C·p], ∇f(θ) in the coordinates of the reduced designs.
        """
        envelope = self._envelope
        enough = envelope.tolerance * sqrt(envelope.norm / (2 * envelope.smoothness))
        minimiser = self._begun(wanted, first, enough)
        minimiser.refine(self._reduced_gradient(torch.float64), wanted)
        out, open_ = torch.zeros_like(self._theta).flatten(1), wanted.clone()
        while open_.any():
            if int(minimiser.evaluations.max()) > MOST_EVALUATIONS:
                raise ClientClipError(
                    f"{int(open_.sum())} clients did not reach the tolerance {envelope.tolerance:.3g} of the clipped "
                    f"gradient in {MOST_EVALUATIONS} evaluations; set learning.clip_tolerance to more than "
                    f"{envelope.tolerance / envelope.norm:.3g}, or learning.client_clip to more than {envelope.norm:g}"
                    "; a descent after noise may leave the clip out (descent_clip: false)"
                )
            minimiser.run(open_, enough)
            gradient, error = self._on_the_sphere(minimiser, open_)
            reached = open_ & (error <= envelope.tolerance)
            out[reached] = gradient[reached]
            open_ &= ~reached
            enough *= _FURTHER
        return out, minimiser.evaluations

    def _begun(self, wanted: Tensor, first: Tensor, enough: float) -> Minimiser:
        """Return a minimiser that has come as far as single precision goes."""
        envelope, gradient = self._envelope, self._reduced_gradient(torch.float32)
        spectrum = (self._samples.weight.amax(dim=1, keepdim=True) * self._squares).repeat(1, self._model.outputs)
        minimiser = Minimiser(gradient, first.float(), spectrum.float(), wanted, envelope.norm, envelope.smoothness)
        minimiser.run(wanted, enough, least=_SINGLE * envelope.norm)
        return minimiser

    def _slopes(self, scores: Tensor) -> Tensor:
        """Return the gradients of the weighted losses in the scores."""
        return self._model.slopes_given_right(scores, self._right, self._samples.weight)

    def _reduced_gradient(self, dtype: torch.dtype) -> Callable[[Tensor], Tensor]:
        """Return the function that computes ∇f [b, C·p] at z = θ − w, in some precision.

        Its argument is w [b, C·p] in the coordinates of the reduced designs.
        """
        samples, model = self._samples, self._model
        reduced, weight = samples.reduced.to(dtype), samples.weight.to(dtype)
        turned, scores, right = reduced.transpose(1, 2), self._scores.to(dtype), self._right.to(dtype)

        def gradient(v: Tensor) -> Tensor:
            moved = torch.baddbmm(scores, v.view(len(v), model.outputs, -1), turned, alpha=-1)
            return torch.bmm(model.slopes_given_right(moved, right, weight), reduced).flatten(1)

        return gradient

    def _on_the_sphere(self, minimiser: Minimiser, open_: Tensor) -> tuple[Tensor, Tensor]:
        """Return ∇f(z) [b, d] and its error [b], at z = θ − s·w with s such that ‖∇f(z)‖ is just below C.

        w is about what the minimiser has found. A gap of first order comes from the norm alone, and s makes that right.
        """
        samples, envelope = self._samples, self._envelope
        direction = self._direction(minimiser)
        change, length = scores_by_class(direction, samples.x), norms(direction.flatten(1))
        distance = minimiser.length
        rounding = self._rounding(envelope.steepest, distance)
        enough = _SHORT * envelope.tolerance**2 / (2 * envelope.smoothness) / distance
        margin = torch.where(enough > 2 * rounding, 2 * rounding, _TIGHT * rounding + 64 * _ROUNDOFF * envelope.norm)
        spare = (enough - margin).clamp(min=0.0).minimum(margin)

        def excess(s: Tensor) -> Tensor:
            moved = self._slopes(self._scores - s[:, None, None] * change)
            norm: Tensor = torch.bmm(moved, samples.reduced).flatten(1).norm(dim=1)
            over: Tensor = (norm - (envelope.norm - margin - spare)) / envelope.norm
            return over

        accuracy = ((margin - rounding) / 2 + spare / 2) / envelope.norm
        slope = envelope.smoothness * length / envelope.norm
        s, evaluations = root(excess, distance / length, accuracy, slope, open_)
        minimiser.evaluations += evaluations + 2 * open_
        slopes = self._slopes(self._scores - s[:, None, None] * change)
        gradient = torch.bmm(slopes, samples.x).flatten(1)
        wrong = float(envelope.radius) * slopes.norm(dim=1).sum(dim=1)
        reached = s * length
        return gradient, self._error(gradient, direction.flatten(1), length, reached, self._rounding(wrong, reached))

    def _direction(self, minimiser: Minimiser) -> Tensor:
        """Return C/‖w‖ times what the minimiser has found, [b, C, q], as a sum of the designs' rows.

        It is ∇f(θ − w) and the slope that is left. Axes along which the samples are next to 0 are no sum of them that
        could be relied on: there the slope is left out, and ∇f is as good, because nothing curves.
        """
        samples, shape = self._samples, (len(minimiser.point), self._model.outputs, -1)
        w = minimiser.point.view(shape)
        slopes = self._slopes(torch.baddbmm(self._scores, w, samples.reduced.transpose(1, 2), alpha=-1))
        squares = self._squares
        seen = squares > _UNSEEN * squares.amax(dim=1, keepdim=True)
        left = minimiser.slope.view(shape) * torch.where(seen, 1 / squares, 0.0).unsqueeze(1)
        return torch.bmm(torch.baddbmm(slopes, left, samples.reduced.transpose(1, 2)), samples.x)

    def _rounding(self, wrong: Tensor | float, distance: Tensor) -> Tensor:
        """Return ε [b], a bound on the error of a computed ∇f at this distance from θ.

        The sum over n samples is of vectors whose norms sum to `wrong`; the slopes are accurate to C + 10 units of G,
        and the scores to as many as additions follow each other, of the norms of θ and w.
        """
        envelope, n = self._envelope, self._samples.x.shape[1]
        slopes = (self._model.outputs + 10) * envelope.steepest
        scores = envelope.smoothness * additions_of_a_score(self._samples.x.shape[2]) * (self._size + 2 * distance)
        return _ROUNDOFF * (n * wrong + slopes + scores)

    def _error(self, gradient: Tensor, direction: Tensor, reach: Tensor, distance: Tensor, rounding: Tensor) -> Tensor:
        """Return the proven error [b] of a gradient after a step of that direction, of norm `reach`, and length.

        It is infinite where the norm of the gradient may exceed C.
        """
        length = norms(gradient)
        aligned = (gradient / length[:, None] - direction / reach[:, None]).square().sum(dim=1) / 2
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
