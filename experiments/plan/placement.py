"""Forecast which placement of the noise costs less: on the result of the descent, or on the checkpoint before it."""

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

#: The largest number of nodes for which the loss is forecast; above it, every depth would take minutes.
_LARGEST = 3_000

#: The view that both placements are calibrated for: all released models together.
_VIEW = "joint"


@dataclass(frozen=True)
class Forecast:
    """The expected effect of the noise on the released models at one depth, for each placement.

    Attributes:
        depth: K, the number of rounds to rewind.
        sigma: σ of the added noise, root mean square over nodes.
        noise: σ of the noise that is left in the released models, root mean square over nodes.
        loss: the expected increase of a model's loss on the data of the network, mean over nodes.
    """

    depth: int
    sigma: dict[str, float]
    noise: dict[str, float]
    loss: dict[str, float]

    @property
    def winner(self) -> str:
        """The placement with the smaller increase of the loss."""
        return min(self.loss, key=lambda placement: self.loss[placement])


def forecast_losses(network: NetworkSetup, depths: Sequence[int], epsilon: float, delta: float) -> tuple[Forecast, ...]:
    """Forecast the increase of the loss for the request of the scenario, at every depth K with 0 < K < T.

    The noise is that of a worst-case certificate for all released models together, with optimal allocation.

    Args:
        network: the network that is planned.
        depths: the numbers of rounds K to rewind.
        epsilon: the target ε.
        delta: δ.

    Returns:
        One forecast for each depth that can be certified; no forecasts without data, for a model without a known
        curvature, or for a network of more than 3,000 nodes.
    """
    training_run = network.training_run
    if network.nodes > _LARGEST:
        return ()
    spectrum = pooled_spectrum(network.model, network.features.x)
    if spectrum is None:
        return ()
    inner = [depth for depth in depths if 0 < depth < training_run.rounds]
    forecasts = (_forecast(training_run, spectrum, depth, epsilon, delta) for depth in inner)
    return tuple(forecast for forecast in forecasts if forecast is not None)


def _forecast(
    training_run: TrainingRun, spectrum: Spectrum, depth: int, epsilon: float, delta: float
) -> Forecast | None:
    """Forecast the increase of the loss at one depth; return None if that depth cannot be certified."""
    sigma, noise, loss = {}, {}, {}
    claim = Claim(View.of(_VIEW), delta, allocation="optimal")
    for placement in get_args(Placement):
        no_noise = np.zeros(training_run.mixing.nodes)
        release = Release("planned", training_run.rounds - depth, depth, placement, no_noise)
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


def placement_sentences(forecasts: Sequence[Forecast], rounds: int, epsilon: float, delta: float) -> list[str]:
    """Say which placement of the noise costs less at which depths.

    Args:
        forecasts: the forecasts of all depths.
        rounds: T.
        epsilon: the target ε of the forecasts.
        delta: δ.

    Returns:
        One sentence; no sentence without forecasts.
    """
    if not forecasts:
        return []
    begin = f"Placement of the noise (view {_VIEW}, ε = {epsilon:g}, δ = {delta:g}, forecast): "
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
