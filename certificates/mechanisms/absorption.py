"""How little noise it takes to hide a disturbance that travels: it may be absorbed anywhere on its way.

A network adds Gaussian noise of its own at every node in every round. Run it on D (messages y) and on D' (messages y'),
and beside them a third network ỹ on D' that is pulled towards y: in round t node i adds s_i^t to what its noise is
added to, with ‖s_i^t‖ ≤ a_i^t, straight towards what y has there. Let r_i^t bound how far y and ỹ still lie apart after
that. With γ the Lipschitz constant of a local step and b_i^t a bound on what the forget set changes in one,

    z⁰ = 0,   r^t = γ z^t + b^t − a^t,   z^{t+1} = W_t r^t,   0 ≤ a^t ≤ γ z^t + b^t.

**Theorem.** Whatever a with r_j^t = 0 at every message (t, j) that a view is made of, the view is μ-GDP with
μ² = Σ_t Σ_i (a_i^t/σ_i)².

*Proof.* y, ỹ share their noise. (1) By the triangle inequality, and since weights are not negative, ‖y_i^t − ỹ_i^t‖ ≤
r_i^t, so that y = ỹ wherever r = 0: the view of ỹ is that of y. (2) Given the messages of ỹ so far, its noise so far is
known, hence y so far, hence s^t: what comes next of ỹ is the Gaussian that would come next of y' after the same
messages, shifted by s^t, ‖s_i^t‖ ≤ a_i^t. Rounds compose as adaptive Gaussian mechanisms do (Dong, Roth and Su 2022,
Cor. 3.3): the messages of ỹ are told from those of y' no better than N(μ, 1) from N(0, 1), either way round. (3) A view
is a function of the messages, and that of y is that of ỹ. ∎

Nothing is asked of how gradients respond to what a node hears but the Lipschitz constant; a projection onto a ball
changes nothing. With a = b every disturbance is absorbed where it arises, which is the plain composition of all noised
gradients that the view can depend on. The idea is the shifted process of Bok, Su and Altschuler (2024), "Shifted
interpolation for differential privacy", with a shift for every node instead of one for the whole state.

Any a gives a valid μ. Those tried here absorb, at each node that still matters, up to a level λ, or what it takes to be
done in time.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, sqrt

import numpy as np
from numpy.typing import NDArray

from rewindnet.certificates.training import Mixing, Vector

Matrix = NDArray[np.float64]
Marks = NDArray[np.bool_]

#: How absorbing ends: by the share (κ/(κ − 1 + rounds left))^p, for these κ and p. The higher p, the later, which is
#: good where steps contract.
_ENDINGS = ((1, 1), (2, 1), (1, 2), (1, 4))


@dataclass(frozen=True)
class Travel:
    """How differences travel through rounds 0 … T−1 of a network.

    Attributes:
        rounds: T.
        growth: γ, the Lipschitz constant of a local step.
        charge: what rounding may add in a round wherever there is a difference.
        sigma: [N], the noise of every node that is awake, in the units of the disturbances.
        mixing: the network.
    """

    rounds: int
    growth: float
    charge: float
    sigma: Vector
    mixing: Mixing

    def noisy(self, round: int) -> Marks:
        """[N], whose messages carry fresh noise."""
        participating = self.mixing.participating(round)
        return (self.sigma > 0) if participating is None else (self.sigma > 0) & participating


def final(travel: Travel, nodes: Sequence[int]) -> Marks:
    """[T, N], the messages that the last models of these nodes are made of."""
    shown = np.zeros((travel.rounds, travel.mixing.nodes), dtype=bool)
    shown[-1] = _sources(travel, travel.rounds - 1, np.isin(np.arange(travel.mixing.nodes), nodes))
    return shown


def received(travel: Travel, node: int) -> Marks:
    """[T, N], the messages that a node hears, its own among them."""
    hearer = np.arange(travel.mixing.nodes) == node
    return np.stack([_sources(travel, t, hearer) for t in range(travel.rounds)])


def least_mu(disturbance: Matrix, shown: Marks, travel: Travel, largest: float) -> float:
    """μ of a view of these messages, by the best of some ways to absorb.

    Larger disturbances never give a smaller μ.

    Args:
        disturbance: b [T, N].
        shown: [T, N], the messages that the view is made of.
        travel: through which rounds.
        largest: the highest level λ, the others being halves of it. Any gives a valid μ, the largest disturbance that
            there may be a good one; what was measured is compared at the same level as what was certified.

    Returns:
        infinite where nothing hides a difference.
    """
    if not disturbance.any():
        return 0.0
    due, matters = _due(shown, travel), _matters(shown, travel)
    # A disturbance that all nodes share is 1/N of itself at each.
    steps = np.append(0.5 ** np.arange(travel.mixing.nodes.bit_length() + 2), 0.0)
    levels = np.repeat(largest * steps, len(_ENDINGS))
    kappa, power = np.tile(np.array(_ENDINGS, dtype=float), (len(steps), 1)).T
    z, spent = np.zeros((travel.mixing.nodes, len(levels))), np.zeros(len(levels))
    with np.errstate(over="ignore", invalid="ignore"):
        for t in range(travel.rounds):
            participating, noisy = travel.mixing.participating(t), travel.noisy(t)
            growth = travel.growth if participating is None else np.where(participating, travel.growth, 1.0)[:, None]
            arrived = (growth * z + travel.charge * (z > 0) + disturbance[t][:, None]) * matters[t][:, None]
            share = (kappa / (travel.rounds - t + kappa - 1)) ** power
            taken = np.maximum(np.minimum(arrived, levels), share * arrived)
            taken[due[t]] = arrived[due[t]]
            spent[(taken[due[t] & ~noisy] > 0).any(axis=0)] = inf
            taken[~noisy] = 0.0
            spent += ((taken[noisy] / travel.sigma[noisy][:, None]) ** 2).sum(axis=0)
            z = travel.mixing.matrix(t) @ (arrived - taken)
    spent[np.isnan(spent)] = inf
    return sqrt(float(spent.min()))


def _due(shown: Marks, travel: Travel) -> Marks:
    """[T, N], where everything must be absorbed: what is shown, and what those hear who are shown asleep."""
    due = shown.copy()
    for t in reversed(range(1, travel.rounds)):
        due[t - 1] |= _sources(travel, t - 1, due[t] & ~travel.noisy(t))
    return due


def _matters(shown: Marks, travel: Travel) -> Marks:
    """[T, N], the messages that what is shown can depend on."""
    matters = shown.copy()
    for t in reversed(range(1, travel.rounds)):
        if matters[t - 1].all():
            continue
        matters[t - 1] |= _sources(travel, t - 1, matters[t])
    return matters


def _sources(travel: Travel, round: int, nodes: Marks) -> Marks:
    """[N], whom these nodes hear in that round."""
    heard, found = travel.mixing.matrix(round)[np.flatnonzero(nodes)], np.zeros(travel.mixing.nodes, dtype=bool)
    found[heard.indices[heard.data != 0]] = True
    return found
