"""The way of each method where learning goes on, after a request, from the models that the method released."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from rewindnet.certificates import TrainingRun, go_on
from rewindnet.clients.methods import Method, UnlearningPlan
from rewindnet.simulator.from_releases import FromReleases, Noise
from rewindnet.simulator.outcome import Outcome, Trajectory


def check_requests(method: Method, training_runs: Sequence[TrainingRun]) -> None:
    """Check before learning that a method can answer each request, one after the other.

    Args:
        method: the method.
        training_runs: for each request, how the network learns up to it, as far as known before learning.

    Raises:
        CertificateError: if its settings cannot be met, or learning cannot go on from its releases.
    """
    before: tuple[TrainingRun, UnlearningPlan] | None = None
    for training in training_runs:
        if before is not None:
            training = go_on(training, before[0], before[1].release, before[1].claim)
        method.check(training)
        before = (training, method.plan(training)) if training.from_release else None


@dataclass(frozen=True)
class Branch:
    """The way of one method up to its latest release.

    Attributes:
        training: how the network had learned when it made the release.
        plan: what was released.
        released_name: the name of the released models, which the clients keep.
        noise: the noise of its releases so far.
    """

    training: TrainingRun
    plan: UnlearningPlan
    released_name: str
    noise: tuple[Noise, ...]


@dataclass
class Branches:
    """The ways of all methods, by the number of the method.

    Attributes:
        simulation: the network.
        methods: the methods.
    """

    simulation: FromReleases
    methods: Sequence[Method]
    _branches: dict[int, Branch] = field(default_factory=dict)

    def note(self, request: int, number: int, training: TrainingRun, outcome: Outcome) -> None:
        """Note from which release learning is to go on.

        Args:
            request: the number of the request.
            number: the number of the method.
            training: how the network learned up to the request.
            outcome: the release.
        """
        release, method = outcome.plan.release, self.methods[number]
        earlier = self._branches[number].noise if number in self._branches and release.checkpoint_round else ()
        index = request * len(self.methods) + number
        added = (self.simulation.noise_of(method, release, index, request),) if release.sigma.any() else ()
        self._branches[number] = Branch(training, outcome.plan, outcome.released_name, (*earlier, *added))

    def training(self, number: int, facts: TrainingRun) -> TrainingRun:
        """Return how the network will have learned up to the next request on the way of a method.

        Args:
            number: the number of the method.
            facts: how the network learns up to the next request, were it not for releases.
        """
        branch = self._branches[number]
        return go_on(facts, branch.training, branch.plan.release, branch.plan.claim)

    def learn(self, request: int, number: int, plan: UnlearningPlan, shared: Trajectory) -> Trajectory:
        """Learn from the latest release of a method up to the next request.

        Args:
            request: the number of the request.
            number: the number of the method.
            plan: the plan of the next release, whose checkpoint is kept.
            shared: the checkpoints up to the first request.
        """
        begin, keep = self._branches[number].released_name, {plan.release.checkpoint_round}
        return self.simulation.go_on(begin, request, branch_name(number), keep, shared)

    def retrain(self, request: int, number: int, plan: UnlearningPlan) -> Trajectory:
        """Retrain without what was deleted by then, with the noise of the earlier releases of the method.

        Args:
            request: the number of the request.
            number: the number of the method.
            plan: the plan of the release that is compared with it.
        """
        release, rounds = plan.release, self.simulation.requests[request].rounds
        # A release that goes back to the initial model is compared with plain retraining.
        noise = self._branches[number].noise if release.checkpoint_round else ()
        return self.simulation.retrain_branch(request, branch_name(number), noise, {rounds, release.noise_round})


def branch_name(number: int) -> str:
    """Return the end of the names of what belongs to the way of one method.

    Args:
        number: the number of the method.
    """
    return f"-{number}"
