"""Minimise f(θ − w) + C·‖w‖ over w for many clients at once, by the limited-memory method of Broyden and others.

Nothing that is proven rests on it: the caller checks what it finds. Nocedal and Wright (2006), "Numerical
optimization", Algorithms 7.4 and 7.5. The function is smooth but at w = 0, where its minimum is not; its curvature
across w, C/‖w‖ and more, is part of the first guess of the Hessian.
"""

from collections.abc import Callable

import torch
from torch import Tensor

#: How many steps are remembered.
_MEMORY = 6
#: What is added to every entry of the spectrum, and the least factor of it that is believed.
_FLATTEST, _LEAST_SCALE = 1e-9, 1e-2
#: Fixed-point steps for the first point.
_GUESSES = 8
#: A step is shortened where it ends on a slope that rises by more than this share of that which it began to fall by.
_OVERSHOT = 0.9


class Minimiser:
    """The state of the minimisation, which can be continued.

    Attributes:
        point: [b, D], w of every client.
        evaluations: [b], how often each client has computed its gradient.

    Args:
        gradient: returns ∇f(θ − w) [b, D] for w [b, D].
        spectrum: [b, D], the shape of the curvature of f along each coordinate, up to a factor.
        wanted: [b], the clients whose minimum is wanted.
        norm: C.
        smoothness: L of f.
    """

    def __init__(
        self, gradient: Callable[[Tensor], Tensor], spectrum: Tensor, wanted: Tensor, norm: float, smoothness: float
    ) -> None:
        self._gradient, self._spectrum, self._norm = gradient, spectrum + _FLATTEST, norm
        self.evaluations = wanted.to(torch.int64) * 2
        self._pairs: list[tuple[Tensor, Tensor, Tensor]] = []
        first = gradient(torch.zeros_like(spectrum))
        second = gradient(first / smoothness)
        self._scale = torch.ones_like(first[:, 0])
        self._scale = self._seen_scale(first, (first - second) * smoothness, wanted)
        self.point = self._guess(first)
        self._slope = self._evaluate(self.point, wanted)

    def _guess(self, first: Tensor) -> Tensor:
        """Return about where the minimum would be if the curvature were that of the first guess everywhere."""
        bent, share = self._scale[:, None] * self._spectrum, first.norm(dim=1).clamp(min=1e-300)
        pull = (self._norm / share)[:, None] * bent.mean(dim=1, keepdim=True)
        for _ in range(_GUESSES):
            point = first / (bent + pull)
            pull = pull * (self._norm / (pull[:, 0] * point.norm(dim=1)).clamp(min=1e-300))[:, None]
        guess: Tensor = first / (bent + pull)
        return guess

    def _seen_scale(self, step: Tensor, turned: Tensor, going: Tensor) -> Tensor:
        """Return the curvature along a step in units of the spectrum, at the clients that took one."""
        scale = _inner(step, turned) / _inner(step, self._spectrum * step).clamp(min=1e-300)
        return torch.where(going & (scale > 0), scale.clamp(min=_LEAST_SCALE), self._scale)

    def run(self, open_: Tensor, accuracy: float) -> None:
        """Go on until the slope of each client is below accuracy/√‖w‖, or the clients have tried often enough.

        Args:
            open_: [b], the clients that are to go on.
            accuracy: as above.
        """
        # What is remembered must not depend on how long other clients of the batch have gone on.
        self._pairs = []
        for _ in range(200):
            going = open_ & (self._slope.norm(dim=1) > accuracy / self.point.norm(dim=1).sqrt())
            if not going.any():
                return
            self._step(going)

    def _evaluate(self, point: Tensor, going: Tensor) -> Tensor:
        """Return C·w/‖w‖ − ∇f(θ − w), the gradient of what is minimised."""
        self.evaluations += going
        length = point.norm(dim=1).clamp(min=1e-300)
        self._forces = self._gradient(point)
        slope: Tensor = (self._norm / length)[:, None] * point - self._forces
        return slope

    def _step(self, going: Tensor) -> None:
        """Take one step at the clients that go on."""
        forces = self._forces
        direction = -self._scaled(self._slope)
        # Where f is nearly linear its curvature says nothing, and a step of any length is thought of.
        longest = self.point.norm(dim=1) / direction.norm(dim=1).clamp(min=1e-300)
        direction = longest.clamp(max=1.0)[:, None] * direction
        falls = _inner(self._slope, direction)
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
        turned = torch.where(going[:, None], slope - self._slope, 0.0)
        bent = _inner(step, turned)
        useful = bent > 1e-14 * step.norm(dim=1) * turned.norm(dim=1)
        self._pairs = [*self._pairs[1 - _MEMORY :], (step, turned, torch.where(useful, 1 / bent, 0.0)[:, None])]
        self._scale = self._seen_scale(step, forces - self._forces, going)
        self._forces = torch.where(going[:, None], self._forces, forces)
        self.point, self._slope = self.point + step, self._slope + turned

    def _scaled(self, slope: Tensor) -> Tensor:
        """Return the slope times the inverse of the Hessian, as far as the last steps have shown it."""
        shares = []
        for step, turned, weight in reversed(self._pairs):
            shares.append(weight * _inner(step, slope)[:, None])
            slope = torch.addcmul(slope, shares[-1], turned, value=-1)
        slope = self._first_guess(slope)
        for (step, turned, weight), share in zip(self._pairs, reversed(shares), strict=True):
            slope = torch.addcmul(slope, share - weight * _inner(turned, slope)[:, None], step)
        return slope

    def _first_guess(self, slope: Tensor) -> Tensor:
        """Return the slope over the curvature: that of f, and C/‖w‖ more across w."""
        length = self.point.norm(dim=1).clamp(min=1e-300)
        unit, pull = self.point / length[:, None], self._norm / length
        inverse = 1 / (self._scale[:, None] * self._spectrum + pull[:, None])
        along = inverse * unit
        left = (1 - pull * _inner(along, unit)).clamp(min=1e-12)
        scaled: Tensor = inverse * slope + (pull * _inner(along, slope) / left)[:, None] * along
        return scaled


def _inner(a: Tensor, b: Tensor) -> Tensor:
    product: Tensor = torch.linalg.vecdot(a, b)
    return product
