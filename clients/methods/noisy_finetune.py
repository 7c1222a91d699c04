"""Noisy finetuning: every node goes on by itself from its learned model, with clipping and noise in every step.

Koloskova, Allouah, Jha, Guerraoui and Koyejo (2025), "Certified unlearning for neural networks", arXiv 2506.06985.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf, isfinite
from typing import Literal

import numpy as np

from rewindnet.certificates import Claim, Regime, Release, TrainingRun, View, check_delta, least_scale, strongest_regime
from rewindnet.certificates import NoisyFinetune as NoisyFinetuneMechanism
from rewindnet.certificates.claim import Bound
from rewindnet.clients.methods.base import Method, MethodError, Plan, check_rounds, noise_asked
from rewindnet.clients.steps.learning import Program
from rewindnet.clients.steps.noisy_finetune import ClipModel, NoisyFinetuneRounds

#: How often an interval for the noise of the paper's formula is halved, on a logarithmic scale.
_HALVINGS = 60


@dataclass(frozen=True, kw_only=True)
class NoisyFinetune(Method):
    """Finetune every node alone on retained data, with clipped gradients or models and noise in every step.

    Give `epsilon` (1 by default) or `sigma`; the other follows. Nothing is sent. Steps read all retained samples.

    Args:
        rounds: K, the noisy steps; half the learning rounds by default.
        epsilon: the ε to reach.
        sigma: the noise of every step, its standard deviation.
        delta: δ.
        clipping: what is clipped in every step: `gradient` or `model`.
        start_radius: C0, of the ball onto which the learned models are projected; needed with bound `published`.
        gradient_radius: C1, for clipping gradients; by default the bound G on them.
        model_radius: C2, for clipping models; by default the radius of learning, if it has one.
        step_size: η; that of learning by default.
        decay: λ, the weight of (λ/2)·‖θ‖² in the finetuning; l2 of the model by default.
        bound: `published` assumes nothing of the loss and takes the noise by the paper's formula; `worst-case` and
            `instance` know how far the learned models can be from the retrained ones.
        regime: the curvature to assume; by default the strongest that the model proves.
        view: who sees what; no message is sent, so that a peer's transcript is its own model.
        noise_source: `seed` for studies, `os` for a release.

    Raises:
        MethodError: if a setting is out of range.
    """

    rounds: int | None = None
    epsilon: float | None = None
    sigma: float | None = None
    delta: float = 1e-5
    clipping: Literal["gradient", "model"] = "gradient"
    start_radius: float | None = None
    gradient_radius: float | None = None
    model_radius: float | None = None
    step_size: float | None = None
    decay: float | None = None
    bound: Bound = "worst-case"
    regime: Regime | None = None
    view: str = "node"
    noise_source: Literal["seed", "os"] = "seed"

    def __post_init__(self) -> None:
        """Refuse settings without a meaning."""
        check_rounds(self.rounds)
        noise_asked("noisy-finetune", self.epsilon, self.sigma)
        check_delta(self.delta)
        View.of(self.view)
        for name in ("start_radius", "gradient_radius", "model_radius", "step_size"):
            value = getattr(self, name)
            if value is not None and not 0 < value < inf:
                raise MethodError(f"{name} must be a positive number, not {value}")
        if self.decay is not None and not 0 <= self.decay < inf:
            raise MethodError(f"decay must be a non-negative number, not {self.decay}")
        if self.clipping not in ("gradient", "model"):
            raise MethodError(f"clipping is gradient or model, not {self.clipping!r}")
        unused = ("model_radius",) if self.clipping == "gradient" else ("start_radius", "gradient_radius")
        for name in unused:
            if getattr(self, name) is not None:
                raise MethodError(f"{name} has no meaning with clipping {self.clipping}")
        if self.bound == "published" and self.clipping == "gradient" and self.start_radius is None:
            raise MethodError("the published bound rests on where finetuning begins: set start_radius")
        if self.bound == "published" and self.regime is not None:
            raise MethodError(f"the published bound assumes nothing of the loss, and no regime {self.regime}")

    @property
    def variant(self) -> str:
        """What is clipped."""
        return self.clipping

    def checkpoints(self, rounds: int) -> Sequence[int]:
        """The learned model."""
        return (rounds,)

    def check(self, learning: TrainingRun) -> None:
        """An instance bound is known only after learning."""
        if self.bound != "instance":
            self.plan(learning)
        else:
            learning.check_view(View.of(self.view))
            self._mechanism(learning)

    def plan(self, learning: TrainingRun) -> Plan:
        """K noisy steps, with noise for ε or as given."""
        learning.check_view(View.of(self.view))
        mechanism, claim = (
            self._mechanism(learning),
            Claim(View.of(self.view), self.delta, self.bound, regime=self.regime),
        )
        release = Release(
            method="noisy-finetune",
            checkpoint_round=learning.rounds,
            descent_rounds=mechanism.rounds,
            placement="rewind",
            sigma=np.where(learning.present, 1.0 if self.sigma is None else self.sigma, 0.0),
            noise_source=self.noise_source,
            mechanism=mechanism,
        )
        if self.sigma is None:
            epsilon = 1.0 if self.epsilon is None else self.epsilon
            scale = least_scale(learning, release, claim, epsilon)
            if self.bound == "published":
                scale = self._by_the_paper(learning, mechanism, scale, epsilon)
            release = replace(release, sigma=release.sigma * scale)
        claimed = mechanism.claimed_epsilon(View.of(self.view), release.sigma, learning.mixing, self.delta)
        return Plan(
            release,
            replace(claim, claimed_epsilon=claimed if isfinite(claimed) else None, claimed_by=_formula(mechanism)),
        )

    def program(
        self, release: Release, learning: TrainingRun, seed: int, index: int, checkpoint_names: Mapping[int, str]
    ) -> Program:
        """Clip the start, then finetune."""
        mechanism = release.mechanism
        assert isinstance(mechanism, NoisyFinetuneMechanism)
        steps = NoisyFinetuneRounds(
            rounds=range(release.checkpoint_round, release.checkpoint_round + mechanism.rounds),
            step_size=mechanism.step_size,
            decay=mechanism.decay,
            gradient_radius=mechanism.gradient_radius,
            model_radius=mechanism.model_radius,
            sigma=tuple(release.sigma.tolist()),
            seed=seed,
            release=index,
            source=release.noise_source,
        )
        clip = () if mechanism.start_radius is None else (ClipModel(mechanism.start_radius),)
        return Program(noise=clip, finish=(steps,))

    def _mechanism(self, learning: TrainingRun) -> NoisyFinetuneMechanism:
        """The finetuning on this network."""
        constants, models = learning.constants, self.clipping == "model"
        ball = learning.radius if self.model_radius is None else self.model_radius
        if models and ball is None:
            raise MethodError("clipping models takes a ball: set model_radius, or learn with learning.radius")
        mechanism = NoisyFinetuneMechanism(
            rounds=learning.rounds // 2 if self.rounds is None else self.rounds,
            step_size=learning.step_size if self.step_size is None else self.step_size,
            decay=constants.l2.value if self.decay is None else self.decay,
            start_radius=self.start_radius,
            gradient_radius=None if models else self.gradient_radius or constants.G.value,
            model_radius=ball if models else None,
            growth=None,
        )
        if self.bound == "published":
            return mechanism
        return replace(mechanism, growth=mechanism.proven_growth(learning, self.regime or strongest_regime(learning)))

    def _by_the_paper(
        self, learning: TrainingRun, mechanism: NoisyFinetuneMechanism, least: float, epsilon: float
    ) -> float:
        """The noise for which the paper prints this ε; what can be proved of the same steps takes no more (`least`)."""

        def claims(sigma: float) -> float:
            return mechanism.claimed_epsilon(
                View.of(self.view), np.where(learning.present, sigma, 0.0), learning.mixing, self.delta
            )

        low, high = least, least
        while claims(high) > epsilon:
            high *= 2
        for _ in range(_HALVINGS):
            middle = (low * high) ** 0.5
            low, high = (low, middle) if claims(middle) <= epsilon else (middle, high)
        return high


def _formula(mechanism: NoisyFinetuneMechanism) -> str | None:
    """What the paper claims, by name; None where it claims nothing."""
    if mechanism.model_radius is not None:
        return f"model clipping of arXiv 2506.06985, from delta 1, C2 = {mechanism.model_radius:g}"
    if mechanism.start_radius is None:
        return None
    return (
        "Rényi divergence of gradient clipping of arXiv 2506.06985, converted with its order in place, "
        f"C0 = {mechanism.start_radius:g}, C1 = {mechanism.gradient_radius:g}; added up over nodes"
    )
