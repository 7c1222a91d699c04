"""Rounding in learning with noise at every node: how large models become, and what rounding adds to a difference.

The algorithm and the units are those of `mechanisms.gossip_dp`.
"""

from math import log, sqrt

import numpy as np

from rewindnet.certificates.mechanisms.private_learning import UNLIKELY
from rewindnet.certificates.training import TrainingRun


def largest_norm(training: TrainingRun, clip: float, sigma: float) -> float:
    """Return a bound on every ‖θ_i‖ that occurs, except for noise with a probability of at most 1e-30.

    1. Unrolled, θ^t = P_0 θ⁰ − η Σ_s P_s (g^s + Z^s), where the rows of P_s sum to 1. So the noise in an entry of a
       model is Gaussian with variance at most η²σ²t.
    2. A standard Gaussian in d dimensions is longer than √d + √(2 ln(1/p)) with probability at most p.
    """
    arithmetic = training.arithmetic
    if arithmetic is None:
        return 0.0
    T, N, eta = training.rounds, training.mixing.nodes, training.step_size
    noise_norm = sqrt(arithmetic.parameters) + sqrt(2 * log(2 * N * T / UNLIKELY))
    if training.radius is not None:
        return (training.radius + eta * (clip + sigma * noise_norm)) * (1 + 1e-3)
    return (arithmetic.initial_norm + eta * (clip * T + sigma * sqrt(T) * noise_norm)) * (1 + 1e-3)


def rounding_at_one_point(training: TrainingRun, clip: float, sigma: float) -> float:
    """Return what rounding adds to the difference of the noised values of two runs at the same θ, divided by η.

    The terms of the samples that both runs have are computed identically, whatever their own rounding. What differs is
    how they are weighted and summed (n + C terms), clipped (d terms) and subtracted from θ. Where the l2 term is so
    large that its rounding would matter, clipping shrinks it along with the gradient.
    """
    arithmetic = training.arithmetic
    if arithmetic is None:
        return 0.0
    G, d = training.constants.G.value, arithmetic.parameters
    if not training.constants.known:
        # The clipped values of the two runs differ by at most the diameter of the ball, however they were rounded
        # before; what is left is the rounding of the clipping itself.
        G = clip
    summation = (int(training.samples.max(initial=0)) + arithmetic.outputs + 12) * G + (d + 16) * clip + 8 * (G + clip)
    subtraction = 4 * largest_norm(training, clip, sigma) / training.step_size + 4 * clip
    return 2 * arithmetic.unit_roundoff * (summation + subtraction)


def rounding_between_points(training: TrainingRun, clip: float, sigma: float) -> float:
    """Return what rounding adds in a round to the difference of two runs at different θ, divided by η.

    The analysis is that of `rounding.charges`.
    """
    arithmetic = training.arithmetic
    if arithmetic is None:
        return 0.0
    constants, eta, d = training.constants, training.step_size, arithmetic.parameters
    G, L, l2, M = constants.G.value, constants.L.value, constants.l2.value, largest_norm(training, clip, sigma)
    messages = max(int(np.diff(training.mixing.matrix(t).indptr).max()) for t in range(training.rounds))
    terms = (int(training.samples.max(initial=0)) + arithmetic.outputs + 10) * G
    step = terms + ((arithmetic.inputs + 4) * L + 4 * l2) * M + 4 * (G + l2 * M) + (d + 16) * clip
    model_error = (8 + d + messages + 6 + d + 8) * M / eta
    return 2 * arithmetic.unit_roundoff * (step + model_error)
