"""SCRUB: a student that departs from its teacher on the forget set, and stays close to it elsewhere.

Kurmanji, Triantafillou, Hayes and Triantafillou (2023), "Towards unbounded machine unlearning", Algorithm 1, with the
settings that Mu and Klabjan (2025), arXiv 2409.09778, give it. Reconstructed from the paper and what is said of its
code: the learning rate stays what it is, and momentum begins anew with every epoch. On a network every client is its
own teacher, clients that delete depart from it on their forget sets, and models are mixed after each epoch.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from rewindnet.certificates import Release, TrainingRun
from rewindnet.clients.methods.base import MethodError
from rewindnet.clients.methods.empirical import Empirical
from rewindnet.clients.steps.program import Program
from rewindnet.clients.training.noise import NoiseAddress


@dataclass(frozen=True, kw_only=True)
class Scrub(Empirical):
    """Depart from the learned outputs on the forget set, keep them elsewhere: Kurmanji et al. 2023, reconstructed.

    A step on retained data goes down γ·loss + α·KL(teacher ‖ student), one on the forget set goes up the KL.

    Args:
        epochs: through the retained data, with an exchange of models after each.
        max_steps: how many of them begin with one through the forget set.
        step_size: of the steps.
        momentum: of the steps, in [0, 1).
        weight_decay: added to every gradient, times θ.
        temperature: by which scores are divided in the KL.
        gamma: γ.
        alpha: α.
        batch: retained samples in a step.
        forget_batch: forgotten samples in a step.
        view: the view of the observer.
        delta: δ of the certificate.

    Raises:
        MethodError: if a setting is out of range.
    """

    name = "scrub"
    why_none: ClassVar[str] = (
        "no certificate is known: outputs that differ on the forget set bound nothing of what the models keep of it, "
        "and no noise hides it"
    )
    epochs: int = 10
    max_steps: int = 2
    step_size: float = 5e-4
    momentum: float = 0.9
    weight_decay: float = 5e-4
    temperature: float = 4.0
    gamma: float = 0.99
    alpha: float = 0.001
    batch: int = 128
    forget_batch: int = 32

    def __post_init__(self) -> None:
        """Check the settings."""
        self._check(
            positive=("step_size", "temperature"),
            counts=("epochs", "batch", "forget_batch"),
            shares=("max_steps", "weight_decay", "gamma", "alpha"),
        )
        if not 0 <= self.momentum < 1:
            raise MethodError(f"momentum of scrub lies in [0, 1), not {self.momentum}")

    def _deed(self, learning: TrainingRun) -> str:
        return (
            f"went {self.epochs} times through the retained data near the outputs of the learned model, the first "
            f"{min(self.max_steps, self.epochs)} times after a pass through the forget set away from them"
        )

    def program(
        self, release: Release, learning: TrainingRun, address: NoiseAddress, checkpoint_names: Mapping[int, str]
    ) -> Program:
        """Return the epochs."""
        from rewindnet.clients.steps.scrub import ScrubEpochs

        T = learning.rounds
        epochs = ScrubEpochs(
            rounds=range(T, T + self.epochs),
            seed=address.seed,
            batch=self.batch,
            forget_batch=self.forget_batch,
            max_steps=self.max_steps,
            step_size=self.step_size,
            momentum=self.momentum,
            weight_decay=self.weight_decay,
            temperature=self.temperature,
            gamma=self.gamma,
            alpha=self.alpha,
            teacher=checkpoint_names[T],
        )
        return Program((epochs,))
