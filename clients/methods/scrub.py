"""SCRUB: a student that departs from its teacher on the forget set, and stays close to it elsewhere.

Kurmanji, Triantafillou, Hayes and Triantafillou (2023), "Towards unbounded machine unlearning", Algorithm 1, with the
settings that Mu and Klabjan (2025), arXiv 2409.09778, give it. Reconstructed from the paper and what is said of its
code: the learning rate stays what it is, and momentum begins anew with every epoch. On a network every client is its
own teacher, clients that delete depart from it on their forget sets, and models are mixed after each epoch.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from rewindnet.certificates import TrainingRun
from rewindnet.clients.methods.alternating import Alternating
from rewindnet.clients.steps.base import CommunicationStep
from rewindnet.clients.steps.way import Way
from rewindnet.clients.training.optimizers.pair import Pairing


@dataclass(frozen=True, kw_only=True)
class Scrub(Alternating):
    """Depart from the learned outputs on the forget set, keep them elsewhere: Kurmanji et al. 2023, reconstructed.

    A step on retained data goes down γ·loss + α·KL(teacher ‖ student), one on the forget set goes up the KL. The other
    settings are documented at `Alternating`.

    Args:
        max_steps: how many epochs begin with one through the forget set.
        temperature: by which scores are divided in the KL.
        gamma: γ.
        alpha: α.

    Raises:
        MethodError: if a setting is out of range.
    """

    name = "scrub"
    why_none: ClassVar[str] = (
        "no certificate is known: outputs that differ on the forget set bound nothing of what the models keep of it, "
        "and no noise hides it"
    )
    later_settings: ClassVar[Mapping[str, Any]] = {
        "forget_step_size": None,
        "optimizers": "shared-sgd",
        "restart": True,
        "clip": None,
        "way": "gossip",
        "hops": None,
        "visit_probability": None,
        "retain_momentum": "local",
        "objective": None,
        "loss_filter": 0.0,
        "continued_rounds": 0,
    }
    max_steps: int = 2
    step_size: float = 5e-4
    optimizers: Pairing = "shared-sgd"
    restart: bool = True
    weight_decay: float = 5e-4
    temperature: float = 4.0
    gamma: float = 0.99
    alpha: float = 0.001
    forget_batch: int = 32
    way: Way = "gossip"

    def __post_init__(self) -> None:
        """Check the settings."""
        super().__post_init__()
        self._check(positive=("temperature",), shares=("max_steps", "gamma", "alpha"))

    def _deed(self, learning: TrainingRun) -> str:
        deed = (
            f"went {self.epochs} times through the retained data near the outputs of the learned model, the first "
            f"{min(self.max_steps, self.epochs)} times after a pass through the forget set away from them"
        )
        return deed if self.way == "gossip" else f"{deed}, {self._on_the_way()}"

    def _forget_epochs(self) -> int:
        return self.max_steps

    def _step(self, **shared: Any) -> CommunicationStep:
        from rewindnet.clients.steps.scrub import ScrubEpochs

        return ScrubEpochs(**shared, temperature=self.temperature, gamma=self.gamma, alpha=self.alpha)
