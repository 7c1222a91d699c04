"""Simulate one network: learning, unlearning for each request, and retraining for comparison."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from scipy.sparse import csr_array
from torch import Tensor

from rewindnet.certificates import Ledger, Release, TrainingRun
from rewindnet.certificates.sensitivity.departure import weight_change
from rewindnet.clients.methods import Method, UnlearningPlan
from rewindnet.clients.steps.base import LocalStep
from rewindnet.clients.steps.learning import Average, Descend, InitialModel, averaging
from rewindnet.clients.steps.program import Program
from rewindnet.clients.training.disturbance import MeasuredDisturbances
from rewindnet.clients.training.noise import NoiseAddress
from rewindnet.simulator.cost.meter import Cost, CostMeter
from rewindnet.simulator.cost.network_model import NetworkModel
from rewindnet.simulator.engine import Callback, execute
from rewindnet.simulator.journal import Journal
from rewindnet.simulator.outcome import Outcome, Trajectory
from rewindnet.simulator.task import Task, no_shifts, task_from_noise_on
from rewindnet.simulator.transports.network import Network


@dataclass
class Simulation:
    """One network, with the data before and after each request to forget.

    The network learns; when a request arrives it stops reading what is to be forgotten, and goes on. What it releases
    at a request is carried out beside that, from what it has learned up to then.

    Attributes:
        network: the clients.
        requests: for each request, in the order of arrival, how they learn up to it and what each node deletes by
            then, as known before anything is learned. The last arrives when learning ends.
        message_bytes: the size in bytes of a message that holds a model.
        network_model: how long the modelled network takes to carry one.
        seed: the seed of all random numbers.
        addresses: for each request, where noise is drawn for the first release that answers it.
        halved: the rounds of learning whose checkpoints are kept in half precision.
        callbacks: of every task.
        journal: where states are written down, so that another process can go on from them.
        traffic: [N, N] for each task, the messages carried over every edge.
    """

    network: Network
    requests: tuple[TrainingRun, ...]
    message_bytes: int
    network_model: NetworkModel
    seed: int
    addresses: tuple[NoiseAddress, ...]
    halved: frozenset[int] = frozenset()
    callbacks: Sequence[Callback] = ()
    journal: Journal | None = None
    traffic: dict[str, csr_array] = field(default_factory=dict)
    _costs: dict[str, Cost] = field(default_factory=dict)

    @property
    def training_run(self) -> TrainingRun:
        """The facts about all of learning that are known in advance."""
        return self.requests[-1]

    def learn(self, keep: Collection[int]) -> tuple[Trajectory, tuple[TrainingRun, ...]]:
        """Learn for T rounds, at each round without the samples deleted by then.

        Args:
            keep: the rounds of the checkpoints.

        Returns:
            The checkpoints, and for each request how the network learned up to it.
        """
        known, affected_nodes = self.training_run, self._affected_nodes()
        nodes = {*np.flatnonzero((known.deleted > 0) & known.present).tolist(), *affected_nodes}
        shape = (known.rounds, len(self.requests), known.local_steps + 1)
        measured: MeasuredDisturbances = {node: np.zeros(shape) for node in sorted(nodes)}
        remaining = None if known.mixing_before is None else known.mixing
        tasks: list[Task] = []
        cost, start = Cost(), 0
        for requests_met, end in enumerate(request.rounds for request in self._learned_requests):
            keep_now = {end, *(t for t in keep if start < t <= end or t == start == 0)}
            name, begin = (
                "learned" + f"-{requests_met}" * (requests_met > 0),
                tasks[-1].checkpoint_name(start) if tasks else None,
            )
            task = self._descent(name, begin, requests_met, range(start, end), keep_now)
            halved = self.halved & task.keep
            tasks.append(replace(task, measured=measured, remaining=remaining, halved=halved))
            cost += self.run_task(tasks[-1])
            measured, start = self.network.disturbances(), end
        ledgers = [self._ledger(at, measured, affected_nodes) for at in range(len(self._learned_requests))]
        learned = [replace(request, ledger=ledger) for request, ledger in zip(self.requests, ledgers, strict=False)]
        return self._trajectory(tasks, cost), (*learned, *self.requests[len(learned) :])

    @property
    def _learned_requests(self) -> tuple[TrainingRun, ...]:
        """The requests up to which all methods learn together."""
        return self.requests

    def _ledger(self, request: int, measured: MeasuredDisturbances, affected_nodes: tuple[int, ...]) -> Ledger:
        """Return the part of the measurements that belongs to a request."""
        known = self.requests[request]
        T, E = known.rounds, known.local_steps
        deleting = tuple(np.flatnonzero((known.deleted > 0) & known.present).tolist())
        disturbance, mixing_drift = np.zeros((T, E, len(deleting))), np.zeros((T, len(affected_nodes)))
        for at, node in enumerate(deleting):
            disturbance[:, :, at] = measured[node][:T, request, :-1]
        for at, node in enumerate(affected_nodes):
            mixing_drift[:, at] = measured[node][:T, request, -1]
        return Ledger(deleting, disturbance, affected_nodes, None if known.mixing_before is None else mixing_drift)

    def _affected_nodes(self) -> tuple[int, ...]:
        """Return the nodes whose mixing weights will have changed in some round, once others have left."""
        if self.training_run.mixing_before is None:
            return ()
        change = np.zeros(self.training_run.mixing.nodes)
        for round in range(self.training_run.rounds):
            change += weight_change(self.training_run, round)
        return tuple(np.flatnonzero(change).tolist())

    def run_again(self, rounds: range, begin: str) -> tuple[str, Cost]:
        """Run rounds of learning once more, on all data, from a checkpoint.

        Returns:
            the name of the checkpoint that they lead to; what they cost.
        """
        task = self._descent(f"replayed-{rounds.start:06d}", begin, 0, rounds, {rounds.stop})
        cost = self.run_task(task)
        return task.checkpoint_name(rounds.stop), cost

    def retrain(self, horizon: int, keep: Collection[int], request: int = 0) -> Trajectory:
        """Learn from scratch on the retained data with the same random numbers: the oracle of a request.

        The cost is that of the rounds up to the request, which is what unlearning is compared with.

        Args:
            horizon: the number of rounds.
            keep: the numbers of rounds after which states are kept.
            request: the number of the request.
        """
        T, requests_met = self.requests[request].rounds, request + 1
        name = "retrained" + self.request_suffix(request)
        first = self._descent(name, None, requests_met, range(T), {*(rounds for rounds in keep if rounds <= T), T})
        cost = self.run_task(first)
        if horizon == T:
            return self._trajectory([first], cost)
        further = self._descent(
            f"{name}-on", first.checkpoint_name(T), requests_met, range(T, horizon), {t for t in keep if t > T}
        )
        self.run_task(further)
        return self._trajectory([first, further], cost)

    def execute(
        self,
        method: Method,
        plan: UnlearningPlan,
        learned: Trajectory,
        index: int,
        request: int = 0,
        keep_released: bool = False,
    ) -> Outcome:
        """Execute the plan of a method.

        A descent before the noise depends only on its checkpoint and its length. It is computed once for all releases
        that share it, and its cost is counted for each of them. A descent from round 0 for T rounds is the retraining.

        Args:
            method: the method.
            plan: its plan, which the method may refine by measurements before the noise.
            learned: the training run, with the checkpoint from which the release begins.
            index: the number of the release.
            request: the number of the request.
            keep_released: whether the clients keep the released models.
        """
        known, address = self.requests[request], self.address_of(plan.release, index, request)
        program = method.program(plan.release, known, address, learned.checkpoint_names)
        centre, cost, measured = self._approach(plan.release, program, learned, index, request)
        cost += learned.replayed.get(plan.release.checkpoint_round, Cost())
        plan = method.refine(plan, known, measured)
        release = plan.release
        program = method.program(release, known, address, learned.checkpoint_names)
        finish = task_from_noise_on(program, release, centre, index, request)
        noisy = len(release.mechanism.additions(known, release)) > 0
        finish = replace(finish, keep=frozenset({finish.start, finish.end}), noisy=noisy)
        cost += self.run_task(finish)
        shifts = self.network.disturbances() if finish.measured else {}
        noise = self.network.noise_logs(erase=True) if noisy else {}
        outcome = Outcome(
            centre=self._without_departed(self.network.fetch(centre)),
            noised=self.network.fetch(finish.checkpoint_name(finish.start)),
            released=self.network.fetch(finish.checkpoint_name(finish.end)),
            cost=Cost() if program.beforehand else cost,
            plan=plan,
            shifts=np.array([shifts[node][round] for round, node in release.mechanism.events]),
            noise=noise,
            address=address,
            released_name=finish.checkpoint_name(finish.end) if keep_released else "",
        )
        for rounds in finish.keep - ({finish.end} if keep_released else set()):
            self.network.drop(finish.checkpoint_name(rounds))
        return outcome

    def resample_noise(self, method: Method, release: Release, begin: str, index: int, request: int = 0) -> Tensor:
        """Return what a release would have been with other noise [N, d], from a state that the clients keep; uncounted.

        Args:
            method: whose program it is.
            release: as it was carried out, or refined.
            begin: the name of the state that the noise is added to.
            index: where the noise is drawn, in place of the number of a release.
            request: the number of the request.
        """
        known = self.requests[request]
        program = method.program(release, known, self.address_of(release, index, request), {})
        execute(self.network, task_from_noise_on(program, release, begin, index, request), known.mixing)
        return self.network.fetch()

    def oracle_state(self, release: Release, oracle: Trajectory, request: int = 0) -> Tensor:
        """Return what the centre of the release would have been, had the network learned without the forget set.

        Args:
            release: as it was carried out.
            oracle: the retraining.
            request: the number of the request.

        Returns:
            [N, d] at the root, [0, d] elsewhere. Collective.
        """
        checkpoint_name = oracle.checkpoint_names[release.noise_round]
        if not release.averaged:
            return self.network.fetch(checkpoint_name)
        average = Task(
            "oracle_state", request + 1, checkpoint_name, (), averaging(release), release.noise_round, frozenset()
        )
        execute(self.network, average, self.training_run.mixing)
        return self.network.fetch()

    def address_of(self, release: Release, index: int, request: int) -> NoiseAddress:
        """Return where the noise of a release is drawn."""
        return replace(self.addresses[request], release=index, source=release.noise_source)

    def _without_departed(self, theta: Tensor) -> Tensor:
        """Return θ without the models of nodes that have left."""
        departed = list(self.training_run.departed)
        if not departed or not len(theta):
            return theta
        theta = theta.clone()
        theta[departed] = 0.0
        return theta

    def _approach(
        self, release: Release, program: Program, learned: Trajectory, index: int, request: int
    ) -> tuple[str, Cost, MeasuredDisturbances]:
        """Carry out the rounds before the noise.

        Returns:
            the name of the state that the noise is added to; what it cost; what was measured.
        """
        start, steps = release.checkpoint_round, program.approach
        begin = learned.checkpoint_names[start]
        if not any(len(step.rounds) for step in steps):
            return begin, Cost(), {}
        suffix, reached = self.request_suffix(request) + learned.branch, release.noise_round
        end = start + sum(len(step.rounds) for step in steps)
        measured = no_shifts(program.watched, steps)
        if measured or not all(type(step) in (Descend, Average) for step in steps):
            task = Task(f"{index}-{release.method}-site", request + 1, begin, (), steps, start, frozenset({end}))
            cost = self.run_task(replace(task, measured=measured))
            return task.checkpoint_name(end), cost, self.network.disturbances() if measured else {}
        if start == 0 and not release.averaged and (retrained := f"retrained{suffix}-{reached:06d}") in self._costs:
            return retrained, self._costs[retrained], {}
        name = f"descent{suffix}-{start}-{reached}" + ("-averaged" if release.averaged else "")
        task = Task(name, request + 1, begin, (), steps, start, frozenset({end}))
        if name not in self._costs:
            self.run_task(task)
        return task.checkpoint_name(end), self._costs[name], {}

    def request_suffix(self, request: int) -> str:
        """Return the suffix of names that belong to a request; empty if there is only one request."""
        return f"-{request}" if len(self.requests) > 1 else ""

    def _descent(self, name: str, begin: str | None, requests_met: int, rounds: range, keep: Collection[int]) -> Task:
        """Return rounds of learning, from a state or from the start."""
        prepare: tuple[LocalStep, ...] = (InitialModel(self.seed),) if begin is None else ()
        within = frozenset(t for t in keep if rounds.start <= t <= rounds.stop)
        return Task(
            name, requests_met, begin, prepare, (Descend(self.training_run.order, rounds),), rounds.start, within
        )

    def _trajectory(self, tasks: Sequence[Task], cost: Cost) -> Trajectory:
        return Trajectory(self.network, {t: task.checkpoint_name(t) for task in tasks for t in sorted(task.keep)}, cost)

    def run_task(self, task: Task) -> Cost:
        """Execute a task, and return its cost."""
        known, retained = self.requests[max(task.requests_met - 1, 0)], task.requests_met > 0
        mixing = known.mixing if retained or known.mixing_before is None else known.mixing_before
        meter = CostMeter(self.network_model)
        carried, seconds = execute(self.network, task, mixing, self.callbacks, self.journal, meter)
        self.traffic[task.name] = carried
        total = meter.total() + Cost(seconds=seconds)
        self._costs |= {task.name: total, **{task.checkpoint_name(at): cost for at, cost in meter.noted.items()}}
        return total
