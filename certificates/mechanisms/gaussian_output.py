"""One Gaussian vector a node, added at one place: on the result of a descent or on the checkpoint before it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from rewindnet.certificates.certificate import Claim
from rewindnet.certificates.mechanisms.base import DivergenceBounds
from rewindnet.certificates.release import Release
from rewindnet.certificates.sensitivity.recursion import propagate
from rewindnet.certificates.sensitivity.rounding import rounding_of_average
from rewindnet.certificates.training import Mixing, TrainingRun, Vector
from rewindnet.certificates.view import parse_view
from rewindnet.certificates.views.distances import mu_of_view, why_not_covered


@dataclass(frozen=True)
class GaussianOutput:
    """The Gaussian mechanism at the site of the release; what comes after it is post-processing."""

    kind: ClassVar[str] = "gaussian-output"
    single: ClassVar[bool] = True

    @property
    def events(self) -> Sequence[tuple[int, int]]:
        """None: there is no other noise."""
        return ()

    def bounds(self, learning: TrainingRun, release: Release, claim: Claim) -> DivergenceBounds:
        """Sensitivity where the noise is added: before the descent for placement rewind, after it for output.

        Where only the average is released the noise is added to the average, which differs by at most the mean of the
        nodes' sensitivities, and by what rounding its sum may add.
        """
        quiet = release.noise_round - release.checkpoint_round
        nodes = propagate(
            learning, disturbed=release.checkpoint_round, quiet=quiet, bound=claim.bound, regime=claim.regime
        )
        if not release.averaged or not np.any(nodes.total > 0):
            return DivergenceBounds(nodes.total, nodes.rounding)
        summing = rounding_of_average(learning, release.noise_round)
        return DivergenceBounds(
            nodes=np.full_like(nodes.total, nodes.total.mean() + summing),
            rounding=np.full_like(nodes.rounding, nodes.rounding.mean() + summing),
        )

    def mu(self, view: str, found: DivergenceBounds, release: Release, mixing: Mixing) -> float:
        """As the view has it (`mu_of_view`)."""
        return mu_of_view(view, found.nodes, release, mixing)

    def why_not_covered(self, learning: TrainingRun, release: Release, claim: Claim) -> str | None:
        """Messages that carry no noise."""

        def start() -> Vector:
            return propagate(
                learning, disturbed=release.checkpoint_round, quiet=0, bound=claim.bound, regime=claim.regime
            ).total

        return why_not_covered(claim.view, start, release, learning.mixing)

    def assumptions(self, learning: TrainingRun, release: Release, claim: Claim) -> tuple[str, ...]:
        """What the place of the noise covers."""
        if release.placement == "output":
            return ("What is released is covered; the messages of the unlearning rounds are not.",)
        if parse_view(claim.view)[0] in ("node", "transcript"):
            return ("What a single peer receives and releases after the rewind is covered; what peers pool is not.",)
        return ("Every message and every model after the rewind is covered, colluding peers included.",)
