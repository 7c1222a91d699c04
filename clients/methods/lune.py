"""LUNE: a low-rank adapter that is taught wrong answers, and is all that is sent.

"LUNE: efficient LLM unlearning via LoRA fine-tuning with negative examples" (2025), arXiv 2512.07375. **Reconstructed**
from its prose: wrong answers are those to other questions of the same kind, and no epoch is chosen by what is left.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from rewindnet.certificates import Release, TrainingRun
from rewindnet.clients.methods.base import MethodError, UnlearningPlan
from rewindnet.clients.methods.empirical import Empirical
from rewindnet.clients.steps.program import Program
from rewindnet.clients.training.noise import NoiseAddress

if TYPE_CHECKING:
    from rewindnet.clients.models import Model


@dataclass(frozen=True, kw_only=True)
class Lune(Empirical):
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
    rank: int = 16
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

    def message_parameters(self, parameters: int, model: "Model | None") -> int | None:
        """Return the numbers of an adapter, which follow from the matrices of the model."""
        from rewindnet.clients.training.adapters import LowRank

        return None if model is None else LowRank(parameters, model.matrices, self.rank, self.alpha).size

    def plan(self, learning: TrainingRun) -> UnlearningPlan:
        """Return what is done; nothing of it is certified.

        Raises:
            MethodError: if the clients that delete are not there.
        """
        if learning.departed:
            raise MethodError(
                "lune is done by the client that deletes, so it must stay: use deletion.departure=relay, or npo with "
                "way: gossip"
            )
        return super().plan(learning)

    def program(
        self, release: Release, learning: TrainingRun, address: NoiseAddress, checkpoint_names: Mapping[int, str]
    ) -> Program:
        """Return the round in which adapters are learned, and those in which they come to all others."""
        from rewindnet.clients.steps.lune import LuneRounds
        from rewindnet.clients.steps.spreading import spread

        T = learning.rounds
        sources = np.flatnonzero(learning.deleted - learning.already_deleted(T)).tolist()
        passed = spread(learning.mixing, sources, T + 1)
        return Program(
            (
                LuneRounds(
                    rounds=range(T, max(T + 1, passed.rounds.stop)),
                    heard=passed.heard,
                    at=passed.at,
                    seed=address.seed,
                    rank=self.rank,
                    alpha=self.alpha,
                    negatives=self.negatives,
                    epochs=self.epochs,
                    batch=self.batch,
                    step_size=self.step_size,
                ),
            )
        )
