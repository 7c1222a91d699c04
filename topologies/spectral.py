"""The spectral gap of a mixing matrix, which determines how fast a topology mixes."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, sparse
from scipy.sparse import linalg as iterative

from rewindnet.topologies.errors import TopologyError
from rewindnet.topologies.mixing import is_symmetric
from rewindnet.topologies.rng import Stream, rng_at

#: Up to these numbers of nodes the gap is computed from all eigenvalues, above from an iteration.
DENSE_SYMMETRIC = 500
DENSE = 2000

_RESTARTS = 60
_BASIS = 32
#: The relative residuals of the iteration, tried in turn until the gap is 10⁴ times its possible error.
_PRECISIONS = (1e-6, 1e-10)


def spectral_gap(W: sparse.csr_array) -> float:
    """Return 1 − max(|λ₂|, |λ_N|), the share of disagreement that a round of mixing removes asymptotically.

    W has the eigenvector 1, because its rows sum to 1. Subtracting 11ᵀ/N removes this eigenvalue alone, whether W is
    symmetric or not (Wielandt deflation). So the gap is 1 − the spectral radius of W − 11ᵀ/N.

    Args:
        W: a mixing matrix [N, N]; rows sum to 1.

    Returns:
        The gap, in [0, 1]; 1 for a single node, 0 for a network of several components.

    Raises:
        TopologyError: if W is too large to compute all eigenvalues and the iteration does not converge.
    """
    nodes = W.shape[0]
    if nodes == 1:
        return 1.0
    symmetric = is_symmetric(W)
    if nodes <= (DENSE_SYMMETRIC if symmetric else DENSE):
        deflated = W.toarray() - 1 / nodes
        spectrum = linalg.eigvalsh(deflated) if symmetric else linalg.eigvals(deflated)
        return _gap(float(np.abs(spectrum).max()))
    try:
        return _gap(_symmetric_radius(W) if symmetric else _general_radius(W))
    except iterative.ArpackError as error:
        raise TopologyError(
            f"the spectral gap of this mixing matrix of {nodes} nodes could not be computed: {error}"
        ) from error


def _gap(radius: float) -> float:
    """Return 1 − radius, limited to [0, 1]."""
    return min(1.0, max(0.0, 1 - radius))


def _start(nodes: int) -> NDArray[np.float64]:
    """Return a fixed vector [N], orthogonal to 1, in general position to the eigenvectors."""
    vector = rng_at(0, Stream.GRAPH).standard_normal(nodes)
    return np.asarray(vector - vector.mean())


def _deflated(W: sparse.csr_array) -> Any:
    """Return W − 11ᵀ/N as a linear operator."""

    def apply(vector: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(W @ vector - vector.mean())

    operator: Any = iterative.LinearOperator
    return operator(W.shape, matvec=apply, dtype=np.float64)


def _vanishes(W: sparse.csr_array) -> bool:
    """Return whether W is 11ᵀ/N up to rounding, so that there is nothing to iterate on."""
    start = _start(W.shape[0])
    return bool(linalg.norm(_deflated(W) @ start) < 1e-12 * linalg.norm(start))


def _symmetric_radius(W: sparse.csr_array) -> float:
    """Return the spectral radius of W − 11ᵀ/N for a symmetric W.

    Lanczos iteration converges quickly where W mixes quickly. A W that mixes slowly is usually sparse, and inverse
    iteration, which factorises it, is then cheap.
    """
    if _vanishes(W):
        return 0.0
    options = {"v0": _start(W.shape[0]), "ncv": _BASIS, "maxiter": _RESTARTS, "return_eigenvectors": False}
    try:
        for precision in _PRECISIONS:
            radius = float(abs(iterative.eigsh(_deflated(W), k=1, which="LM", tol=precision, **options)[0]))
            if 1 - radius > 1e4 * precision:
                return radius
    except iterative.ArpackNoConvergence:
        pass
    return _inverted_radius(W)


def _inverted_radius(W: sparse.csr_array) -> float:
    """Return the same by inverse iteration around the two ends of the spectrum."""
    nodes = W.shape[0]
    options = {"v0": rng_at(0, Stream.GRAPH).standard_normal(nodes), "return_eigenvectors": False}
    matrix = W.tocsc()
    second = float(iterative.eigsh(matrix, k=2, sigma=1 + nodes**-2.0, **options).min())
    # By Gershgorin no eigenvalue lies below this; in most cases this makes λ₂ the larger of the two.
    floor = 2 * float(W.diagonal().min()) - 1
    if floor >= -second:
        return second
    smallest = float(iterative.eigsh(matrix, k=1, sigma=floor - nodes**-2.0, **options)[0])
    return max(second, -smallest)


def _general_radius(W: sparse.csr_array) -> float:
    """Return the spectral radius of W − 11ᵀ/N by Arnoldi iteration, for a W that is not symmetric."""
    if _vanishes(W):
        return 0.0
    eigenvalues = iterative.eigs(
        _deflated(W), k=1, which="LM", v0=_start(W.shape[0]), tol=_PRECISIONS[-1], return_eigenvectors=False
    )
    return float(np.abs(eigenvalues).max())
