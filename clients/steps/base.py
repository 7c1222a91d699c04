"""Steps: the instructions that programs of learning and unlearning are made of.

A `LocalStep` is a computation of every client by itself; a `CommunicationStep` is a sequence of rounds in which clients
send messages and combine the weighted sums of the messages of their neighbours. Steps are data: they hold no clients,
do not depend on the transport, and are sent to other processes as records (`clients/step_records.py`). A transport does
not depend on what a step computes. A matrix defines which node receives which messages in a round, so a gossip round, a
broadcast and a token that travels from node to node are all communication steps.

A step is a frozen dataclass, and its class registers itself under its name when it is defined.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from inspect import isabstract
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from scipy.sparse import csr_array

from rewindnet.certificates import Mixing
from rewindnet.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

    from rewindnet.clients.training.client_block import ClientBlock
    from rewindnet.clients.training.probe import Probe

_STEPS: "dict[str, type[Step]]" = {}


class Step(ABC):
    """An instruction for the clients of a block.

    A subclass that is not abstract is registered under its class name, by which records refer to it. A subclass that
    has no abstract method and still is no step of its own names `ABC` among its bases.

    Raises:
        UserError: when a class is defined under the name of another step.
    """

    def __init_subclass__(cls, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        if ABC in cls.__bases__ or isabstract(cls):
            return
        known = _STEPS.get(cls.__name__)
        # A module that is loaded again, and a dataclass with slots, define the same class once more.
        if known is not None and known.__module__ != cls.__module__:
            raise UserError(
                f"there is a step {cls.__name__} already, in {known.__module__}; call the one in {cls.__module__} "
                "something else"
            )
        _STEPS[cls.__name__] = cls


class LocalStep(Step):
    """A computation of every client of a block by itself."""

    @abstractmethod
    def apply(self, block: "ClientBlock", theta: "Tensor") -> "Tensor":
        """Return θ [b, d] after the step; the input is left as it is."""


class CommunicationStep(Step, ABC):
    """A sequence of rounds in which clients exchange messages along the edges.

    What the clients keep between rounds may be wider than a model, [b, k·d + s], as long as the last round leaves [b,
    d]; messages are [b, d], or [b, a] where something else than models is sent, as much by every client. What `begin`
    has put behind the models a message may change in place. By default a round is one of gossip: clients send their
    parameters, and go on from the weighted sum of what they receive.

    Attributes:
        rounds: the addresses of the rounds: which mixing matrices and which random numbers they use.
    """

    rounds: range

    @property
    def needs_forget_set(self) -> bool:
        """Whether clients must not have erased their forget sets yet: their block then has a `before_erasure`."""
        return False

    @property
    def resumable(self) -> bool:
        """Whether another process can go on between two rounds: if clients keep nothing in their block's `memory`."""
        return True

    def required_checkpoints(self, round: int) -> Sequence[str]:
        """Return the names of the kept states that a round reads: the block then has them as `recalled_checkpoints`."""
        return ()

    def mixing_matrix(self, round: int, mixing: Mixing) -> csr_array:
        """Return the weights [N, N] of a round; row i holds the weights of the messages that node i receives.

        Args:
            round: the address of the round.
            mixing: the mixing matrices of the network's schedule.
        """
        return mixing.matrix(round)

    def begin(self, block: "ClientBlock", theta: "Tensor") -> "Tensor":
        """Return the states [b, k·d + s] that the clients keep from the first round on; by default their models.

        Args:
            block: the clients.
            theta: [b, d], their models, which are left as they are.
        """
        return theta

    def message(self, block: "ClientBlock", theta: "Tensor", round: int, probe: "Probe | None") -> "Tensor":
        """Return the messages [b, d] or [b, a] of the clients of a block.

        Args:
            block: the clients.
            theta: [b, k·d], their states.
            round: the address of the round.
            probe: observes the computations, if a study measures them.
        """
        return theta

    def combine(
        self, block: "ClientBlock", theta: "Tensor", mixed: "Tensor", round: int, probe: "Probe | None"
    ) -> "Tensor":
        """Return the states θ⁺ [b, k·d] of the clients after the round.

        Args:
            block: the clients.
            theta: [b, k·d], their states before the round.
            mixed: [b, d], the weighted sums of the received messages; may be overwritten.
            round: the address of the round.
            probe: observes the computations, if a study measures them.
        """
        return mixed


def registered_steps() -> Mapping[str, type[Step]]:
    """Return the steps that are defined so far, by their names in a record."""
    return MappingProxyType(_STEPS)
