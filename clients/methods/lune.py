"""LUNE: a low-rank adapter that is taught wrong answers, and is all that is sent.

"LUNE: efficient LLM unlearning via LoRA fine-tuning with negative examples" (2025), arXiv 2512.07375. **Reconstructed**
from its prose: wrong answers are those to other questions of the same kind, and no epoch is chosen by what is left.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

from rewindnet.certificates import TrainingRun
from rewindnet.clients.methods.adapted import Adapted
from rewindnet.clients.steps.base import CommunicationStep


@dataclass(frozen=True, kw_only=True)
class Lune(Adapted):
    """Teach a low-rank adapter wrong answers, and send the adapter alone: LUNE, reconstructed, no certificate.

    A client that deletes learns A and B of each matrix by Adam, with its forgotten samples and wrong labels of them,
    and no retained data. Others add the same change to their models. Messages hold A and B and nothing else.

    Args:
        rank: r, of each adapter.
        alpha: α; the change is (α/r)·B·A.
        negatives: wrong labels of each forgotten sample.
        epochs: through these.
        batch: samples in a step.
        step_size: of Adam.
        view: the view of the observer.
        delta: δ of the certificate.

    Raises:
        MethodError: if a setting is out of range.
    """

    name = "lune"
    why_none: ClassVar[str] = (
        "no certificate is known: what was learned of the forget set lies below the adapter, and comes back when it is "
        "taken off"
    )
    alpha: float = 16.0
    negatives: int = 3
    epochs: int = 5
    batch: int = 8
    step_size: float = 1e-3

    def __post_init__(self) -> None:
        """Check the settings."""
        self._check(positive=("alpha", "step_size"), counts=("rank", "negatives", "epochs", "batch"))

    @property
    def variant(self) -> str:
        """The rank."""
        return f"rank {self.rank}"

    def _deed(self, learning: TrainingRun) -> str:
        return (
            f"taught an adapter of rank {self.rank} {self.negatives} wrong labels of each sample that is to be "
            f"forgotten, in {self.epochs} epochs, and had all others add it"
        )

    def _step(self, **shared: Any) -> CommunicationStep:
        from rewindnet.clients.steps.lune import LuneRounds

        return LuneRounds(
            **shared,
            adapter_alpha=self.alpha,
            negatives=self.negatives,
            epochs=self.epochs,
            batch=self.batch,
            step_size=self.step_size,
        )
