"""Fisher forgetting: noise where the retained data say little about a parameter.

Golatkar, Achille and Soatto (2020), "Eternal sunshine of the spotless net: selective forgetting in deep networks", with
the diagonal of the Fisher information, as in the code that later papers share: every parameter gets Gaussian noise of
the variance α·min(1/(F + 1e-8), c). Reconstructed: that code also averages variances over the rows of a layer, and
has a smaller c for the last one, which needs layers. On a network every client does so with its own data.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from rewindnet.certificates import Release, TrainingRun
from rewindnet.clients.methods.empirical import Empirical
from rewindnet.clients.steps.program import Program
from rewindnet.clients.training.noise import NoiseAddress


@dataclass(frozen=True, kw_only=True)
class FisherForgetting(Empirical):
    """Add noise to each parameter by the inverse of its Fisher information: Golatkar et al. 2020, reconstructed.

    Args:
        alpha: α, by which the variance is multiplied.
        most: c, the largest 1/F that counts.
        noise_source: `seed` for studies, `os` for a release.
        view: the view of the observer.
        delta: δ of the certificate.

    Raises:
        MethodError: if a setting is out of range.
    """

    name = "fisher-forgetting"
    why_none: ClassVar[str] = (
        "no certificate is known: the paper bounds what a reader of quadratic losses gains, and its noise is not set "
        "by how far the models differ from retraining"
    )
    alpha: float = 1e-6
    most: float = 1e3
    noise_source: Literal["seed", "os"] = "seed"

    def __post_init__(self) -> None:
        """Check the settings."""
        self._check(positive=("alpha", "most"))

    def _deed(self, learning: TrainingRun) -> str:
        return (
            f"added noise of the variance {self.alpha:g}·min(1/F, {self.most:g}) to every parameter of the learned "
            "model, with F its Fisher information by the retained data"
        )

    def program(
        self, release: Release, learning: TrainingRun, address: NoiseAddress, checkpoint_names: Mapping[int, str]
    ) -> Program:
        """Return the noise."""
        from dataclasses import replace

        from rewindnet.clients.steps.fisher_forgetting import FisherNoise

        return Program(noise=(FisherNoise(self.alpha, self.most, replace(address, source=self.noise_source)),))
