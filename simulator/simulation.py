"""A network that learns, is asked to forget, and can be retrained to check."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from certificates import Arithmetic, Constants, Learning, Mixing, Order, Release, forget_digest
from clients.block import Block, Witness
from clients.orders import LEARNING_ORDERS
from clients.steps import Descend, Start, Step, averaging, unlearning_program
from simulator.engine import Observer, execute
from simulator.observers import CheckpointKeeper, Cost, CostMeter, LedgerKeeper
from simulator.wire import Wire


@dataclass(frozen=True)
class Trajectory:
    """θ [N, d] after chosen numbers of rounds, and what the rounds cost."""

    checkpoints: Mapping[int, Tensor]
    cost: Cost


@dataclass(frozen=True)
class Outcome:
    """What an unlearning method left.

    Attributes:
        centre: [N, d], the nodes' parameters where the noise is added, before it; a secret of every node.
        noised: [N, d], the same with the noise.
        released: [N, d], what is released: what has become of it after the rounds that follow the noise.
        cost: of all its rounds.
    """

    centre: Tensor
    noised: Tensor
    released: Tensor
    cost: Cost


@dataclass
class Simulation:
    """One network, with the data before and after the deletion.

    Attributes:
        full: the clients as they learn.
        retained: the clients after erasing the forget set; they hold no trace of it.
        forget: for each deleting node, the positions of the erased samples in its own data.
        mixing: the mixing matrices.
        order: of the learning rounds.
        wire: how messages travel.
        constants: of every local objective.
        rounds: T.
        seed: of every coin.
        observers: of every round of learning, retraining and unlearning.
    """

    full: Block
    retained: Block
    forget: Mapping[int, NDArray[np.int64]]
    mixing: Mixing
    order: Order
    wire: Wire
    constants: Constants
    rounds: int
    seed: int
    observers: Sequence[Observer] = ()
    _approaches: dict[tuple[int, int, bool], tuple[Tensor, Cost]] = field(default_factory=dict)

    def foreseen(self) -> Learning:
        """What is known of learning and the deletion before anything is learned: all but the ledger."""
        deleted = np.zeros(self.mixing.nodes, dtype=np.int64)
        for node, positions in self.forget.items():
            deleted[node] = len(positions)
        return Learning(
            mixing=self.mixing,
            rounds=self.rounds,
            step_size=self.full.step_size,
            local_steps=self.full.local_steps,
            order=self.order,
            constants=self.constants,
            samples=self.full.samples,
            deleted=deleted,
            arithmetic=self._arithmetic(),
            forget_sha256=forget_digest({node: positions.tolist() for node, positions in self.forget.items()}),
        )

    def _arithmetic(self) -> Arithmetic:
        blank, model = self.full.blank(), self.full.model
        start = Start(self.seed).apply(self.full, blank)
        return Arithmetic(
            unit_roundoff=float(torch.finfo(blank.dtype).eps) / 2,
            inputs=model.inputs,
            outputs=model.outputs,
            initial_norm=float(start.double().norm(dim=1).max()),
        )

    def learn(self, keep: Collection[int]) -> tuple[Trajectory, Learning]:
        """Learn for T rounds on everything; keep the checkpoints after these numbers of rounds."""
        nodes = sorted(self.forget)
        keeper = LedgerKeeper(self.full, self.retained, nodes, self.rounds)
        trajectory = self._train(self.full, self.rounds, keep, keeper)
        return trajectory, replace(self.foreseen(), ledger=keeper.ledger())

    def retrain(self, horizon: int, keep: Collection[int]) -> Trajectory:
        """Learn from scratch on the retained data with the same coins, up to round `horizon` ≥ T: the oracle.

        The cost is that of the first T rounds, which is what unlearning is measured against.
        """
        oracle = self._train(self.retained, self.rounds, {*keep, self.rounds}, None)
        learned = oracle.checkpoints[self.rounds]
        # Descending from the start for T rounds is what retraining just did, so no method need do it again.
        self._approaches[0, self.rounds, False] = (learned, oracle.cost)
        keeper = CheckpointKeeper(keep)
        further = Descend(LEARNING_ORDERS[self.order], self.mixing, range(self.rounds, horizon))
        self._execute([further], self.retained, learned, keeper)
        return Trajectory({**oracle.checkpoints, **keeper.checkpoints}, oracle.cost)

    def carry_out(self, release: Release, checkpoints: Mapping[int, Tensor], index: int) -> Outcome:
        """Have every client do what the release says.

        What comes before the noise depends only on where it starts and how long it is: what several releases of this
        simulation have in common is computed once, and each release is charged for it.

        Args:
            release: what to do.
            checkpoints: of learning.
            index: which release of the run it is.
        """
        order = LEARNING_ORDERS[self.order]
        program = unlearning_program(release, order, self.mixing, checkpoints, self.seed, index)
        address = (release.restored, release.site, release.averaged)
        if address not in self._approaches:
            meter = CostMeter()
            centre = self._execute(program.approach, self.retained, self.retained.blank(), meter)
            self._approaches[address] = (centre, meter.total())
        centre, cost = self._approaches[address]
        meter = CostMeter()
        noised = self._execute((program.noise,), self.retained, centre, meter)
        released = self._execute(program.finish, self.retained, noised, meter)
        return Outcome(centre, noised, released, cost + meter.total())

    def counterpart(self, release: Release, oracle: Trajectory) -> Tensor:
        """[N, d], what the centre of the release would have been, had the network learned without the forget set."""
        average = averaging(release, self.mixing.nodes)
        return execute(average, self.retained, self.wire, oracle.checkpoints[release.site])

    def _train(self, block: Block, rounds: int, keep: Collection[int], witness: Witness | None) -> Trajectory:
        keeper, meter = CheckpointKeeper(keep), CostMeter()
        theta = execute([Start(self.seed)], block, self.wire, block.blank())
        keeper.keep(0, theta)
        learning = Descend(LEARNING_ORDERS[self.order], self.mixing, range(rounds))
        self._execute([learning], block, theta, keeper, meter, witness=witness)
        return Trajectory(keeper.checkpoints, meter.total())

    def _execute(
        self,
        steps: Sequence[Step],
        block: Block,
        theta: Tensor,
        *observers: Observer,
        witness: Witness | None = None,
    ) -> Tensor:
        everyone = (*observers, *self.observers)
        return execute(steps, block, self.wire, theta, witness=witness, observers=everyone)


def divergence(one: Tensor, other: Tensor) -> NDArray[np.float64]:
    """‖θ_i − θ'_i‖₂ of every node [N], computed in double precision."""
    result: NDArray[np.float64] = (one.double() - other.double()).norm(dim=1).cpu().numpy()
    return result
