"""Run a scenario: learn → delete → unlearn with every method → certify → audit."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from torch import Tensor

from rewindnet.certificates import Audit, Certificate, TrainingRun, certify
from rewindnet.certificates.audits.noise.traces import NoiseTraces
from rewindnet.clients.methods import Method, UnlearningPlan
from rewindnet.clients.methods.baselines import Retrain
from rewindnet.experiments.folder.recorder import Recorder
from rewindnet.experiments.runs.auditing import audit_noise, audit_release
from rewindnet.experiments.runs.branches import Branches, branch_name
from rewindnet.experiments.runs.composition import compose_releases
from rewindnet.experiments.runs.estimating import rounds_of_estimates, with_estimates
from rewindnet.experiments.runs.measures import accuracy_at_request, measure_release, table_row
from rewindnet.experiments.runs.progress import Progress
from rewindnet.experiments.runs.replays import replayed
from rewindnet.experiments.runs.round_recorder import RoundRecorder
from rewindnet.experiments.runs.run_setup import RunSetup
from rewindnet.simulator.errors import RunError
from rewindnet.simulator.from_releases import FromReleases
from rewindnet.simulator.outcome import Outcome, Trajectory, norms_of
from rewindnet.simulator.retraining import begins_healing, with_healed_retraining
from rewindnet.simulator.transports.network import Network


def run(setup: RunSetup, network: Network, recorder: Recorder, progress: Progress | None = None) -> None:
    """Learn, delete, unlearn, certify and audit, and write everything into the folder of the recorder.

    If the network is divided over several processes, each of them calls this function; only the root writes.

    Args:
        setup: the run, from `build_run`.
        network: the clients, as a transport reaches them.
        recorder: writes the run folder.
        progress: is notified of every phase and round.

    Raises:
        CertificateError: if a method has no plan after learning; the folder then holds an incomplete run.
    """
    steps = _Run(setup, network, recorder, progress or Progress())
    learned = steps.learn()
    requests = range(len(learned.training_runs))
    releases = [release for request in requests for release in steps.answer(learned, request)]
    steps.finish(releases)


@dataclass(frozen=True)
class _Learned:
    """The result of learning.

    Attributes:
        trajectory: the checkpoints.
        training_runs: for each request, how the network learned up to it.
        plans: for each request, the plan of each method; for the first alone where learning goes on from releases.
    """

    trajectory: Trajectory
    training_runs: Sequence[TrainingRun]
    plans: Sequence[Sequence[UnlearningPlan]]


@dataclass(frozen=True)
class _Answer:
    """The state that all releases for one request share.

    Attributes:
        setup: the run.
        request: the number of the request.
        training: how the network learned up to the request.
        learned: the checkpoints of learning.
        before: [N, d], the models when the request arrived.
        oracle: the checkpoints of retraining.
    """

    setup: RunSetup
    request: int
    training: TrainingRun
    learned: Trajectory
    before: Tensor
    oracle: Trajectory

    @cached_property
    def accuracy(self) -> list[float]:
        """The test accuracy of the models when the request arrived, of each node that is present."""
        return accuracy_at_request(self.setup, self.before, self.request)


@dataclass(frozen=True)
class _Release:
    """The records of one release.

    Attributes:
        method: the number of its method.
        row: its row of the table.
        certificate: its certificate.
    """

    method: int
    row: dict[str, Any]
    certificate: Certificate


class _Run:
    """Carries out the steps of a run.

    Args:
        setup: the run.
        network: the clients, as a transport reaches them.
        recorder: writes the run folder.
        progress: is notified of every phase and round.
    """

    def __init__(self, setup: RunSetup, network: Network, recorder: Recorder, progress: Progress) -> None:
        self._setup, self._network, self._recorder = setup, network, recorder
        self._rounds = RoundRecorder(recorder, progress, setup)
        self._simulation = simulation = setup.simulation(network)
        self._noise_traces: list[NoiseTraces] = []
        self._branches = Branches(simulation, setup.methods) if isinstance(simulation, FromReleases) else None
        simulation.callbacks, simulation.journal = (self._rounds,), recorder.journal

    def learn(self) -> _Learned:
        """Train the network, plan every method for every request, and record the checkpoints."""
        methods, network = self._setup.methods, self._setup.network
        arrivals = [training.rounds for training in network.training_runs]
        if self._branches is not None:
            arrivals = arrivals[:1]
        with self._rounds.phase("learn", arrivals[-1]):
            trajectory, training_runs = self._simulation.learn({*self._setup.kept_rounds, *self._setup.shared_rounds})
        training_runs = with_estimates(network, trajectory, training_runs)
        planned = training_runs[: len(arrivals)]
        plans = self._network.agree([[method.plan(training) for method in methods] for training in planned])
        used = {plan.release.checkpoint_round for request_plans in plans for plan in request_plans}
        trajectory = replayed(self._simulation, trajectory, used, self._rounds.phase)
        used |= {*arrivals, *rounds_of_estimates(network)}
        self._recorder.write_learning(training_runs, network.arrivals, trajectory, used)
        return _Learned(trajectory, training_runs, plans)

    def answer(self, learned: _Learned, request: int) -> list[_Release]:
        """Retrain for a request, and release models by every method.

        Returns:
            The releases; none in a process that does not record them.
        """
        methods, releases = self._setup.methods, []
        shared = None if request >= len(learned.plans) else self._shared_answer(learned, request)
        for number, method in enumerate(methods):
            index = request * len(methods) + number
            if shared is None:
                answer, plan = self._branch_answer(learned, request, number)
            else:
                answer, plan = shared, learned.plans[request][number]
            records = self._release(answer, method, plan, index)
            if records is not None:
                deleting = self._setup.network.arrivals[request].forget
                row = {"request": request, **table_row(index, method.variant, *records, deleting)}
                releases.append(_Release(number, row, records[0]))
        return releases

    def _shared_answer(self, learned: _Learned, request: int) -> _Answer:
        """Retrain for a request that all methods answer from the same models."""
        training = learned.training_runs[request]
        oracle = self._retrain(training, learned.plans[request], request)
        return _Answer(
            self._setup, request, training, learned.trajectory, learned.trajectory.at(training.rounds), oracle
        )

    def _branch_answer(self, learned: _Learned, request: int, number: int) -> tuple[_Answer, UnlearningPlan]:
        """Learn from the latest release of a method up to a request, and retrain with its noise; plan its release."""
        assert self._branches is not None
        training = self._branches.training(number, learned.training_runs[request])
        plan = self._network.agree(self._setup.methods[number].plan(training))
        start, end, name = self._setup.network.training_runs[request - 1].rounds, training.rounds, branch_name(number)
        suffix = f"-{request}{name}"
        with self._rounds.phase(f"learn{suffix}", end - start):
            trajectory = self._branches.learn(request, number, plan, learned.trajectory)
        kept = {start, end, plan.release.checkpoint_round} - {0}
        self._recorder.write_checkpoints(f"learned{suffix}", trajectory, kept)
        with self._rounds.phase(f"{Retrain.name}{suffix}", end):
            oracle = self._branches.retrain(request, number, plan)
        self._recorder.write_checkpoints(f"retrained{suffix}", oracle, {end, plan.release.noise_round})
        return _Answer(self._setup, request, training, trajectory, trajectory.at(end), oracle), plan

    def finish(self, releases: Sequence[_Release]) -> None:
        """Record the table, and the composition of the releases of each method if there are several requests."""
        compositions = []
        if len(self._setup.network.training_runs) > 1 and self._branches is None:
            numbers = range(len(self._setup.methods))
            compositions = compose_releases([[r.certificate for r in releases if r.method == at] for at in numbers])
        rows = [release.row for release in releases]
        self._recorder.finish(rows, compositions, self._simulation.message_bytes)

    def _retrain(self, training: TrainingRun, plans: Sequence[UnlearningPlan], request: int) -> Trajectory:
        """Retrain without the forget set of a request, and record the checkpoints that releases are compared with."""
        horizon = max(method.horizon(training.rounds) for method in self._setup.methods)
        suffix = self._simulation.request_suffix(request)
        rounds = {training.rounds, *(plan.release.noise_round for plan in plans)}
        kept = {*rounds, *begins_healing(plans, training.rounds), *self._setup.shared_rounds}
        with self._rounds.phase(f"{Retrain.name}{suffix}", horizon):
            oracle = self._simulation.retrain(horizon, kept, request)
        self._recorder.write_checkpoints(f"retrained{suffix}", oracle, rounds)
        return oracle

    def _release(
        self, answer: _Answer, method: Method, plan: UnlearningPlan, index: int
    ) -> tuple[Certificate, Audit, dict[str, Any]] | None:
        """Execute the plan of a method, and certify, audit, measure and record the release.

        A release that an earlier process has recorded is read from the folder instead.

        Returns:
            The certificate, the audit and the metrics; None in a process that does not record them.
        """
        recorded = None
        # Learning needs the released models, so the release is carried out again from its last state.
        if not answer.training.from_release:
            recorded = self._network.agree(self._recorder.read_release(index, plan.release.method))
        if recorded is not None:
            if self._network.root:
                self._noise_traces.append(self._recorder.read_noise_traces(index))
            return recorded
        outcome = self._execute(answer, method, plan, index)
        release, claim = outcome.plan.release, outcome.plan.claim
        oracle_state = self._simulation.oracle_state(release, answer.oracle, answer.request)
        outcome = with_healed_retraining(self._simulation, outcome, answer.oracle, answer.request)
        retrained = answer.oracle.at(answer.training.rounds)
        if not self._network.root:
            return None
        _check_finite(outcome.released, plan.release.method, index)
        certificate = certify(answer.training, release, claim)
        noise, traces = audit_noise(self._setup, answer.training, outcome, oracle_state, self._noise_traces)
        self._noise_traces.append(traces)
        audit = audit_release(self._setup, certificate, outcome, oracle_state, index, noise)
        given = answer.before, answer.accuracy, retrained, answer.oracle.cost, answer.request
        metrics = measure_release(self._setup, outcome, *given)
        self._recorder.write_release(index, certificate, audit, metrics, outcome, traces)
        return certificate, audit, metrics

    def _execute(self, answer: _Answer, method: Method, plan: UnlearningPlan, index: int) -> Outcome:
        """Execute the plan of a method on the network, and record its messages."""
        address = self._simulation.address_of(plan.release, index, answer.request)
        program = method.program(plan.release, answer.training, address, answer.learned.checkpoint_names)
        rounds = sum(len(step.rounds) for step in (*program.approach, *program.finish))
        with self._rounds.phase(f"{index}-{plan.release.method}", rounds):
            outcome = self._simulation.execute(
                method, plan, answer.learned, index, answer.request, keep_released=answer.training.from_release
            )
        if self._branches is not None and answer.training.from_release:
            self._branches.note(answer.request, index % len(self._setup.methods), answer.training, outcome)
        self._recorder.write_traffic(self._simulation.traffic)
        return outcome


def _check_finite(released: Tensor, method: str, index: int) -> None:
    """Refuse released models [N, d] of which a norm is no number.

    Raises:
        RunError: if a method has diverged.
    """
    if not np.isfinite(norms_of(released)).all():
        raise RunError(
            f"method {index} of the list, {method}, diverged: the models that it releases are too large to measure; "
            "smaller steps or less noise keep them finite"
        )
