"""One run: learn → delete → unlearn with every method → certify → audit."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from time import perf_counter
from typing import Any

import numpy as np
import torch
from scipy.sparse import csr_array
from torch import Tensor

from rewindnet.certificates import Audit, Certificate, Learning, certify
from rewindnet.clients.methods import Method, Plan
from rewindnet.clients.metrics.accuracy import accuracy
from rewindnet.clients.models import Model
from rewindnet.clients.steps.base import Exchange
from rewindnet.experiments.folder.recorder import Recorder
from rewindnet.experiments.runs.attacking import attacked, summarised
from rewindnet.experiments.runs.auditing import audited
from rewindnet.experiments.runs.composed import composed
from rewindnet.experiments.scenario.assemble import Experiment, Samples
from rewindnet.simulator.cost.meter import Cost
from rewindnet.simulator.engine import Task
from rewindnet.simulator.simulation import Outcome, Trajectory, divergence
from rewindnet.simulator.transports.network import Network


class Progress:
    """Is told what goes on; this one keeps it to itself."""

    def phase(self, name: str, rounds: int | None) -> None:
        """A new part of the run begins; it takes so many rounds, if that is known."""

    def advance(self) -> None:
        """A round is over."""


def run(experiment: Experiment, network: Network, recorder: Recorder, progress: Progress | None = None) -> None:
    """Run an assembled scenario and leave everything in the recorder's folder.

    Where the network is spread over several processes, each of them runs this; only the root writes.

    Args:
        experiment: from `assemble`, which has found everything that can be wrong with the scenario.
        network: its clients.
        recorder: of the run folder.
        progress: is told what goes on.

    Raises:
        CertificateError: if what was learned allows no plan for a method; the folder is left marked incomplete.
    """
    simulation, methods, requests = experiment.simulation(network), experiment.methods, experiment.requests
    watch = _Watch(recorder, progress or Progress(), experiment)
    simulation.observers, simulation.journal = (watch,), recorder.journal

    arrive = [request.rounds for request in requests]
    with watch.phase("learn", arrive[-1]):
        learned, learnings = simulation.learn(set(arrive).union(*_checkpoints(methods, arrive)))
    plans = network.agree([[method.plan(learning) for method in methods] for learning in learnings])
    restored = {plan.release.restored for planned in plans for plan in planned}
    recorder.learned(learnings, experiment.arrivals, learned, {*arrive, *restored})

    rows: list[dict[str, Any]] = []
    certified: list[list[Certificate]] = [[] for _ in methods]
    for request, (learning, planned) in enumerate(zip(learnings, plans, strict=True)):
        T, horizon = learning.rounds, max(method.horizon(learning.rounds) for method in methods)
        sites, mark = {T, *(plan.release.site for plan in planned)}, simulation.mark(request)
        with watch.phase(f"retrain{mark}", horizon):
            oracle = simulation.retrain(horizon, sites, request)
        recorder.retrained(oracle, sites, mark)
        before = learned.at(T)

        for at, (method, plan) in enumerate(zip(methods, planned, strict=True)):
            index = request * len(methods) + at
            records = network.agree(recorder.recorded(index, plan.release.method))
            if records is None:
                with watch.phase(f"{index}-{plan.release.method}", _rounds(method, plan, learning, index, learned)):
                    outcome = simulation.carry_out(method, plan, learned, index, request)
                recorder.carried(simulation.traffic)
                release, claim = outcome.plan.release, outcome.plan.claim
                counterpart, retrained = simulation.counterpart(release, oracle, request), oracle.at(T)
                if not network.root:
                    continue
                certificate = certify(learning, release, claim)
                found = audited(experiment, certificate, outcome, counterpart, index)
                records = (certificate, found, measure(experiment, outcome, before, retrained, oracle.cost, request))
                recorder.method(index, *records, outcome)
            deleting = experiment.arrivals[request].forget
            rows.append({"request": request, **row(index, method.variant, *records, deleting)})
            certified[at].append(records[0])
    recorder.finish(rows, composed(certified) if len(requests) > 1 else [], simulation.message_bytes)


def _rounds(method: Method, plan: Plan, learning: Learning, index: int, learned: Trajectory) -> int:
    """How many rounds a method takes, as far as is known beforehand."""
    program = method.program(plan.release, learning, 0, index, learned.places)
    return sum(len(step.rounds) for step in (*program.approach, *program.finish))


def _checkpoints(methods: Sequence[Method], arrive: Sequence[int]) -> list[set[int]]:
    return [set(method.checkpoints(T)) for method in methods for T in arrive]


def measure(
    experiment: Experiment, outcome: Outcome, learned: Tensor, retrained: Tensor, retraining: Cost, request: int
) -> dict[str, Any]:
    """What a release is worth and what it cost: `metrics.json`.

    Args:
        experiment: what is run.
        outcome: of the release.
        learned: [N, d], the models when the request arrived.
        retrained: [N, d], those of the network had it never seen the forget set.
        retraining: what that took.
        request: which was answered.
    """
    # Over MPI, what was gathered is on the host; the samples are wherever accuracy is to be computed.
    present = torch.from_numpy(np.flatnonzero(experiment.foreseen.present))
    released = outcome.released[present].to(next(iter(experiment.evaluations[request].sets.values()))[0].device)
    retrained = retrained[present].to(released.device)
    spent, whole = vars(outcome.cost), vars(retraining)
    mean = released.mean(dim=0, keepdim=True)

    def shares(sets: Mapping[str, Samples]) -> dict[str, Any]:
        return {name: _share_right(experiment.model, released, mean, *samples) for name, samples in sets.items()}

    evaluation = experiment.evaluations[request]
    return {
        "nodes": present.tolist(),
        "accuracy": shares(evaluation.sets),
        "backdoor": shares(evaluation.triggered) or None,
        "membership": attacked(experiment, learned, outcome.released, request),
        "distance_to_retrained": divergence(released, retrained).tolist(),
        "consensus_distance": float((released - mean).norm(dim=1).mean()),
        "cost": spent,
        "cost_share": {name: spent[name] / whole[name] if whole[name] else 0.0 for name in spent},
    }


def _share_right(model: Model, released: Tensor, mean: Tensor, design: Tensor, targets: Tensor) -> dict[str, Any]:
    """The share of samples that every node's model puts where they are said to belong, and that the average does."""
    return {
        "nodes": accuracy(model, released, design, targets).tolist(),
        "average_model": float(accuracy(model, mean, design, targets)[0]),
        "samples": len(design),
    }


def row(
    index: int,
    variant: str,
    certificate: Certificate,
    found: Audit,
    metrics: dict[str, Any],
    deleting: Collection[int],
) -> dict[str, Any]:
    """A line of the table: `summary.json`.

    Args:
        index: which release of the run it is.
        variant: which form of its method.
        certificate: of it.
        found: by its audit.
        metrics: as `measure` has them.
        deleting: the nodes that deleted.
    """
    scores = metrics["accuracy"]
    return {
        "index": index,
        "method": certificate.method,
        "variant": variant,
        "mechanism": certificate.mechanism["kind"],
        "view": certificate.view,
        "bound": certificate.bound,
        "placement": certificate.placement,
        "allocation": certificate.allocation,
        "settle": certificate.settle,
        "rewind": certificate.rewound / certificate.rounds,
        "rounds": certificate.descended,
        "sensitivity": max(certificate.sensitivity, default=None),
        "divergence": max(found.divergence),
        "sigma": (sum(s * s for s in certificate.sigma) / len(certificate.sigma)) ** 0.5,
        "delta": certificate.delta,
        "epsilon_claimed": certificate.claimed_epsilon,
        "claimed_by": certificate.claimed_by,
        "epsilon_sound": certificate.epsilon,
        "epsilon_audited": found.exact_epsilon,
        "epsilon_lower": found.monte_carlo and found.monte_carlo.epsilon_lower,
        "conditional": certificate.conditional,
        "holds": found.holds,
        "reason": certificate.reason,
        "accuracy": {name: {"mean": _mean(of), "lowest": min(of["nodes"])} for name, of in scores.items()},
        "backdoor": metrics["backdoor"]
        and {name: {"mean": _mean(of), "highest": max(of["nodes"])} for name, of in metrics["backdoor"].items()},
        "membership": summarised(metrics["membership"], deleting),
        "distance_to_retrained": max(metrics["distance_to_retrained"]),
        "cost_share": metrics["cost_share"],
        "simulated_seconds": metrics["cost"]["simulated_seconds"],
    }


def _mean(score: Mapping[str, Any]) -> float:
    return float(sum(score["nodes"]) / len(score["nodes"]))


class _Watch:
    """Tells the progress display and the recorder of every round."""

    def __init__(self, recorder: Recorder, progress: Progress, experiment: Experiment) -> None:
        self._recorder, self._progress, self._experiment = recorder, progress, experiment
        self._phase = ""

    @contextmanager
    def phase(self, name: str, rounds: int) -> Iterator[None]:
        """The next part of the run, timed."""
        self._phase = name
        self._progress.phase(name, rounds)
        began = perf_counter()
        yield
        self._recorder.seconds(name, perf_counter() - began)

    def after_round(
        self, task: Task, step: Exchange, round: int, W: csr_array, theta: Tensor | None, repeated: bool
    ) -> None:
        """One line of metrics.jsonl."""
        self._progress.advance()
        messages = int(W.nnz - np.count_nonzero(W.diagonal()))
        line: dict[str, Any] = {"phase": self._phase, "round": round + 1, "messages": messages}
        if theta is not None and len(theta) and not self._recorder.secret:
            # What clients keep between rounds may be wider than a model.
            theta = theta[:, : self._experiment.model.parameters]
            mean = theta.mean(dim=0, keepdim=True)
            design, targets = self._experiment.evaluations[0].sets["test"]
            score = accuracy(self._experiment.model, mean.to(design), design, targets)
            line["consensus_distance"] = float((theta - mean).norm(dim=1).mean())
            line["test_accuracy_of_average_model"] = float(score[0])
        self._recorder.round(line, repeated)
