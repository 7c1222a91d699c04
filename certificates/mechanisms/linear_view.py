"""Exact linear accounting for noisy gossip in which gradients would not respond to the models that nodes receive.

Take the gradients as given. Then every message of Θ^{t+1} = W_t Y^t, Y^t = Θ^t − (g^t + Z^t), is a known vector plus a
linear combination A of the noises Z, and the forget set shifts the noises themselves, by Δ. A view is one Gaussian
whose exact distance from the view without the forget set is

    μ² = Δᵀ Aᵀ (A Aᵀ)⁺ A Δ,

with all of Δ along one direction. For a node that observes what it receives, its own noise is left out of A, because it
knows that noise. Messages share their noise, so summing (shift/deviation)² message by message would not be a bound on
this.

This μ is not a bound on the true one either: gradients do respond, also those of nodes from which no node in the view
receives, and Δ need not keep its direction. It is what a method's paper may claim; the proven bound is in
`mechanisms.absorption`.
"""

from math import inf, sqrt

import numpy as np
import scipy
from numpy.typing import NDArray

from rewindnet.certificates.network import Mixing

Matrix = NDArray[np.float64]

#: The largest number of multiplications for an exact computation, which take some seconds.
_MOST = 2e9


def received_weights(node: int, rounds: int, mixing: Mixing) -> Matrix:
    """Return the weights of all noises in every message that a node receives from others.

    Args:
        node: the observing node, whose own noise, which it knows, has weight 0.
        rounds: T.
        mixing: the mixing matrices of the network.

    Returns:
        A [messages, T·N]; the noise of node i in round t is in column t·N + i.
    """
    N, rows = mixing.nodes, []
    state = np.zeros((N, rounds * N))
    for t in range(rounds):
        W = mixing.matrix(t)
        state[np.arange(N), t * N + np.arange(N)] -= 1.0
        received_row = W[[node]]
        rows.append(state[[int(j) for j in received_row.indices[received_row.data != 0] if j != node]])
        state = W @ state
    weights = np.vstack(rows)
    weights[:, node::N] = 0.0
    return weights


def released_weights(rounds: int, mixing: Mixing) -> Matrix:
    """Return the weights of all noises in every node's final model.

    Args:
        rounds: T.
        mixing: the mixing matrices of the network.

    Returns:
        A [N, T·N]; the noise of node i in round t is in column t·N + i.
    """
    weights, product = [], np.eye(mixing.nodes)
    for t in reversed(range(rounds)):
        product = product @ mixing.matrix(t)
        weights.append(-product)
    return np.hstack(weights[::-1])


def is_affordable(view: str, node: int | None, rounds: int, mixing: Mixing) -> bool:
    """Return whether a view can be accounted for exactly in a few seconds.

    Args:
        view: the kind of the view.
        node: the node of the view; None for every single node.
        rounds: T.
        mixing: the mixing matrices of the network.
    """
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
    """Return μ of messages that are given linear combinations of the noise.

    Args:
        weights: A [messages, T·N].
        shifts: Δ [T, N], the shift of the value to which each node's noise is added.
        sigma: [T, N], the standard deviation of that noise.

    Returns:
        μ; infinite where a shifted value carries no noise.
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
    solution = scipy.linalg.lstsq(noise.T, ratio, cond=1e-12, lapack_driver="gelsy", check_finite=False)[0]
    return sqrt(float(np.sum((noise.T @ solution) ** 2)))
