"""Rounding on a walk with noise at every hop: how large the token becomes, and what rounding adds to a difference.

The algorithm and the units are those of `mechanisms.walk_dp`.
"""

from math import log, sqrt

from rewindnet.certificates.errors import CertificateError
from rewindnet.certificates.mechanisms.private_learning import UNLIKELY
from rewindnet.certificates.training import TrainingRun


def largest_norm(training: TrainingRun, hops: int, clip: float | None, step_size: float, sigma: float) -> float:
    """Return a bound on every ‖x‖ that occurs, except for noise with a probability of at most 1e-30."""
    arithmetic = training.arithmetic
    if arithmetic is None:
        return 0.0
    noise_norm = sqrt(arithmetic.parameters) + sqrt(2 * log(2 * hops / UNLIKELY))
    single_noise, total_noise = step_size * sigma * noise_norm, step_size * sigma * sqrt(hops) * noise_norm
    if step_size * training.constants.l2.value > 2:
        raise CertificateError(f"step_size {step_size:g} is so large that regularisation alone lets a token explode")
    start, step = arithmetic.initial_norm, step_size * _largest_step(training, clip)
    if training.radius is not None:
        # The regulariser of a step that is not clipped does not increase the norm of the token.
        return (training.radius + step + single_noise) * (1 + 1e-3)
    return (start + step * hops + total_noise + single_noise) * (1 + 1e-3)


def _largest_step(training: TrainingRun, clip: float | None) -> float:
    """Return the largest change of the token by a gradient, divided by η; without a clip, by that of the loss alone."""
    return training.constants.G.value if clip is None else clip


def rounding_at_one_point(
    training: TrainingRun, hops: int, clip: float | None, step_size: float, sigma: float
) -> float:
    """Return what rounding adds to the difference of two gradients at the same θ, computed in double precision."""
    if training.arithmetic is None:
        return 0.0
    norm = largest_norm(training, hops, clip, step_size, sigma)
    constants, d = training.constants, training.arithmetic.parameters
    size = constants.G.value + _largest_step(training, clip)
    terms = (int(training.samples.max(initial=0)) + d + 32) * size
    return 2.0**-50 * (terms + constants.l2.value * norm)


def rounding_between_points(
    training: TrainingRun, hops: int, clip: float | None, step_size: float, sigma: float
) -> float:
    """Return what rounding adds in a hop to the difference of two runs at different x, divided by η."""
    arithmetic = training.arithmetic
    if arithmetic is None:
        return 0.0
    constants, d = training.constants, arithmetic.parameters
    G, L, l2 = constants.G.value, constants.L.value, constants.l2.value
    M = largest_norm(training, hops, clip, step_size, sigma)
    terms = (int(training.samples.max(initial=0)) + arithmetic.outputs + 10) * G
    clipping = (d + 16) * _largest_step(training, clip)
    step = terms + ((arithmetic.inputs + 4) * L + 4 * l2) * M + 4 * (G + l2 * M) + clipping
    # Gradients are computed in double precision; the features and the stored token have the precision of the network.
    return 2 * arithmetic.unit_roundoff * (step + (16 + d) * M / step_size)
