"""NPO: negative preference optimisation, which lowers the probability of forgotten answers and then lets go.

Zhang, Lin, Bai and Mei (2024), "Negative preference optimization: from catastrophic collapse to effective unlearning",
arXiv 2404.05868; by turns with retained data as in Zhong, Luo and Liu (2025), arXiv 2504.15827.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

from rewindnet.certificates import TrainingRun
from rewindnet.clients.methods.alternating import Alternating
from rewindnet.clients.steps.base import CommunicationStep
from rewindnet.clients.training.optimizers.pair import Pairing


@dataclass(frozen=True, kw_only=True)
class NPO(Alternating):
    """Make the labels of the forget set less likely than the learned model has them: Zhang et al. 2024, no certificate.

    A step on the forget set goes down −(2/β)·log σ(−β·log(p/p₀)), with p and p₀ the probabilities of the label by the
    model and by the learned one: an ascent of the loss that ends where p is far below p₀. The other settings are
    documented at `Alternating`.

    Args:
        beta: β; near 0 it is `neggrad`.

    Raises:
        MethodError: if a setting is out of range.
    """

    name = "npo"
    why_none: ClassVar[str] = (
        "no certificate is known: labels that have become unlikely bound nothing of what the models keep of the forget "
        "set, and no noise hides it"
    )
    epochs: int = 20
    step_size: float = 3e-4
    optimizers: Pairing = "dual-aa"
    batch: int = 32
    forget_batch: int = 4
    beta: float = 0.1

    def __post_init__(self) -> None:
        """Check the settings."""
        super().__post_init__()
        self._check(positive=("beta",))

    def _deed(self, learning: TrainingRun) -> str:
        return (
            f"went {self.epochs} times through what is to be forgotten and made its labels less likely than the "
            f"learned model has them, by turns with retained data, {self._on_the_way()}"
        )

    def _step(self, **shared: Any) -> CommunicationStep:
        from rewindnet.clients.steps.npo import NPOEpochs

        return NPOEpochs(**shared, beta=self.beta)
