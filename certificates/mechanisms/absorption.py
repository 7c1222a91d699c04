"""Shifted interpolation on a network: the least noise that hides a disturbance while it spreads along the edges.

**Setting.** Every node adds Gaussian noise of its own in every round. Let y_i^t be the messages of a run on D, and
y'_i^t those of a run on the retained data D'. Let ỹ be the messages of a third run on D' which is shifted towards y and
uses the same noise as y: in round t, node i adds s_i^t to the value to which its noise is added, in the direction of
the value that y has there, with ‖s_i^t‖ ≤ a_i^t. Let γ be the Lipschitz constant of a local step, b_i^t a bound on what
the forget set changes in a local step, and z^t and r^t bounds on the distance between y and ỹ before the local step of
round t and after the shift:

    z⁰ = 0,   r^t = γ z^t + b^t − a^t,   z^{t+1} = W_t r^t,   0 ≤ a^t ≤ γ z^t + b^t.

**Theorem.** Choose any such a for which r_j^t = 0 at every message (t, j) that a view consists of. Then the view is
μ-GDP with μ² = Σ_t Σ_i (a_i^t/σ_i)².

*Proof.*

1. y and ỹ use the same noise. By the triangle inequality, and because the weights are not negative,
   ‖y_i^t − ỹ_i^t‖ ≤ r_i^t. So y = ỹ wherever r = 0: the view of ỹ is the view of y.
2. Given the messages of ỹ so far, its noise so far is known, hence y so far, hence s^t. So, given the same messages so
   far, the next messages of ỹ have the Gaussian distribution of the next messages of y', shifted by s^t with
   ‖s_i^t‖ ≤ a_i^t. The rounds compose as adaptive Gaussian mechanisms (Dong, Roth and Su 2022, Cor. 3.3):
   distinguishing the messages of ỹ from those of y' is at least as hard as distinguishing N(μ, 1) from N(0, 1), in both
   directions.
3. A view is a function of the messages, and the view of y is that of ỹ. ∎

**Remarks.** The only assumption about how a node's gradients depend on the models it receives is the Lipschitz
constant; a projection onto a ball changes nothing. With a = b every disturbance is absorbed where it arises, which
gives the plain composition of all noised gradients that the view can depend on. The idea is the shifted process of Bok,
Su and Altschuler (2024), "Shifted interpolation for differential privacy", with one shift for every node instead of one
for the whole state.

**Choice of a.** Any a that satisfies the conditions gives a valid μ. The choices tried here absorb, at each node whose
message the view can depend on, everything up to a level λ, or as much as is needed to finish in time.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, sqrt

import numpy as np
from numpy.typing import NDArray

from rewindnet.certificates.network import Mixing, Vector

Matrix = NDArray[np.float64]
Marks = NDArray[np.bool_]

#: The (κ, p) for which absorption is tried: in each round at least the share (κ/(κ − 1 + rounds left))^p is absorbed. A
#: higher p absorbs later, which is better where steps contract.
_ENDINGS = ((1, 1), (2, 1), (1, 2), (1, 4))


@dataclass(frozen=True)
class NetworkRounds:
    """How differences between two runs spread through the rounds 0 … T−1 of a network.

    Attributes:
        rounds: T.
        growth: γ, the Lipschitz constant of a local step.
        charge: what rounding may add in a round at a node where the runs already differ.
        sigma: [N], the noise of every participating node, in the units of the disturbances.
        mixing: the mixing matrices of the network.
    """

    rounds: int
    growth: float
    charge: float
    sigma: Vector
    mixing: Mixing

    def noisy_nodes(self, round: int) -> Marks:
        """Return the mask [N] of the nodes whose messages carry fresh noise.

        Args:
            round: t.
        """
        participating = self.mixing.participating(round)
        return (self.sigma > 0) if participating is None else (self.sigma > 0) & participating


def final_messages(network: NetworkRounds, nodes: Sequence[int]) -> Marks:
    """Return the mask [T, N] of the messages that the final models of these nodes are made of.

    Args:
        network: the rounds of the network.
        nodes: the nodes.
    """
    in_view = np.zeros((network.rounds, network.mixing.nodes), dtype=bool)
    in_view[-1] = _senders(network, network.rounds - 1, np.isin(np.arange(network.mixing.nodes), nodes))
    return in_view


def received_messages(network: NetworkRounds, node: int) -> Marks:
    """Return the mask [T, N] of the messages that a node receives, its own included.

    Args:
        network: the rounds of the network.
        node: the node.
    """
    observer = np.arange(network.mixing.nodes) == node
    return np.stack([_senders(network, t, observer) for t in range(network.rounds)])


def least_mu(disturbance: Matrix, in_view: Marks, network: NetworkRounds, largest: float) -> float:
    """Return μ of a view that consists of these messages: the smallest of several ways to absorb the disturbance.

    Larger disturbances never give a smaller μ.

    Args:
        disturbance: b [T, N].
        in_view: [T, N], the mask of the messages that the view consists of.
        network: the rounds of the network.
        largest: the highest level λ; the other levels are halves of it. Every value gives a valid μ, and the largest
            possible disturbance is a good one. A certificate and its audit use the same level, so that their μ can be
            compared.

    Returns:
        μ; infinite where no noise hides a difference.
    """
    if not disturbance.any():
        return 0.0
    must_absorb, relevant = _must_absorb(in_view, network), _relevant(in_view, network)
    # Spread evenly over all nodes, a disturbance is 1/N of its size at each, so levels go down to that.
    steps = np.append(0.5 ** np.arange(network.mixing.nodes.bit_length() + 2), 0.0)
    levels = np.repeat(largest * steps, len(_ENDINGS))
    kappa, power = np.tile(np.array(_ENDINGS, dtype=float), (len(steps), 1)).T
    z, mu_squared = np.zeros((network.mixing.nodes, len(levels))), np.zeros(len(levels))
    with np.errstate(over="ignore", invalid="ignore"):
        for t in range(network.rounds):
            participating, noisy = network.mixing.participating(t), network.noisy_nodes(t)
            growth = network.growth if participating is None else np.where(participating, network.growth, 1.0)[:, None]
            difference = (growth * z + network.charge * (z > 0) + disturbance[t][:, None]) * relevant[t][:, None]
            least_share = (kappa / (network.rounds - t + kappa - 1)) ** power
            absorbed = np.maximum(np.minimum(difference, levels), least_share * difference)
            absorbed[must_absorb[t]] = difference[must_absorb[t]]
            mu_squared[(absorbed[must_absorb[t] & ~noisy] > 0).any(axis=0)] = inf
            absorbed[~noisy] = 0.0
            mu_squared += ((absorbed[noisy] / network.sigma[noisy][:, None]) ** 2).sum(axis=0)
            z = network.mixing.matrix(t) @ (difference - absorbed)
    mu_squared[np.isnan(mu_squared)] = inf
    return sqrt(float(mu_squared.min()))


def _must_absorb(in_view: Marks, network: NetworkRounds) -> Marks:
    """Return the mask [T, N] of the messages at which all of the disturbance must be absorbed.

    They are the messages in the view. Where such a message carries no fresh noise, because its node does not
    participate, the messages from which it was mixed are included in the same way.
    """
    must_absorb = in_view.copy()
    for t in reversed(range(1, network.rounds)):
        must_absorb[t - 1] |= _senders(network, t - 1, must_absorb[t] & ~network.noisy_nodes(t))
    return must_absorb


def _relevant(in_view: Marks, network: NetworkRounds) -> Marks:
    """Return the mask [T, N] of the messages on which the view can depend."""
    relevant = in_view.copy()
    for t in reversed(range(1, network.rounds)):
        if relevant[t - 1].all():
            continue
        relevant[t - 1] |= _senders(network, t - 1, relevant[t])
    return relevant


def _senders(network: NetworkRounds, round: int, nodes: Marks) -> Marks:
    """Return the mask [N] of the nodes from which these nodes receive in that round."""
    senders = np.zeros(network.mixing.nodes, dtype=bool)
    if nodes.any():
        matrix = network.mixing.matrix(round)
        received = np.repeat(nodes, np.diff(matrix.indptr)) & (matrix.data != 0)
        senders[matrix.indices[received]] = True
    return senders
