"""The mechanism of methods without a proven bound on the divergence from retraining.

Their releases are measured against retraining like all others, but there is no sensitivity, no μ and no ε.
"""

from dataclasses import dataclass
from math import inf
from typing import ClassVar

import numpy as np

from rewindnet.certificates.claim import Claim
from rewindnet.certificates.divergence import DivergenceBounds
from rewindnet.certificates.network import Mixing
from rewindnet.certificates.release import Mechanism, Release
from rewindnet.certificates.training import TrainingRun
from rewindnet.certificates.view import View


@dataclass(frozen=True)
class Uncertified(Mechanism):
    """No proven guarantee.

    Attributes:
        reason: why there is no ε, as the part of a sentence that follows a colon.
        deed: what was done instead of a descent and noise, as the part of a sentence that follows "it".
    """

    reason: str
    deed: str

    kind: ClassVar[str] = "uncertified"
    noise_label: ClassVar[str] = "none"

    def learning_not_covered(self, training: TrainingRun, release: Release) -> None:
        """Return None: nothing is proven, however the network learned."""

    def bounds(self, training: TrainingRun, release: Release, claim: Claim) -> DivergenceBounds:
        """Return no bounds: nothing is proven about any node."""
        return DivergenceBounds(np.zeros(0))

    def mu(self, view: View, bounds: DivergenceBounds, release: Release, mixing: Mixing) -> float:
        """Return infinity: no noise hides a difference."""
        return inf

    def why_not_covered(self, training: TrainingRun, release: Release, claim: Claim) -> str | None:
        """Return the reason, which does not depend on the view."""
        return self.reason

    def assumptions(self, training: TrainingRun, release: Release, claim: Claim) -> tuple[str, ...]:
        """Return what was done, about which nothing is claimed."""
        return (f"Nothing is claimed of what was done: it {self.deed}.",)

    def describe(self, release: Release, rounds: int) -> str:
        """Return what was done."""
        return self.deed
