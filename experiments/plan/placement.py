"""Which place of the noise wins, forecast: on the result of the descent, or on the checkpoint before it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import get_args

import numpy as np

from rewindnet.certificates import (
    CertificateError,
    Claim,
    Release,
    Spectrum,
    TrainingRun,
    calibrate,
    excess_loss,
    noise_left,
)
from rewindnet.certificates.release import Placement
from rewindnet.experiments.plan.network import initial_spectrum
from rewindnet.experiments.plan.plan import Plan
from rewindnet.experiments.plan.words import wanted

#: Above this many nodes nothing is forecast: every depth would take minutes.
_LARGEST = 3_000

#: The same promise for both places: all released models together.
_VIEW = "joint"


@dataclass(frozen=True)
class Forecast:
    """What the noise of a depth is expected to leave in the released models, for each place of it.

    Attributes:
        depth: K.
        sigma: root mean square over nodes.
        noise: what is left of it, likewise.
        loss: by how much it raises a model's loss on the network's data, on average over nodes.
    """

    depth: int
    sigma: dict[str, float]
    noise: dict[str, float]
    loss: dict[str, float]

    @property
    def winner(self) -> str:
        """The place that costs less."""
        return min(self.loss, key=lambda place: self.loss[place])


@lru_cache(8)
def forecasts(plan: Plan) -> tuple[Forecast, ...]:
    """For the scenario's own request, at every depth at which there is something to choose; none without data.

    The noise is that of a worst-case certificate for all released models together, optimally allocated.
    """
    learning = plan.network.training_run
    if learning.mixing.nodes > _LARGEST:
        return ()
    spectrum = initial_spectrum(plan.network)
    if spectrum is None:
        return ()
    found: list[Forecast] = []
    for depth in plan.depths:
        if 0 < depth < learning.rounds:
            found += _forecast(learning, spectrum, depth, *wanted(plan))
    return tuple(found)


def _forecast(learning: TrainingRun, spectrum: Spectrum, depth: int, epsilon: float, delta: float) -> list[Forecast]:
    T = learning.rounds
    sigma, noise, loss = {}, {}, {}
    for placement in get_args(Placement):
        release = Release("r2d", T - depth, depth, placement, np.zeros(learning.mixing.nodes))
        try:
            release = replace(
                release, sigma=calibrate(learning, release, Claim(_VIEW, delta, allocation="optimal"), epsilon)
            )
        except CertificateError:
            return []
        sigma[placement] = _size(release.sigma)
        noise[placement] = _size(noise_left(learning, release, spectrum))
        loss[placement] = float(excess_loss(learning, release, spectrum).mean())
    return [Forecast(depth, sigma, noise, loss)]


def _size(of: np.ndarray) -> float:
    return float(np.sqrt(np.mean(of**2)))


def verdict(plan: Plan, found: Sequence[Forecast]) -> list[str]:
    """Which place wins, at which depth, in a sentence."""
    if not found:
        return []
    T, (epsilon, delta) = plan.network.training_run.rounds, wanted(plan)
    won = {place: [one for one in found if one.winner == place] for place in get_args(Placement)}
    said = f"Place of the noise (view {_VIEW}, ε = {epsilon:g}, δ = {delta:g}, forecast): "
    middle = min(found, key=lambda one: abs(one.depth - T / 2))
    example = (
        f"at {100 * middle.depth / T:.3g} % the models' loss rises, to second order, by {middle.loss['output']:.3g} "
        f"with noise on the result and by {middle.loss['rewind']:.3g} with noise on the checkpoint"
    )
    if not won["output"] or not won["rewind"]:
        place = "rewind" if won["rewind"] else "output"
        return [f"{said}placement {place} wins at every depth; {example}."]
    depths = ", ".join(f"{100 * one.depth / T:.3g} %" for one in won["rewind"])
    return [f"{said}placement rewind wins at {depths}, output at the others; {example}."]
