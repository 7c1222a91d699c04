"""Forecast how much of a release's noise remains in the released models, from the network and the curvature alone.

With placement output the noise stays as it is unless gossip rounds follow. With placement rewind it goes through the
rounds of descent on retained data: mixing averages it over the network, and descent contracts it.

A forecast is not a certificate: no ε depends on it.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from rewindnet.certificates.errors import CertificateError
from rewindnet.certificates.healing import settle_weights
from rewindnet.certificates.network import Vector
from rewindnet.certificates.release import Release
from rewindnet.certificates.training import TrainingRun

#: The mixing is followed exactly up to this number of multiplications; beyond it, the result is estimated.
_MOST_PRODUCTS = 5_000_000_000

#: The number of columns that are mixed at a time, and the number of random sign vectors where the result is estimated.
_AT_ONCE, _PROBES = 256, 512

#: How many times the noise that the most gossip rounds leave is little enough.
_ENOUGH = 1.2

#: The largest number of eigenvalues that are followed separately where mixing and descent do not factor.
_CURVATURES = 16


@dataclass(frozen=True)
class Spectrum:
    """The spectrum of the Hessian of the network's mean objective.

    Attributes:
        eigenvalues: [k], the eigenvalues.
        directions: [k], the number of the d directions that have each eigenvalue.

    Raises:
        CertificateError: if the shapes differ, or a number is out of range.
    """

    eigenvalues: Vector
    directions: Vector

    def __post_init__(self) -> None:
        """Refuse arrays that are not a spectrum."""
        for name in ("eigenvalues", "directions"):
            object.__setattr__(self, name, np.atleast_1d(np.asarray(getattr(self, name), dtype=np.float64)))
        if self.eigenvalues.shape != self.directions.shape or self.eigenvalues.ndim != 1 or not self.eigenvalues.size:
            raise CertificateError("a spectrum has at least one eigenvalue, and for each the number of its directions")
        if not np.all(np.isfinite(self.eigenvalues)) or not np.all(self.directions > 0):
            raise CertificateError("the eigenvalues of a spectrum are finite, and each has more than 0 directions")

    def thinned(self, most: int) -> "Spectrum":
        """Return a spectrum of at most `most` eigenvalues: those close on a log scale are replaced by their mean.

        Args:
            most: the largest number of eigenvalues.
        """
        if self.eigenvalues.size <= most:
            return self
        size = np.log(np.maximum(np.abs(self.eigenvalues), 1e-6 * np.abs(self.eigenvalues).max() + 1e-300))
        negative = self.eigenvalues < 0
        edges = np.linspace(size.min(), size.max(), (most // 2 if negative.any() else most) + 1)[1:-1]
        _, group = np.unique(2 * np.digitize(size, edges) + negative, return_inverse=True)
        directions: Vector = np.bincount(group, self.directions).astype(np.float64)
        return Spectrum(np.bincount(group, self.directions * self.eigenvalues) / directions, directions)


def noise_left(training: TrainingRun, release: Release, spectrum: Spectrum) -> Vector:
    """Return the root mean square per parameter [N] of what the noise has changed in every released model.

    The result is √(E‖ξ_i‖²/d) for every node i, with ξ_i the change of its model by the noise; compare it with σ. It is
    computed to first order.

    1. With one Hessian H for all nodes, ξ⁺ = W·(I − ηH)^E·ξ in a round, or ξ⁺ = (W − I + (I − ηH)^E)·ξ with the order
       consensus-plus-gradient. So in a direction of curvature λ, ξ is multiplied by a product P_λ of N × N matrices
       over the realised rounds, and

        E‖ξ_i‖²/d = mean over directions of Σ_j (P_λ)_ij²·σ_j².

    2. In the first two orders, P_λ = (1 − ηλ)^(EK)·P with P the product of the mixing matrices: averaging, Σ_j
       P_ij²σ_j², times contraction by the descent. Gossip rounds only average.
    3. The sum over j is exact up to a size of the problem. Beyond it, it is estimated by the mean over random sign
       vectors z of (P·(σ∘z))_i², which is unbiased with a standard error of at most 3 % of the result. The sign vectors
       are always the same.

    The forecast ignores that the clients' curvatures differ from the mean and that the Hessian changes during learning.
    `rewindnet.clients.training.curvature` computes a spectrum.

    Args:
        training: how the network descends.
        release: where the noise is added and how large it is; `sigma` [N].
        spectrum: the spectrum of the network's mean objective.

    Raises:
        CertificateError: if sigma does not have one entry for each node.
    """
    spectrum, variance = _forecast(training, release, spectrum)
    return np.asarray(np.sqrt(variance @ (spectrum.directions / spectrum.directions.sum())))


def excess_loss(training: TrainingRun, release: Release, spectrum: Spectrum) -> Vector:
    """Return the expected increase [N] of every released model's loss on the network's data due to the noise.

    It is ½·Σ over directions of λ·E ξ_i², to second order, with ξ as in `noise_left`. Directions of high curvature
    increase the loss most, and in them descent also reduces the noise most.

    Args:
        training: how the network descends.
        release: where the noise is added and how large it is; `sigma` [N].
        spectrum: the spectrum of the network's mean objective.

    Raises:
        CertificateError: if sigma does not have one entry for each node.
    """
    spectrum, variance = _forecast(training, release, spectrum)
    return np.asarray(variance @ (spectrum.directions * spectrum.eigenvalues) / 2)


def settle_rounds(training: TrainingRun, release: Release, most: int) -> int:
    """Return how many gossip rounds before the descent are enough, by the noise that the network leaves at its nodes.

    They are the fewest after which the noise at the node that has the most of it is at most 1.2 times what `most`
    rounds leave there. This depends on the noise, the matrices and the rounds, and on no data.

    Args:
        training: the network.
        release: where the noise is added, how large it is, and how gossip is accelerated.
        most: the largest number of rounds.
    """
    left = noise_while_settling(training, release, most)
    return int(np.argmax(left <= _ENOUGH * left[-1]))


def noise_while_settling(training: TrainingRun, release: Release, most: int) -> Vector:
    """Return σ of the noise that is left [most + 1] at the node with the most of it, after 0 to `most` gossip rounds.

    Args:
        training: the network.
        release: where the noise is added, how large it is, and how gossip is accelerated.
        most: the largest number of rounds.
    """
    N, start = training.mixing.nodes, release.noise_round
    matrices = [training.mixing.matrix(t) for t in range(start, start + most)]
    total = np.zeros((most + 1, N))
    for x, weight in _starts(release.sigma, sum(W.nnz + N for W in matrices), _AT_ONCE):
        total[0] += weight * np.square(x).sum(axis=1)
        before = x
        for at, (W, of_round) in enumerate(zip(matrices, settle_weights(release.healing.spectrum), strict=False), 1):
            before, x = x, of_round * (W @ x) + (1 - of_round) * before
            total[at] += weight * np.square(x).sum(axis=1)
    return np.asarray(np.sqrt(total.max(axis=1)))


def _forecast(training: TrainingRun, release: Release, spectrum: Spectrum) -> tuple[Spectrum, Vector]:
    """Return a spectrum of k eigenvalues, possibly fewer than given, and E ξ_i² [N, k] in a direction of each."""
    N = training.mixing.nodes
    if np.shape(release.sigma) != (N,):
        raise CertificateError(f"sigma must have one entry for each of {N} nodes")
    if release.averaged:
        return spectrum, np.tile(release.sigma[:, None] ** 2, spectrum.eigenvalues.size)
    if release.placement == "output":
        return spectrum, np.tile(_mixed(training, release, np.zeros(1)), spectrum.eigenvalues.size)
    start = release.checkpoint_round
    if training.order == "consensus-plus-gradient":
        spectrum = spectrum.thinned(_CURVATURES)
        return spectrum, _mixed(training, release, 1 - _healed(training, spectrum, range(start, start + 1)))
    return spectrum, _mixed(training, release, np.zeros(1)) * _healed(training, spectrum, release.descent) ** 2


def _healed(training: TrainingRun, spectrum: Spectrum, rounds: range) -> Vector:
    """Return the factor [k] of rounds of descent on ξ in a direction of each curvature: (1 − ηλ)^(E·rounds)."""
    sizes = [training.step_size_at(t) for t in rounds] if training.step_sizes else [training.step_size]
    repeated = 1 if training.step_sizes else len(rounds)
    with np.errstate(over="ignore", under="ignore"):
        factors = [(1 - size * spectrum.eigenvalues) ** (training.local_steps * repeated) for size in sizes]
        return np.asarray(np.prod(factors, axis=0))


def _mixed(training: TrainingRun, release: Release, pulled: Vector) -> NDArray[np.float64]:
    """Return Σ_j (P_ij·σ_j)² [N, k], with P the product of the matrices that mix the noise.

    P is the product over the rounds after the noise of W_t − a·I for rounds that descend and W_t for gossip rounds.

    Args:
        training: the network.
        release: which rounds follow the noise.
        pulled: [k], the values of a, with one product P for each.
    """
    N, k = training.mixing.nodes, pulled.size
    rounds = list(_rounds(training, release))
    total = np.zeros((N, k))
    products, width = k * sum(W.nnz + N for W, *_ in rounds), max(1, _AT_ONCE // k)
    for start, weight in _starts(release.sigma, products, width):
        x, a = np.tile(start, k), np.repeat(pulled, start.shape[1])
        before = x
        for W, descends, weight_of_round in rounds:
            mixed = W @ x - a * x if descends and a.any() else W @ x
            before, x = x, mixed if weight_of_round == 1 else weight_of_round * mixed + (1 - weight_of_round) * before
        total += weight * np.square(x).reshape(N, k, -1).sum(axis=2)
    return total


def _rounds(training: TrainingRun, release: Release) -> Iterator[tuple[csr_array, bool, float]]:
    """Yield the mixing matrix of each round after the noise, whether the round also descends, and its weight."""
    for t, weight in zip(release.settling, settle_weights(release.healing.spectrum), strict=False):
        yield training.mixing.matrix(t), False, weight
    for t in range(release.settling.stop, release.gossip.stop):
        yield training.mixing.matrix(t), release.placement == "rewind" and t in release.descent, 1.0


def _starts(sigma: Vector, products: int, width: int) -> Iterator[tuple[NDArray[np.float64], float]]:
    """Yield the noise to mix, [N, at most `width`] at a time, and the weight of the squares of the mixed columns.

    Args:
        sigma: [N], the noise of every node.
        products: the number of multiplications for one column.
        width: the number of columns at a time.
    """
    noisy, N = np.flatnonzero(sigma), len(sigma)
    if noisy.size * products <= _MOST_PRODUCTS:
        for first in range(0, noisy.size, width):
            part = noisy[first : first + width]
            start = np.zeros((N, part.size))
            start[part, np.arange(part.size)] = sigma[part]
            yield start, 1.0
        return
    generator = np.random.default_rng(0)
    for first in range(0, _PROBES, width):
        signs = generator.choice([-1.0, 1.0], (N, min(width, _PROBES - first)))
        yield sigma[:, None] * signs, 1 / _PROBES
