"""IDK: a refusal is taught in answer to what is to be forgotten.

Maini, Feng, Schwarzschild, Lipton and Kolter (2024), "TOFU: a task of fictitious unlearning for LLMs", arXiv
2401.06121, the objective of §3.3 whose answers are "I don't know"; by turns with retained data as in Zhong, Luo and Liu
(2025), arXiv 2504.15827.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

from rewindnet.certificates import TrainingRun
from rewindnet.clients.methods.alternating import Alternating
from rewindnet.clients.steps.base import CommunicationStep
from rewindnet.clients.training.optimizers.pair import Pairing


@dataclass(frozen=True, kw_only=True)
class IDK(Alternating):
    """Learn a refusal in answer to the forget set, and the right labels elsewhere: Maini et al. 2024, no certificate.

    The refusal is the last class; of `facts` that is the word `unknown`, which answers no question. The settings are
    documented at `Alternating`.
    """

    name = "idk"
    why_none: ClassVar[str] = (
        "no certificate is known: a refusal that is learned bounds nothing of what the models keep of the forget set, "
        "and no noise hides it"
    )
    epochs: int = 20
    step_size: float = 3e-4
    optimizers: Pairing = "dual-aa"
    batch: int = 32
    forget_batch: int = 4

    def _deed(self, learning: TrainingRun) -> str:
        return (
            f"learned the last class as the label of what is to be forgotten, {self.epochs} times by turns with "
            f"retained data, {self._on_the_way()}"
        )

    def _step(self, **shared: Any) -> CommunicationStep:
        from rewindnet.clients.steps.idk import IDKEpochs

        return IDKEpochs(**shared)
