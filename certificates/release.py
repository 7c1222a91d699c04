"""Releases: what an unlearning method did."""

from dataclasses import dataclass, field, replace
from typing import Literal, get_args

import numpy as np

from rewindnet.certificates.accounting.sampler import NoiseSource
from rewindnet.certificates.errors import CertificateError
from rewindnet.certificates.healing import Healing
from rewindnet.certificates.mechanism import Mechanism
from rewindnet.certificates.network import Vector

Placement = Literal["output", "rewind"]


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
