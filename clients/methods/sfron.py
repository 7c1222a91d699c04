"""SFRon: weighted ascent on the forget set at the parameters that matter to it, between steps on retained data.

Huang, Cheng, Zheng, Wang, He, Li and Huang (2024), "Unified gradient-based machine unlearning with remain geometry
enhancement", arXiv 2409.19732, with the settings of its code for classification as Zhong, Luo and Liu (2025), arXiv
2504.15827, describe them; reconstructed from both descriptions.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

from rewindnet.certificates import TrainingRun
from rewindnet.clients.methods.alternating import Alternating
from rewindnet.clients.steps.base import CommunicationStep


@dataclass(frozen=True, kw_only=True)
class SFRon(Alternating):
    """Go up a weighted loss of the forget set where it matters, between steps on the rest: SFRon, reconstructed.

    A sample's weight in a step is 1/loss^λ, so that those forgotten already do not dominate. **On samples that a model
    has learned by heart, those with the smallest loss take all the weight and have next to no gradient**: forgetting
    may then not begin at any α. With α = 31 and one SGD, or with α = 1 and Adam on the forget set, it is as its authors
    and those of DualOptim have it. The other settings are documented at `Alternating`.

    Args:
        alpha: what the ascent is multiplied by at first; it falls to 0 by a cosine. Adam has little use for it.
        exponent: λ.
        threshold: the parameters that an ascent changes: those whose empirical Fisher information by the forget set is
            at least so many times that by the retained data, at the learned model.
        retain_steps: steps on retained data after each on the forget set.

    Raises:
        MethodError: if a setting is out of range.
    """

    name = "sfron"
    why_none: ClassVar[str] = (
        "no certificate is known: what a weighted ascent leaves of the forget set has no bound, and no noise hides it"
    )
    forget_step_size: float | None = 1e-4
    clip: float | None = 7.0
    alpha: float = 1.0
    exponent: float = 0.5
    threshold: float = 1.0
    retain_steps: int = 5

    def __post_init__(self) -> None:
        """Check the settings."""
        super().__post_init__()
        self._check(positive=("alpha",), counts=("retain_steps",), shares=("exponent", "threshold"))

    def _deed(self, learning: TrainingRun) -> str:
        return (
            f"went up the weighted loss on what is to be forgotten, where that matters, once before every "
            f"{self.retain_steps} steps down it on retained data, {self.epochs} times through these, "
            f"{self._on_the_way()}"
        )

    def _step(self, **shared: Any) -> CommunicationStep:
        from rewindnet.clients.steps.sfron import SFRonEpochs

        return SFRonEpochs(
            **shared,
            alpha=self.alpha,
            exponent=self.exponent,
            threshold=self.threshold,
            retain_steps=self.retain_steps,
        )
