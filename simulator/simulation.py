"""A network that learns, is asked to forget, and can be retrained to check."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array
from torch import Tensor

from certificates import Arithmetic, Batches, Constants, Learning, Ledger, Mixing, Order, Release, forget_digest
from certificates.local_steps import changed
from clients.crew import Data
from clients.models import Model
from clients.steps import Descend, Exchange, LocalStep, Start, averaging, unlearning_program
from simulator.engine import Journal, Observer, Task, execute
from simulator.network import Network
from simulator.observers import Cost, CostMeter
from topologies import Links


@dataclass(frozen=True)
class Trajectory:
    """The states that the network kept while it learned, and what the rounds cost."""

    network: Network
    places: Mapping[int, str]
    cost: Cost

    def at(self, rounds: int) -> Tensor:
        """θ after so many rounds: [N, d] at the root, [0, d] elsewhere. Collective."""
        return self.network.fetch(self.places[rounds])


@dataclass(frozen=True)
class Outcome:
    """What an unlearning method left: [N, d] at the root, [0, d] elsewhere.

    Attributes:
        centre: the nodes' parameters where the noise is added, before it; a secret of every node.
        noised: the same with the noise.
        released: what is released: what has become of it after the rounds that follow the noise.
        cost: of all its rounds.
    """

    centre: Tensor
    noised: Tensor
    released: Tensor
    cost: Cost


def foresee(
    *,
    model: Model,
    dtype: torch.dtype,
    mixing: Mixing,
    order: Order,
    constants: Constants,
    rounds: int,
    step_size: float,
    local_steps: int,
    samples: NDArray[np.int64],
    forget: Mapping[int, NDArray[np.int64]],
    seed: int,
    batches: Batches | None = None,
    radius: float | None = None,
    left: tuple[int, ...] = (),
    before: Mixing | None = None,
) -> Learning:
    """What is known of learning and the deletion before anything is learned: all but the ledger.

    Args:
        model: of every client.
        dtype: to compute in.
        mixing: the mixing matrices; where clients leave, of what remains.
        order: of the learning rounds.
        constants: of every local objective.
        rounds: T.
        step_size: η.
        local_steps: E.
        samples: [N], how many samples each node holds.
        forget: for each deleting node, the positions of the erased samples in its own data.
        seed: of every coin.
        batches: the minibatches that the clients read; None: every sample in every step.
        radius: of the ball onto which they project their parameters; None: they do not.
        left: the nodes that leave when they delete.
        before: the mixing matrices while those were there.
    """
    deleted = np.zeros_like(samples)
    for node, positions in forget.items():
        deleted[node] = len(positions)
    start = Start(seed).initial(model, dtype)
    return Learning(
        mixing=mixing,
        rounds=rounds,
        step_size=step_size,
        local_steps=local_steps,
        order=order,
        constants=constants,
        samples=samples,
        deleted=deleted,
        arithmetic=Arithmetic(
            unit_roundoff=float(torch.finfo(dtype).eps) / 2,
            inputs=model.inputs,
            outputs=model.outputs,
            initial_norm=float(start.double().norm()),
        ),
        forget_sha256=forget_digest({node: positions.tolist() for node, positions in forget.items()}),
        batches=batches,
        radius=radius,
        left=left,
        before=before,
    )


@dataclass
class Simulation:
    """One network, with the data before and after the deletion.

    Attributes:
        network: the clients.
        foreseen: how they learn and who deletes what, as known before anything is learned.
        message_bytes: the size of a message.
        links: how long the modelled network takes to carry one.
        seed: of every coin.
        observers: of every task.
        journal: where states are written down, so that another process can go on from them.
        traffic: [N, N] for each task, the messages carried over every edge.
    """

    network: Network
    foreseen: Learning
    message_bytes: int
    links: Links
    seed: int
    observers: Sequence[Observer] = ()
    journal: Journal | None = None
    traffic: dict[str, csr_array] = field(default_factory=dict)
    _costs: dict[str, Cost] = field(default_factory=dict)

    def learn(self, keep: Collection[int]) -> tuple[Trajectory, Learning]:
        """Learn for T rounds on everything; keep the states after these numbers of rounds."""
        known = self.foreseen
        deleting = tuple(np.flatnonzero((known.deleted > 0) & known.present).tolist())
        hearers = self._hearers()
        measured = {node: np.zeros((known.rounds, known.local_steps + 1)) for node in {*deleting, *hearers}}
        remaining = None if known.before is None else known.mixing
        task = replace(self._learning("learned", "full", keep), measured=measured, remaining=remaining)
        cost = self._execute(task)
        seen = self.network.disturbances()
        taken = np.zeros((known.rounds, known.local_steps, len(deleting)))
        drift = np.zeros((known.rounds, len(hearers)))
        for at, node in enumerate(deleting):
            taken[:, :, at] = seen[node][:, :-1]
        for at, node in enumerate(hearers):
            drift[:, at] = seen[node][:, -1]
        ledger = Ledger(deleting, taken, hearers, None if known.before is None else drift)
        return self._trajectory([task], cost), replace(known, ledger=ledger)

    def _hearers(self) -> tuple[int, ...]:
        """The nodes of whose messages something will have changed in some round, once others have left."""
        if self.foreseen.before is None:
            return ()
        felt = np.zeros(self.foreseen.mixing.nodes)
        for round in range(self.foreseen.rounds):
            felt += changed(self.foreseen, round)
        return tuple(np.flatnonzero(felt).tolist())

    def retrain(self, horizon: int, keep: Collection[int]) -> Trajectory:
        """Learn from scratch on the retained data with the same coins, up to round `horizon` ≥ T: the oracle.

        The cost is that of the first T rounds, which is what unlearning is measured against.
        """
        T = self.foreseen.rounds
        first = self._learning("retrained", "retained", {*(rounds for rounds in keep if rounds <= T), T})
        cost = self._execute(first)
        if horizon == T:
            return self._trajectory([first], cost)
        further = self._descent("retrained-on", first.place(T), T, range(T, horizon), {t for t in keep if t > T})
        self._execute(further)
        return self._trajectory([first, further], cost)

    def carry_out(self, release: Release, learned: Trajectory, index: int) -> Outcome:
        """Have every client do what the release says.

        What comes before the noise depends only on where it starts and how long it is: what several releases of this
        simulation have in common is computed once, and each release is charged for it. A descent from the start for T
        rounds is what retraining has done.

        Args:
            release: what to do.
            learned: the network's learning, with the checkpoint that the release begins from.
            index: which release of the run it is.
        """
        program = unlearning_program(release, self.foreseen.order, self.seed, index)
        centre, cost = self._approach(release, program.approach, learned)
        start = release.restored + sum(len(step.rounds) for step in program.approach)
        finish = Task(
            name=f"{index}-{release.method}",
            data="retained",
            begin=centre,
            prepare=(program.noise,),
            exchanges=program.finish,
            start=start,
            keep=frozenset({start, start + sum(len(step.rounds) for step in program.finish)}),
        )
        cost += self._execute(finish)
        outcome = Outcome(
            centre=self._held(self.network.fetch(centre)),
            noised=self.network.fetch(finish.place(start)),
            released=self.network.fetch(finish.place(finish.end)),
            cost=cost,
        )
        for rounds in finish.keep:
            self.network.drop(finish.place(rounds))
        return outcome

    def counterpart(self, release: Release, oracle: Trajectory) -> Tensor:
        """[N, d], what the centre of the release would have been, had the network learned without the forget set.

        [0, d] where this process is not the root. Collective.
        """
        place = oracle.places[release.site]
        if not release.averaged:
            return self.network.fetch(place)
        average = Task("counterpart", "retained", place, (), averaging(release), release.site, frozenset())
        execute(self.network, average, self.foreseen.mixing)
        return self.network.fetch()

    def _held(self, theta: Tensor) -> Tensor:
        """θ without the models of those who have left."""
        left = list(self.foreseen.left)
        if not left or not len(theta):
            return theta
        theta = theta.clone()
        theta[left] = 0.0
        return theta

    def _approach(self, release: Release, exchanges: tuple[Exchange, ...], learned: Trajectory) -> tuple[str, Cost]:
        """The name of the state that the noise is added to, and what it cost to come there."""
        begin, start = learned.places[release.restored], release.restored
        if not any(len(step.rounds) for step in exchanges):
            return begin, Cost()
        name = f"descent-{start}-{release.site}" + ("-averaged" if release.averaged else "")
        T = self.foreseen.rounds
        if name == f"descent-0-{T}" and "retrained" in self._costs:
            return f"retrained-{T:06d}", self._costs["retrained"]
        end = start + sum(len(step.rounds) for step in exchanges)
        task = Task(name, "retained", begin, (), exchanges, start, frozenset({end}))
        if name not in self._costs:
            self._execute(task)
        return task.place(end), self._costs[name]

    def _learning(self, name: str, data: Data, keep: Collection[int]) -> Task:
        task = self._descent(name, None, 0, range(self.foreseen.rounds), keep)
        prepare: tuple[LocalStep, ...] = (Start(self.seed),)
        return replace(task, data=data, prepare=prepare)

    def _descent(self, name: str, begin: str | None, start: int, rounds: range, keep: Collection[int]) -> Task:
        kept = frozenset(t for t in keep if start <= t <= rounds.stop)
        return Task(name, "retained", begin, (), (Descend(self.foreseen.order, rounds),), start, kept)

    def _trajectory(self, tasks: Sequence[Task], cost: Cost) -> Trajectory:
        return Trajectory(self.network, {t: task.place(t) for task in tasks for t in sorted(task.keep)}, cost)

    def _execute(self, task: Task) -> Cost:
        known = self.foreseen
        mixing = known.mixing if task.data == "retained" or known.before is None else known.before
        meter = CostMeter(partial(known.gradients, retained=task.data == "retained"), self.message_bytes, self.links)
        carried, seconds = execute(self.network, task, mixing, (meter, *self.observers), self.journal)
        self.traffic[task.name] = carried
        self._costs[task.name] = meter.total() + Cost(seconds=seconds)
        return self._costs[task.name]


def divergence(one: Tensor, other: Tensor) -> NDArray[np.float64]:
    """‖θ_i − θ'_i‖₂ of every node [N], computed in double precision."""
    result: NDArray[np.float64] = (one.double() - other.double()).norm(dim=1).cpu().numpy()
    return result
