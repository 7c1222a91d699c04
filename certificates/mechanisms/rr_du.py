"""RR-DU: one model travels the network as a token, and the deleting client u adds noise at every visit.

**Reference.** The unlearning is compared with the same procedure on a network that learned without the forget set and
answers an empty request (Sekhari et al. 2021, "Remember what you want to forget"), along the same path and with the
same batches, which do not depend on the data. Let θ be the token, e ≥ ‖θ_u − θ'_u‖ the sensitivity of u's learned
model, η the step size, L the clip and L_s the smoothness. A visit of u is

    θ ← θ + η·(g(θ) + Z),    ‖g‖ ≤ L.

**Differences of the noised values**

* *Before the first visit* no noise is added. Holders other than u use the same data in both runs, so a step of theirs
  multiplies the difference by at most the growth γ of a local step, and a relay leaves it unchanged: e₁ = γ^k·e after k
  steps.
* *The first visit* adds noise to θ + η·g(θ). Clipping is a projection, which never increases distances. With `exact`
  alignment both runs use the same g, so ‖g(θ) − g(θ')‖ ≤ min(L_s·e₁, 2L), and the noised values differ by at most
  e₁ + η·min(L_s·e₁, 2L). With `lightweight`, g is 0 for an empty request: e₁ + η·L. With `lightweight+descent`,
  g = clip(s·h) against g' = clip(h), where h = −∇f'_u and s = (n − m)/n: at the same θ both have the same direction,
  and their lengths min(L, s‖h‖) ≤ min(L, ‖h‖) differ most where ‖h‖ = L, by (m/n)·L; so e₁ + η·(min(L_s·e₁,
  2L) + (m/n)·L).
* *Later visits*, given the token, differ by η·Δ, with Δ = 0 for `exact` alignment (which no longer uses the deleted
  samples), L for `lightweight` and (m/n)·L for `lightweight+descent`. The hops between visits use retained data only
  and are post-processing.

**Composition.** Each visit is a Gaussian mechanism given everything before it. So an observer of every token from the
first visit on has μ² = Σ_k (difference_k/noise_k)² (Dong, Roth and Su 2022, Cor. 3.3), and so has an observer of
anything computed from the last token.

**The paper's claim** uses noise at every hop ("privacy amplification by decentralization"). Here the hops of other
nodes carry no noise: they never increase the remaining difference but need not decrease it, so nothing is amplified.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import hypot, inf
from typing import ClassVar, Literal, get_args

import numpy as np

from rewindnet.certificates.accounting.gaussian import mu_of_difference
from rewindnet.certificates.additions import Additions
from rewindnet.certificates.claim import Claim
from rewindnet.certificates.divergence import DivergenceBounds
from rewindnet.certificates.errors import CertificateError
from rewindnet.certificates.mechanisms.gaussian_output import noise_size
from rewindnet.certificates.mechanisms.token_path import TokenPath
from rewindnet.certificates.network import Mixing, Vector
from rewindnet.certificates.release import Mechanism, Release
from rewindnet.certificates.sensitivity.bounds import is_bounded, propagate
from rewindnet.certificates.sensitivity.local_steps import local_growth, strongest_regime
from rewindnet.certificates.sensitivity.rounding import charges_of_hops
from rewindnet.certificates.training import TrainingRun
from rewindnet.certificates.view import View

Alignment = Literal["exact", "lightweight", "lightweight+descent"]
Centre = Literal["reference", "noised"]
Optimizer = Literal["sgd", "adam", "dual-as"]

#: A factor by which nothing is bounded, which JSON can hold.
_UNBOUNDED = 1e300


@dataclass(frozen=True)
class RRDU(TokenPath, Mechanism):
    """Gaussian noise at every visit of a token to the deleting client u, the `node` of the path.

    Attributes:
        parents: [N], the node from which each node receives the released model; the root of the tree has itself.
        noise: the standard deviation of the noise that u adds to the model in each of its steps, 0 for none; it is η
            times that of the noise on its direction.
        alignment: the direction that u takes, as in `rewindnet.clients.steps.rr_du.RRDUToken`.
        clip: L, the largest norm of that direction.
        step_size: η.
        forgotten: m, the number of samples that u deletes.
        growth: γ^k, the growth of a difference by the steps of other nodes before u's first.
        slope: η·L_s, the additional growth by u's first step; 0 with `lightweight`.
        centre: the centre of the ball onto which u projects the noised model; None for no projection.
        optimizer: the optimizer of all steps; `dual-as`: Adam of those of u, SGD of the others.

    Raises:
        CertificateError: if a choice is unknown, lengths differ, or a number is out of range.
    """

    parents: tuple[int, ...]
    noise: tuple[float, ...]
    alignment: Alignment
    clip: float
    step_size: float
    forgotten: int
    growth: float
    slope: float
    centre: Centre | None = None
    optimizer: Optimizer = "sgd"

    kind: ClassVar[str] = "rr-du"
    noise_label: ClassVar[str] = "every visit"

    def __post_init__(self) -> None:
        """Refuse choices and numbers that are not possible."""
        for name, value, allowed in (
            ("alignment", self.alignment, get_args(Alignment)),
            ("centre of the trust region", self.centre, (None, *get_args(Centre))),
            ("optimizer", self.optimizer, get_args(Optimizer)),
        ):
            if value not in allowed:
                raise CertificateError(f"unknown {name} {value!r}; it is one of: {', '.join(map(str, allowed))}")
        super().__post_init__()
        if len(self.noise) != len(self.visit_rounds) or not all(0 <= sigma < inf for sigma in self.noise):
            raise CertificateError("every visit of a token has noise of a non-negative standard deviation")
        if not (0 < self.clip < inf and 0 < self.step_size < inf):
            raise CertificateError("the clip and the step size of a visit are positive numbers")

    @property
    def _is_ascent(self) -> bool:
        """Whether u's direction uses the forget set alone."""
        return self.alignment == "lightweight"

    @property
    def events(self) -> Sequence[tuple[int, int]]:
        """The visits, as (round, u)."""
        return [(round, self.node) for round in self.visit_rounds]

    def with_growth(self, training: TrainingRun, claim: Claim) -> "RRDU":
        """Return the same mechanism with `growth` and `slope` by the constants; unbounded where none are known.

        Args:
            training: how the network learned.
            claim: the regime.

        Raises:
            CertificateError: if the growth is not finite, or the constants do not prove the regime.
        """
        if not training.constants.known:
            growth = _UNBOUNDED if self.steps_before_visit else 1.0
            return replace(self, growth=growth, slope=0.0 if self._is_ascent else _UNBOUNDED)
        gamma = local_growth(replace(training, step_size=self.step_size), claim.regime or strongest_regime(training))
        with np.errstate(over="ignore"):
            growth = float(np.float64(gamma) ** self.steps_before_visit)
        if not growth < inf:
            raise CertificateError(
                f"{self.steps_before_visit} steps that may each multiply a difference by {gamma:.4g} allow no finite "
                "certificate"
            )
        slope = 0.0 if self._is_ascent else self.step_size * training.constants.L.value
        return replace(self, growth=growth, slope=slope)

    def additions(self, training: TrainingRun, release: Release) -> Additions:
        """Return the noise of every visit that has any."""
        sigma = np.array(self.noise, dtype=np.float64)
        noisy = sigma > 0
        rounds = np.array(self.visit_rounds, dtype=np.int64)[noisy]
        return Additions(rounds, np.full(len(rounds), self.node, dtype=np.int64), sigma[noisy])

    def learning_not_covered(self, training: TrainingRun, release: Release) -> str | None:
        """Return why no bound is proven of the learned models; the steps of the token have a size of their own."""
        return training.uncovered or None

    def bounds(self, training: TrainingRun, release: Release, claim: Claim) -> DivergenceBounds:
        """Return the sensitivity of the learned models, and η·Δ at every visit; rounding is charged to the first.

        Raises:
            CertificateError: if growth or slope are less than the constants allow, the deletion is not that of u alone,
                or the bound is `published`.
        """
        if claim.bound == "published":
            raise CertificateError("the published bound is that of R2D and has no token; use worst-case or instance")
        proven = self.with_growth(training, claim)
        if self.growth < proven.growth * (1 - 1e-12) or self.slope < proven.slope * (1 - 1e-12):
            raise CertificateError("the stated growth of a difference is less than the constants allow")
        if not 0 <= self.node < training.mixing.nodes or not training.present[self.node]:
            raise CertificateError(f"node {self.node} cannot be visited: it does not exist or has left")
        if self.forgotten != training.deleted[self.node]:
            raise CertificateError(
                f"the visited node deletes {training.deleted[self.node]} samples, not {self.forgotten}"
            )
        if set(np.flatnonzero(training.deleted).tolist()) - {self.node}:
            raise CertificateError("nodes other than the visited one delete samples; a token hides only its deletion")
        shifts = np.full(len(self.visit_rounds), self.later_shift(training))
        if not is_bounded(training, release.checkpoint_round):
            return DivergenceBounds(np.zeros(0), shifts=shifts)
        learned = propagate(
            training, disturbed=release.checkpoint_round, undisturbed=0, bound=claim.bound, regime=claim.regime
        )
        if self.visit_rounds:
            shifts[0] += self._rounding_before_noise(training, proven, learned.total)
        return DivergenceBounds(learned.total, learned.rounding, shifts)

    def later_shift(self, training: TrainingRun) -> float:
        """Return η·Δ, the difference of the noised values of a later visit, given the token.

        Args:
            training: how the network learned, and what was deleted.
        """
        if self.alignment == "exact":
            return 0.0
        n, m = int(training.samples[self.node]), self.forgotten
        share = 1.0 if self._is_ascent else m / n if n else 0.0
        # u computes in double precision, whatever the precision of the network.
        arithmetic = training.arithmetic
        slack = 0.0 if arithmetic is None else (arithmetic.parameters + 16) * 2.0**-50
        return self.step_size * self.clip * (share + slack * (m > 0))

    def _rounding_before_noise(self, training: TrainingRun, proven: "RRDU", sensitivity: Vector) -> float:
        """Return what rounding adds up to and including the first visit; 0 where both runs are identical bit by bit."""
        if not sensitivity[self.node] > 0:
            return 0.0
        gamma = proven.growth ** (1 / self.steps_before_visit) if self.steps_before_visit else 1.0
        charged, total = charges_of_hops(training, self.step_size, self.steps_before_visit + 1), 0.0
        for charge in charged[:-1]:
            total = gamma * total + charge
        return total + min(proven.slope * total, 2 * self.step_size * self.clip) + charged[-1]

    def shifts(self, bounds: DivergenceBounds) -> Vector:
        """Return the differences [visits] of the values to which noise is added.

        Args:
            bounds: the divergence of the learned models and η·Δ at every visit, bounds or measured.
        """
        total = bounds.shifts.astype(np.float64)
        if len(total):
            at_first_visit = self.growth * float(bounds.nodes[self.node])
            total[0] += at_first_visit + min(self.slope * at_first_visit, 2 * self.step_size * self.clip)
        return total

    def mu(self, view: View, bounds: DivergenceBounds, release: Release, mixing: Mixing) -> float:
        """Return √(Σ_k (difference_k/noise_k)²): every view shows at most all tokens from the first visit on."""
        if self._unhidden_reason(view, bounds) is not None:
            return inf
        differences = self.shifts(bounds)
        return hypot(*(mu_of_difference(one, noise) for one, noise in zip(differences, self.noise, strict=True)))

    def why_not_covered(self, training: TrainingRun, release: Release, claim: Claim) -> str | None:
        """Return the reason where the view includes a value, or u keeps a value, without noise that is resolved."""
        if not is_bounded(training, release.checkpoint_round):
            return training.constants.why_unknown
        bounds = self.bounds(training, release, claim)
        return self._unhidden_reason(claim.view, bounds) or self._unresolved_reason(training, release, bounds)

    def _unresolved_reason(self, training: TrainingRun, release: Release, bounds: DivergenceBounds) -> str | None:
        """Return the reason where the noise of a visit is lost to rounding; None where none is lost."""
        least = self.least_sigma(training, release)
        for index, (difference, noise) in enumerate(zip(self.shifts(bounds), self.noise, strict=True)):
            if difference > 0 and 0 < noise < least:
                return (
                    f"the noise of visit {index + 1} (sigma {noise:.4g}) is too small for the arithmetic to carry; it "
                    f"takes at least {least:.4g} here"
                )
        return None

    def _unhidden_reason(self, view: View, bounds: DivergenceBounds) -> str | None:
        """Return the reason why noise hides nothing for these divergences; None where it does."""
        differences, arrived = self.shifts(bounds), float(bounds.nodes[self.node]) > 0
        if not self.visit_rounds and arrived:
            return "the token never comes to the deleting client, so no noise is added"
        if not differences.any():
            return None
        if self.optimizer != "sgd" and arrived:
            return (
                "adam makes of noise a step of bounded length from the model that the deleting client began with, "
                "which therefore is not hidden"
            )
        if self.centre == "reference":
            return (
                "the trust region is centred at the model that the deleting client began with, without noise, and "
                "projected models reveal the centre; trust_centre noised, or no trust_radius, is covered"
            )
        if self.leaves_before_visit and arrived and view.shows_messages:
            return "the token is with other nodes before the deleting client first adds noise; start u covers them"
        unnoised = [
            index
            for index, (difference, noise) in enumerate(zip(differences, self.noise, strict=True))
            if difference > 0 and noise == 0
        ]
        if unnoised:
            return (
                f"the deleting client adds no noise at its visit {unnoised[0] + 1}, and the model that it sends then "
                f"may differ from that of retraining by {differences[unnoised[0]]:.4g}"
            )
        return None

    def noise_vectors(self, release: Release) -> int:
        """Return one vector for every visit with noise."""
        return sum(sigma > 0 for sigma in self.noise)

    def assumptions(self, training: TrainingRun, release: Release, claim: Claim) -> tuple[str, ...]:
        """Return which models are covered, and what is assumed about the path."""
        covered = "Every token" if not self.leaves_before_visit else "No token before the first visit, and every token"
        erasure = ("The deleting client keeps its forget set until its last visit.",) if self._is_ascent else ()
        return (
            f"Only the model of the deleting client, node {self.node}, is trained further, as a token; the learned "
            "models of other nodes are overwritten by the released model, which is the same for all nodes.",
            f"{covered} from the first visit on is covered, colluding peers included; the path, its batches and the "
            "number of visits do not depend on the data.",
            "Retraining is followed by the same procedure with an empty request.",
            *erasure,
        )

    def describe(self, release: Release, rounds: int) -> str:
        """Return how many steps the token took, and how often it visited the deleting client."""
        return (
            f"sent the model of node {self.node} round the network for {sum(self.works):,} steps, "
            f"{len(self.visit_rounds):,} of them its own, with {noise_size(release)} in those, and gave the last model "
            "to all nodes"
        )
