"""Simulate a network in which learning goes on, after a request, from the models that each method released."""

from collections.abc import Collection, Sequence
from dataclasses import replace

from rewindnet.certificates import Release, TrainingRun
from rewindnet.clients.methods import Method
from rewindnet.clients.steps.base import LocalStep
from rewindnet.clients.steps.learning import Descend, InitialModel
from rewindnet.simulator.cost.meter import Cost
from rewindnet.simulator.outcome import Trajectory
from rewindnet.simulator.simulation import Simulation
from rewindnet.simulator.task import Task

#: Noise of an earlier release: after how many rounds it is added, and the steps that add it.
Noise = tuple[int, tuple[LocalStep, ...]]


class FromReleases(Simulation):
    """A network whose learning goes on, after a request, from the released models: on a branch for each method.

    All methods share the rounds of learning up to the first request. What a branch leaves has names that end in its
    own number, so that methods do not meet.
    """

    @property
    def _learned_requests(self) -> tuple[TrainingRun, ...]:
        return self.requests[:1]

    def go_on(self, begin: str, request: int, branch: str, keep: Collection[int], shared: Trajectory) -> Trajectory:
        """Learn from released models up to the next request, without the samples deleted by then.

        Args:
            begin: the name of the released models, which the clients then forget.
            request: the number of the request up to which the network learns.
            branch: the end of the names that belong to the method.
            keep: the rounds of the checkpoints.
            shared: the checkpoints up to the first request; the initial model is among those of every branch.
        """
        start, end = self.requests[request - 1].rounds, self.requests[request].rounds
        name = f"learned{self.request_suffix(request)}{branch}"
        task = self._descent(name, begin, request, range(start, end), {start, end, *keep})
        learned = self._trajectory([task], self.run_task(task))
        self.network.drop(begin)
        names = {t: name for t, name in shared.checkpoint_names.items() if t == 0}
        return replace(learned, checkpoint_names={**names, **learned.checkpoint_names}, branch=branch)

    def noise_of(self, method: Method, release: Release, index: int, request: int) -> Noise:
        """Return when a release adds its noise, and the steps that add the very same noise again.

        Args:
            method: whose release it is.
            release: as it was carried out.
            index: the number of the release.
            request: the number of the request that it answers.
        """
        program = method.program(release, self.requests[request], self.address_of(release, index, request), {})
        return release.noise_round, program.noise

    def retrain_branch(self, request: int, branch: str, noise: Sequence[Noise], keep: Collection[int]) -> Trajectory:
        """Learn from scratch on the retained data, with the noise of earlier releases where they added it.

        Args:
            request: the number of the request.
            branch: the end of the names that belong to the method.
            noise: of the earlier releases, in the order of their rounds.
            keep: the rounds of the checkpoints, none of which comes before the last of the noise.
        """
        name, rounds = f"retrained{self.request_suffix(request)}{branch}", self.requests[request].rounds
        begin, start, cost = None, 0, Cost()
        prepare: tuple[LocalStep, ...] = (InitialModel(self.seed),)
        for part, (end, steps) in enumerate([*noise, (rounds, ())]):
            last = part == len(noise)
            task = Task(
                name if last else f"{name}-before-noise-{part}",
                request + 1,
                begin,
                prepare,
                (Descend(self.training_run.order, range(start, end)),),
                start,
                frozenset(keep) if last else frozenset({end}),
            )
            cost += self.run_task(task)
            begin, start, prepare = task.checkpoint_name(end), end, steps
        return replace(self._trajectory([task], cost), branch=branch)
