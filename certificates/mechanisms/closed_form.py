"""The mechanism of what is computed anew in closed form, from the retained data alone: there is nothing to hide."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from rewindnet.certificates.claim import Claim
from rewindnet.certificates.divergence import DivergenceBounds
from rewindnet.certificates.network import Mixing
from rewindnet.certificates.release import Mechanism, Release
from rewindnet.certificates.training import TrainingRun
from rewindnet.certificates.view import View


@dataclass(frozen=True)
class ClosedForm(Mechanism):
    """A function of the retained data, whatever was learned before: retraining gives the same bits, and ε is 0.

    Attributes:
        penalty: λ of the regression.
    """

    penalty: float

    kind: ClassVar[str] = "closed-form"
    noise_label: ClassVar[str] = "none"

    def learning_not_covered(self, training: TrainingRun, release: Release) -> None:
        """Return None: the release does not depend on how the network learned."""

    def bounds(self, training: TrainingRun, release: Release, claim: Claim) -> DivergenceBounds:
        """Return zeros: both runs compute the same from the same data."""
        return DivergenceBounds(np.zeros(training.mixing.nodes), np.zeros(training.mixing.nodes))

    def mu(self, view: View, bounds: DivergenceBounds, release: Release, mixing: Mixing) -> float:
        """Return 0."""
        return 0.0 if not np.any(bounds.nodes) else np.inf

    def why_not_covered(self, training: TrainingRun, release: Release, claim: Claim) -> str | None:
        """Return why messages are not covered: they are sums, and two of them show what one of them lacks."""
        if not claim.view.shows_messages or training.mixing.nodes == 1:
            return None
        return (
            "clients send sums over their samples, and who has kept the sums from before subtracts what was deleted; "
            "only the released models are covered"
        )

    def shows_without_noise(self, view: View, release: Release, bounds: DivergenceBounds) -> bool:
        """Return whether the view shows the sums."""
        return view.shows_messages and len(bounds.nodes) > 1

    def assumptions(self, training: TrainingRun, release: Release, claim: Claim) -> tuple[str, ...]:
        """Return what is covered."""
        return ("The released models are a function of the retained data; the sums from which they come are not.",)

    def covers(self, release: Release, certified: View, view: View) -> bool:
        """Return whether a view shows released models only."""
        return not view.shows_messages

    def describe(self, release: Release, rounds: int) -> str:
        """Return what was done."""
        return "summed the statistics of the retained data up a tree and solved the ridge regression anew"
