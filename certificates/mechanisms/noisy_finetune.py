"""Noisy finetuning of every node by itself, with clipped gradients or clipped models: no assumption on the loss.

**Algorithm.** Koloskova et al. (2025), "Certified unlearning for neural networks", arXiv 2506.06985. Every node starts
at its learned model x_0 and takes K steps on its retained data; ∇ℓ is the gradient of its data loss:

    gradient clipping   x_0 ← clip(x_0, C0),   x ← (1 − ηλ)x − η·clip(∇ℓ(x), C1) + N(0, σ²I)
    model clipping      x ← clip((1 − ηλ)x − η·∇ℓ(x), C2) + N(0, σ²I)

Of the K models only the last is released, and no message is sent. The reference network learns on the retained data and
then finetunes on it in the same way, so both runs take the same steps φ from different starts.

**Gradient clipping.** ‖φ(x) − φ(y)‖ ≤ |1 − ηλ|·‖x − y‖ + 2ηC1 for any loss, and the starts are at most 2C0 apart. With
these numbers the bound of `contraction`, as the Rényi divergence α·μ²/2, is the paper's. Two improvements go beyond the
paper:

* Clipping to a ball never increases distances, so the starts are at most min(2C0, e_i) apart, with e_i the node's
  sensitivity when learning ends.
* clip(·, C1) does not expand distances, so with an L-smooth data loss ‖φ(x) − φ(y)‖ ≤ (|1 − ηλ| + ηL)·‖x − y‖ as well.
  Where C1 is at least the bound G on every sample's gradient, nothing is ever clipped, and φ contracts as gradient
  descent does: by max(|1 − η(λ + low)|, |1 − η(λ + L)|) for Hessians between low and L. The attribute `growth` is this
  factor.

**Model clipping.** Let δ_t be a bound on the hockey-stick divergence D_{e^ε} of the two runs after t steps, in both
directions.

1. A step x ↦ N(ψ(x), σ²I) with ψ(x) in a ball of radius C2 has D_{e^ε̃} ≤ θ_ε̃(2C2/σ) between any two points, with
   θ_ε(r) = Q(ε/r − r/2) − e^ε·Q(ε/r + r/2).
2. Let P and R be the laws of the two runs, δ = D_{e^ε}(P‖R) and ω = min(P, e^ε·R). Write P = ω + P_1 and
   R = e^−ε·ω + R_1. Then P_1 has mass δ and e^ε·R_1 has mass e^ε − 1 + δ.
3. Let p_1 and r_1 be P_1 and R_1 scaled to probabilities, and e^ε̃ = 1 + (e^ε − 1)/δ. A kernel K takes
   P − e^ε·R = P_1 − e^ε·R_1 to δ·(p_1K − e^ε̃·r_1K).
4. By joint convexity,

    δ_{t+1} = δ_t·θ_ε̃(2C2/σ),    ε̃ = ln(1 + (e^ε − 1)/δ_t):

   Balle, Barthe, Gaboardi and Geumlek (2019), "Privacy amplification by mixing and diffusion mechanisms", Theorem 1. It
   increases with δ_t, so an upper bound on δ_t gives an upper bound on δ_{t+1}.

The paper adds noise to the learned model, which gives it a δ_0; here there is none, and δ_0 = 1. Beyond the paper, the
centres of the first step are at most min(growth·e_i, 2C2) apart, and later steps are also bounded by `contraction`; the
smaller of both bounds on δ_t is used. All models together are one run in a ball of radius √Σ_i (C2/σ_i)², in units of
their noise.
"""

from dataclasses import dataclass
from math import hypot, inf, isfinite
from typing import ClassVar

import numpy as np

from rewindnet.certificates.accounting.gaussian import epsilon_of
from rewindnet.certificates.accounting.renyi import epsilon_of_rho
from rewindnet.certificates.additions import Additions
from rewindnet.certificates.claim import Claim
from rewindnet.certificates.constants import Regime
from rewindnet.certificates.divergence import DivergenceBounds
from rewindnet.certificates.errors import CertificateError
from rewindnet.certificates.mechanisms.ball_profile import BallProfile
from rewindnet.certificates.mechanisms.contraction import mu_under_two_bounds
from rewindnet.certificates.mechanisms.gaussian_output import noise_size
from rewindnet.certificates.network import Mixing, Vector
from rewindnet.certificates.release import Mechanism, Release
from rewindnet.certificates.sensitivity.bounds import propagate
from rewindnet.certificates.sensitivity.local_steps import curvatures, strongest_regime
from rewindnet.certificates.training import TrainingRun
from rewindnet.certificates.view import View

#: The relative tolerance for rounding of a stated growth.
_ROUNDING = 1e-12


@dataclass(frozen=True)
class NoisyFinetune(Mechanism):
    """K noisy steps of every node by itself on its retained data, from its learned model.

    Attributes:
        rounds: K.
        step_size: η.
        decay: λ, with ηλ ≤ 2.
        start_radius: C0; None where the start is not clipped.
        gradient_radius: C1; None with model clipping.
        model_radius: C2; None with gradient clipping.
        growth: the factor by which a step may expand distances, by the constants of learning; None to assume nothing
            about the loss or about how the models were learned.

    Raises:
        CertificateError: if a number is out of range, or the radii do not fit together.
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
        """Refuse numbers that are out of range."""
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
            raise CertificateError(
                "noisy finetuning clips gradients or models: set one of gradient_radius and model_radius"
            )
        if self.model_radius is not None and self.start_radius is not None:
            raise CertificateError(
                "start_radius has no meaning where models are clipped in every step; it must be None"
            )
        if self.growth is not None and not 0 <= self.growth < inf:
            raise CertificateError(f"growth is a non-negative number, not {self.growth}")

    def additions(self, training: TrainingRun, release: Release) -> Additions:
        """Return noise in every step of every node."""
        return Additions.of(release.checkpoint_round + np.arange(self.rounds), release.sigma)

    def learning_not_covered(self, training: TrainingRun, release: Release) -> str | None:
        """Return why no bound is proven of the learned models, where the start rests on one rather than on clipping."""
        return None if self.growth is None else training.uncovered or None

    def bounds(self, training: TrainingRun, release: Release, claim: Claim) -> DivergenceBounds:
        """Return the sensitivity of the learned models; no bounds where nothing is assumed about the loss.

        Raises:
            CertificateError: if the release is not a finetuning of the learned model, a stated growth is not proven by
                the constants, or there is no bound on the distance of the starts.
        """
        if release.noise_round != training.rounds or release.descent_rounds != self.rounds:
            raise CertificateError("noisy finetuning begins at the learned model, and its rounds are those of descent")
        known = training.constants.known
        if claim.bound == "instance" and not known:
            raise CertificateError(f"an instance bound takes more than measurements: {training.constants.why_unknown}")
        if (claim.bound == "published" or not known) != (self.growth is None):
            raise CertificateError(
                "growth must be None for the published bound and for models without known constants, and a number "
                "otherwise"
            )
        if self.growth is None:
            if training.departed:
                raise CertificateError(
                    "the published bound is not available after a departure; use worst-case or instance"
                )
            if self.gradient_radius is not None and self.start_radius is None:
                raise CertificateError(
                    "where nothing is assumed about the loss, the start must be clipped: set start_radius"
                )
            return DivergenceBounds(np.zeros(0))
        proven = self.proven_growth(training, claim.regime or strongest_regime(training))
        if self.growth < proven * (1 - _ROUNDING):
            raise CertificateError(f"a step may expand distances by {proven:.6g}, not {self.growth:.6g}")
        nodes = propagate(
            training, disturbed=release.checkpoint_round, undisturbed=0, bound=claim.bound, regime=claim.regime
        )
        return DivergenceBounds(nodes.total, nodes.rounding)

    def proven_growth(self, training: TrainingRun, regime: Regime) -> float:
        """Return the factor by which a step may expand distances, by the constants and under a regime.

        Args:
            training: how the network learned.
            regime: the curvature to assume.

        Raises:
            CertificateError: if the constants do not prove the regime.
        """
        l2, eta = training.constants.l2.value, self.step_size
        low, high = (float(bound[0]) - l2 for bound in curvatures(training, regime, np.ones(1)))
        retention = 1 - eta * self.decay
        if self.gradient_radius is not None and self.gradient_radius < training.constants.G.value:
            return abs(retention) + eta * max(-low, high)
        # A client that holds no data has a data loss of curvature 0.
        return max(abs(retention - eta * min(low, 0.0)), abs(retention - eta * high))

    def mu(self, view: View, bounds: DivergenceBounds, release: Release, mixing: Mixing) -> float:
        """Return μ of one model or of all of them together; no messages are sent."""
        start = self._start_distance(bounds, mixing)
        if self.model_radius is None:
            shift = 2 * self.step_size * (self.gradient_radius or 0.0)
            unit = mu_under_two_bounds(start, self.rounds, abs(1 - self.step_size * self.decay), shift, self.growth)
        else:
            unit = (
                self._first_step_distance(start) / self._noise_sum**0.5
                if self.rounds
                else np.where(start > 0, inf, 0.0)
            )
        return _mu_of_view(view, _ratios(unit, release.sigma), mixing)

    def epsilon(self, view: View, bounds: DivergenceBounds, release: Release, mixing: Mixing, delta: float) -> float:
        """Return ε at δ from μ or, with model clipping, from the profile δ_t where that is tighter."""
        upper = epsilon_of(self.mu(view, bounds, release, mixing), delta)
        if self.model_radius is None or not isfinite(upper):
            return upper
        start = self._start_distance(bounds, mixing)
        first_step = _mu_of_view(view, _ratios(self._first_step_distance(start), release.sigma), mixing)
        diameter = _mu_of_view(view, _ratios(np.where(start > 0, 2 * self.model_radius, 0.0), release.sigma), mixing)
        return BallProfile(self.rounds, first_step, diameter, self.growth).least_epsilon(upper, delta)

    def claimed_epsilon(self, view: View, sigma: Vector, mixing: Mixing, delta: float) -> float:
        """Return the ε of the paper: by conversion from Rényi divergences, or from the profile with δ_0 = 1.

        For several models at once, which the paper does not treat, Rényi divergences are added, and the balls form one
        ball.

        Args:
            view: the view.
            sigma: [N], the noise of every node.
            mixing: the mixing matrices of the network.
            delta: δ.

        Returns:
            ε; infinite where the paper gives none.
        """
        noisy = sigma > 0
        if not self.rounds or not noisy.any():
            return inf
        if self.model_radius is not None:
            diameter = _mu_of_view(view, _ratios(np.where(noisy, 2 * self.model_radius, 0.0), sigma), mixing)
            return BallProfile(self.rounds, diameter, diameter, None).least_epsilon(epsilon_of(diameter, delta), delta)
        if self.start_radius is None or self.gradient_radius is None:
            return inf
        start, retention = np.where(noisy, 2 * self.start_radius, 0.0), abs(1 - self.step_size * self.decay)
        unit = mu_under_two_bounds(start, self.rounds, retention, 2 * self.step_size * self.gradient_radius, None)
        return epsilon_of_rho(_mu_of_view(view, _ratios(unit, sigma), mixing) ** 2 / 2, delta)

    def why_not_covered(self, training: TrainingRun, release: Release, claim: Claim) -> str | None:
        """Return the reason where no noise was added to a model that may differ."""
        if self.rounds:
            return None
        nodes = self.bounds(training, release, claim).nodes
        return (
            "no round of finetuning, so no noise, hides the learned models" if nodes.any() or not nodes.size else None
        )

    def noise_vectors(self, release: Release) -> int:
        """Return one vector for every node in every step."""
        return self.rounds * super().noise_vectors(release)

    def assumptions(self, training: TrainingRun, release: Release, claim: Claim) -> tuple[str, ...]:
        """Return what is compared, and what of it is covered."""
        sentences = [
            "The reference network learns on the retained data alone and then takes the same noisy steps from its own "
            "learned models.",
            "Only the last model of every node is covered; no message is sent during the finetuning, and earlier "
            "models are never shown.",
            "The arithmetic of the noisy steps is assumed to be exact.",
        ]
        if self.growth is None:
            sentences.append("Nothing is assumed about the loss, the clients' data or how the models were learned.")
        return tuple(sentences)

    def _start_distance(self, bounds: DivergenceBounds, mixing: Mixing) -> Vector:
        """Return a bound [N] on the distance of the two runs' starts."""
        diameter = 2 * (self.start_radius if self.start_radius is not None else inf)
        return np.minimum(bounds.nodes, diameter) if bounds.nodes.size else np.full(mixing.nodes, diameter)

    @property
    def _noise_sum(self) -> float:
        """Σ_k growth^(−2k) over the steps; 1 where no contraction is assumed."""
        if self.growth is None or self.rounds == 1:
            return 1.0
        with np.errstate(over="ignore", divide="ignore"):
            return float(np.sum(np.float64(self.growth) ** (-2.0 * np.arange(self.rounds))))

    def _first_step_distance(self, start: Vector) -> Vector:
        """Return a bound [N] on the distance of the centres of the first step, with model clipping."""
        assert self.model_radius is not None
        expanded = np.full(start.shape, inf) if self.growth is None else self.growth * start
        return np.where(start > 0, np.minimum(expanded, 2 * self.model_radius), 0.0)

    def describe(self, release: Release, rounds: int) -> str:
        """Return how many noisy steps were taken."""
        return (
            f"ran {release.descent_rounds:,} rounds of clipped descent at every client by itself, with "
            f"{noise_size(release)} in each"
        )


def _ratios(distance: Vector, sigma: Vector) -> Vector:
    """Return distance/σ [N]: 0 where the distance is 0, infinite where it is not and there is no noise."""
    ratio = np.divide(distance, sigma, out=np.full(len(sigma), inf), where=sigma > 0)
    return np.where(distance > 0, ratio, 0.0)


def _mu_of_view(view: View, mus: Vector, mixing: Mixing) -> float:
    """Return μ of the view: that of one node, the largest of all nodes, or that of all nodes together."""
    node = view.within(mixing.nodes).node
    if node is not None:
        return float(mus[node])
    return float(mus.max()) if view.of_one_node else hypot(*mus.tolist())
