"""What a view of noisy gossip would tell if gradients did not respond to what is heard: exact linear accounting.

With the gradients taken as given, every message of Θ^{t+1} = W_t Y^t, Y^t = Θ^t − (g^t + Z^t) is a known vector plus a
linear combination A of the noises Z, and the forget set shifts the noises themselves, by Δ. A view is then one
Gaussian, exactly

    μ² = Δᵀ Aᵀ (A Aᵀ)⁺ A Δ

apart from what it would be otherwise, with all of Δ along one direction, and for a node that looks at what it receives
its own noise left out of A, because it knows it. Messages share their noise, so that adding up (shift/deviation)²
message by message is no bound on this.

Neither is this itself a bound on the truth: gradients do respond, also those of nodes that nobody in the view hears,
and Δ need not keep its direction. It is what a method's paper may claim; `mechanisms.absorption` is what holds.
"""

from math import inf, sqrt

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import lstsq

from rewindnet.certificates.training import Mixing

Matrix = NDArray[np.float64]

#: Multiplications: some seconds.
_MOST = 2e9


def received(node: int, rounds: int, mixing: Mixing) -> Matrix:
    """A [messages, T·N]: what noise (t, i), in column t·N + i, weighs in every message that a node hears from others.

    The node's own noise, which it knows, weighs nothing.
    """
    N, rows = mixing.nodes, []
    state = np.zeros((N, rounds * N))
    for t in range(rounds):
        W = mixing.matrix(t)
        state[np.arange(N), t * N + np.arange(N)] -= 1.0
        heard = W[[node]]
        rows.append(state[[int(j) for j in heard.indices[heard.data != 0] if j != node]])
        state = W @ state
    weights = np.vstack(rows)
    weights[:, node::N] = 0.0
    return weights


def released(rounds: int, mixing: Mixing) -> Matrix:
    """A [N, T·N], what noise (t, i), in column t·N + i, weighs in every node's last model."""
    weights, back = [], np.eye(mixing.nodes)
    for t in reversed(range(rounds)):
        back = back @ mixing.matrix(t)
        weights.append(-back)
    return np.hstack(weights[::-1])


def affordable(view: str, node: int | None, rounds: int, mixing: Mixing) -> bool:
    """Whether the view of a kind, of one node or of each, can be accounted for exactly in a few seconds."""
    N, columns = mixing.nodes, rounds * mixing.nodes
    if N * columns > 2e7:
        return False
    if view == "node":
        return N * columns * N <= _MOST
    if view != "transcript":
        return columns * N * N <= _MOST
    messages = rounds * max(int(np.diff(mixing.matrix(t).indptr).max()) for t in range(rounds))
    return columns * messages * messages * (N if node is None else 1) <= _MOST


def linear_mu(weights: Matrix, shifts: Matrix, sigma: Matrix) -> float:
    """μ of messages that are these combinations of noise.

    Args:
        weights: A [messages, T·N].
        shifts: Δ [T, N], of what each node's noise is added to.
        sigma: [T, N], the deviation of that noise.

    Returns:
        infinite where a shift carries no noise.
    """
    noisy = sigma.ravel() > 0
    if np.any(weights[:, (shifts.ravel() > 0) & ~noisy] != 0):
        return inf
    noise = weights[:, noisy] * sigma.ravel()[noisy]
    ratio = shifts.ravel()[noisy] / sigma.ravel()[noisy]
    if not np.any(noise @ ratio):
        return 0.0
    if len(noise) == 1:
        return abs(float(noise[0] @ ratio)) / float(np.linalg.norm(noise))
    solution = lstsq(noise.T, ratio, cond=1e-12, lapack_driver="gelsy", check_finite=False)[0]
    return sqrt(float(np.sum((noise.T @ solution) ** 2)))
