"""Noise alone: output perturbation of the learned model, with all of what learning may have taken from the forget set.

It is r2d with no rewind (K = 0): the Gaussian mechanism of Dwork and Roth (2014), "The algorithmic foundations of
differential privacy", §A, on the sensitivity e^T of learning itself, by the formula of Balle and Wang (2018).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from rewindnet.clients.methods.base import MethodError
from rewindnet.clients.methods.descent import NoisyDescent


@dataclass(frozen=True, kw_only=True)
class NoiseOnly(NoisyDescent):
    """Add noise to the learned model and do nothing else: output perturbation, without any further gradients.

    Give `epsilon` or `sigma`; with neither, `epsilon` is 1. The other settings are those of r2d.

    Raises:
        MethodError: if both are given, or a setting is out of range.
    """

    name = "noise-only"
    #: There is no checkpoint to go back to.
    placement: Literal["output", "rewind"] = field(default="output", init=False)
    #: Nor a descent after the noise.
    settle_first: int | Literal["auto"] = field(default=0, init=False)
    settle_acceleration: Literal["none", "chebyshev"] = field(default="none", init=False)
    settle_radius: float | None = field(default=None, init=False)
    descent_clip: bool = field(default=True, init=False)
    descent_step_size: float | None = field(default=None, init=False)
    descent_momentum: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        """Check the settings, and fill in what is left open of the two."""
        if None not in (self.epsilon, self.sigma):
            raise MethodError("noise-only takes epsilon or sigma, and solves for the other; both are given")
        if self.epsilon is None and self.sigma is None:
            object.__setattr__(self, "epsilon", 1.0)
        super().__post_init__()

    @property
    def _depth_given(self) -> bool:
        return True

    def _depths(self, rounds: int) -> Sequence[int]:
        return (0,)
