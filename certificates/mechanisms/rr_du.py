"""The noise of a token: one model travels the network, and its deleting client u adds noise whenever it comes by.

**What differs.** The unlearning of RR-DU is compared with the same procedure on a network that learned without the
forget set and answers an empty request (Sekhari et al. 2021, "Remember what you want to forget"), along the same path
and with the same batches, none of which look at data. Let θ be the token, e ≥ ‖θ_u − θ'_u‖ the sensitivity of what u
begins with, η the step size, L the clip, L_s the smoothness, and a visit of u

    θ ← θ + η·(g(θ) + Z),    ‖g‖ ≤ L.

* *Before the first visit* nothing is noised. Holders other than u read the same data in both runs, so that a step of
  theirs grows the difference by the growth γ of a local step, and a relay leaves it as it is: e₁ = γ^k·e after k of
  them.
* *The first visit* noises θ + η·g(θ). Clipping is a projection, which never takes two vectors further apart. With
  `exact` alignment both runs have the same g, so that ‖g(θ) − g(θ')‖ ≤ min(L_s·e₁, 2L), and what is noised differs by
  at most e₁ + η·min(L_s·e₁, 2L). With `lightweight` g is 0 for an empty request: e₁ + η·L. With
  `lightweight+descent` g = clip(s·h) against g' = clip(h), where h = −∇f'_u and s = (n − m)/n: at the same θ both
  point the same way and their lengths min(L, s‖h‖) ≤ min(L, ‖h‖) differ most where ‖h‖ = L, by (m/n)·L; so
  e₁ + η·(min(L_s·e₁, 2L) + (m/n)·L).
* *Later visits*, given the token, differ by η·Δ with Δ = 0, L and (m/n)·L: with `exact` alignment nothing that was
  deleted is read any more. Hops between visits read retained data only and are post-processing.

Each visit is a Gaussian mechanism given all that came before, so that μ² = Σ_k (difference_k/noise_k)² for whoever sees
every token from the first visit on (Dong, Roth and Su 2022, Cor. 3.3), and so for what is made of the last one.

**What the paper claims** leans on noise at every hop ("privacy amplification by decentralization"). Here the other hops
are free of noise: they never increase the difference that is left, but need not shrink it, so nothing is amplified.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import hypot, inf
from typing import ClassVar, Literal, get_args

import numpy as np

from rewindnet.certificates.accounting.gaussian import mu_of
from rewindnet.certificates.claim import Claim
from rewindnet.certificates.errors import CertificateError
from rewindnet.certificates.mechanisms.gaussian_output import noise_size
from rewindnet.certificates.release import DivergenceBounds, Mechanism, Release
from rewindnet.certificates.sensitivity.local_steps import local_growth, strongest_regime
from rewindnet.certificates.sensitivity.recursion import propagate
from rewindnet.certificates.sensitivity.rounding import charges_of_hops
from rewindnet.certificates.training import Mixing, TrainingRun, Vector
from rewindnet.certificates.view import View

Alignment = Literal["exact", "lightweight", "lightweight+descent"]
Centre = Literal["reference", "noised"]
Optimizer = Literal["sgd", "adam"]


@dataclass(frozen=True)
class RRDU(Mechanism):
    """Gaussian noise at every visit of a token to the deleting client.

    Attributes:
        node: u, with which the token is before the first round.
        begin: the address of the first round.
        holders: who has the token in each round.
        works: whether that node takes a step, or passes the token on.
        parents: [N], from whom each node has the last token, which is released; from itself who has it last.
        noise: the standard deviation of what u adds to the model in each step of its own, 0 for none: η times that of
            what it adds to its direction.
        alignment: of its direction, as `rewindnet.clients.steps.rr_du.Token`.
        clip: L, of its direction.
        step_size: η.
        forgotten: m, how many samples u deletes.
        growth: γ^k, what the steps of others before u's first make of a difference.
        slope: η·L_s, what the first step of u makes of it beyond keeping it, 0 with `lightweight`.
        centre: of the ball onto which u projects what it has noised; None: it does not.
        optimizer: of all steps.
    """

    node: int
    begin: int
    holders: tuple[int, ...]
    works: tuple[bool, ...]
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
        """Refuse what nobody can have done."""
        for name, value, allowed in (
            ("alignment", self.alignment, get_args(Alignment)),
            ("centre of the trust region", self.centre, (None, *get_args(Centre))),
            ("optimizer", self.optimizer, get_args(Optimizer)),
        ):
            if value not in allowed:
                raise CertificateError(f"unknown {name} {value!r}; it is one of: {', '.join(map(str, allowed))}")
        if len(self.holders) != len(self.works):
            raise CertificateError("of every holder of a token it is known whether it takes a step")
        if len(self.noise) != len(self.rounds) or not all(0 <= one < inf for one in self.noise):
            raise CertificateError("every visit of a token has noise of a non-negative standard deviation")
        if not (0 < self.clip < inf and 0 < self.step_size < inf):
            raise CertificateError("the clip and the step size of a visit are positive numbers")

    @cached_property
    def rounds(self) -> tuple[int, ...]:
        """In which u takes a step."""
        both = zip(self.holders, self.works, strict=True)
        return tuple(self.begin + at for at, (holder, works) in enumerate(both) if works and holder == self.node)

    @property
    def before(self) -> int:
        """Steps that others take before u's first; of all steps, if it takes none."""
        return sum(self.works[: self._first])

    @property
    def leaves(self) -> bool:
        """Whether the token is with others before u's first step."""
        return any(holder != self.node for holder in self.holders[: self._first])

    @property
    def _ascends(self) -> bool:
        return self.alignment == "lightweight"

    @property
    def _first(self) -> int:
        return self.rounds[0] - self.begin if self.rounds else len(self.holders)

    @property
    def events(self) -> Sequence[tuple[int, int]]:
        """The visits."""
        return [(round, self.node) for round in self.rounds]

    def grown(self, training: TrainingRun, claim: Claim) -> "RRDU":
        """The same with `growth` and `slope` as they follow from the constants."""
        known = replace(training, step_size=self.step_size)
        gamma = local_growth(known, claim.regime or strongest_regime(training))
        with np.errstate(over="ignore"):
            growth = float(np.float64(gamma) ** self.before)
        if not growth < inf:
            raise CertificateError(f"{self.before} steps that may each grow by {gamma:.4g} allow no finite certificate")
        slope = 0.0 if self._ascends else self.step_size * training.constants.L.value
        return replace(self, growth=growth, slope=slope)

    def bounds(self, training: TrainingRun, release: Release, claim: Claim) -> DivergenceBounds:
        """The sensitivity of the learned models, and η·Δ at every visit; rounding is charged to the first.

        Raises:
            CertificateError: if growth or slope are less than the constants allow, or the bound is `published`.
        """
        if claim.bound == "published":
            raise CertificateError("the published bound is that of R2D and knows no token; use worst-case or instance")
        needed = self.grown(training, claim)
        if self.growth < needed.growth * (1 - 1e-12) or self.slope < needed.slope * (1 - 1e-12):
            raise CertificateError("a visit is said to grow differences by less than the constants allow")
        if not 0 <= self.node < training.mixing.nodes or not training.present[self.node]:
            raise CertificateError(f"node {self.node} is not there to be visited")
        if self.forgotten != training.deleted[self.node]:
            raise CertificateError(f"the visited node deletes {training.deleted[self.node]} samples")
        if set(np.flatnonzero(training.deleted).tolist()) - {self.node}:
            raise CertificateError("others than the visited node delete something, too; a token hides one of them")
        known = propagate(training, disturbed=release.checkpoint_round, quiet=0, bound=claim.bound, regime=claim.regime)
        shifts = np.full(len(self.rounds), self._read(training))
        if self.rounds:
            shifts[0] += self._rounding(training, needed, known.total)
        return DivergenceBounds(known.total, known.rounding, shifts)

    def _read(self, training: TrainingRun) -> float:
        """η·Δ."""
        if self.alignment == "exact":
            return 0.0
        n, m = int(training.samples[self.node]), self.forgotten
        share = 1.0 if self._ascends else m / n if n else 0.0
        # u computes in double precision, whatever the network does.
        known = training.arithmetic
        slack = 0.0 if known is None else (known.parameters + 16) * 2.0**-50
        return self.step_size * self.clip * (share + slack * (m > 0))

    def _rounding(self, training: TrainingRun, needed: "RRDU", differs: Vector) -> float:
        """Of the steps before the first visit and of that itself; nothing where both runs are the same to the bit."""
        if not differs[self.node] > 0:
            return 0.0
        gamma = needed.growth ** (1 / self.before) if self.before else 1.0
        charged, total = charges_of_hops(training, self.step_size, self.before + 1), 0.0
        for charge in charged[:-1]:
            total = gamma * total + charge
        return total + min(needed.slope * total, 2 * self.step_size * self.clip) + charged[-1]

    def shifts(self, bounds: DivergenceBounds) -> Vector:
        """[visits], by how much what each noise is added to differs."""
        total = bounds.shifts.astype(np.float64)
        if len(total):
            arrived = self.growth * float(bounds.nodes[self.node])
            total[0] += arrived + min(self.slope * arrived, 2 * self.step_size * self.clip)
        return total

    def mu(self, view: View, bounds: DivergenceBounds, release: Release, mixing: Mixing) -> float:
        """√Σ_k (difference_k/noise_k)²: every view shows no more than all tokens since the first visit."""
        if self._bare(view, bounds) is not None:
            return inf
        return hypot(*(_ratio(far, noise) for far, noise in zip(self.shifts(bounds), self.noise, strict=True)))

    def why_not_covered(self, training: TrainingRun, release: Release, claim: Claim) -> str | None:
        """Where something is shown, or kept, that no noise has touched."""
        return self._bare(claim.view, self.bounds(training, release, claim))

    def _bare(self, view: View, bounds: DivergenceBounds) -> str | None:
        """Why noise hides nothing where the two runs differ so, or None."""
        differs, arrived = self.shifts(bounds), float(bounds.nodes[self.node]) > 0
        if not self.rounds and arrived:
            return "the token never comes to the deleting client, so that no noise is added"
        if not differs.any():
            return None
        if self.optimizer == "adam" and arrived:
            return (
                "adam makes of noise a step of bounded length away from the model that the deleting client began with, "
                "which it does not hide"
            )
        if self.centre == "reference":
            return (
                "the trust region is centred at the model that the deleting client began with, without noise: what is "
                "projected onto it shows where it is; trust_centre noised, or no trust_radius, covers it"
            )
        if self.leaves and arrived and view.shows_messages:
            return "the token is with other nodes before the deleting client first adds noise; start u covers them"
        bare = [at for at, (far, noise) in enumerate(zip(differs, self.noise, strict=True)) if far > 0 and noise == 0]
        if bare:
            return (
                f"the deleting client adds no noise at its visit {bare[0] + 1}, and what it sends then may differ from "
                f"that of retraining by {differs[bare[0]]:.4g}"
            )
        return None

    def assumptions(self, training: TrainingRun, release: Release, claim: Claim) -> tuple[str, ...]:
        """What stands for the network, and what the path is worth."""
        covered = "Every token" if not self.leaves else "No token before the first visit, and every one"
        kept = ("The deleting client keeps what it deletes until its last visit.",) if self._ascends else ()
        return (
            f"Only the model of the deleting client, node {self.node}, goes on, as a token; what other nodes have "
            "learned is overwritten by the model that is released, which is one and the same for all.",
            f"{covered} from the first visit on is covered, colluding peers included; the path, its batches and how "
            "often it comes by are drawn without regard to data.",
            "Retraining is followed by the same procedure with an empty request.",
            *kept,
        )

    def hiding(self, training: TrainingRun, release: Release, claim: Claim, epsilon: float) -> "RRDU":
        """The same with just the noise that reaches (ε, δ) against retraining, with the least Σ_k noise_k².

        Under Σ_k (difference_k/noise_k)² = μ² that is noise_k² ∝ difference_k; a visit at which nothing can differ
        carries none.

        Raises:
            CertificateError: if no noise can reach it for the claim's view.
        """
        some = replace(self, noise=(1.0,) * len(self.rounds))
        found = some.bounds(training, release, claim)
        reason = some.why_not_covered(training, release, claim)
        if reason is not None:
            raise CertificateError(f"no noise reaches epsilon {epsilon:g} for the view {claim.view}: {reason}")
        differs = some.shifts(found)
        # A hair more than the boundary asks for, so that the certificate of the rounded noise still reads ε.
        noise = np.sqrt(differs * differs.sum()) / mu_of(epsilon, claim.delta) * (1 + 1e-12)
        return replace(self, noise=tuple(noise.tolist()))

    def given_reference(self, training: TrainingRun) -> float:
        """μ of all visits if what u begins with is taken to be known and the same in both runs: Σ_k (η·Δ/noise_k)².

        The reading under which the paper's sensitivity is that of a clipped direction. It says nothing of unlearning:
        with `exact` alignment it is 0 without any noise, as it would be if nothing were done at all.
        """
        read = self._read(training)
        return hypot(*(_ratio(read, noise) for noise in self.noise)) if self.noise else 0.0

    def account(self, release: Release, rounds: int) -> str:
        """Return how far the token went, and how often it visited the deleting client."""
        return (
            f"sent the model of node {self.node} round the network for {sum(self.works):,} steps, {len(self.rounds):,} "
            f"of them its own, with {noise_size(release)} in those, and gave the last to everybody"
        )


def _ratio(far: float, noise: float) -> float:
    if far == 0:
        return 0.0
    return far / noise if noise > 0 else inf
