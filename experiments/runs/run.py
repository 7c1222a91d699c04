"""One run: learn → delete → unlearn with every method → certify → audit."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np
from scipy.sparse import csr_array
from torch import Tensor

from rewindnet.certificates import Audit, Certificate, TrainingRun, certify
from rewindnet.certificates.audits.noise import NoiseTraces
from rewindnet.clients.methods import Method, Plan
from rewindnet.clients.metrics.accuracy import accuracy
from rewindnet.clients.steps.base import CommunicationStep
from rewindnet.experiments.folder.recorder import Recorder
from rewindnet.experiments.runs.auditing import audited, audited_noise
from rewindnet.experiments.runs.composed import composed
from rewindnet.experiments.runs.measures import measure, row
from rewindnet.experiments.runs.progress import Progress
from rewindnet.experiments.runs.run_setup import RunSetup
from rewindnet.simulator.engine import Callback
from rewindnet.simulator.outcome import Trajectory
from rewindnet.simulator.simulation import Simulation
from rewindnet.simulator.task import Task
from rewindnet.simulator.transports.network import Network


def run(setup: RunSetup, network: Network, recorder: Recorder, progress: Progress | None = None) -> None:
    """Learn, delete, unlearn, certify and audit, and leave everything in the recorder's folder.

    Where the network is spread over several processes, each of them runs this; only the root writes.

    Args:
        setup: from `build_run`, which has found everything that can be wrong with the scenario.
        network: the clients, as a transport reaches them.
        recorder: of the run folder.
        progress: is told what goes on.

    Raises:
        CertificateError: if what was learned allows no plan for a method; the folder is left marked incomplete.
    """
    simulation, methods, requests = setup.simulation(network), setup.methods, setup.network.training_runs
    watch = _Watch(recorder, progress or Progress(), setup)
    simulation.callbacks, simulation.journal = (watch,), recorder.journal

    arrive = [request.rounds for request in requests]
    with watch.phase("learn", arrive[-1]):
        learned, learnings = simulation.learn(set(arrive).union(*_checkpoints(methods, arrive)))
    plans = network.agree([[method.plan(learning) for method in methods] for learning in learnings])
    restored = {plan.release.checkpoint_round for planned in plans for plan in planned}
    recorder.learned(learnings, setup.network.arrivals, learned, {*arrive, *restored})

    rows: list[dict[str, Any]] = []
    certified: list[list[Certificate]] = [[] for _ in methods]
    traces: list[NoiseTraces] = []
    for request, (learning, planned) in enumerate(zip(learnings, plans, strict=True)):
        T, horizon = learning.rounds, max(method.horizon(learning.rounds) for method in methods)
        suffix, rounds = simulation.request_suffix(request), {T, *(plan.release.noise_round for plan in planned)}
        with watch.phase(f"retrain{suffix}", horizon):
            oracle = simulation.retrain(horizon, rounds, request)
        recorder.retrained(oracle, rounds, suffix)
        before = learned.at(T)
        answering = _Answering(
            setup, network, simulation, recorder, watch, learned, before, learning, oracle, request, traces
        )
        for at, (method, plan) in enumerate(zip(methods, planned, strict=True)):
            index = request * len(methods) + at
            records = answering.release(method, plan, index)
            if records is not None:
                deleting = setup.network.arrivals[request].forget
                rows.append({"request": request, **row(index, method.variant, *records, deleting)})
                certified[at].append(records[0])
    recorder.finish(rows, composed(certified) if len(requests) > 1 else [], simulation.message_bytes)


@dataclass(frozen=True)
class _Answering:
    """What every release that answers one request has in common.

    Attributes:
        setup: of the run.
        network: the clients.
        simulation: of the network.
        recorder: of the run folder.
        watch: that times each part.
        learned: the checkpoints of learning.
        before: [N, d], the models when the request arrived.
        learning: how the network learned up to the request.
        oracle: the checkpoints of retraining.
        request: its number.
        traces: of the noise of all releases so far, with which that of later ones is compared.
    """

    setup: RunSetup
    network: Network
    simulation: Simulation
    recorder: Recorder
    watch: "_Watch"
    learned: Trajectory
    before: Tensor
    learning: TrainingRun
    oracle: Trajectory
    request: int
    traces: list[NoiseTraces]

    def release(self, method: Method, plan: Plan, index: int) -> tuple[Certificate, Audit, dict[str, Any]] | None:
        """Carry out a method's plan, certify, audit and measure the release, and record it.

        What an earlier process has recorded is not done again.

        Returns:
            The certificate, the audit and the metrics; None where another process records them.
        """
        recorded = self.network.agree(self.recorder.recorded(index, plan.release.method))
        if recorded is not None:
            if self.network.root:
                self.traces.append(self.recorder.noise_traces(index))
            return recorded
        with self.watch.phase(f"{index}-{plan.release.method}", self._rounds(method, plan, index)):
            outcome = self.simulation.execute(method, plan, self.learned, index, self.request)
        self.recorder.carried(self.simulation.traffic)
        release, claim = outcome.plan.release, outcome.plan.claim
        counterpart = self.simulation.oracle_state(release, self.oracle, self.request)
        retrained = self.oracle.at(self.learning.rounds)
        if not self.network.root:
            return None
        certificate = certify(self.learning, release, claim)
        noise, traces = audited_noise(self.setup, self.learning, outcome, counterpart, self.traces)
        self.traces.append(traces)
        audit = audited(self.setup, certificate, outcome, counterpart, index, noise)
        metrics = measure(self.setup, outcome, self.before, retrained, self.oracle.cost, self.request)
        self.recorder.method(index, certificate, audit, metrics, outcome, traces)
        return certificate, audit, metrics

    def _rounds(self, method: Method, plan: Plan, index: int) -> int:
        """Count the rounds that a method takes, as far as is known beforehand."""
        program = method.program(plan.release, self.learning, 0, index, self.learned.checkpoint_names)
        return sum(len(step.rounds) for step in (*program.approach, *program.finish))


def _checkpoints(methods: Sequence[Method], arrive: Sequence[int]) -> list[set[int]]:
    return [set(method.checkpoints(T)) for method in methods for T in arrive]


class _Watch(Callback):
    """Tells the progress display and the recorder of every round: a `Callback`."""

    def __init__(self, recorder: Recorder, progress: Progress, setup: RunSetup) -> None:
        self._recorder, self._progress, self._setup = recorder, progress, setup
        self._phase = ""

    @contextmanager
    def phase(self, name: str, rounds: int) -> Iterator[None]:
        """Announce and time the next part of the run."""
        self._phase = name
        self._progress.phase(name, rounds)
        began = perf_counter()
        yield
        self._recorder.seconds(name, perf_counter() - began)

    def after_round(
        self, task: Task, step: CommunicationStep, round: int, W: csr_array, theta: Tensor | None, repeated: bool
    ) -> None:
        """Write one line of metrics.jsonl."""
        self._progress.advance()
        messages = int(W.nnz - np.count_nonzero(W.diagonal()))
        line: dict[str, Any] = {"phase": self._phase, "round": round + 1, "messages": messages}
        if theta is not None and len(theta) and not self._recorder.secret:
            # What clients keep between rounds may be wider than a model.
            theta = theta[:, : self._setup.network.model.parameters]
            mean = theta.mean(dim=0, keepdim=True)
            design, targets = self._setup.evaluations[0].sets["test"]
            score = accuracy(self._setup.network.model, mean.to(design), design, targets)
            line["consensus_distance"] = float((theta - mean).norm(dim=1).mean())
            line["test_accuracy_of_average_model"] = float(score[0])
        self._recorder.round(line, repeated)
