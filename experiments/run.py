"""One run: learn → delete → unlearn with every method → certify → audit."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from torch import Tensor

from certificates import Audit, Certificate, audit, certify, violation
from clients.block import Block
from clients.evaluation import accuracy
from clients.steps import Exchange
from experiments.assemble import Experiment
from experiments.recorder import Recorder
from simulator.simulation import Outcome, Trajectory, divergence


class Progress:
    """Is told what goes on; this one keeps it to itself."""

    def phase(self, name: str, rounds: int) -> None:
        """A new part of the run begins; it takes so many rounds."""

    def advance(self) -> None:
        """A round is over."""


@dataclass(frozen=True)
class Result:
    """The table, and what is wrong with the certificates, if anything."""

    rows: list[dict[str, Any]]
    violations: list[str]


def run(experiment: Experiment, folder: Path, progress: Progress | None = None) -> Result:
    """Run an assembled scenario and leave everything in the folder.

    Args:
        experiment: from `assemble`, which has found everything that can be wrong with the scenario.
        folder: the run folder; what is in it is replaced (`check_target` tells whether it should be).
        progress: is told what goes on.

    Raises:
        CertificateError: if what was learned allows no plan for a method; the folder is left marked incomplete.
    """
    methods, simulation, T = experiment.methods, experiment.simulation, experiment.simulation.rounds
    recorder = Recorder(folder, experiment)
    watch = _Watch(recorder, progress or Progress(), experiment)
    simulation.observers = (watch,)

    with watch.phase("learn", T):
        learned, learning = simulation.learn({T}.union(*(method.checkpoints(T) for method in methods)))
    plans = [method.plan(learning) for method in methods]
    releases = [plan.release for plan in plans]
    recorder.learned(learning, simulation.forget, learned, {T, *(release.restored for release in releases)})

    horizon, sites = max(method.horizon(T) for method in methods), {T, *(release.site for release in releases)}
    with watch.phase("retrain", horizon):
        oracle = simulation.retrain(horizon, sites)
    recorder.retrained(oracle, sites)

    result = Result([], [])
    for index, (release, claim) in enumerate((plan.release, plan.claim) for plan in plans):
        with watch.phase(f"{index}-{release.method}", release.descended + release.settle):
            outcome = simulation.carry_out(release, learned.checkpoints, index)
        certificate = certify(learning, release, claim)
        found = audit(
            certificate, simulation.mixing, divergence(outcome.centre, simulation.counterpart(release, oracle))
        )
        metrics = measure(experiment, outcome, oracle)
        recorder.method(index, certificate, found, metrics, outcome)
        result.rows.append(row(index, certificate, found, metrics))
        if not found.holds:
            result.violations.append(violation(certificate, found))
    recorder.finish(result.rows)
    return result


def measure(experiment: Experiment, outcome: Outcome, oracle: Trajectory) -> dict[str, Any]:
    """What a release is worth and what it cost: `metrics.json`."""
    released, spent, whole = outcome.released, vars(outcome.cost), vars(oracle.cost)
    retrained = oracle.checkpoints[experiment.simulation.rounds]
    mean = released.mean(dim=0, keepdim=True)
    scores = {}
    for name, (design, targets) in experiment.evaluation.sets.items():
        nodes = accuracy(experiment.model, released, design, targets)
        average = float(accuracy(experiment.model, mean, design, targets)[0])
        scores[name] = {"nodes": nodes.tolist(), "average_model": average, "samples": len(design)}
    return {
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
        "conditional": certificate.conditional,
        "holds": found.holds,
        "reason": certificate.reason,
        "accuracy": {
            name: {"mean": sum(of["nodes"]) / len(of["nodes"]), "lowest": min(of["nodes"])}
            for name, of in scores.items()
        },
        "distance_to_retrained": max(metrics["distance_to_retrained"]),
        "cost_share": metrics["cost_share"],
    }


class _Watch:
    """Tells the progress display and the recorder of every round."""

    #: Lines with an accuracy, in a phase.
    _SCORES = 20

    def __init__(self, recorder: Recorder, progress: Progress, experiment: Experiment) -> None:
        self._recorder, self._progress, self._experiment = recorder, progress, experiment
        self._name, self._every = "", 1

    @contextmanager
    def phase(self, name: str, rounds: int) -> Iterator[None]:
        """The next part of the run, timed."""
        self._name, self._every = name, max(1, rounds // self._SCORES)
        self._progress.phase(name, rounds)
        began = perf_counter()
        yield
        self._recorder.seconds(name, perf_counter() - began)

    def after_round(self, step: Exchange, round: int, block: Block, theta: Tensor) -> None:
        """One line of metrics.jsonl."""
        line: dict[str, Any] = {"phase": self._name, "round": round + 1}
        if not self._recorder.secret:
            mean = theta.mean(dim=0, keepdim=True)
            line["consensus_distance"] = float((theta - mean).norm(dim=1).mean())
            if (round + 1) % self._every == 0:
                design, targets = self._experiment.evaluation.sets["test"]
                score = accuracy(self._experiment.model, mean, design, targets)
                line["test_accuracy_of_average_model"] = float(score[0])
        self._recorder.round(line)
        self._progress.advance()
