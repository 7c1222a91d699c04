"""What will be left of the noise: a forecast from the network and the curvature, before anything is run.

Noise on the result stays as it is, unless gossip follows. Noise on the rewound checkpoint goes through the rounds that
descend on retained data: neighbours average it, and descent pulls every model back to where it was going.

A forecast is no certificate: no ε depends on it.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from rewindnet.certificates.errors import CertificateError
from rewindnet.certificates.release import Release
from rewindnet.certificates.training import TrainingRun, Vector

#: Up to so many products of a weight and a number the forecast is exact in the mixing; beyond, it is estimated.
_MOST_PRODUCTS = 5_000_000_000

#: How many numbers a node follows at a time, and how many signs are drawn where the forecast is estimated.
_AT_ONCE, _PROBES = 256, 512

#: How many curvatures are followed one by one, at most, where averaging and descent do not factor.
_CURVATURES = 16


@dataclass(frozen=True)
class Spectrum:
    """The curvature of the network's mean objective, direction by direction.

    Attributes:
        eigenvalues: [k], of its Hessian.
        directions: [k], how many of the d directions have each.
    """

    eigenvalues: Vector
    directions: Vector

    def __post_init__(self) -> None:
        """Refuse what is no spectrum."""
        for name in ("eigenvalues", "directions"):
            object.__setattr__(self, name, np.atleast_1d(np.asarray(getattr(self, name), dtype=np.float64)))
        if self.eigenvalues.shape != self.directions.shape or self.eigenvalues.ndim != 1 or not self.eigenvalues.size:
            raise CertificateError("a spectrum has some eigenvalues, and for each the number of its directions")
        if not np.all(np.isfinite(self.eigenvalues)) or not np.all(self.directions > 0):
            raise CertificateError("the eigenvalues of a spectrum are numbers, and each has one direction or more")

    def thinned(self, most: int) -> "Spectrum":
        """At most so many eigenvalues: those near each other, on a logarithmic scale, become their mean."""
        if self.eigenvalues.size <= most:
            return self
        size = np.log(np.maximum(np.abs(self.eigenvalues), 1e-6 * np.abs(self.eigenvalues).max() + 1e-300))
        negative = self.eigenvalues < 0
        edges = np.linspace(size.min(), size.max(), (most // 2 if negative.any() else most) + 1)[1:-1]
        _, group = np.unique(2 * np.digitize(size, edges) + negative, return_inverse=True)
        directions: Vector = np.bincount(group, self.directions).astype(np.float64)
        return Spectrum(np.bincount(group, self.directions * self.eigenvalues) / directions, directions)


def noise_left(training: TrainingRun, release: Release, spectrum: Spectrum) -> Vector:
    """[N], the size of what the noise of a release has become in every released model, to be compared with σ.

    That is the root of E‖what the noise changes‖²/d, for every node. Linearise: with one Hessian H for all nodes, what
    noise has changed obeys ξ⁺ = W·(I − ηH)^E·ξ, or ξ⁺ = (W − I + (I − ηH)^E)·ξ with the order
    consensus-plus-gradient, so in a direction of curvature λ it is multiplied by a product P_λ of N × N matrices over
    the realised rounds, and

        E‖ξ_i‖²/d = mean over directions of Σ_j (P_λ)_ij²·σ_j²

    In the first two orders P_λ = (1 − ηλ)^(EK)·P with P the product of the mixing matrices: averaging (Σ_j P_ij²σ_j²)
    times healing. Rounds of settling only average. The sum over j is exact up to a size, and beyond it a mean over
    random signs z of (P·(σ∘z))_i², unbiased, with a standard error of at most 3 % of the result; the signs are always
    the same.

    What it leaves out: clients whose curvature differs from the mean, and that the Hessian changes while the network
    learns. `rewindnet.clients.training.curvature` makes a spectrum.

    Args:
        training: how the network descends.
        release: where the noise is and how large; `sigma` [N].
        spectrum: of the network's mean objective.

    Raises:
        CertificateError: if sigma has not one entry a node.
    """
    spectrum, variance = _forecast(training, release, spectrum)
    return np.asarray(np.sqrt(variance @ (spectrum.directions / spectrum.directions.sum())))


def excess_loss(training: TrainingRun, release: Release, spectrum: Spectrum) -> Vector:
    """[N], by how much the noise of a release raises every released model's loss on the network's data, on average.

    ½·Σ over directions of λ·E ξ_i², to second order, with ξ as in `noise_left`: noise hurts where the loss curves, and
    that is where descent heals it.

    Raises:
        CertificateError: if sigma has not one entry a node.
    """
    spectrum, variance = _forecast(training, release, spectrum)
    return np.asarray(variance @ (spectrum.directions * spectrum.eigenvalues) / 2)


def _forecast(training: TrainingRun, release: Release, spectrum: Spectrum) -> tuple[Spectrum, Vector]:
    """A spectrum of k eigenvalues, perhaps fewer than given, and E ξ_i² [N, k] in a direction of each."""
    N = training.mixing.nodes
    if np.shape(release.sigma) != (N,):
        raise CertificateError(f"sigma must have one entry for each of {N} nodes")
    if release.averaged:
        return spectrum, np.tile(release.sigma[:, None] ** 2, spectrum.eigenvalues.size)
    if release.placement == "output":
        return spectrum, np.tile(_mixed(training, release, np.zeros(1)), spectrum.eigenvalues.size)
    if training.order == "consensus-plus-gradient":
        spectrum = spectrum.thinned(_CURVATURES)
        return spectrum, _mixed(training, release, 1 - _healed(training, spectrum, 1))
    return spectrum, _mixed(training, release, np.zeros(1)) * _healed(training, spectrum, release.descent_rounds) ** 2


def _healed(training: TrainingRun, spectrum: Spectrum, rounds: int) -> Vector:
    """[k], what rounds of descent leave of a disturbance in a direction of each curvature: (1 − ηλ)^(E·rounds)."""
    with np.errstate(over="ignore", under="ignore"):
        return np.asarray((1 - training.step_size * spectrum.eigenvalues) ** (training.local_steps * rounds))


def _mixed(training: TrainingRun, release: Release, pulled: Vector) -> NDArray[np.float64]:
    """[N, k], Σ_j (P_ij·σ_j)² with P the product of W_t − a·I over the descent after the noise, and of W_t settling.

    Args:
        training: the network.
        release: which rounds follow the noise.
        pulled: [k], the a: one product for each.
    """
    N, k = training.mixing.nodes, pulled.size
    rounds = list(_rounds(training, release))
    total = np.zeros((N, k))
    products, width = k * sum(W.nnz + N for W, _ in rounds), max(1, _AT_ONCE // k)
    for start, weight in _starts(release.sigma, products, width):
        x, a = np.tile(start, k), np.repeat(pulled, start.shape[1])
        for W, descends in rounds:
            x = W @ x - a * x if descends and a.any() else W @ x
        total += weight * np.square(x).reshape(N, k, -1).sum(axis=2)
    return total


def _rounds(training: TrainingRun, release: Release) -> Iterator[tuple[csr_array, bool]]:
    """The mixing matrices of the rounds after the noise, and whether the round descends as well."""
    ends = release.checkpoint_round + release.descent_rounds
    for t in range(release.noise_round, ends + release.gossip_rounds):
        yield training.mixing.matrix(t), t < ends


def _starts(sigma: Vector, products: int, width: int) -> Iterator[tuple[NDArray[np.float64], float]]:
    """Noise to follow, [N, at most `width`] at a time, and the weight of the squares of what becomes of it.

    Args:
        sigma: [N], the noise of every node.
        products: what following a column takes.
        width: columns to follow together.
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
