"""Minimise f(θ − w) + C·‖w‖ over w for many clients at once, by the limited-memory method of Broyden and others.

Nothing that is proven rests on it: the caller checks what it finds. So it can begin in single precision, at half the
price, and go on in double precision. Nocedal and Wright (2006), "Numerical optimization", Algorithms 7.4 and 7.5. The
function is smooth but at w = 0, where its minimum is not; its curvature across w, C/‖w‖ and more, is part of the first
guess of the Hessian.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from rewindnet.late import torch

if TYPE_CHECKING:
    from torch import Tensor


#: How many steps are remembered.
_MEMORY = 3
#: What is added to every entry of the spectrum, and the least factor of it that is believed.
_FLATTEST, _LEAST_SCALE = 1e-9, 1e-2
#: Steps for the first point.
_GUESSES = 8
#: The least distance of the first point, in units of C.
_NEAREST = 1e-6
#: A step is shortened where it ends on a slope that rises by more than this share of that which it began to fall by.
_OVERSHOT = 1.5
#: The longest step, in units of ‖w‖: w = 0, where the function is not smooth, is not stepped over.
_LONGEST = 0.9
#: A divisor is no less: single precision has it.
_LEAST = 1e-37
#: The least cosine between a step and the change of the slope that tells of curvature, in units of roundoff.
_LEAST_COSINE = 100

Gradient: TypeAlias = "Callable[[Tensor], Tensor]"


class _Place(NamedTuple):
    """Where clients are: w and ∇f(θ − w) [b, D], ‖w‖ [b], and C·w/‖w‖ − ∇f(θ − w) [b, D]."""

    point: Tensor
    length: Tensor
    forces: Tensor
    slope: Tensor


class Minimiser:
    """The state of the minimisation, which can be continued.

    Attributes:
        evaluations: [b], how often each client has computed its gradient.

    Args:
        gradient: returns ∇f(θ − w) [b, D] for w [b, D].
        first: [b, D], ∇f(θ), in the precision to compute in.
        spectrum: [b, D], the shape of the curvature of f along each coordinate, up to a factor.
        wanted: [b], the clients whose minimum is wanted.
        norm: C.
        smoothness: L of f.
    """

    def __init__(
        self, gradient: Gradient, first: Tensor, spectrum: Tensor, wanted: Tensor, norm: float, smoothness: float
    ) -> None:
        self._gradient, self._spectrum, self._norm = gradient, spectrum + _FLATTEST, norm
        self.evaluations = wanted.to(torch.int64)
        self._steps: list[tuple[Tensor, Tensor, Tensor]] = []
        self._taken = torch.zeros_like(self.evaluations)
        second = gradient(first / smoothness)
        self._scale = torch.ones_like(first[:, 0])
        self._scale = self._seen_scale(first, (first - second) * smoothness, wanted)
        self._at = self._look(self._guess(first, wanted), wanted)

    @property
    def point(self) -> Tensor:
        """[b, D], w of every client."""
        return self._at.point

    @property
    def length(self) -> Tensor:
        """[b], ‖w‖."""
        return self._at.length

    @property
    def slope(self) -> Tensor:
        """[b, D], C·w/‖w‖ − ∇f(θ − w)."""
        return self._at.slope

    def refine(self, gradient: Gradient, wanted: Tensor) -> None:
        """Go on in double precision.

        Args:
            gradient: as before.
            wanted: [b], the clients that are to go on.
        """
        self._gradient, self._spectrum, self._scale = gradient, self._spectrum.double(), self._scale.double()
        self._steps = [(step.double(), turned.double(), weight.double()) for step, turned, weight in self._steps]
        self._at = self._look(self.point.double(), wanted)

    def _forget(self) -> None:
        """Keep of each client its own last steps alone: how long others have gone on must make no difference."""
        if not self._steps:
            return
        at = self._taken + torch.arange(-_MEMORY, 0, device=self._taken.device)[:, None]
        own = torch.arange(len(self.point), device=at.device)
        step, turned, weight = (torch.stack(parts)[at.clamp(min=0), own] for parts in zip(*self._steps, strict=True))
        weight = torch.where((at >= 0)[:, :, None], weight, 0.0)
        self._steps = list(zip(step, turned, weight, strict=True))
        self._taken = torch.full_like(self._taken, len(self._steps))

    def _guess(self, first: Tensor, wanted: Tensor) -> Tensor:
        """Return about where the minimum would be if the curvature were that of the first guess everywhere.

        Clients that are not wanted begin somewhere: near 0 their numbers would be too small to be computed quickly.
        """
        bent, gap = self._scale[:, None] * self._spectrum, torch.zeros_like(self._scale)
        for _ in range(_GUESSES):
            # Newton's method for 1/‖∇f(θ − w)‖, which is nearly linear in ‖w‖/C, from below.
            left = first / (1 + gap[:, None] * bent)
            length = _norm(left).clamp(min=_LEAST)
            falls = _inner(left, bent * left / (1 + gap[:, None] * bent)).clamp(min=_LEAST)
            gap = (gap + (length / self._norm - 1) * length.square() / falls).clamp(min=0.0)
        gap = torch.where(wanted, gap.clamp(min=_NEAREST), 1.0)
        guess: Tensor = gap[:, None] * first / (1 + gap[:, None] * bent)
        return guess

    def _seen_scale(self, step: Tensor, turned: Tensor, going: Tensor) -> Tensor:
        """Return the curvature along a step in units of the spectrum, at the clients that took one."""
        scale = _inner(step, turned) / _inner(step, self._spectrum * step).clamp(min=_LEAST)
        return torch.where(going & (scale > 0), scale.clamp(min=_LEAST_SCALE), self._scale)

    def run(self, open_: Tensor, accuracy: float, least: float = 0.0) -> None:
        """Go on until the slope of each client is below accuracy/√‖w‖, or the clients have tried often enough.

        Args:
            open_: [b], the clients that are to go on.
            accuracy: as above.
            least: a slope that is small enough in any case.
        """
        self._forget()
        for _ in range(200):
            enough = (accuracy / self.length.sqrt()).clamp(min=least)
            open_ = open_ & (_norm(self.slope) > enough)
            if not open_.any():
                return
            self._step(open_)

    def _look(self, point: Tensor, going: Tensor) -> _Place:
        """Compute the gradient of what is minimised."""
        self.evaluations += going
        length, forces = _norm(point).clamp(min=_LEAST), self._gradient(point)
        slope = (self._norm / length)[:, None] * point
        return _Place(point, length, forces, slope.sub_(forces))

    def _step(self, going: Tensor) -> None:
        """Take one step at the clients that go on; the others find themselves where they are."""
        before = self._at
        self._taken += going
        step = direction = self._direction(going)
        falls = _inner(before.slope, direction)
        share = torch.ones_like(falls)
        at = self._look(before.point + direction, going)
        for _ in range(5):
            rises = _inner(at.slope, direction)
            trying = going & (rises > -_OVERSHOT * falls)
            if not trying.any():
                break
            share = torch.where(trying, share * (falls / (falls - rises)), share)
            step = share[:, None] * direction
            at = self._look(before.point + step, trying)
        turned = at.slope - before.slope
        bent = _inner(step, turned)
        least = _LEAST_COSINE * torch.finfo(bent.dtype).eps
        useful = bent > (least * _norm(step) * _norm(turned)).clamp(min=_LEAST)
        self._steps.append((step, turned, torch.where(useful, 1 / bent, 0.0)[:, None]))
        self._scale = self._seen_scale(step, before.forces - at.forces, going)
        self._at = at

    def _direction(self, going: Tensor) -> Tensor:
        """Return the steps [b, D] to be tried; 0 where a client does not go on, or nothing would fall."""
        scaled = self._scaled(self.slope)
        falls = _inner(self.slope, scaled)
        # Where f is nearly linear its curvature says nothing, and a step of any length is thought of.
        share = (_LONGEST * self.length / _norm(scaled).clamp(min=_LEAST)).clamp(max=1.0)
        moves = going & (falls > 0) & falls.isfinite()
        return scaled.mul_(-share[:, None]).masked_fill_(~moves[:, None], 0.0)

    def _scaled(self, slope: Tensor) -> Tensor:
        """Return the slope times the inverse of the Hessian, as far as the last steps have shown it."""
        shares, remembered = [], self._steps[-_MEMORY:]
        for step, turned, weight in reversed(remembered):
            shares.append(weight * _inner(step, slope)[:, None])
            slope = torch.addcmul(slope, shares[-1], turned, value=-1)
        slope = self._first_guess(slope)
        for (step, turned, weight), share in zip(remembered, reversed(shares), strict=True):
            slope = torch.addcmul(slope, share - weight * _inner(turned, slope)[:, None], step)
        return slope

    def _first_guess(self, slope: Tensor) -> Tensor:
        """Return the slope over the curvature: that of f, and C/‖w‖ more across w."""
        unit, pull = self.point / self.length[:, None], self._norm / self.length
        bent = self._scale[:, None] * self._spectrum
        inverse = (bent + pull[:, None]).reciprocal_()
        along = inverse * unit
        # It is 1 − pull·⟨along, unit⟩, which cancels.
        left = _inner(bent.mul_(along), unit).clamp(min=_LEAST)
        share = pull * _inner(along, slope) / left
        return torch.addcmul(slope, share[:, None], unit).mul_(inverse)


def _inner(a: Tensor, b: Tensor) -> Tensor:
    product: Tensor = torch.linalg.vecdot(a, b)
    return product


def _norm(a: Tensor) -> Tensor:
    length: Tensor = torch.linalg.vector_norm(a, dim=1)
    return length
