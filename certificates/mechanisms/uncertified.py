"""No mechanism at all: for methods of which nobody has shown how far they end up from retraining.

What they leave is measured against retraining like everything else. Nothing is derived: no sensitivity, no μ, no ε.
"""

from dataclasses import dataclass
from math import inf
from typing import ClassVar

import numpy as np

from rewindnet.certificates.claim import Claim
from rewindnet.certificates.release import DivergenceBounds, Mechanism, Release
from rewindnet.certificates.training import Mixing, TrainingRun
from rewindnet.certificates.view import View


@dataclass(frozen=True)
class Uncertified(Mechanism):
    """Nothing hides the deletion, as far as is known.

    Attributes:
        reason: why there is no ε, as the part of a sentence that follows a colon.
        deed: what was done instead of a descent and noise, as the part of a sentence that follows "it".
    """

    reason: str
    deed: str

    kind: ClassVar[str] = "uncertified"
    noise_label: ClassVar[str] = "none"

    def bounds(self, training: TrainingRun, release: Release, claim: Claim) -> DivergenceBounds:
        """Nothing is known of any node."""
        return DivergenceBounds(np.zeros(0))

    def mu(self, view: View, bounds: DivergenceBounds, release: Release, mixing: Mixing) -> float:
        """Infinite: no noise hides anything."""
        return inf

    def why_not_covered(self, training: TrainingRun, release: Release, claim: Claim) -> str | None:
        """The reason, whatever the view."""
        return self.reason

    def assumptions(self, training: TrainingRun, release: Release, claim: Claim) -> tuple[str, ...]:
        """What was done, of which nothing is claimed."""
        return (f"Nothing is claimed of what was done: it {self.deed}.",)

    def account(self, release: Release, rounds: int) -> str:
        """Return what was done."""
        return self.deed
