"""A crew: the clients of one block as a running thing, told what to do one step at a time.

Whatever carries the messages, this is what happens on the clients' own devices. A client keeps earlier states of its
own on a shelf, under names, and nobody else has them unless they are asked for.
"""

from collections.abc import Collection, MutableMapping
from dataclasses import replace

from torch import Tensor

from rewindnet.clients.steps.base import CommunicationStep, LocalStep, RequiresCheckpoints
from rewindnet.clients.training.client_block import ClientBlock
from rewindnet.clients.training.disturbance import DisturbanceMeter, Disturbances, ShiftMeter
from rewindnet.clients.training.sampling import Forget


class ClientWorker:
    """The clients of one block.

    Args:
        full: the clients as they learn.
        forget: for each request, and for each deleting node of the network, the positions in its own data of all
            samples that are erased once the request is met; those of the requests before it among them.
        departed: the nodes of the network that have left once a request is met; they then hold nothing, not even a
            model.

    Attributes:
        blocks: the clients after 0, 1, … requests; they hold no trace of what was erased, and only steps that say that
            they remember see those of before.
        requests_met: which of these they work on.
        theta: [b, d], where they are.
        checkpoints: states [b, d] that they keep, by name.
    """

    def __init__(self, full: ClientBlock, *forget: Forget, departed: Collection[int] = ()) -> None:
        self.full = full
        self.blocks = (full, *(full.without(erased) for erased in forget))
        self._deleting = [frozenset(erased) - frozenset(departed) for erased in forget]
        self._gone = [row for row, node in enumerate(full.nodes) if node in departed]
        self.requests_met: int = 0
        self.theta = full.blank()
        self.checkpoints: MutableMapping[str, Tensor] = {}
        self._meter: DisturbanceMeter | ShiftMeter | None = None

    @property
    def nodes(self) -> tuple[int, ...]:
        """The nodes of the block."""
        return self.full.nodes

    def begin(self, requests_met: int, name: str | None, measured: Disturbances | None = None) -> None:
        """Get ready to work on this data from a state on the shelf (None: from nowhere in particular).

        Args:
            requests_met: what to work on.
            name: the state to begin from.
            measured: measure the disturbances of the deletion on the way, into a copy of these arrays.
        """
        self.theta = self.full.blank() if name is None else self.checkpoints[name]
        self.resume(requests_met, measured or {})
        self._empty()

    def resume(self, requests_met: int, measured: Disturbances) -> None:
        """Go on on this data from wherever the clients are."""
        self.requests_met = requests_met
        mine = {node: measured[node] for node in self.nodes if node in measured}
        if not mine:
            self._meter = None
        elif all(own.ndim == 1 for own in mine.values()):
            self._meter = ShiftMeter(mine)
        else:
            self._meter = DisturbanceMeter(self.blocks, requests_met, self._deleting, mine)

    @property
    def _block(self) -> ClientBlock:
        return self.blocks[self.requests_met]

    def _at_work(self, step: CommunicationStep, round: int) -> ClientBlock:
        """The clients as the step may see them."""
        block = self._block
        if step.needs_forget_set:
            # What earlier requests have asked to be forgotten is gone by now.
            block = replace(block, before_erasure=self.blocks[max(0, self.requests_met - 1)])
        if isinstance(step, RequiresCheckpoints):
            kept = tuple(self._without_the_gone(self.checkpoints[name]) for name in step.required_checkpoints(round))
            block = replace(block, recalled_checkpoints=kept)
        return block

    def apply(self, step: LocalStep) -> None:
        """A step that needs nobody else."""
        self.theta = step.apply(self._block, self.theta)
        self._empty()

    def message(self, step: CommunicationStep, round: int) -> Tensor:
        """What the clients send in this round: [b, d]."""
        return step.message(self._at_work(step, round), self.theta, round, self._meter)

    def combine(self, step: CommunicationStep, round: int, mixed: Tensor) -> None:
        """Take in the weighted sums [b, d] of what the clients heard."""
        self.theta = step.combine(self._at_work(step, round), self.theta, mixed, round, self._meter)

    def measure_drift(self, round: int, changed: Tensor) -> None:
        """Measure how much of what the clients hear [b, d] has changed since others left."""
        if isinstance(self._meter, DisturbanceMeter):
            self._meter.mixing_drift(round, changed)

    def keep(self, name: str) -> None:
        """Put the current state on the shelf."""
        self.checkpoints[name] = self.theta.clone()

    def _empty(self) -> None:
        self.theta = self._without_the_gone(self.theta)

    def _without_the_gone(self, theta: Tensor) -> Tensor:
        """The same, but for those that have left: they hold nothing."""
        if not self._gone or self.requests_met == 0:
            return theta
        theta = theta.clone()
        theta[self._gone] = 0.0
        return theta

    def disturbances(self) -> Disturbances:
        """What was measured since `begin`."""
        return {} if self._meter is None else self._meter.measured
