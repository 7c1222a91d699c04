"""What an unlearning method did, and the mechanism whose noise hides the deletion."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from rewindnet.certificates.errors import CertificateError
from rewindnet.certificates.training import Vector

if TYPE_CHECKING:
    from rewindnet.certificates.mechanisms.base import Mechanism


Placement = Literal["output", "rewind"]


NoiseSource = Literal["seed", "os"]


@dataclass(frozen=True)
class Release:
    """What an unlearning method did: all that its certificate may depend on.

    Attributes:
        method: its name.
        checkpoint_round: the round s of the checkpoint it started from (T: the learned model; 0: the initial one).
        descent_rounds: the rounds q of descent on retained data after that.
        placement: whether the noise was added to the result of the descent or to the checkpoint before it.
        sigma: [N], the standard deviation of each node's noise (0: none). With `averaged` all entries are equal.
        gossip_rounds: gossip-only rounds at the end.
        averaged: whether only the network average was released, under one noise vector.
        noise_source: whether the noise can be drawn again from the seed.
        mechanism: how the noise hides, where it is more than one Gaussian vector a node, added at one place; then
            `sigma` is what each node's noise amounts to where it first acts.
    """

    method: str
    checkpoint_round: int
    descent_rounds: int
    placement: Placement
    sigma: Vector
    gossip_rounds: int = 0
    averaged: bool = False
    noise_source: NoiseSource = "seed"
    mechanism: "Mechanism | None" = None

    def __post_init__(self) -> None:
        """Refuse what nobody can have done."""
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
            raise CertificateError("a released average carries one noise vector, with placement output and no settling")

    @property
    def noise_round(self) -> int:
        """The round at which the noise is added: what is compared with retraining is the state there, before it."""
        return self.checkpoint_round + (self.descent_rounds if self.placement == "output" else 0)

    @property
    def rounds_after_noise(self) -> int:
        """How many rounds follow the noise: where there are none, what is noised is what is released."""
        return self.gossip_rounds + (self.descent_rounds if self.placement == "rewind" else 0)
