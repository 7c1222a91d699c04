"""The steps that learning and unlearning are made of.

A `LocalStep` is what every client does by itself; an `Exchange` is a run of rounds in which clients send messages and
take in what their neighbours' messages sum to. Steps are data: they hold no client, know nothing of how messages
travel, and go over a wire as a record (`clients/step_records.py`). Transports know nothing of what a step computes. Who
hears whom in a round is a matrix, so a gossip round, a broadcast and a token that travels from one node to the next are
all exchanges.
"""

from collections.abc import Sequence
from typing import ClassVar, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from torch import Tensor

from rewindnet.certificates import Mixing
from rewindnet.clients.training.client_block import ClientBlock, Probe

#: Per-sample gradients of each node [N]: those taken before a message is sent, and those taken after one came in.
Work = tuple[NDArray[np.int64], NDArray[np.int64]]


@runtime_checkable
class LocalStep(Protocol):
    """What every client of a block does by itself."""

    def apply(self, block: ClientBlock, theta: Tensor) -> Tensor:
        """θ [b, d] after the step; the input is left as it is."""


@runtime_checkable
class CommunicationStep(Protocol):
    """A run of rounds in which clients exchange messages along the edges.

    What the clients keep between rounds may be wider than a model, [b, k·d], as long as the last round leaves [b, d];
    messages are [b, d].

    Attributes:
        needs_forget_set: whether a client must not have erased its forget set before this: its block then has a
            `before_erasure`.
    """

    @property
    def rounds(self) -> range:
        """The addresses of its rounds: which mixing matrices and which coins they use."""

    needs_forget_set: ClassVar[bool]

    def matrix(self, round: int, mixing: Mixing) -> csr_array:
        """The weights [N, N] of a round, on a network with these mixing matrices; row i is what node i hears."""

    def work(self, round: int, gradients: NDArray[np.int64], samples: NDArray[np.int64]) -> Work:
        """Per-sample gradients of a round.

        Args:
            round: its address.
            gradients: [N], what the local steps of a round of learning with this address take.
            samples: [N], how many samples each node holds.
        """

    def message(self, block: ClientBlock, theta: Tensor, round: int, probe: Probe | None) -> Tensor:
        """What the block's clients send: [b, d]."""

    def combine(self, block: ClientBlock, theta: Tensor, mixed: Tensor, round: int, probe: Probe | None) -> Tensor:
        """θ⁺ [b, d] from θ and the neighbours' weighted sum."""


@runtime_checkable
class RequiresCheckpoints(Protocol):
    """A step that reads states that the clients have kept: an exchange whose block then has them as `recalled`."""

    def required_checkpoints(self, round: int) -> Sequence[str]:
        """The names of the states that it reads in a round."""


Step = LocalStep | CommunicationStep
