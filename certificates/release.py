"""Releases: what an unlearning method did, and the interface of the mechanisms by which its noise hides a deletion."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal, get_args

import numpy as np

from rewindnet.certificates.accounting.gaussian import epsilon_of
from rewindnet.certificates.accounting.sampler import NoiseSource
from rewindnet.certificates.additions import BETWEEN_ROUNDS, Additions
from rewindnet.certificates.claim import Claim
from rewindnet.certificates.divergence import DivergenceBounds
from rewindnet.certificates.errors import CertificateError
from rewindnet.certificates.healing import Healing
from rewindnet.certificates.mechanism_record import RecordedMechanism
from rewindnet.certificates.network import Mixing, Vector
from rewindnet.certificates.sensitivity.rounding import least_noise
from rewindnet.certificates.training import TrainingRun
from rewindnet.certificates.view import View

Placement = Literal["output", "rewind"]


class Mechanism(RecordedMechanism, ABC):
    """How the noise of a release hides the difference between unlearning and retraining.

    A mechanism is a frozen dataclass of plain data, because it is part of the certificate. It bounds the divergence of
    the unlearned and the retrained run and derives a μ such that distinguishing the two runs is at least as hard as
    distinguishing N(0, 1) from N(μ, 1) (μ-GDP; Dong, Roth and Su 2022). The μ of independent noise compose as √Σμ²,
    also where a later step depends on what was seen before (their Corollary 3.3).

    Attributes:
        one_vector: whether all noise is one Gaussian vector per node, added in the noise round, so that audits can draw
            it again.
        plain_descent: whether the noise is added to a checkpoint or to the result of a plain descent from it, so that
            the cost of the release and the checkpoints it needs follow from the release alone.
        measured: whether parts of the mechanism are measured while it runs, so that `rewindnet plan` cannot predict
            them.
        shared_noise: whether all nodes add one and the same Gaussian vector, once.
        has_profile: whether `epsilon` is tighter than the ε that follows from μ.
        noise_label: when the noise is added, in one or two words for a table.
    """

    one_vector: ClassVar[bool] = False
    plain_descent: ClassVar[bool] = False
    measured: ClassVar[bool] = False
    shared_noise: ClassVar[bool] = False
    has_profile: ClassVar[bool] = False
    noise_label: ClassVar[str]

    @property
    def events(self) -> Sequence[tuple[int, int]]:
        """The (round, node) of each further addition of noise, in the order of `DivergenceBounds.shifts`."""
        return ()

    def additions(self, training: TrainingRun, release: "Release") -> Additions:
        """Return when, where and of which size noise is added; by default once at every node with σ_i > 0.

        Args:
            training: how the network learned; nodes that have left add none.
            release: what the unlearning method did.
        """
        return Additions.of(np.array([BETWEEN_ROUNDS]), np.where(training.present, release.sigma, 0.0))

    @abstractmethod
    def bounds(self, training: TrainingRun, release: "Release", claim: Claim) -> DivergenceBounds:
        """Return bounds on the divergence of the unlearned and the retrained run.

        Args:
            training: how the network learned, and what was deleted.
            release: what the unlearning method did.
            claim: the bound and the regime to use.

        Raises:
            CertificateError: if the mechanism does not fit the training or the release, or no finite bound holds.
        """

    @abstractmethod
    def mu(self, view: View, bounds: DivergenceBounds, release: "Release", mixing: Mixing) -> float:
        """Return μ for a view, given bounds on the divergence; infinite where no noise hides a difference.

        Args:
            view: what the observer sees.
            bounds: bounds on the divergence, or measured divergences.
            release: what the unlearning method did, with its noise.
            mixing: the mixing matrices of the network.
        """

    def epsilon(self, view: View, bounds: DivergenceBounds, release: "Release", mixing: Mixing, delta: float) -> float:
        """Return ε at δ for a view, given bounds on the divergence; infinite where μ is.

        Args:
            view: what the observer sees.
            bounds: bounds on the divergence, or measured divergences.
            release: what the unlearning method did, with its noise.
            mixing: the mixing matrices of the network.
            delta: δ.
        """
        return epsilon_of(self.mu(view, bounds, release, mixing), delta)

    def learning_not_covered(self, training: TrainingRun, release: "Release") -> str | None:
        """Return why the mechanism's proof does not cover how the network learned; None where it does.

        By default a proof needs plain gradient steps of one size. No bounds are computed where it does not hold.

        Args:
            training: how the network learned.
            release: what the unlearning method did.
        """
        if training.uncovered or not training.step_sizes:
            return training.uncovered or None
        return f"what is proven of {release.method} is for one step size in all rounds, and learning changed it"

    def why_not_covered(self, training: TrainingRun, release: "Release", claim: Claim) -> str | None:
        """Return the reason why the claim's view has no ε for any amount of noise; None where it may have one.

        Args:
            training: how the network learned, and what was deleted.
            release: what the unlearning method did.
            claim: the view, the bound and the regime.
        """
        return None

    def shows_without_noise(self, view: View, release: "Release", bounds: DivergenceBounds) -> bool:
        """Return whether a view shows what may differ and carries no noise, as far as the release alone tells.

        `mu` need not be infinite for such a view; `why_not_covered` excludes it where the training is known.

        Args:
            view: what the observer sees.
            release: what the unlearning method did.
            bounds: bounds on the divergence.
        """
        return False

    def noise_vectors(self, release: "Release") -> int:
        """Return how many Gaussian vectors the release adds, or a bound on it.

        Args:
            release: what the unlearning method did.
        """
        return 1 if release.averaged and release.sigma.any() else int(np.count_nonzero(release.sigma))

    def least_sigma(self, training: TrainingRun, release: "Release") -> float:
        """Return the smallest σ that the arithmetic resolves where the noise is added; infinite where it resolves none.

        Args:
            training: how the network learned.
            release: what the unlearning method did.
        """
        return least_noise(training, release.noise_round)

    @abstractmethod
    def assumptions(self, training: TrainingRun, release: "Release", claim: Claim) -> tuple[str, ...]:
        """Return sentences that say what of the release is covered and what is assumed.

        Args:
            training: how the network learned, and what was deleted.
            release: what the unlearning method did.
            claim: the guarantee that is asked for.
        """

    def premises(self, training: TrainingRun, release: "Release", claim: Claim) -> tuple[str, ...]:
        """Return sentences without which the guarantee does not hold, beyond its numbers.

        Args:
            training: how the network learned, and what was deleted.
            release: what the unlearning method did.
            claim: the guarantee that is asked for.
        """
        return ()

    def covers(self, release: "Release", certified: View, view: View) -> bool:
        """Return whether the μ of a certificate for the view `certified` also holds for the view `view`.

        Args:
            release: what the unlearning method did.
            certified: the view of the certificate.
            view: another view of the same release.
        """
        return certified == view

    def noise_summary(self, release: "Release", claim: Claim) -> str:
        """Return when and where noise is added, in a few words for a table.

        Args:
            release: what the unlearning method did.
            claim: the guarantee that was asked for.
        """
        return self.noise_label if release.sigma.any() else "none"

    def releases_noised_models(self, release: "Release") -> bool:
        """Return whether the released models are themselves the noised values, without later rounds.

        Args:
            release: what the unlearning method did.
        """
        return False

    @abstractmethod
    def describe(self, release: "Release", rounds: int) -> str:
        """Return a description of the release, as the part of a sentence that follows "it".

        Args:
            release: what the unlearning method did.
            rounds: T, the number of learning rounds before it.
        """


def default_mechanism() -> Mechanism:
    """Return the default mechanism: one Gaussian vector for each node."""
    return Mechanism.from_record({"kind": "gaussian-output"})


@dataclass(frozen=True)
class Release:
    """What an unlearning method did: everything that its certificate may depend on.

    Attributes:
        method: the name of the method.
        checkpoint_round: s, the learning round of the checkpoint that the release started from (T: the learned model;
            0: the initial model).
        descent_rounds: q, the number of rounds of descent on retained data from that checkpoint.
        placement: whether the noise was added to the result of the descent (`output`) or to the checkpoint before it
            (`rewind`).
        sigma: [N], the standard deviation of each node's noise (0: none). With `averaged` all entries are equal.
        gossip_rounds: the number of gossip rounds (mixing without descent) at the end.
        averaged: whether only the network average was released, with one noise vector.
        noise_source: `seed` if the seed gives the noise again, `os` if the operating system's entropy gave it.
        healing: how the rounds after noise on the checkpoint differ from those of learning.
        mechanism: how the noise hides the deletion. Where that is more than one Gaussian vector per node, added at one
            point, `sigma` is the standard deviation of each node's noise at the first point where it acts.

    Raises:
        CertificateError: if a number of rounds, the noise or a choice is impossible.
    """

    method: str
    checkpoint_round: int
    descent_rounds: int
    placement: Placement
    sigma: Vector
    gossip_rounds: int = 0
    averaged: bool = False
    noise_source: NoiseSource = "seed"
    healing: Healing = Healing()  # noqa: RUF009
    mechanism: Mechanism = field(default_factory=default_mechanism)

    def __post_init__(self) -> None:
        """Refuse a release that cannot have been made."""
        for name in ("checkpoint_round", "descent_rounds", "gossip_rounds"):
            value = getattr(self, name)
            if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < 0:
                raise CertificateError(f"{name} is a number of rounds, not {value!r}")
            object.__setattr__(self, name, int(value))
        object.__setattr__(self, "sigma", np.asarray(self.sigma, dtype=np.float64))
        for name, allowed in (("placement", get_args(Placement)), ("noise_source", get_args(NoiseSource))):
            if getattr(self, name) not in allowed:
                raise CertificateError(f"unknown {name} {getattr(self, name)!r}; it is one of: {', '.join(allowed)}")
        if not np.all(np.isfinite(self.sigma)) or np.any(np.asarray(self.sigma) < 0):
            raise CertificateError("sigma must be finite and non-negative at every node")
        if self.averaged and (self.placement != "output" or self.gossip_rounds or np.unique(self.sigma).size > 1):
            raise CertificateError(
                "a released average carries one noise vector, with placement output and no gossip rounds after it"
            )
        if self.healing and self.placement != "rewind":
            raise CertificateError("only a descent after the noise, with placement rewind, can differ from learning")
        if self.healing.after and (self.checkpoint_round or self.healing.after > self.descent_rounds):
            raise CertificateError(
                "only some of the rounds of a release from the initial model can precede its healing"
            )

    @property
    def noise_round(self) -> int:
        """The round in which the noise is added; the models there, before the noise, are compared with retraining."""
        before = self.descent_rounds if self.placement == "output" else self.healing.after
        return self.checkpoint_round + before

    @property
    def shares_noise(self) -> bool:
        """Whether all nodes add one and the same vector."""
        return self.averaged or self.mechanism.shared_noise

    @property
    def adds_one_vector(self) -> bool:
        """Whether noise is added at one point only, so that the models before and after it show all of it."""
        return self.mechanism.one_vector or self.mechanism.shared_noise

    @property
    def rounds_after_noise(self) -> int:
        """The number of rounds after the noise; with none, the noised models themselves are released."""
        return self.gossip.stop - self.noise_round

    @property
    def approach(self) -> range:
        """The rounds of descent before the noise, or before the healing of a release from the initial model."""
        return range(self.checkpoint_round, self.noise_round)

    @property
    def settling(self) -> range:
        """The gossip rounds before the descent."""
        return range(self.noise_round, self.noise_round + self.healing.settle_first)

    @property
    def descent(self) -> range:
        """The rounds of the descent: that before noise on its result, or after noise on the checkpoint."""
        if self.placement == "output":
            return self.approach
        return range(self.settling.stop, self.settling.stop + self.descent_rounds - self.healing.after)

    @property
    def descended(self) -> tuple[range, ...]:
        """All rounds of descent."""
        return (self.descent,) if self.placement == "output" else (self.approach, self.descent)

    def healed_retraining(self, rounds: int) -> "Release":
        """Return what retraining does that heals as this release does: without noise, from the same number of rounds.

        Args:
            rounds: T, the number of learning rounds before the release.
        """
        start = self.noise_round if self.checkpoint_round else max(0, rounds - len(self.descent))
        healing = replace(self.healing, after=0)
        return replace(
            self,
            checkpoint_round=start,
            descent_rounds=len(self.descent),
            sigma=np.zeros_like(self.sigma),
            healing=healing,
        )

    @property
    def gossip(self) -> range:
        """The gossip rounds at the end."""
        return range(self.descent.stop, self.descent.stop + self.gossip_rounds)
