"""Forecast what a row of a scenario comes to at every node: its ε, its noise, and how much of that a score keeps.

Nothing is learned and no data is read: the forecast rests on the constants of the model, the mixing matrices and the
numbers of samples, as the worst-case certificate does.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rewindnet.certificates import Spectrum, TrainingRun, certify, noise_left, strongest_regime
from rewindnet.clients.methods.r2d import R2D
from rewindnet.clients.models.multinomial import Multinomial
from rewindnet.clients.models.sigmoid import Sigmoid
from rewindnet.errors import UserError
from rewindnet.experiments.plan.cost import cost_of_depths, messages_sent
from rewindnet.experiments.scenario.errors import ScenarioError
from rewindnet.experiments.scenario.network_setup import NetworkSetup

#: The largest number of nodes for which the noise that is left is followed through every round.
_LARGEST = 3_000


@dataclass(frozen=True, eq=False)
class Outlook:
    """What a row of a scenario comes to.

    Attributes:
        noise: [N], the standard deviation of the noise that a score of each node's released model keeps; None where no
            noise gives the row its ε.
        epsilon: the certified ε; None where there is none.
        sigma: σ of the added noise, root mean square over nodes.
        gradients: what the answer to the request takes, as a share of the gradients of retraining.
        messages: the number of messages that the answer to the request takes, and `learning` those of learning.
        learning: the number of messages of all rounds of learning.
        reason: why there is no ε; empty where there is one.
    """

    noise: NDArray[np.float64] | None
    epsilon: float | None
    sigma: float
    gradients: float
    messages: float
    learning: float
    reason: str = ""

    @property
    def worst(self) -> float:
        """The noise of a score at the node where it is largest; infinite where there is no ε."""
        return float("inf") if self.noise is None else float(self.noise.max())

    @property
    def worst_node(self) -> int:
        """The node whose scores keep the most noise; 0 where there is no ε."""
        return 0 if self.noise is None else int(self.noise.argmax())

    def keeps(self, most: float) -> bool:
        """Return whether there is an ε and no score keeps more noise than allowed, at any node.

        Args:
            most: the largest standard deviation of the noise of a score.
        """
        return self.epsilon is not None and self.worst <= most


def check_forecast(network: NetworkSetup) -> None:
    """Check that the noise of scores can be forecast for a network.

    Raises:
        ScenarioError: if its model has no scores that are sums of features, it learns by a walk, or is too large.
    """
    kinds = "logistic, huber-logistic and sigmoid"
    if not isinstance(network.model, Multinomial | Sigmoid):
        raise ScenarioError(
            f"the noise of a score is forecast for the models {kinds}, whose scores are sums of features, not for "
            f"{network.scenario.model.kind}"
        )
    if network.scenario.learning.kind != "gossip":
        raise ScenarioError("the noise of a score is forecast where nodes average models: use learning.kind=gossip")
    if network.nodes > _LARGEST:
        raise ScenarioError(f"the noise of a score is forecast for at most {_LARGEST:,} clients, not {network.nodes:,}")


def outlook(network: NetworkSetup, training: TrainingRun, settings: Mapping[str, Any]) -> Outlook:
    """Forecast what a row comes to.

    A score is the product of a row of parameters and the features of a sample, whose norm is at most R: noise of
    standard deviation s in every parameter is one of at most s·R in the score. What is left of the added noise follows
    from the mixing matrices and the slowest contraction that the constants prove (`noise_left`).

    Args:
        network: the network that is planned.
        training: how it learns, and what is deleted.
        settings: those of the row, as `R2D` takes them; a bound `instance` is forecast as the worst case.
    """
    method = R2D(**{**settings, "bound": "worst-case" if settings["bound"] == "instance" else settings["bound"]})
    learning = float(messages_sent(training.mixing, range(training.rounds)))
    try:
        planned = method.plan(training)
        # Noise that was calibrated to an ε reaches it.
        known = method.sigma is None or method.rewind is None
        epsilon = method.epsilon if known else certify(training, planned.release, planned.claim).epsilon
    except UserError as problem:
        return Outlook(None, None, float("nan"), float("nan"), float("nan"), learning, str(problem))
    release = planned.release
    cost = cost_of_depths(training, network.message_bytes, [release.descent_rounds])[release.descent_rounds]
    idle = [t for t in range(release.checkpoint_round, release.gossip.stop) if t not in release.descent]
    return Outlook(
        noise=noise_left(training, release, _slowest(training)) * largest_score(network),
        epsilon=epsilon,
        sigma=float(np.sqrt(np.mean(release.sigma**2))),
        gradients=cost["gradients"],
        messages=cost["bytes"] * learning + messages_sent(training.mixing, idle),
        learning=learning,
        reason="" if epsilon is not None else "its noise is too small for one",
    )


def largest_score(network: NetworkSetup) -> float:
    """Return R: the largest norm of what a sample's scores are sums of, the constant feature of the bias included."""
    bias, radius = float(getattr(network.model, "bias", 0.0)), network.features.radius
    return sqrt((1 - bias**2) * radius**2 + bias**2)


def _slowest(training: TrainingRun) -> Spectrum:
    """Return the curvature that takes the least noise away in a round of descent, in every direction.

    It is that of the regularisation alone, or the largest one where steps overshoot it. A nonconvex objective may have
    directions in which noise grows; of those the forecast says nothing, and takes them as flat.
    """
    constants = training.constants
    low = max(0.0, constants.lowest_curvature(strongest_regime(training)))
    overshoots = training.step_size * constants.L.value - 1 > 1 - training.step_size * low
    return Spectrum(np.array([constants.L.value if overshoots else low]), np.ones(1))
