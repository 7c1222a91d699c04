"""Learning from public rows alone: one client does it, and the model then passes from hop to hop."""

from dataclasses import dataclass, replace

from scipy.sparse import csr_array
from torch import Tensor

from rewindnet.certificates import Mixing
from rewindnet.clients.steps.base import CommunicationStep
from rewindnet.clients.steps.learning import InitialModel
from rewindnet.clients.training.client_block import ClientBlock
from rewindnet.clients.training.probe import Probe


@dataclass(frozen=True)
class LearnPublicRows(CommunicationStep):
    """A round without messages, in which one client learns from the public rows, as a network of its own would.

    Attributes:
        rounds: the address, a single round.
        node: the client.
        seed: of the initial model.
        learning_rounds: T, after as many rounds of local steps it stops.
    """

    rounds: range
    node: int
    seed: int
    learning_rounds: int

    def mixing_matrix(self, round: int, mixing: Mixing) -> csr_array:
        """Return zeros: nothing is sent."""
        return csr_array((mixing.nodes, mixing.nodes))

    def combine(self, block: ClientBlock, theta: Tensor, mixed: Tensor, round: int, probe: Probe | None) -> Tensor:
        """Return the learned model at the one client, and the initial model at all others."""
        out = InitialModel(self.seed).apply(block, theta)
        if self.node in block.nodes:
            row, public = block.nodes.index(self.node), block.public
            assert public is not None
            counter = None if block.counter is None else block.counter.of([row])
            public = replace(public, counter=counter, optimizer_state=public.new_state())
            own = out[row : row + 1]
            for t in range(self.learning_rounds):
                own = public.project(public.descend(own, t))
            out[row] = own[0]
        return out
