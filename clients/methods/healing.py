"""The settings of what follows the noise: gossip before the descent, and how that differs from learning."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from math import floor, log10
from typing import Any, Literal

import numpy as np

from rewindnet.certificates import TrainingRun
from rewindnet.certificates.healing import Healing
from rewindnet.clients.methods.base import Method, MethodError
from rewindnet.topologies import spectral_gap
from rewindnet.topologies.mixing import is_symmetric

#: Significant digits of the spectral gap by which gossip is accelerated, rounded down: the same on every machine.
_DIGITS = 2
#: A smaller gap cannot be told from none.
_LEAST_GAP = 1e-9


@dataclass(frozen=True, kw_only=True)
class Heals(Method):
    """A method whose rounds after the noise may differ from those of learning.

    Attributes:
        settle_acceleration: how the gossip rounds before the descent are accelerated.
        settle_radius: of the ball onto which clients project after them; None for none.
        descent_clip: whether whole clients clip in the descent, where they did in learning.
        descent_step_size: of the descent; None for that of learning.
        descent_momentum: of the descent, in [0, 1).
    """

    settle_acceleration: Literal["none", "chebyshev"] = "none"
    settle_radius: float | None = None
    descent_clip: bool = True
    descent_step_size: float | None = None
    descent_momentum: float = 0.0

    def _check_healing(self, settle_first: int) -> None:
        """Refuse settings without a meaning.

        Args:
            settle_first: the gossip rounds before the descent.
        """
        Healing(settle_first, self.descent_clip, self.descent_step_size, momentum=self.descent_momentum)
        if not settle_first and (self.settle_acceleration != "none" or self.settle_radius is not None):
            raise MethodError(
                "settle_acceleration and settle_radius say how the rounds of settle_first go: there are none"
            )
        if self.settle_radius is not None:
            Healing(1, radius=self.settle_radius)

    def _healing_on(self, learning: TrainingRun, start: int, settle_first: int) -> Healing:
        """Return the healing on a network.

        Args:
            learning: how the network learned.
            start: the address of the first gossip round.
            settle_first: the number of gossip rounds.

        Raises:
            MethodError: if the network does not have what a setting needs.
        """
        if not self.descent_clip and learning.client_clip is None:
            raise MethodError("descent_clip: false has nothing to leave out; learning.client_clip is not set")
        spectrum = None
        if self.settle_acceleration == "chebyshev" and settle_first:
            spectrum = _spectrum(learning, range(start, start + settle_first))
        radius = self.settle_radius if settle_first else None
        how = self.descent_clip, self.descent_step_size, spectrum, radius, self.descent_momentum
        return Healing(settle_first, *how)


#: The settings of healing, where nothing heals.
NO_HEALING: Mapping[str, Any] = {
    "settle_first": 0,
    **{field.name: field.default for field in fields(Heals) if field.name in Heals.__annotations__},
}


def _spectrum(learning: TrainingRun, rounds: range) -> float:
    """Return ρ, a bound on the eigenvalues of the mixing matrix but the first.

    Args:
        learning: how the network learned.
        rounds: the gossip rounds.

    Raises:
        MethodError: if the matrix changes from round to round, is not symmetric, or has no gap.
    """
    W = learning.mixing.matrix(rounds.start)
    if any(abs(learning.mixing.matrix(t) - W).max() > 0 for t in rounds if learning.mixing.matrix(t) is not W):
        raise MethodError(
            "settle_acceleration: chebyshev takes the same links in every round; with a schedule that changes them, "
            "leave it out and set a larger settle_first"
        )
    present = np.flatnonzero(learning.present)
    W = W[present][:, present]
    if not is_symmetric(W):
        raise MethodError(
            "settle_acceleration: chebyshev takes a symmetric mixing matrix, such as that of metropolis-hastings"
        )
    gap = spectral_gap(W)
    if gap < _LEAST_GAP:
        raise MethodError(
            "settle_acceleration: chebyshev takes a network that comes to agree by gossip; this one falls into parts, "
            "or its models swing for ever"
        )
    unit = 10.0 ** (floor(log10(gap)) + 1 - _DIGITS)
    # A gap like 1/2 may come out a little smaller.
    return round(1 - floor(gap / unit * (1 + 1e-9)) * unit, 12)
