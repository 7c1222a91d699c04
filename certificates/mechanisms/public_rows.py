"""The mechanism of what is learned from public rows alone: no client's data is read, so there is nothing to hide."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from rewindnet.certificates.claim import Claim
from rewindnet.certificates.divergence import DivergenceBounds
from rewindnet.certificates.errors import CertificateError
from rewindnet.certificates.network import Mixing
from rewindnet.certificates.release import Mechanism, Release
from rewindnet.certificates.training import TrainingRun
from rewindnet.certificates.view import View


@dataclass(frozen=True)
class PublicRows(Mechanism):
    """A function of the seed and of rows that no request can delete: the same whatever is deleted, and ε is 0."""

    kind: ClassVar[str] = "public-rows"
    noise_label: ClassVar[str] = "none"

    def learning_not_covered(self, training: TrainingRun, release: Release) -> None:
        """Return None: the release does not depend on how the network learned."""

    def bounds(self, training: TrainingRun, release: Release, claim: Claim) -> DivergenceBounds:
        """Return zeros: retraining, which reads the same rows, gives the same.

        Raises:
            CertificateError: if no rows with labels of the task are declared public.
        """
        if training.public is None or not (training.public.rows and training.public.labelled):
            raise CertificateError("a release was learned from public rows, and no such rows are declared")
        return DivergenceBounds(np.zeros(training.mixing.nodes), np.zeros(training.mixing.nodes))

    def mu(self, view: View, bounds: DivergenceBounds, release: Release, mixing: Mixing) -> float:
        """Return 0."""
        return 0.0 if not np.any(bounds.nodes) else np.inf

    def assumptions(self, training: TrainingRun, release: Release, claim: Claim) -> tuple[str, ...]:
        """Return what is covered."""
        return ("The released model, and every message with it, follows from the seed and the public rows.",)

    def covers(self, release: Release, certified: View, view: View) -> bool:
        """Return True: every view shows what depends on no client."""
        return True

    def describe(self, release: Release, rounds: int) -> str:
        """Return what was done."""
        return "took the model that was learned from public rows alone"
