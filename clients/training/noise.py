"""Gaussian noise, repeatable for a study or drawn from the operating system for a release.

Sampling Gaussians in floating point has known weaknesses: Mironov (2012), "On significance of the least significant
bits for differential privacy"; Jin et al. (2022), "Are we there yet? Timing and floating-point attacks on differential
privacy systems". Neither source here defends against an adversary who reads the lowest bits of a released model.
"""

import os
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import ndtri
from torch import Tensor

from rewindnet.certificates.additions import BETWEEN_ROUNDS
from rewindnet.certificates.release import NoiseSource
from rewindnet.clients.training.client_block import ClientBlock
from rewindnet.topologies.rng import Stream, rng_at

#: Rounds of one release that noise can be drawn for.
_ROUNDS = 10_000_000


def draw(
    size: int, seed: int, release: int, node: int, source: NoiseSource, stream: Stream = Stream.NOISE
) -> NDArray[np.float64]:
    """Draw standard Gaussian noise [size] of one node for one release.

    Args:
        size: the number of entries.
        seed: the seed of the simulation.
        release: the number of the release.
        node: the node.
        source: `seed` draws at an address, so that a simulation repeats and a verifier can draw again; `os` takes 52
            fresh bits from the operating system for every entry, which cannot be drawn again.
        stream: what the noise is for; audits of this sampler draw from a stream of their own.
    """
    if source == "seed":
        return rng_at(seed, stream, round=release, node=node).standard_normal(size)
    return _secret(size)


def draw_in_round(
    size: int, seed: int, release: int, round: int, node: int, source: NoiseSource
) -> NDArray[np.float64]:
    """Draw standard Gaussian noise [size] of one node in one round, for releases that add noise time and again.

    Raises:
        ValueError: if the round is too late to have an address.
    """
    if not 0 <= round < _ROUNDS:
        raise ValueError(f"noise has addresses for {_ROUNDS:,} rounds, and this is round {round:,}")
    if source == "seed":
        return rng_at(seed, Stream.ROUND_NOISE, round=release * _ROUNDS + round, node=node).standard_normal(size)
    return _secret(size)


def _secret(size: int) -> NDArray[np.float64]:
    bits = np.frombuffer(os.urandom(8 * size), dtype=np.uint64) >> np.uint64(12)
    result: NDArray[np.float64] = ndtri((bits.astype(np.float64) + 0.5) / 2.0**52)
    return result


def noised(
    block: ClientBlock,
    theta: Tensor,
    sigma: Sequence[float] | Mapping[int, float],
    draw_for: Callable[[int], NDArray[np.float64]],
    round: int = BETWEEN_ROUNDS,
) -> Tensor:
    """Return θ_i + σ_i·Z_i for every client of a block, which measures what it adds where its noise is audited.

    Args:
        block: the clients.
        theta: [b, d], left as it is.
        sigma: of every node; nothing is drawn where it is 0.
        draw_for: draws Z_i [d] for a node.
        round: the round in which the noise is added, if it is added in one.
    """
    result = theta.clone()
    for row, node in enumerate(block.nodes):
        if sigma[node] > 0:
            result[row] += torch.from_numpy(draw_for(node) * sigma[node]).to(theta)
            if block.noise_meter is not None:
                block.noise_meter.added(round, node, theta[row], result[row])
    return result
