"""The network of a training run: the order of a round, the realised mixing matrices and the realised minibatches."""

from collections.abc import Sequence
from typing import Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

#: The order of adapting (local steps) and combining (mixing) in a round.
Order = Literal["adapt-then-combine", "combine-then-adapt", "consensus-plus-gradient"]
ORDERS: tuple[Order, ...] = get_args(Order)

Vector = NDArray[np.float64]


class Mixing(Protocol):
    """The realised mixing matrices of a network, one for each round."""

    @property
    def nodes(self) -> int:
        """N, the number of nodes."""

    def matrix(self, round: int) -> csr_array:
        """Return W_t [N, N] of that round: non-negative, with rows that sum to 1.

        Args:
            round: t.
        """

    def participating(self, round: int) -> NDArray[np.bool_] | None:
        """Return the mask [N] of the nodes that take local steps in that round; None for all nodes.

        Args:
            round: t.
        """


class Batches(Protocol):
    """The realised minibatches of learning: the weight of retained and of deleted samples in each gradient.

    A local step uses (1/B)·Σ_{samples in the batch} ∇loss, where B is the expected size of a batch, whatever is
    deleted.
    """

    def shares(self, round: int) -> tuple[Vector, Vector]:
        """Return, for every local step of the round, the number of retained and of deleted samples in the batch over B.

        Args:
            round: t.

        Returns:
            Two arrays [E, N]: retained, deleted.
        """

    def read(self, round: int, retained: bool) -> NDArray[np.int64]:
        """Return how many per-sample gradients [N] the round's local steps compute.

        Args:
            round: t.
            retained: whether deleted samples are left out.
        """

    def without_from(self, starts: Sequence[int]) -> "Batches":
        """Return the same batches, where the samples of each earlier request are left out from another round on.

        Args:
            starts: for each earlier request, the first round without its samples.
        """
