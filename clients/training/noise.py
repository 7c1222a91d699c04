"""Gaussian noise, repeatable for a study or drawn from the operating system for a release.

**Repeatable noise** is drawn at a `NoiseAddress`. It names what the run computes and what is forgotten, so that two
runs of one seed that differ in either draw independent noise: were it the same, the difference of their releases would
be that of the models without noise.

**Secret noise** is ±Φ⁻¹(U/2) with U uniform in (0, 1). A 64-bit word gives the sign and 63 bits of U. Where U is so
small that these hold fewer than 53 significant bits, once in 1,024 draws, another word continues it, and so on. U is
then a double with full relative precision however small it is: no value in the tail is cut off, or has a larger share
of the probability than its rounding gives it. `certificates.accounting.sampler` proves how far this is from an exact
Gaussian.

Sampling Gaussians in floating point has known weaknesses: Mironov (2012), "On significance of the least significant
bits for differential privacy"; Jin et al. (2022), "Are we there yet? Timing and floating-point attacks on differential
privacy systems". Neither source here defends against an adversary who reads the lowest bits of a released model.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from rewindnet.certificates.accounting.sampler import NoiseSource
from rewindnet.certificates.additions import BETWEEN_ROUNDS
from rewindnet.topologies.rng import Stream, rng_at

if TYPE_CHECKING:
    from torch import Tensor

    from rewindnet.clients.training.client_block import ClientBlock

#: The words of a draw, at most; a further one is needed with probability 2⁻⁹⁰⁶.
MOST_WORDS = 15
#: A whole number below this has fewer than 53 significant bits in common with the words that continue it.
_COARSE = np.uint64(1 << 53)

#: Rounds of one release that noise can be drawn for.
_ROUNDS = 10_000_000


@dataclass(frozen=True)
class NoiseAddress:
    """Where the noise of one release is drawn.

    Attributes:
        seed: the seed of the simulation.
        scenario: a digest of what the run computes.
        forget: a digest of the forget set that the release answers; empty for noise that is drawn before any request.
        release: the number of the release.
        source: `seed` draws at this address, so that a simulation repeats and a verifier can draw again; `os` takes
            fresh words from the operating system for every entry, which cannot be drawn again.
    """

    seed: int
    scenario: str
    forget: str
    release: int
    source: NoiseSource

    def before_requests(self) -> "NoiseAddress":
        """Return the address of noise that is drawn before any request, so that no forget set is part of it."""
        return replace(self, forget="")

    def rng(self, stream: Stream, round: int, node: int) -> np.random.Generator:
        """Return the generator of one draw, for noise from the seed.

        Args:
            stream: what the noise is for.
            round: the number of the draw, which contains that of the release.
            node: the node.
        """
        return rng_at(self.seed, stream, round, node, context=f"{self.scenario} {self.forget}")


def draw(size: int, address: NoiseAddress, node: int, stream: Stream = Stream.NOISE) -> NDArray[np.float64]:
    """Draw standard Gaussian noise [size] of one node for one release.

    Args:
        size: the number of entries.
        address: of the release.
        node: the node.
        stream: what the noise is for; audits of this sampler draw from a stream of their own.
    """
    if address.source == "seed":
        return address.rng(stream, address.release, node).standard_normal(size)
    return _secret(size)


def draw_in_round(size: int, address: NoiseAddress, round: int, node: int) -> NDArray[np.float64]:
    """Draw standard Gaussian noise [size] of one node in one round, for releases that add noise time and again.

    Args:
        size: the number of entries.
        address: of the release.
        round: the round.
        node: the node.

    Raises:
        ValueError: if the round is too late to have an address.
    """
    if not 0 <= round < _ROUNDS:
        raise ValueError(f"noise has addresses for {_ROUNDS:,} rounds, and this is round {round:,}")
    if address.source == "seed":
        return address.rng(Stream.ROUND_NOISE, address.release * _ROUNDS + round, node).standard_normal(size)
    return _secret(size)


def _secret(size: int) -> NDArray[np.float64]:
    """Return standard Gaussian noise [size] from the operating system."""
    return gaussian_from(lambda count: np.frombuffer(os.urandom(8 * count), dtype=np.uint64), size)


def gaussian_from(words: Callable[[int], NDArray[np.uint64]], size: int) -> NDArray[np.float64]:
    """Return standard Gaussian values [size] from uniform words, with full precision in the tails.

    Args:
        words: returns that many independent uniform 64-bit words; called at most `MOST_WORDS` times.
        size: how many values.
    """
    first = words(size)
    upper = first >> np.uint64(1)
    # U in (0, 1], rounded to nearest: all ones give 1, whose Φ⁻¹(U/2) is 0.
    uniform = _continued(upper, words, MOST_WORDS - 1) * 2.0**-63
    value: NDArray[np.float64] = ndtri(uniform / 2)
    np.negative(value, where=(first & np.uint64(1)) == 1, out=value)
    return value


def _continued(whole: NDArray[np.uint64], words: Callable[[int], NDArray[np.uint64]], left: int) -> NDArray[np.float64]:
    """Return whole + F, with F uniform in (0, 1) from further words where the rounded sum depends on it, else 1/2."""
    result = whole.astype(np.float64) + 0.5
    coarse = np.flatnonzero(whole < _COARSE)
    if left and coarse.size:
        result[coarse] = whole[coarse] + _continued(words(coarse.size), words, left - 1) * 2.0**-64
    return result


def noised(
    block: "ClientBlock",
    theta: "Tensor",
    sigma: Sequence[float] | Mapping[int, float],
    draw_for: Callable[[int], NDArray[np.float64]],
    round: int = BETWEEN_ROUNDS,
) -> "Tensor":
    """Return θ_i + σ_i·Z_i for every client of a block, which measures what it adds where its noise is audited.

    Args:
        block: the clients.
        theta: [b, d], left as it is.
        sigma: of every node; nothing is drawn where it is 0.
        draw_for: draws Z_i [d] for a node.
        round: the round in which the noise is added, if it is added in one.
    """
    import torch

    result = theta.clone()
    for row, node in enumerate(block.nodes):
        if sigma[node] > 0:
            result[row] += torch.from_numpy(draw_for(node) * sigma[node]).to(theta)
            if block.noise_meter is not None:
                block.noise_meter.added(round, node, theta[row], result[row])
    return result
