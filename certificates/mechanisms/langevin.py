"""Langevin unlearning: noisy rounds of the network on retained data, from the learned models.

The papers treat one machine: Chien, Wang, Chen and Li (2024), "Langevin unlearning: a new perspective of noisy gradient
descent for machine unlearning", and "Certified machine unlearning via noisy stochastic gradient descent". Here the
state is the stacked vector X of all nodes' models, and a round of the network is one map R_t of X: local steps, mixing
and, where the clients project onto a ball, the projection, in the order in which the network learned.

    X_{t+1} = R_t(X_t + ξ_t),    ξ_t ~ N(0, σ²I),    t = 0 … K − 1,    X_0 = the learned models; X_K is released.

Every node adds the noise to its own model **before** every round, so also to the start: every message is computed from
noised models. The papers add it after every step. A network would then have to add it to the start as well, or its
first messages would show the learned models. (K = 0: the learned models with noise are released.)

**Contraction.** Let n_i = ‖x_i − y_i‖ for two stacked vectors x and y. In a round n⁺ ≤ A·n, entry by entry, with A ≥ 0
as in `rewindnet.certificates.sensitivity.recursion`:

    adapt-then-combine          A = W·diag(γ)
    combine-then-adapt          A = diag(γ)·W
    consensus-plus-gradient     A = W − diag(W) + diag(κ)

γ_i is the growth of node i's local steps, 1 where the node does not participate. So R_t contracts by
c_t = ‖A‖₂ ≤ √(‖A‖₁·‖A‖_∞), which is γ for doubly stochastic W in the first two orders. For consensus-plus-gradient with
one full local step and symmetric W, the eigenvalues of the Jacobian W⊗I − ηH also lie between λ_min(W) − η·high and
1 − η·low. This gives c_t = max(|1 − η·low|, |λ_min(W) − η·high|), which is 1 − ημ if η(L + μ) ≤ 1 + λ_min(W).
Projections do not expand distances.

**Views that include messages** (one peer's messages, or all messages, and everything computed from them). They are
covered by the noise on the start alone, as in `views` for placement rewind; later rounds are post-processing.

**Views of X_K alone** (node, joint, average). X_K is post-processing of X_{K−1} + ξ_{K−1}, the last of K noised states,
of which only that one is seen. By `contraction`, with an identity as first map and Z the distance of the stacked
starts,

    μ = (Z/σ)·(Π_t c_t)/√(Σ_t Π_{k≥t} c_k²),  over the K − 1 rounds between the noises
      = (Z/σ)·c^{K−1}·√((1 − c²)/(1 − c^{2K})) for constant c,

for any c_t, also above 1 (c = 1: Z/(σ√K)). With the papers' noise after each step, c^K replaces c^{K−1}. These views
are also covered by the noise on the start; the smaller of the two μ holds.
"""

from dataclasses import dataclass
from math import hypot, inf, sqrt
from typing import ClassVar

import numpy as np
from scipy.sparse import csr_array, diags_array

from rewindnet.certificates.accounting.renyi import epsilon_of_rho
from rewindnet.certificates.additions import BETWEEN_ROUNDS, Additions
from rewindnet.certificates.claim import Claim
from rewindnet.certificates.constants import Regime
from rewindnet.certificates.divergence import DivergenceBounds
from rewindnet.certificates.errors import CertificateError
from rewindnet.certificates.mechanisms.contraction import mu_of_last_state
from rewindnet.certificates.mechanisms.gaussian_output import noise_size
from rewindnet.certificates.network import Mixing
from rewindnet.certificates.release import Mechanism, Release
from rewindnet.certificates.sensitivity.bounds import propagate
from rewindnet.certificates.sensitivity.local_steps import (
    LocalSteps,
    RoundEffect,
    consensus_growth,
    curvatures,
    strongest_regime,
    worst_case_disturbance,
)
from rewindnet.certificates.training import TrainingRun
from rewindnet.certificates.view import View
from rewindnet.certificates.views.mu import mu_of_view

#: Norms and eigenvalues are computed for networks of at most this number of nodes, and bounded for larger ones.
_LARGEST = 400

#: The relative error that rounding may cause in a norm.
_ROUNDING = 1e-12


@dataclass(frozen=True)
class Langevin(Mechanism):
    """Noise on every model before every round on retained data.

    Attributes:
        contraction: c_t of the K − 1 rounds between the additions of noise.
    """

    contraction: tuple[float, ...]

    kind: ClassVar[str] = "langevin"
    noise_label: ClassVar[str] = "every round"

    def additions(self, training: TrainingRun, release: Release) -> Additions:
        """Return noise on the start, and after every round but the last."""
        first, rounds = release.checkpoint_round, max(release.descent_rounds - 1, 0)
        return Additions.of(np.array([BETWEEN_ROUNDS, *range(first, first + rounds)]), release.sigma)

    def bounds(self, training: TrainingRun, release: Release, claim: Claim) -> DivergenceBounds:
        """Return the sensitivity of the learned models.

        Raises:
            CertificateError: if the release is not a series of rounds from the learned models, the nodes have different
                noise, or a stated contraction is not proven by the constants.
        """
        if release.noise_round != training.rounds or release.averaged or release.gossip_rounds:
            raise CertificateError("noisy rounds begin at the learned models, and nothing follows them")
        if len(self.contraction) != max(release.descent_rounds - 1, 0):
            raise CertificateError(
                f"{release.descent_rounds} noisy rounds have a contraction each but the last; "
                f"{len(self.contraction)} are given"
            )
        if np.unique(release.sigma[training.present]).size != 1:
            raise CertificateError("the noise of noisy rounds is the same at every node")
        proven = contractions(training, claim.regime, release.descent_rounds)
        for t, (stated, needed) in enumerate(zip(self.contraction, proven, strict=True)):
            if not stated >= needed * (1 - _ROUNDING):
                raise CertificateError(f"noisy round {t} may expand distances by {needed:.6g}, not {stated:.6g}")
        nodes = propagate(
            training, disturbed=release.checkpoint_round, undisturbed=0, bound=claim.bound, regime=claim.regime
        )
        return DivergenceBounds(nodes.total, nodes.rounding)

    def mu(self, view: View, bounds: DivergenceBounds, release: Release, mixing: Mixing) -> float:
        """Return μ by the noise on the start alone or, for views of the final models only, by all of the noise."""
        start_mu = mu_of_view(view, bounds.nodes, release, mixing)
        if view.shows_messages:
            return start_mu
        sigma, Z = float(release.sigma.max()), hypot(*bounds.nodes.tolist())
        return min(start_mu, mu_of_last_state(Z, (1.0, *self.contraction)) / sigma) if sigma > 0 else start_mu

    def noise_vectors(self, release: Release) -> int:
        """Return one vector for every node before every round; one for every node if there are no rounds."""
        return max(release.descent_rounds, 1) * super().noise_vectors(release)

    def assumptions(self, training: TrainingRun, release: Release, claim: Claim) -> tuple[str, ...]:
        """Return what is compared, and what of it is covered."""
        coverage = "All models that are released at the end are covered; messages of the noisy rounds are not."
        if claim.view.shows_messages:
            coverage = "Every message is covered by the noise on the start, whatever follows."
        elif claim.view.kind == "node":
            coverage = (
                "The model that a single node releases at the end is covered; the messages that it receives are not."
            )
        return (
            "The reference network learns on the retained data alone and then takes the same noisy rounds from its own "
            "learned models.",
            coverage,
            "The arithmetic of the noisy rounds is assumed to be exact.",
        )

    def describe(self, release: Release, rounds: int) -> str:
        """Return how many noisy rounds were run."""
        return f"ran {release.descent_rounds:,} rounds on the retained data with {noise_size(release)} in each"


def contractions(training: TrainingRun, regime: Regime | None, rounds: int) -> tuple[float, ...]:
    """Return c_t of the rounds T, T + 1, … between the additions of noise: of all noisy rounds but the last.

    Args:
        training: how the network learned.
        regime: the curvature to assume; None for the strongest that the constants prove.
        rounds: K, the number of noisy rounds.

    Raises:
        CertificateError: if the constants do not prove the regime.
    """
    regime = regime or strongest_regime(training)
    steps = LocalSteps(training, regime, "worst-case", training.deleted[:, None])
    result: list[float] = []
    previous: tuple[csr_array, RoundEffect] | None = None
    for t in range(training.rounds, training.rounds + rounds - 1):
        W, effect = training.mixing.matrix(t), steps.undisturbed(t)
        # The contraction of an unchanged network is not computed again.
        if previous is None or previous[0] is not W or not _same_effect(previous[1], effect):
            previous, c = (W, effect), _contraction(training, regime, W, effect, t)
        result.append(c)
    return tuple(result)


def claimed_epsilon(training: TrainingRun, release: Release, claim: Claim) -> float:
    """Return the ε of the papers' bound ρ = (Z²/(2σ²))·(1 − c²)·c^{2K}/(1 − c^{2K}) on the Rényi divergence α·ρ.

    Z ≤ W_∞ is a bound on the distance of the starts. In the stationary state W_∞ ≤ b/(1 − c), with b the disturbance of
    a round by the deletion (for one full local step b/(1 − c) is G/μ, or 2mG/(nμ) where m of n samples are deleted),
    and W_∞ is at most the diameter of the ball, if there is one. The papers have this for strongly convex losses.

    Args:
        training: how the network learned, and what was deleted.
        release: the noisy rounds.
        claim: the δ and the regime.

    Returns:
        ε; infinite where the bound gives none.
    """
    c, sigma = max(contractions(training, claim.regime, 2)), float(release.sigma.max())
    K = release.descent_rounds
    if not 0 < c < 1 or not K or not sigma > 0:
        return inf
    b = np.linalg.norm(worst_case_disturbance(training, training.rounds - 1).sum(axis=0))
    Z = float(b) / (1 - c)
    if training.radius is not None:
        Z = min(Z, 2 * training.radius * sqrt(int(training.present.sum())))
    return epsilon_of_rho((Z / sigma) ** 2 / 2 * (1 - c**2) * c ** (2 * K) / (1 - c ** (2 * K)), claim.delta)


def _contraction(training: TrainingRun, regime: Regime, W: csr_array, steps: RoundEffect, round: int) -> float:
    """Return c of a round."""
    growth, N = np.broadcast_to(steps.growth, training.mixing.nodes), training.mixing.nodes
    if training.order == "adapt-then-combine":
        c = _norm(csr_array(W @ diags_array(growth)))
    elif training.order == "combine-then-adapt":
        c = _norm(csr_array(diags_array(growth) @ W))
    else:
        c = _norm(csr_array(W + diags_array(consensus_growth(steps, W) - W.diagonal())))
        full = training.local_steps == 1 and training.batches is None and training.mixing.participating(round) is None
        if full and N and abs(W - W.T).max() == 0:
            low, high = (training.step_size * float(bound[0]) for bound in curvatures(training, regime, np.ones(1)))
            c = min(c, max(abs(1 - low), abs(_smallest_eigenvalue(W) - high)))
    return c * (1 + _ROUNDING)


def _norm(A: csr_array) -> float:
    """Return ‖A‖₂ of a matrix without negative entries, or a bound on it."""
    bounded = sqrt(float(np.max(A.sum(axis=0))) * float(np.max(A.sum(axis=1))))
    return bounded if A.shape[0] > _LARGEST else min(bounded, float(np.linalg.norm(A.toarray(), 2)))


def _smallest_eigenvalue(W: csr_array) -> float:
    """Return the smallest eigenvalue of a symmetric matrix whose rows sum to 1, or a lower bound on it (Gershgorin)."""
    if W.shape[0] > _LARGEST:
        return 2 * float(W.diagonal().min()) - 1
    return float(np.linalg.eigvalsh(W.toarray())[0])


def _same_effect(first: RoundEffect, second: RoundEffect) -> bool:
    """Return whether the local steps of two rounds have the same effect."""
    return all(
        np.array_equal(a, b)
        for a, b in ((first.growth, second.growth), (first.centre, second.centre), (first.remainder, second.remainder))
    )
