"""What an unlearning method did, and the mechanism by which its noise hides the deletion."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Literal, get_args

import numpy as np

from rewindnet.certificates.accounting.gaussian import epsilon_of
from rewindnet.certificates.claim import Claim
from rewindnet.certificates.errors import CertificateError
from rewindnet.certificates.training import Mixing, TrainingRun, Vector
from rewindnet.certificates.view import View

Placement = Literal["output", "rewind"]
NoiseSource = Literal["seed", "os"]


@dataclass(frozen=True)
class DivergenceBounds:
    """How far two coupled runs may lie apart, one of which has never seen the forget set; or do, where it was measured.

    Attributes:
        nodes: [N], of each node's model in the round of the noise, before the noise; empty where nothing is known.
        rounding: [N], the part of it that is charged for finite precision.
        shifts: [events], of what the noise of each further event is added to, given all that was seen before.
    """

    nodes: Vector
    rounding: Vector = field(default_factory=lambda: np.zeros(0))
    shifts: Vector = field(default_factory=lambda: np.zeros(0))


class Mechanism(ABC):
    """How the noise of a release hides the difference between unlearning and retraining.

    A mechanism is a frozen dataclass of plain data, for it is part of the certificate. A concrete subclass is known by
    its `kind` as soon as it is defined. It bounds differences and derives a μ: telling the two runs apart is no easier
    than telling N(0, 1) from N(μ, 1) (μ-GDP; Dong, Roth and Su 2022). The μ's of independent noise add in squares, also
    where what is done later depends on what was seen before (their Corollary 3.3).

    Attributes:
        kind: its name in a record.
        one_vector: whether all the noise is one Gaussian vector for each node, added in the round of the noise. The
            audits can then draw it again.
        plain_descent: whether what is noised is the checkpoint, or the result of a plain descent from it, so that its
            cost and its place among the checkpoints follow from the release alone.
        measured: whether parts of it are measured on the way, so that a plan cannot foresee them.
        has_profile: whether `epsilon` says more than follows from μ alone.
        noise_label: when the noise is added, in a word or two for a table.
    """

    kind: ClassVar[str]
    one_vector: ClassVar[bool] = False
    plain_descent: ClassVar[bool] = False
    measured: ClassVar[bool] = False
    has_profile: ClassVar[bool] = False
    noise_label: ClassVar[str]

    _kinds: ClassVar[dict[str, type["Mechanism"]]] = {}

    def __init_subclass__(cls, **options: Any) -> None:
        """Make the subclass known by its kind."""
        super().__init_subclass__(**options)
        if "kind" in vars(cls):
            known = Mechanism._kinds.get(cls.kind)
            if known is not None and (known.__module__, known.__qualname__) != (cls.__module__, cls.__qualname__):
                raise TypeError(f"there is a mechanism of the kind {cls.kind!r} already: {known.__qualname__}")
            Mechanism._kinds[cls.kind] = cls

    @property
    def events(self) -> Sequence[tuple[int, int]]:
        """(round, node) of further noise whose shifts are measured, in the order of `DivergenceBounds.shifts`."""
        return ()

    @abstractmethod
    def bounds(self, training: TrainingRun, release: "Release", claim: Claim) -> DivergenceBounds:
        """Return how far the two runs may lie apart.

        Raises:
            CertificateError: if that cannot be said.
        """

    @abstractmethod
    def mu(self, view: View, bounds: DivergenceBounds, release: "Release", mixing: Mixing) -> float:
        """Return μ for a view if the two runs differ by this much; infinite where no noise hides it."""

    def epsilon(self, view: View, bounds: DivergenceBounds, release: "Release", mixing: Mixing, delta: float) -> float:
        """Return ε at δ for a view if the two runs differ by this much; infinite where μ is."""
        return epsilon_of(self.mu(view, bounds, release, mixing), delta)

    def why_not_covered(self, training: TrainingRun, release: "Release", claim: Claim) -> str | None:
        """Return why the claim's view gets no number whatever the noise; None where it may get one."""
        return None

    @abstractmethod
    def assumptions(self, training: TrainingRun, release: "Release", claim: Claim) -> tuple[str, ...]:
        """Return sentences about what of the release is covered, and what is taken for granted."""

    def covers(self, release: "Release", own: View, other: View) -> bool:
        """Return whether a certificate for the view `own` says something about the view `other` as well."""
        return own == other

    def noise_summary(self, release: "Release", claim: Claim) -> str:
        """Return when and where noise is added, in a few words for a table."""
        return self.noise_label if release.sigma.any() else "none"

    def shows_noised(self, release: "Release") -> bool:
        """Return whether what was noised is what is released, so that there is nothing else to keep."""
        return False

    @abstractmethod
    def account(self, release: "Release", rounds: int) -> str:
        """Return what was done after `rounds` rounds of learning, as the part of a sentence that follows "it"."""

    def to_record(self) -> dict[str, Any]:
        """Return plain JSON."""
        return {"kind": self.kind, **asdict(self)}  # type: ignore[call-overload]

    @staticmethod
    def from_record(record: Mapping[str, Any]) -> "Mechanism":
        """Return the mechanism of a record: the inverse of `to_record`.

        Raises:
            CertificateError: if it is the record of no mechanism.
        """
        try:
            settings = {name: _frozen(value) for name, value in record.items() if name != "kind"}
            return Mechanism._kinds[record["kind"]](**settings)
        except (KeyError, TypeError, AttributeError) as problem:
            raise CertificateError(f"the record of the mechanism is damaged: {problem!r}") from None


def default_mechanism() -> Mechanism:
    """Return the mechanism of a release that names none: one Gaussian vector for each node."""
    return Mechanism.from_record({"kind": "gaussian-output"})


@dataclass(frozen=True)
class Release:
    """What an unlearning method did: everything that its certificate may depend on.

    Attributes:
        method: its name.
        checkpoint_round: the round s of the checkpoint that it started from (T: the learned model; 0: the initial one).
        descent_rounds: the rounds q of descent on retained data after that.
        placement: whether the noise was added to the result of the descent or to the checkpoint before it.
        sigma: [N], the standard deviation of each node's noise (0: none). With `averaged` all entries are equal.
        gossip_rounds: rounds of gossip alone at the end.
        averaged: whether only the network average was released, under one noise vector.
        noise_source: whether the noise can be drawn again from the seed.
        mechanism: how the noise hides. Where it is more than one Gaussian vector for each node, added at one place,
            `sigma` is what each node's noise amounts to where it first acts.

    Raises:
        CertificateError: if the numbers of rounds, the noise or the choices cannot be.
    """

    method: str
    checkpoint_round: int
    descent_rounds: int
    placement: Placement
    sigma: Vector
    gossip_rounds: int = 0
    averaged: bool = False
    noise_source: NoiseSource = "seed"
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

    @property
    def noise_round(self) -> int:
        """The round at which the noise is added: the state there, before it, is compared with that of retraining."""
        return self.checkpoint_round + (self.descent_rounds if self.placement == "output" else 0)

    @property
    def rounds_after_noise(self) -> int:
        """How many rounds follow the noise: where there are none, what is noised is what is released."""
        return self.gossip_rounds + (self.descent_rounds if self.placement == "rewind" else 0)


def _frozen(value: Any) -> Any:
    """Return lists, which JSON has, as tuples, which mechanisms have."""
    return tuple(_frozen(item) for item in value) if isinstance(value, list | tuple) else value
