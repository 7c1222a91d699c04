"""Finetuning: some epochs of minibatch descent on the retained data, from the learned model.

The baseline of Golatkar, Achille and Soatto (2020), "Eternal sunshine of the spotless net", and of many others since,
with the settings that Mu and Klabjan (2025), arXiv 2409.09778, give it. Unlike `warm-start` with `sigma: 0` it has a
step size, batches and epochs of its own, and plain steps, whatever learning had. On a network every client goes through
its own data, and models are mixed after each epoch.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from rewindnet.certificates import Release, TrainingRun
from rewindnet.clients.methods.empirical import Empirical
from rewindnet.clients.steps.program import Program
from rewindnet.clients.training.noise import NoiseAddress


@dataclass(frozen=True, kw_only=True)
class Finetune(Empirical):
    """Go through the retained data for some epochs in small batches, from the learned model: no certificate.

    Args:
        epochs: through the retained data, with an exchange of models after each.
        step_size: of the steps.
        batch: samples in a step.
        view: the view of the observer.
        delta: δ of the certificate.

    Raises:
        MethodError: if a setting is out of range.
    """

    name = "finetune"
    why_none: ClassVar[str] = (
        "no certificate is known: what some epochs on other data leave of the forget set has no bound, and no noise "
        "hides it"
    )
    epochs: int = 10
    step_size: float = 0.01
    batch: int = 128

    def __post_init__(self) -> None:
        """Check the settings."""
        self._check(positive=("step_size",), counts=("epochs", "batch"))

    def _deed(self, learning: TrainingRun) -> str:
        return f"went {self.epochs} times through the retained data from the learned model, in batches of {self.batch}"

    def program(
        self, release: Release, learning: TrainingRun, address: NoiseAddress, checkpoint_names: Mapping[int, str]
    ) -> Program:
        """Return the epochs."""
        from rewindnet.clients.steps.finetune import FinetuneEpochs

        rounds = range(learning.rounds, learning.rounds + self.epochs)
        return Program((FinetuneEpochs(rounds, address.seed, self.batch, self.step_size),))
