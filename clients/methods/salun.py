"""SalUn: random labels on the forget set, at the parameters that its loss depends on most.

Fan, Liu, Zhang, Wong, Wei and Liu (2024), "SalUn: Empowering machine unlearning via gradient-based weight saliency in
both image classification and generation", with random labels, the variant for classification; by turns with retained
data as in Zhong, Luo and Liu (2025), arXiv 2504.15827.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

from rewindnet.certificates import TrainingRun
from rewindnet.clients.methods.alternating import Alternating
from rewindnet.clients.methods.base import MethodError
from rewindnet.clients.steps.base import CommunicationStep


@dataclass(frozen=True, kw_only=True)
class SalUn(Alternating):
    """Learn random labels of the forget set by the parameters that matter to it: Fan et al. 2024, no certificate.

    Clients that delete change, on retained data too, no other parameters. The other settings are documented at
    `Alternating`.

    Args:
        share: of the parameters, those with the largest gradient of the forget set's loss.

    Raises:
        MethodError: if a setting is out of range.
    """

    name = "salun"
    why_none: ClassVar[str] = (
        "no certificate is known: wrong labels bound nothing of what the models keep of the forget set, and no noise "
        "hides it"
    )
    share: float = 0.5

    def __post_init__(self) -> None:
        """Check the settings."""
        super().__post_init__()
        if not 0 < self.share <= 1:
            raise MethodError(f"share of salun lies in (0, 1], not {self.share}")

    def _deed(self, learning: TrainingRun) -> str:
        return (
            f"learned random labels of what is to be forgotten, {self.epochs} times by turns with retained data, by "
            f"the {100 * self.share:g} % of parameters that matter most to it, {self._on_the_way()}"
        )

    def _step(self, **shared: Any) -> CommunicationStep:
        from rewindnet.clients.steps.salun import SalUnEpochs

        return SalUnEpochs(**shared, share=self.share)
