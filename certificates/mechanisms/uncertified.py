"""No mechanism at all: for methods of which nobody has shown how far they end up from retraining.

What they leave is measured against retraining like everything else. Nothing is derived: no sensitivity, no μ, no ε.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import ClassVar

import numpy as np

from rewindnet.certificates.certificate import Claim
from rewindnet.certificates.mechanisms.base import DivergenceBounds
from rewindnet.certificates.release import Release
from rewindnet.certificates.training import Mixing, TrainingRun


@dataclass(frozen=True)
class Uncertified:
    """Nothing hides the deletion, as far as is known.

    Attributes:
        reason: why there is no ε, as the part of a sentence that follows a colon.
        deed: what was done instead of a descent and noise, as the part of a sentence that follows "it".
    """

    reason: str
    deed: str

    kind: ClassVar[str] = "uncertified"
    single: ClassVar[bool] = False

    @property
    def events(self) -> Sequence[tuple[int, int]]:
        """None: there is no noise."""
        return ()

    def bounds(self, learning: TrainingRun, release: Release, claim: Claim) -> DivergenceBounds:
        """Nothing is known of any node."""
        return DivergenceBounds(np.zeros(0))

    def mu(self, view: str, found: DivergenceBounds, release: Release, mixing: Mixing) -> float:
        """Infinite: no noise hides anything."""
        return inf

    def why_not_covered(self, learning: TrainingRun, release: Release, claim: Claim) -> str | None:
        """The reason, whatever the view."""
        return self.reason

    def assumptions(self, learning: TrainingRun, release: Release, claim: Claim) -> tuple[str, ...]:
        """What was done, of which nothing is claimed."""
        return (f"Nothing is claimed of what was done: it {self.deed}.",)
