"""Noisy finetuning: every node goes on by itself from its learned model, with clipping and noise in every step.

Koloskova, Allouah, Jha, Guerraoui and Koyejo (2025), "Certified unlearning for neural networks", arXiv 2506.06985.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import inf, isfinite
from typing import Literal

import numpy as np

from rewindnet.certificates import NoisyFinetune as NoisyFinetuneMechanism
from rewindnet.certificates import Regime, Release, TrainingRun, View, strongest_regime
from rewindnet.certificates.accounting.sampler import NoiseSource
from rewindnet.certificates.claim import Bound
from rewindnet.clients.methods.base import MethodError, UnlearningPlan
from rewindnet.clients.methods.noisy_rounds import NoisyRoundsMethod
from rewindnet.clients.steps.program import Program
from rewindnet.clients.training.noise import NoiseAddress

#: How often an interval for the noise of the paper's formula is halved, on a logarithmic scale.
_HALVINGS = 60


@dataclass(frozen=True, kw_only=True)
class NoisyFinetune(NoisyRoundsMethod):
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

    name = "noisy-finetune"
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
    noise_source: NoiseSource = "seed"

    def __post_init__(self) -> None:
        """Check the settings."""
        self._check_settings()
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

    def plan(self, learning: TrainingRun) -> UnlearningPlan:
        """Return K noisy steps, with noise for ε or as given."""
        learning.check_view(View.of(self.view))
        mechanism = self._mechanism(learning)
        release = self._release(learning, mechanism)
        if self.sigma is None:
            scale = self._least_scale(learning, release)
            if self.bound == "published":
                scale = self._by_the_paper(learning, mechanism, scale)
            release = replace(release, sigma=release.sigma * scale)
        claimed = mechanism.claimed_epsilon(View.of(self.view), release.sigma, learning.mixing, self.delta)
        return UnlearningPlan(
            release,
            replace(
                self._claim, claimed_epsilon=claimed if isfinite(claimed) else None, claimed_by=_formula(mechanism)
            ),
        )

    def program(
        self, release: Release, learning: TrainingRun, address: NoiseAddress, checkpoint_names: Mapping[int, str]
    ) -> Program:
        """Return the clipping of the start, then the finetuning."""
        from rewindnet.clients.steps.noisy_finetune import ClipModel, NoisyFinetuneRounds

        mechanism = release.mechanism
        assert isinstance(mechanism, NoisyFinetuneMechanism)
        steps = NoisyFinetuneRounds(
            rounds=range(release.checkpoint_round, release.checkpoint_round + mechanism.rounds),
            step_size=mechanism.step_size,
            decay=mechanism.decay,
            gradient_radius=mechanism.gradient_radius,
            model_radius=mechanism.model_radius,
            sigma=tuple(release.sigma.tolist()),
            address=address,
        )
        clip = () if mechanism.start_radius is None else (ClipModel(mechanism.start_radius),)
        return Program(noise=clip, finish=(steps,))

    def _mechanism(self, learning: TrainingRun) -> NoisyFinetuneMechanism:
        """Return the mechanism of the finetuning on this network."""
        constants, models = learning.constants, self.clipping == "model"
        ball = learning.radius if self.model_radius is None else self.model_radius
        if models and ball is None:
            raise MethodError("clipping models takes a ball: set model_radius, or learn with learning.radius")
        if not (constants.known or models or self.gradient_radius is not None):
            raise MethodError(
                f"noisy-finetune clips gradients, by default to the largest that they can have, and "
                f"{constants.why_unknown}; set gradient_radius and start_radius"
            )
        mechanism = NoisyFinetuneMechanism(
            rounds=self._noisy_rounds(learning.rounds),
            step_size=learning.step_size if self.step_size is None else self.step_size,
            decay=constants.l2.value if self.decay is None else self.decay,
            start_radius=self.start_radius,
            gradient_radius=None if models else self.gradient_radius or constants.G.value,
            model_radius=ball if models else None,
            growth=None,
        )
        if self.bound == "published" or not constants.known:
            return mechanism
        return replace(mechanism, growth=mechanism.proven_growth(learning, self.regime or strongest_regime(learning)))

    def _by_the_paper(self, learning: TrainingRun, mechanism: NoisyFinetuneMechanism, least: float) -> float:
        """Return the noise for which the paper prints ε, at least that which can be proved to suffice."""

        def claims(sigma: float) -> float:
            return mechanism.claimed_epsilon(
                View.of(self.view), np.where(learning.present, sigma, 0.0), learning.mixing, self.delta
            )

        low, high = least, least
        while claims(high) > self._epsilon:
            high *= 2
        for _ in range(_HALVINGS):
            middle = (low * high) ** 0.5
            low, high = (low, middle) if claims(middle) <= self._epsilon else (middle, high)
        return high


def _formula(mechanism: NoisyFinetuneMechanism) -> str | None:
    """Return what the paper claims, by name; None where it claims nothing."""
    if mechanism.model_radius is not None:
        return f"model clipping of arXiv 2506.06985, from delta 1, C2 = {mechanism.model_radius:g}"
    if mechanism.start_radius is None:
        return None
    return (
        "Rényi divergence of gradient clipping of arXiv 2506.06985, converted with its order in place, "
        f"C0 = {mechanism.start_radius:g}, C1 = {mechanism.gradient_radius:g}; added up over nodes"
    )
