"""Minimise f(θ − w) + C·‖w‖ over w for many clients at once, by the limited-memory method of Broyden and others.

Nothing that is proven rests on it: the caller checks what it finds. So it can begin in single precision, at half the
price, and go on in double precision. Nocedal and Wright (2006), "Numerical optimization", Algorithms 7.4 and 7.5. The
function is smooth but at w = 0, where its minimum is not; its curvature across w, C/‖w‖ and more, is part of the first
guess of the Hessian.
"""

from collections.abc import Callable

import torch
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

Gradient = Callable[[Tensor], Tensor]


class Minimiser:
    """The state of the minimisation, which can be continued.

    Attributes:
        point: [b, D], w of every client.
        slope: [b, D], C·w/‖w‖ − ∇f(θ − w).
        evaluations: [b], how often each client has computed its gradient.

    Args:
        gradient: returns ∇f(θ − w) [b, D] for w [b, D].
        spectrum: [b, D], the shape of the curvature of f along each coordinate, up to a factor; in the precision to
            compute in.
        wanted: [b], the clients whose minimum is wanted.
        norm: C.
        smoothness: L of f.
    """

    def __init__(self, gradient: Gradient, spectrum: Tensor, wanted: Tensor, norm: float, smoothness: float) -> None:
        self._gradient, self._spectrum, self._norm = gradient, spectrum + _FLATTEST, norm
        self.evaluations = wanted.to(torch.int64) * 2
        self._steps: list[tuple[Tensor, Tensor, Tensor]] = []
        self._taken = torch.zeros_like(self.evaluations)
        first = gradient(torch.zeros_like(spectrum))
        second = gradient(first / smoothness)
        self._scale = torch.ones_like(first[:, 0])
        self._scale = self._seen_scale(first, (first - second) * smoothness, wanted)
        self.point = self._guess(first, wanted)
        self.slope = self._evaluate(self.point, wanted)

    def refine(self, gradient: Gradient, wanted: Tensor) -> None:
        """Go on in double precision.

        Args:
            gradient: as before.
            wanted: [b], the clients that are to go on.
        """
        self._gradient, self._spectrum = gradient, self._spectrum.double()
        self.point, self._scale = self.point.double(), self._scale.double()
        self._steps = [(step.double(), turned.double(), weight.double()) for step, turned, weight in self._steps]
        self.slope = self._evaluate(self.point, wanted)

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
            length = left.norm(dim=1).clamp(min=_LEAST)
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
            enough = (accuracy / self.point.norm(dim=1).sqrt()).clamp(min=least)
            open_ = open_ & (self.slope.norm(dim=1) > enough)
            if not open_.any():
                return
            self._step(open_)

    def _evaluate(self, point: Tensor, going: Tensor) -> Tensor:
        """Return C·w/‖w‖ − ∇f(θ − w), the gradient of what is minimised."""
        self.evaluations += going
        length = point.norm(dim=1).clamp(min=_LEAST)
        self._forces = self._gradient(point)
        slope: Tensor = (self._norm / length)[:, None] * point - self._forces
        return slope

    def _step(self, going: Tensor) -> None:
        """Take one step at the clients that go on."""
        forces = self._forces
        self._taken += going
        direction = -self._scaled(self.slope)
        # Where f is nearly linear its curvature says nothing, and a step of any length is thought of.
        longest = self.point.norm(dim=1) / direction.norm(dim=1).clamp(min=_LEAST)
        direction = (_LONGEST * longest).clamp(max=1.0)[:, None] * direction
        falls = _inner(self.slope, direction)
        share, trying = torch.ones_like(falls), going
        for _ in range(6):
            point = self.point + share[:, None] * direction
            slope = self._evaluate(point, trying)
            rises = _inner(slope, direction)
            trying = going & (rises > -_OVERSHOT * falls)
            if not trying.any():
                break
            share = torch.where(trying, share * (falls / (falls - rises)), share)
        going = going & point.isfinite().all(dim=1) & (falls < 0)
        step = torch.where(going[:, None], point - self.point, 0.0)
        turned = torch.where(going[:, None], slope - self.slope, 0.0)
        bent = _inner(step, turned)
        least = _LEAST_COSINE * torch.finfo(bent.dtype).eps
        useful = bent > (least * step.norm(dim=1) * turned.norm(dim=1)).clamp(min=_LEAST)
        self._steps.append((step, turned, torch.where(useful, 1 / bent, 0.0)[:, None]))
        self._scale = self._seen_scale(step, forces - self._forces, going)
        self._forces = torch.where(going[:, None], self._forces, forces)
        self.point, self.slope = self.point + step, self.slope + turned

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
        length = self.point.norm(dim=1).clamp(min=_LEAST)
        unit, pull = self.point / length[:, None], self._norm / length
        bent = self._scale[:, None] * self._spectrum
        inverse = 1 / (bent + pull[:, None])
        along = inverse * unit
        # It is 1 − pull·⟨along, unit⟩, which cancels.
        left = _inner(bent * along, unit).clamp(min=_LEAST)
        scaled: Tensor = inverse * slope + (pull * _inner(along, slope) / left)[:, None] * along
        return scaled


def _inner(a: Tensor, b: Tensor) -> Tensor:
    product: Tensor = torch.linalg.vecdot(a, b)
    return product
