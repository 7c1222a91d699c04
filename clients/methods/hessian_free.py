"""Hessian-free unlearning: the change that a sample makes to the model, followed to first order through learning.

Qiao et al. (2025), "Hessian-free online certified unlearning", ICLR 2025, record for every sample, while they learn, a
vector a ← (I − ηH)a + η∇ℓ/n that says how the model would differ without it; a request is then a sum of vectors. On a
network the deviation D of all nodes obeys the round of learning made linear, D⁺ = W(D − ηH'D + η(∇F − ∇F')), all at the
models that were learned. Sums of recorded vectors and this recursion for the whole forget set are the same numbers, so
that it is computed at the request here, from the checkpoints of all rounds: a client need not keep a model for every
sample. Reconstructed, and without the noise from which the paper claims its ε: what is measured says what is missing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from rewindnet.certificates import Release, TrainingRun
from rewindnet.clients.methods.base import MethodError, UnlearningPlan
from rewindnet.clients.methods.empirical import Empirical
from rewindnet.clients.steps.program import Program
from rewindnet.clients.training.noise import NoiseAddress

#: Bytes in a GiB.
_GIB = 2**30


@dataclass(frozen=True, kw_only=True)
class HessianFree(Empirical):
    """Add to the model what, to first order, learning without the forget set would have changed: Qiao et al. 2025.

    Args:
        memory: the most GiB that the checkpoints of all rounds may take over the whole network.
        view: the view of the observer.
        delta: δ of the certificate.

    Raises:
        MethodError: if a setting is out of range.
    """

    name = "hessian-free"
    why_none: ClassVar[str] = (
        "no certificate is known: what the first order leaves out depends on how fast the curvature changes, of which "
        "no bound is known, and no noise hides it"
    )
    memory: float = 4.0

    def __post_init__(self) -> None:
        """Check the settings."""
        self._check(positive=("memory",))

    def checkpoints(self, rounds: int) -> Sequence[int]:
        """Return all rounds."""
        return range(rounds + 1)

    def plan(self, learning: TrainingRun) -> UnlearningPlan:
        """Return what is done; nothing of it is certified.

        Raises:
            MethodError: if a round of learning is not linear but for the loss, or its checkpoints take too much memory.
        """
        for met, sentence in (
            (learning.uncovered, "plain gradient steps: use sgd without momentum, and no learning.gradient_clip"),
            (learning.order == "combine-then-adapt", "another order: use learning.order=adapt-then-combine"),
            (learning.local_steps > 1, "one local step a round: set learning.local_steps to 1"),
            (learning.batches is not None, "full gradients: set learning.sampling to full"),
            (learning.radius is not None or learning.client_clip is not None, "models and gradients that are not cut"),
            (learning.departed, "a network that stays as it is: use deletion.departure=relay"),
            (learning.earlier_deletions, "a first request: give one of deletion.requests alone"),
        ):
            if met:
                raise MethodError(f"hessian-free follows rounds of learning to first order, and takes {sentence}")
        self._check_memory(learning)
        return super().plan(learning)

    def _check_memory(self, learning: TrainingRun) -> None:
        """Refuse checkpoints of all rounds that take more than the settings allow."""
        if learning.arithmetic is None:
            return
        size = 8 if learning.arithmetic.unit_roundoff < 2**-30 else 4
        needed = (learning.rounds + 1) * learning.mixing.nodes * learning.arithmetic.parameters * size / _GIB
        if needed > self.memory:
            raise MethodError(
                f"hessian-free takes the checkpoints of all {learning.rounds} rounds, {needed:.3g} GiB here, and its "
                f"memory allows {self.memory:g} GiB: raise it, learn fewer rounds or a smaller model"
            )

    def _deed(self, learning: TrainingRun) -> str:
        return (
            f"went through the models of all {learning.rounds} rounds and added to the learned model how, to first "
            "order, it would differ without the forget set"
        )

    def program(
        self, release: Release, learning: TrainingRun, address: NoiseAddress, checkpoint_names: Mapping[int, str]
    ) -> Program:
        """Return the recursion."""
        from rewindnet.clients.steps.hessian_free import HessianFreeRounds

        T = learning.rounds
        return Program((HessianFreeRounds(range(T), tuple(checkpoint_names[t] for t in range(T + 1)), learning.order),))
