"""What a mechanism is: how the noise of a release hides what a deletion has changed."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Protocol, runtime_checkable

import numpy as np

if TYPE_CHECKING:
    from rewindnet.certificates.certificate import Claim
    from rewindnet.certificates.release import Release
    from rewindnet.certificates.training import Mixing, TrainingRun, Vector


def _none() -> "Vector":
    return np.zeros(0)


@dataclass(frozen=True)
class DivergenceBounds:
    """How far two runs, one of which has never seen the forget set, may lie apart; or do, where it was measured.

    Attributes:
        nodes: [N], of each node's model at the site of the release, before any noise; empty where nothing is known.
        rounding: [N], the part of it that is charged for finite precision.
        shifts: [events], of what the noise of each further event is added to, given all that was seen before.
    """

    nodes: "Vector"
    rounding: "Vector" = field(default_factory=_none)
    shifts: "Vector" = field(default_factory=_none)


class Mechanism(Protocol):
    """How the noise of a release hides differences. Frozen plain data, so that it goes into the certificate.

    Whatever it says, it says with a μ: that telling the two runs apart is no easier than telling N(0, 1) from N(μ, 1)
    (μ-GDP; Dong, Roth and Su 2022); one that is `Profiled` says more. μ's of independent noise add in
    squares, also where what is done later depends on what was seen before (their Cor. 3.3).

    Attributes:
        kind: its name in a record.
        single: whether all the noise is one Gaussian vector a node, added at the site.
    """

    kind: ClassVar[str]
    single: ClassVar[bool]

    @property
    def events(self) -> Sequence[tuple[int, int]]:
        """(round, node) of the noise that follows the site, if its shifts are to be measured, in order of `shifts`."""

    def bounds(self, learning: "TrainingRun", release: "Release", claim: "Claim") -> DivergenceBounds:
        """How far the two runs may lie apart.

        Raises:
            CertificateError: if that cannot be said.
        """

    def mu(self, view: str, found: DivergenceBounds, release: "Release", mixing: "Mixing") -> float:
        """How far apart the two runs are for a view, if they differ by this much; infinite where nothing hides it."""

    def why_not_covered(self, learning: "TrainingRun", release: "Release", claim: "Claim") -> str | None:
        """Why a view gets no number whatever the noise, or None."""

    def assumptions(self, learning: "TrainingRun", release: "Release", claim: "Claim") -> tuple[str, ...]:
        """What of the release the certificate covers, and what it takes for granted, in sentences."""


@runtime_checkable
class Profiled(Protocol):
    """A mechanism that knows more of its ε at δ than follows from its μ. Its μ holds as well, and is what composes."""

    def epsilon(self, view: str, found: DivergenceBounds, release: "Release", mixing: "Mixing", delta: float) -> float:
        """The ε at δ for a view, if the two runs differ by this much: at most that of μ; infinite where μ is."""
