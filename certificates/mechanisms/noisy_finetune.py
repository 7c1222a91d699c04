"""Noisy finetuning of every node by itself, with clipped gradients or clipped models: no assumption on the loss.

Koloskova et al. (2025), "Certified unlearning for neural networks", arXiv 2506.06985. Every node begins at its learned
model x_0 and takes K steps on its retained data, ∇ℓ being the gradient of its data loss:

    gradient clipping   x_0 ← clip(x_0, C0),   x ← (1 − ηλ)x − η·clip(∇ℓ(x), C1) + N(0, σ²I)
    model clipping      x ← clip((1 − ηλ)x − η·∇ℓ(x), C2) + N(0, σ²I)

Of the K models only the last is released, and no message is sent. The network that never saw the forget set learns on
what is retained and then finetunes on it in the same way, so both sides take the same steps φ from starts that differ.

**Gradient clipping.** ‖φ(x) − φ(y)‖ ≤ |1 − ηλ|·‖x − y‖ + 2ηC1 for any loss whatever, and the starts are at most 2C0
apart: with these the bound of `contraction` is, as Rényi divergence α·μ²/2, the paper's ρ. Beyond the paper:

* clipping to a ball never takes two points further apart, so that the starts are at most min(2C0, e_i) apart, e_i the
  node's sensitivity when learning ends;
* clip(·, C1) does not expand distances, so that with an L-smooth data loss ‖φ(x) − φ(y)‖ ≤ (|1 − ηλ| + ηL)·‖x − y‖ as
  well; and where C1 is at least the bound G on every sample's gradient nothing is ever clipped, and φ contracts as
  gradient descent does: max(|1 − η(λ + low)|, |1 − η(λ + L)|) for Hessians between low and L. That is `growth`.

**Model clipping.** Let δ_t be a bound on the hockey-stick divergence D_{e^ε} of the two runs after t steps, both ways.
A step x ↦ N(ψ(x), σ²I) with ψ(x) in a ball of radius C2 has D_{e^ε̃} ≤ θ_ε̃(2C2/σ) between any two points, θ_ε(r) =
Q(ε/r − r/2) − e^ε·Q(ε/r + r/2). Write the two laws as P = ω + P_1 and R = e^−ε·ω + R_1 with ω = min(P, e^ε·R), so that
P_1 has mass δ = D_{e^ε}(P‖R) and e^ε·R_1 has mass e^ε − 1 + δ. A kernel K takes P − e^ε·R = P_1 − e^ε·R_1 to
δ·(p_1K − e^ε̃·r_1K) with p_1, r_1 the two scaled to probabilities and e^ε̃ = 1 + (e^ε − 1)/δ, hence

    δ_{t+1} = δ_t·θ_ε̃(2C2/σ),    ε̃ = ln(1 + (e^ε − 1)/δ_t)

by joint convexity: Balle, Barthe, Gaboardi and Geumlek (2019), "Privacy amplification by mixing and diffusion
mechanisms", Theorem 1. It increases with δ_t, so that an upper bound gives an upper bound. The paper adds noise
to the learned model, which gives it a δ_0; here there is none, and δ_0 = 1. Beyond the paper, the first step has
centres at most min(growth·e_i, 2C2) apart, and later ones are also bounded by `contraction`: of both bounds on δ_t the
smaller goes on. All models together are one run in a ball of radius √Σ_i (C2/σ_i)², in units of their noise.
"""

from dataclasses import dataclass
from math import exp, expm1, hypot, inf, isfinite, log, log1p
from typing import ClassVar

import numpy as np

from rewindnet.certificates.accounting.gaussian import delta_of, epsilon_of
from rewindnet.certificates.accounting.renyi import epsilon_of_rho
from rewindnet.certificates.claim import Claim
from rewindnet.certificates.constants import Regime
from rewindnet.certificates.errors import CertificateError
from rewindnet.certificates.mechanisms.contraction import last_states
from rewindnet.certificates.mechanisms.gaussian_output import noise_size
from rewindnet.certificates.release import DivergenceBounds, Mechanism, Release
from rewindnet.certificates.sensitivity.local_steps import curvatures, strongest_regime
from rewindnet.certificates.sensitivity.recursion import propagate
from rewindnet.certificates.training import Mixing, TrainingRun, Vector
from rewindnet.certificates.view import View

#: How far below the true one a stated growth may lie, relatively, for rounding.
_ROUNDING = 1e-12

#: How often an interval for ε is halved.
_HALVINGS = 60


@dataclass(frozen=True)
class NoisyFinetune(Mechanism):
    """K noisy steps of every node by itself, on what is retained, from its learned model.

    Attributes:
        rounds: K.
        step_size: η.
        decay: λ, with ηλ ≤ 2.
        start_radius: C0; None where the start is not clipped.
        gradient_radius: C1; None with model clipping.
        model_radius: C2; None with gradient clipping.
        growth: how much a step may expand distances, by the constants of learning; None: nothing is assumed of the
            loss, nor of how the models were learned.
    """

    rounds: int
    step_size: float
    decay: float
    start_radius: float | None
    gradient_radius: float | None
    model_radius: float | None
    growth: float | None

    kind: ClassVar[str] = "noisy-finetune"
    has_profile: ClassVar[bool] = True
    noise_label: ClassVar[str] = "every round"

    def __post_init__(self) -> None:
        """Refuse what is no finetuning."""
        radii = [
            radius for radius in (self.start_radius, self.gradient_radius, self.model_radius) if radius is not None
        ]
        if not all(0 < number < inf for number in (*radii, self.step_size)):
            raise CertificateError("the step size and the radii of noisy finetuning are positive numbers")
        if self.rounds < 0 or not 0 <= self.step_size * self.decay <= 2:
            raise CertificateError(
                "noisy finetuning takes rounds ≥ 0 and a decay between 0 and 2/step_size, "
                f"not {self.rounds} rounds and a decay of {self.decay:g} with step_size {self.step_size:g}"
            )
        if (self.gradient_radius is None) == (self.model_radius is None):
            raise CertificateError("noisy finetuning clips gradients or models: one of the two radii")
        if self.model_radius is not None and self.start_radius is not None:
            raise CertificateError("where models are clipped in every step, the start needs no radius of its own")
        if self.growth is not None and not 0 <= self.growth < inf:
            raise CertificateError(f"growth is a non-negative number, not {self.growth}")

    def bounds(self, training: TrainingRun, release: Release, claim: Claim) -> DivergenceBounds:
        """The nodes' sensitivities when learning ends; nothing, where nothing is assumed of the loss.

        Raises:
            CertificateError: if this is not a finetuning of the learned model, a growth is stated that the constants do
                not prove, or nothing is known of the start.
        """
        if release.noise_round != training.rounds or release.descent_rounds != self.rounds:
            raise CertificateError("noisy finetuning begins at the learned model, and its rounds are those of descent")
        if (claim.bound == "published") != (self.growth is None):
            raise CertificateError("the published bound assumes nothing of the loss, and the others state a growth")
        if self.growth is None:
            if training.departed:
                raise CertificateError("after a departure nobody knows how far the others' models are from retraining")
            if self.gradient_radius is not None and self.start_radius is None:
                raise CertificateError("where nothing is assumed of the loss, the start must be clipped: start_radius")
            return DivergenceBounds(np.zeros(0))
        proven = self.proven_growth(training, claim.regime or strongest_regime(training))
        if self.growth < proven * (1 - _ROUNDING):
            raise CertificateError(f"a step may expand distances by {proven:.6g}, not {self.growth:.6g}")
        nodes = propagate(training, disturbed=release.checkpoint_round, quiet=0, bound=claim.bound, regime=claim.regime)
        return DivergenceBounds(nodes.total, nodes.rounding)

    def proven_growth(self, training: TrainingRun, regime: Regime) -> float:
        """How much a step may expand distances, by the constants and under that regime."""
        l2, eta = training.constants.l2.value, self.step_size
        low, high = (float(end[0]) - l2 for end in curvatures(training, regime, np.ones(1)))
        kept = 1 - eta * self.decay
        if self.gradient_radius is not None and self.gradient_radius < training.constants.G.value:
            return abs(kept) + eta * max(-low, high)
        # A client that holds no data has a data loss of curvature 0.
        return max(abs(kept - eta * min(low, 0.0)), abs(kept - eta * high))

    def mu(self, view: View, bounds: DivergenceBounds, release: Release, mixing: Mixing) -> float:
        """Of one model, or of all of them together: no node hears of another."""
        start = self._start(bounds, mixing)
        if self.model_radius is None:
            shift = 2 * self.step_size * (self.gradient_radius or 0.0)
            unit = last_states(start, self.rounds, abs(1 - self.step_size * self.decay), shift, self.growth)
        else:
            unit = self._stepped(start) / self._noises**0.5 if self.rounds else np.where(start > 0, inf, 0.0)
        return _seen(view, _ratios(unit, release.sigma), mixing)

    def epsilon(self, view: View, bounds: DivergenceBounds, release: Release, mixing: Mixing, delta: float) -> float:
        """The ε at δ: of μ, or, with model clipping, of its profile where that says more."""
        most = epsilon_of(self.mu(view, bounds, release, mixing), delta)
        if self.model_radius is None or not isfinite(most):
            return most
        start = self._start(bounds, mixing)
        stepped = _seen(view, _ratios(self._stepped(start), release.sigma), mixing)
        wide = _seen(view, _ratios(np.where(start > 0, 2 * self.model_radius, 0.0), release.sigma), mixing)
        return self._least(most, stepped, wide, self.growth, delta)

    def claimed(self, view: View, sigma: Vector, mixing: Mixing, delta: float) -> float:
        """The ε that the paper prints: Rényi divergences converted, or the profile from δ_0 = 1; infinite if none is.

        For several models at once, which the paper has not, Rényi divergences are added, and the balls are one.
        """
        noisy = sigma > 0
        if not self.rounds or not noisy.any():
            return inf
        if self.model_radius is not None:
            wide = _seen(view, _ratios(np.where(noisy, 2 * self.model_radius, 0.0), sigma), mixing)
            return self._least(epsilon_of(wide, delta), wide, wide, None, delta)
        if self.start_radius is None or self.gradient_radius is None:
            return inf
        start, kept = np.where(noisy, 2 * self.start_radius, 0.0), abs(1 - self.step_size * self.decay)
        unit = last_states(start, self.rounds, kept, 2 * self.step_size * self.gradient_radius, None)
        return epsilon_of_rho(_seen(view, _ratios(unit, sigma), mixing) ** 2 / 2, delta)

    def why_not_covered(self, training: TrainingRun, release: Release, claim: Claim) -> str | None:
        """A model to which no noise was added."""
        if self.rounds:
            return None
        nodes = self.bounds(training, release, claim).nodes
        return (
            "no round of finetuning, so no noise, hides the learned models" if nodes.any() or not nodes.size else None
        )

    def assumptions(self, training: TrainingRun, release: Release, claim: Claim) -> tuple[str, ...]:
        """What is compared with what, and what of it is seen."""
        said = [
            "The network that is compared with has learned on the retained data alone and then takes the same noisy "
            "steps from what it has learned.",
            "Only the last model of every node is covered; no message is sent on the way, and the models before it are "
            "never shown.",
            "The arithmetic of the noisy steps is taken to be exact.",
        ]
        if self.growth is None:
            said.append("Nothing is assumed of the loss, of the clients' data or of how the models were learned.")
        return tuple(said)

    def _start(self, bounds: DivergenceBounds, mixing: Mixing) -> Vector:
        """[N], how far apart two runs can begin."""
        most = 2 * (self.start_radius if self.start_radius is not None else inf)
        return np.minimum(bounds.nodes, most) if bounds.nodes.size else np.full(mixing.nodes, most)

    @property
    def _noises(self) -> float:
        """Σ_k growth^(−2k) over the steps: 1 where nothing is assumed of how they contract."""
        if self.growth is None or self.rounds == 1:
            return 1.0
        with np.errstate(over="ignore", divide="ignore"):
            return float(np.sum(np.float64(self.growth) ** (-2.0 * np.arange(self.rounds))))

    def _stepped(self, start: Vector) -> Vector:
        """[N], how far apart two runs can be after the first step, before its noise, where models are clipped."""
        assert self.model_radius is not None
        grown = np.full(start.shape, inf) if self.growth is None else self.growth * start
        return np.where(start > 0, np.minimum(grown, 2 * self.model_radius), 0.0)

    def _least(self, most: float, stepped: float, wide: float, growth: float | None, delta: float) -> float:
        """The least ε in [0, most] whose profile is at most δ, in units of the noise."""
        if self._hides(0.0, stepped, wide, growth, delta):
            return 0.0
        low, high = 0.0, most
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            low, high = (low, middle) if self._hides(middle, stepped, wide, growth, delta) else (middle, high)
        return high

    def _hides(self, epsilon: float, stepped: float, wide: float, growth: float | None, delta: float) -> bool:
        """Whether the runs are (ε, δ)-indistinguishable after K steps, by the profile."""
        found, spread = delta_of(stepped, epsilon), 1.0
        for _ in range(self.rounds - 1):
            if found <= delta:
                return True
            found *= delta_of(wide, _tilted(epsilon, found))
            if growth is not None:
                spread = 1 + spread / growth**2 if growth else inf
                found = min(found, delta_of(stepped / spread**0.5, epsilon))
        return found <= delta

    def account(self, release: Release, rounds: int) -> str:
        """Return how many noisy steps were taken."""
        return (
            f"ran {release.descent_rounds:,} rounds of clipped descent at every client by itself, with "
            f"{noise_size(release)} in each"
        )


def _tilted(epsilon: float, delta: float) -> float:
    """ln(1 + (e^ε − 1)/δ), for any ε."""
    if epsilon < 1:
        return log1p(expm1(epsilon) / delta)
    return epsilon - log(delta) + log1p((delta - 1) * exp(-epsilon))


def _ratios(distance: Vector, sigma: Vector) -> Vector:
    """[N], distance over noise: 0 where nothing differs, infinite where no noise hides what does."""
    noised = np.divide(distance, sigma, out=np.full(len(sigma), inf), where=sigma > 0)
    return np.where(distance > 0, noised, 0.0)


def _seen(view: View, mus: Vector, mixing: Mixing) -> float:
    """One node's, the largest of them, or all together."""
    node = view.within(mixing.nodes).node
    if node is not None:
        return float(mus[node])
    return float(mus.max()) if view.of_one_node else hypot(*mus.tolist())
