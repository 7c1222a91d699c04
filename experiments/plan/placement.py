"""Forecasts of which place of the noise costs less: the result of the descent, or the checkpoint before it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import get_args

import numpy as np
from numpy.typing import NDArray

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
from rewindnet.certificates.view import View
from rewindnet.clients.training.curvature import pooled_spectrum
from rewindnet.experiments.scenario.network_setup import NetworkSetup

#: Above this many nodes nothing is forecast: every depth would take minutes.
_LARGEST = 3_000

#: The view that both places of the noise are calibrated for: all released models together.
_VIEW = "joint"


@dataclass(frozen=True)
class Forecast:
    """What the noise at one depth is expected to do to the released models, for each place of the noise.

    Attributes:
        depth: K.
        sigma: of the noise, root mean square over nodes.
        noise: what is left of it in the released models, likewise.
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


def forecasts(network: NetworkSetup, depths: Sequence[int], epsilon: float, delta: float) -> tuple[Forecast, ...]:
    """Forecast the loss for the scenario's own request, at every depth at which there is something to choose.

    The noise is that of a worst-case certificate for all released models together, optimally allocated.

    Args:
        network: that is planned.
        depths: K.
        epsilon: to reach.
        delta: δ.

    Returns:
        None without data, for a model that does not know its curvature, or for a network that is too large.
    """
    training_run = network.training_run
    if network.nodes > _LARGEST:
        return ()
    spectrum = pooled_spectrum(network.model, network.features.x)
    if spectrum is None:
        return ()
    inner = [depth for depth in depths if 0 < depth < training_run.rounds]
    every = [_forecast(training_run, spectrum, depth, epsilon, delta) for depth in inner]
    return tuple(forecast for forecast in every if forecast is not None)


def _forecast(
    training_run: TrainingRun, spectrum: Spectrum, depth: int, epsilon: float, delta: float
) -> Forecast | None:
    """Forecast one depth; None if it cannot be certified."""
    sigma, noise, loss = {}, {}, {}
    claim = Claim(View.of(_VIEW), delta, allocation="optimal")
    for placement in get_args(Placement):
        none = np.zeros(training_run.mixing.nodes)
        release = Release("planned", training_run.rounds - depth, depth, placement, none)
        try:
            release = replace(release, sigma=calibrate(training_run, release, claim, epsilon))
        except CertificateError:
            return None
        sigma[placement] = _root_mean_square(release.sigma)
        noise[placement] = _root_mean_square(noise_left(training_run, release, spectrum))
        loss[placement] = float(excess_loss(training_run, release, spectrum).mean())
    return Forecast(depth, sigma, noise, loss)


def _root_mean_square(values: NDArray[np.float64]) -> float:
    return float(np.sqrt(np.mean(values**2)))


def placement_verdict(forecasts: Sequence[Forecast], rounds: int, epsilon: float, delta: float) -> list[str]:
    """Say which place of the noise wins at which depths, in one sentence; none without forecasts.

    Args:
        forecasts: of each depth.
        rounds: T.
        epsilon: that they are made for.
        delta: δ.
    """
    if not forecasts:
        return []
    begin = f"Place of the noise (view {_VIEW}, ε = {epsilon:g}, δ = {delta:g}, forecast): "
    middle = min(forecasts, key=lambda forecast: abs(forecast.depth - rounds / 2))
    example = (
        f"at {100 * middle.depth / rounds:.3g} % the models' loss rises, to second order, by "
        f"{middle.loss['output']:.3g} with noise on the result and by {middle.loss['rewind']:.3g} with noise on the "
        "checkpoint"
    )
    rewinds = [forecast.depth for forecast in forecasts if forecast.winner == "rewind"]
    if len(rewinds) in (0, len(forecasts)):
        return [f"{begin}placement {'rewind' if rewinds else 'output'} wins at every depth; {example}."]
    depths = ", ".join(f"{100 * depth / rounds:.3g} %" for depth in rewinds)
    return [f"{begin}placement rewind wins at {depths}, output at the others; {example}."]
