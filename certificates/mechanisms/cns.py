"""Noise after a damped Newton step, of which the published bound is claimed and nothing is certified."""

from dataclasses import dataclass
from math import inf
from typing import ClassVar

from rewindnet.certificates.divergence import DivergenceBounds
from rewindnet.certificates.mechanisms.uncertified import Uncertified
from rewindnet.certificates.network import Mixing
from rewindnet.certificates.release import Release
from rewindnet.certificates.view import View
from rewindnet.certificates.views.mu import mu_of_view


@dataclass(frozen=True)
class CNS(Uncertified):
    """One Gaussian vector per node, added to the models after a Newton step whose error has no proven bound.

    The noise is known, so that it is audited, and the μ of measured divergences is that of Gaussians of this size. The
    messages of the step carry none of it.
    """

    kind: ClassVar[str] = "cns"
    one_vector: ClassVar[bool] = True
    noise_label: ClassVar[str] = "after the step"

    def mu(self, view: View, bounds: DivergenceBounds, release: Release, mixing: Mixing) -> float:
        """Return μ of measured divergences; infinity where messages are seen, or nothing is bounded."""
        if view.shows_messages or not len(bounds.nodes):
            return inf
        return mu_of_view(view, bounds.nodes, release, mixing)

    def releases_noised_models(self, release: Release) -> bool:
        """Return true: nothing follows the noise."""
        return True
