"""NegGrad+: up the loss on the forget set and down it on the retained data, by turns.

Kurmanji, Triantafillou, Hayes and Triantafillou (2023), "Towards unbounded machine unlearning", §5, where both are one
objective; by turns as in Zhong, Luo and Liu (2025), arXiv 2504.15827. `gradient-ascent` (Halimi et al. 2022) is another
method: it ascends in a ball around the others' models first, and learns on afterwards.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

from rewindnet.certificates import TrainingRun
from rewindnet.clients.methods.alternating import Alternating
from rewindnet.clients.steps.base import CommunicationStep


@dataclass(frozen=True, kw_only=True)
class NegGrad(Alternating):
    """Go up the loss on the forget set and down it elsewhere, by turns: NegGrad+, with DualOptim, no certificate.

    The settings are documented at `Alternating`.
    """

    name = "neggrad"
    why_none: ClassVar[str] = (
        "no certificate is known: what ascent leaves of the forget set has no bound, and no noise hides it"
    )

    def _deed(self, learning: TrainingRun) -> str:
        return (
            f"went {self.epochs} times up the loss on what is to be forgotten and down it on retained data, "
            f"{self._on_the_way()}"
        )

    def _step(self, **shared: Any) -> CommunicationStep:
        from rewindnet.clients.steps.neggrad import NegGradEpochs

        return NegGradEpochs(**shared)
