"""One run: learn → delete → unlearn with every method → certify → audit."""

from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Any

import numpy as np
import torch
from scipy.sparse import csr_array
from torch import Tensor

from certificates import Audit, Certificate, certify
from clients.evaluation import accuracy
from clients.steps import Exchange
from experiments.assemble import Experiment
from experiments.auditing import audited
from experiments.recorder import Recorder
from simulator.engine import Task
from simulator.network import Network
from simulator.observers import Cost
from simulator.simulation import Outcome, divergence


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
    simulation, methods, T = experiment.simulation(network), experiment.methods, experiment.foreseen.rounds
    watch = _Watch(recorder, progress or Progress(), experiment)
    simulation.observers, simulation.journal = (watch,), recorder.journal

    with watch.phase("learn", T):
        learned, learning = simulation.learn({T}.union(*(method.checkpoints(T) for method in methods)))
    plans = network.agree([method.plan(learning) for method in methods])
    releases = [plan.release for plan in plans]
    recorder.learned(learning, experiment.forget, learned, {T, *(release.restored for release in releases)})

    horizon, sites = max(method.horizon(T) for method in methods), {T, *(release.site for release in releases)}
    with watch.phase("retrain", horizon):
        oracle = simulation.retrain(horizon, sites)
    recorder.retrained(oracle, sites)

    rows = []
    for index, (release, claim) in enumerate((plan.release, plan.claim) for plan in plans):
        records = network.agree(recorder.recorded(index, release.method))
        if records is None:
            with watch.phase(f"{index}-{release.method}", release.descended + release.settle):
                outcome = simulation.carry_out(release, learned, index)
            recorder.carried(simulation.traffic)
            counterpart, retrained = simulation.counterpart(release, oracle), oracle.at(T)
            if not network.root:
                continue
            certificate = certify(learning, release, claim)
            found = audited(experiment, certificate, outcome.centre, counterpart, index)
            records = (certificate, found, measure(experiment, outcome, retrained, oracle.cost))
            recorder.method(index, *records, outcome)
        rows.append(row(index, *records))
    recorder.finish(rows, simulation.message_bytes)


def measure(experiment: Experiment, outcome: Outcome, retrained: Tensor, retraining: Cost) -> dict[str, Any]:
    """What a release is worth and what it cost: `metrics.json`."""
    # Over MPI, what was gathered is on the host; the samples are wherever accuracy is to be computed.
    present = torch.from_numpy(np.flatnonzero(experiment.foreseen.present))
    released = outcome.released[present].to(next(iter(experiment.evaluation.sets.values()))[0].device)
    retrained = retrained[present].to(released.device)
    spent, whole = vars(outcome.cost), vars(retraining)
    mean = released.mean(dim=0, keepdim=True)
    scores = {}
    for name, (design, targets) in experiment.evaluation.sets.items():
        nodes = accuracy(experiment.model, released, design, targets)
        average = float(accuracy(experiment.model, mean, design, targets)[0])
        scores[name] = {"nodes": nodes.tolist(), "average_model": average, "samples": len(design)}
    return {
        "nodes": present.tolist(),
        "accuracy": scores,
        "distance_to_retrained": divergence(released, retrained).tolist(),
        "consensus_distance": float((released - mean).norm(dim=1).mean()),
        "cost": spent,
        "cost_share": {name: spent[name] / whole[name] if whole[name] else 0.0 for name in spent},
    }


def row(index: int, certificate: Certificate, found: Audit, metrics: dict[str, Any]) -> dict[str, Any]:
    """A line of the table: `summary.json`."""
    scores = metrics["accuracy"]
    return {
        "index": index,
        "method": certificate.method,
        "view": certificate.view,
        "bound": certificate.bound,
        "placement": certificate.placement,
        "allocation": certificate.allocation,
        "settle": certificate.settle,
        "rewind": certificate.rewound / certificate.rounds,
        "rounds": certificate.descended,
        "sensitivity": max(certificate.sensitivity),
        "divergence": max(found.divergence),
        "sigma": (sum(s * s for s in certificate.sigma) / len(certificate.sigma)) ** 0.5,
        "delta": certificate.delta,
        "epsilon_claimed": certificate.claimed_epsilon,
        "epsilon_sound": certificate.epsilon,
        "epsilon_audited": found.exact_epsilon,
        "epsilon_lower": found.monte_carlo and found.monte_carlo.epsilon_lower,
        "conditional": certificate.conditional,
        "holds": found.holds,
        "reason": certificate.reason,
        "accuracy": {
            name: {"mean": sum(of["nodes"]) / len(of["nodes"]), "lowest": min(of["nodes"])}
            for name, of in scores.items()
        },
        "distance_to_retrained": max(metrics["distance_to_retrained"]),
        "cost_share": metrics["cost_share"],
        "simulated_seconds": metrics["cost"]["simulated_seconds"],
    }


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
            mean = theta.mean(dim=0, keepdim=True)
            design, targets = self._experiment.evaluation.sets["test"]
            score = accuracy(self._experiment.model, mean.to(design), design, targets)
            line["consensus_distance"] = float((theta - mean).norm(dim=1).mean())
            line["test_accuracy_of_average_model"] = float(score[0])
        self._recorder.round(line, repeated)
