"""Additions of noise: when, where and of which size a mechanism says that noise is added."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rewindnet.certificates.network import Vector

#: The round of an addition that is made by itself, between the rounds.
BETWEEN_ROUNDS = -1


@dataclass(frozen=True)
class Additions:
    """The additions of noise of one release, in the order in which each node makes them.

    Attributes:
        rounds: [E], the round of each addition; `BETWEEN_ROUNDS` where it is not made in a round.
        nodes: [E], the node that adds the noise.
        sigma: [E], its standard deviation in every coordinate, in units of the model; positive.
    """

    rounds: NDArray[np.int64]
    nodes: NDArray[np.int64]
    sigma: Vector

    @classmethod
    def of(cls, rounds: NDArray[np.int64], sigma: Vector) -> "Additions":
        """Return the additions of all nodes with noise in each of these rounds.

        Args:
            rounds: [R], the rounds.
            sigma: [R, N] or [N], the standard deviation of every node in every round, 0 where it adds none.
        """
        sizes = np.broadcast_to(sigma, (len(rounds), np.shape(sigma)[-1]))
        at, nodes = np.nonzero(sizes > 0)
        return cls(np.asarray(rounds, dtype=np.int64)[at], nodes.astype(np.int64), sizes[at, nodes].astype(np.float64))

    def __len__(self) -> int:
        """Return E."""
        return len(self.rounds)
