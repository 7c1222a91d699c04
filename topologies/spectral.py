"""The spectral gap: how fast a topology mixes."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, sparse
from scipy.sparse import linalg as iterative

from rewindnet.topologies.errors import TopologyError
from rewindnet.topologies.mixing import is_symmetric
from rewindnet.topologies.rng import Stream, rng_at

DENSE_SYMMETRIC = 500
DENSE = 2000
"""Up to so many nodes the gap comes from all eigenvalues, above from an iteration."""

_RESTARTS = 60
_BASIS = 32
_PRECISIONS = (1e-6, 1e-10)
"""Relative residuals of the iteration, tried in turn until the gap is 10⁴ times its possible error."""


def spectral_gap(W: sparse.csr_array) -> float:
    """1 − max(|λ₂|, |λ_N|): the share of disagreement that a round of mixing removes, in the long run.

    W has the eigenvector 1 (its rows sum to 1), and taking 11ᵀ/N away removes this eigenvalue alone, whether
    W is symmetric or not (Wielandt deflation); so this is 1 − the spectral radius of W − 11ᵀ/N.

    Args:
        W: a mixing matrix [N, N]; rows sum to 1.

    Returns:
        The gap, in [0, 1]; 1 for a single node, 0 for a network in which some never hear of each other.

    Raises:
        TopologyError: if W is too large for all eigenvalues and the iteration does not converge.
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
    return min(1.0, max(0.0, 1 - radius))


def _start(nodes: int) -> NDArray[np.float64]:
    """A fixed vector [N] orthogonal to 1, at no special position to any eigenvector."""
    vector = rng_at(0, Stream.GRAPH).standard_normal(nodes)
    return np.asarray(vector - vector.mean())


def _deflated(W: sparse.csr_array) -> Any:
    def apply(vector: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(W @ vector - vector.mean())

    operator: Any = iterative.LinearOperator
    return operator(W.shape, matvec=apply, dtype=np.float64)


def _vanishes(W: sparse.csr_array) -> bool:
    """Whether W is 11ᵀ/N to rounding; there is nothing to iterate on then."""
    start = _start(W.shape[0])
    return bool(linalg.norm(_deflated(W) @ start) < 1e-12 * linalg.norm(start))


def _symmetric_radius(W: sparse.csr_array) -> float:
    """Lanczos, quick on what mixes well; what mixes slowly is thin as a rule, and cheap to factorise."""
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
    """The same by inverse iteration around the two ends of the spectrum."""
    nodes = W.shape[0]
    options = {"v0": rng_at(0, Stream.GRAPH).standard_normal(nodes), "return_eigenvectors": False}
    matrix = W.tocsc()
    second = float(iterative.eigsh(matrix, k=2, sigma=1 + nodes**-2.0, **options).min())
    # Gershgorin: no eigenvalue lies below this, which most often makes λ₂ the one that counts.
    floor = 2 * float(W.diagonal().min()) - 1
    if floor >= -second:
        return second
    last = float(iterative.eigsh(matrix, k=1, sigma=floor - nodes**-2.0, **options)[0])
    return max(second, -last)


def _general_radius(W: sparse.csr_array) -> float:
    """Arnoldi, for a W that is not symmetric."""
    if _vanishes(W):
        return 0.0
    found = iterative.eigs(
        _deflated(W), k=1, which="LM", v0=_start(W.shape[0]), tol=_PRECISIONS[-1], return_eigenvectors=False
    )
    return float(np.abs(found).max())
