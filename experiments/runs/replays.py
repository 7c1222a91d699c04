"""Get at checkpoints that were not kept, before anything is erased: run rounds of learning once more, or undo them."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar, cast

import numpy as np

from rewindnet.certificates import CertificateError, TrainingRun
from rewindnet.certificates.network import Vector
from rewindnet.certificates.sensitivity.half_precision import check_charge, check_half_precision
from rewindnet.certificates.sensitivity.recovery import check_recovered_norms, check_recovery, recovery_error
from rewindnet.clients.methods import Method
from rewindnet.experiments.runs.estimating import check_estimation, rounds_of_estimates
from rewindnet.experiments.scenario.errors import ScenarioError
from rewindnet.experiments.scenario.kept_rounds import (
    check_replays,
    missing_parts,
    recovered_parts,
    replays,
    rounds_to_keep,
)
from rewindnet.experiments.scenario.network_setup import NetworkSetup
from rewindnet.experiments.scenario.obstacles import Obstacles
from rewindnet.simulator.cost.meter import Cost
from rewindnet.simulator.outcome import Trajectory, norms_of
from rewindnet.simulator.recovery import run_forward, undo
from rewindnet.simulator.simulation import Simulation
from rewindnet.simulator.transports.network import Network

T = TypeVar("T")


def kept_rounds(network: NetworkSetup, methods: Sequence[Method], obstacles: Obstacles) -> set[int]:
    """Return the rounds of learning whose checkpoints are kept, those of the requests among them.

    Args:
        network: the network.
        methods: the methods of the scenario.
        obstacles: gathers what keeps rounds from being run again.
    """
    learning = network.scenario.learning
    settings, kept = learning.checkpoints, set[int]()
    check_estimation(network, obstacles)
    if settings is not None and learning.checkpoints_from is not None:
        obstacles.note(ScenarioError("learning.checkpoints has no meaning for a network that learned elsewhere"))
    if settings is not None and len(network.arrivals) > 1:
        obstacles.note(
            ScenarioError(
                "learning.checkpoints is for a single request: what an earlier request has erased is no longer there "
                "to run rounds again with"
            )
        )
    if settings is not None and settings.half_precision is not None:
        with obstacles.gathered():
            _check_half_precision(network, settings.half_precision)
    for training in network.training_runs:
        T = training.rounds
        with obstacles.gathered():
            kept |= rounds_to_keep(settings, methods, T, network.state_bytes)
            for method in methods:
                with obstacles.gathered():
                    check_replays(settings, method, T, kept)
                    if settings is not None and settings.recover is not None and replays(method):
                        check_recoveries(training, method, kept)
    return kept | rounds_of_estimates(network)


def _check_half_precision(network: NetworkSetup, charged: float) -> None:
    """Refuse half precision where it is not for this network."""
    parameters = network.model.parameters
    check_charge(charged, parameters)
    if network.training.optimizer.state_size(parameters):
        raise ScenarioError(
            "learning.checkpoints.half_precision is for models alone; an optimizer's state, which a checkpoint then "
            "holds too, has entries that half precision rounds to 0: use sgd without momentum, or keep fewer "
            "checkpoints, with learning.checkpoints.budget"
        )


def replayed(
    simulation: Simulation,
    learned: Trajectory,
    needed: Iterable[int],
    phase: Callable[[str, int], AbstractContextManager[None]],
) -> Trajectory:
    """Return the checkpoints of learning with those that are needed, and what it cost to get at them.

    Args:
        simulation: the network, before anything is erased.
        learned: the checkpoints that were kept.
        needed: the rounds of the checkpoints that releases begin from.
        phase: announces a phase, with its name and its number of rounds.
    """
    if simulation.training_run.recovery_error:
        return recovered(simulation, learned, needed, phase)
    if simulation.halved:
        return in_half_precision(simulation, learned, needed)
    names, costs = dict(learned.checkpoint_names), dict[int, Cost]()
    for part in missing_parts(names, needed):
        with phase(replay_name(part), len(part)):
            names[part.stop], cost = simulation.run_again(part, names[part.start])
        costs[part.stop] = cost + costs.get(part.start, Cost())
    return replace(learned, checkpoint_names=names, replayed=costs)


def in_half_precision(simulation: Simulation, learned: Trajectory, needed: Iterable[int]) -> Trajectory:
    """Return the checkpoints of learning with the norms of those in half precision that releases begin from.

    Args:
        simulation: the network.
        learned: the checkpoints that were kept.
        needed: the rounds of the checkpoints that releases begin from.

    Raises:
        CertificateError: if models may have been rounded by more than certificates charge.
    """
    known, records = simulation.training_run, list[Mapping[str, Any]]()
    parameters = 1 if known.arithmetic is None else known.arithmetic.parameters
    for round in sorted(simulation.halved.intersection(needed)):
        norms = norms_of(learned.at(round))
        _by_the_root(simulation.network, partial(check_half_precision, norms, parameters, known.storage_error, round))
        records.append({"round": round, "norms": norms.tolist()})
    return replace(learned, halved=records)


def recovered(
    simulation: Simulation,
    learned: Trajectory,
    needed: Iterable[int],
    phase: Callable[[str, int], AbstractContextManager[None]],
) -> Trajectory:
    """Return the checkpoints of learning with those that are needed, recovered from later ones, and what that cost.

    Args:
        simulation: the network, before anything is erased.
        learned: the checkpoints that were kept.
        needed: the rounds of the checkpoints that releases begin from.
        phase: announces a phase, with its name and its number of rounds.

    Raises:
        CertificateError: if models that were recovered may be further off than certificates charge.
    """
    names, costs, records = dict(learned.checkpoint_names), dict[int, Cost](), list[Mapping[str, Any]]()
    off = {t: np.zeros(simulation.training_run.mixing.nodes) for t in names}
    for part in recovered_parts(names, needed):
        begin, (undoing, again) = names[part.stop], recovery_names(part)
        with phase(undoing, len(part)):
            names[part.start], cost = undo(simulation, part, begin)
        with phase(again, len(part)):
            apart, norms, more = run_forward(simulation, part, names[part.start], begin)
        off[part.start] = _checked_error(simulation, part, apart + off[part.stop] if len(apart) else apart, norms)
        costs[part.start] = cost + more + costs.get(part.stop, Cost())
        records.append(
            {"round": part.start, "until": part.stop, "apart": apart.tolist(), "off": off[part.start].tolist()}
        )
    return replace(learned, checkpoint_names=names, replayed=costs, recovered=records)


def _checked_error(simulation: Simulation, rounds: range, apart: Vector, norms: Vector) -> Vector:
    """Return the bound [N] on the error of recovered models; refuse one beyond what is charged, in all processes."""
    known = simulation.training_run

    def bounded() -> Vector:
        check_recovered_norms(known, rounds.start, norms)
        error = recovery_error(known, rounds, apart)
        if not float(error.max()) <= known.recovery_error:
            raise CertificateError(
                f"the models that were recovered for round {rounds.start} may be off by {error.max():.3g}, which is "
                f"more than the {known.recovery_error:g} that learning.checkpoints.recover charges: run again, the "
                f"rounds led {apart.max():.3g} away from the models that recovery began from"
            )
        return error

    return _by_the_root(simulation.network, bounded)


def _by_the_root(network: Network, check: Callable[[], T]) -> T:
    """Return what a check gives at the root, in all processes; each of them raises what it refuses."""
    found: T | None = None
    problem = None
    if network.root:
        try:
            found = check()
        except CertificateError as refused:
            problem = str(refused)
    problem, agreed = network.agree((problem, found))
    if problem is not None:
        raise CertificateError(problem)
    return cast("T", agreed)


def check_recoveries(training: TrainingRun, method: Method, kept: Collection[int]) -> None:
    """Check before learning that the checkpoints which a method begins from can be recovered.

    Args:
        training: how the network learns.
        method: the method.
        kept: the rounds whose checkpoints are kept.

    Raises:
        CertificateError: if one cannot be, or not to within what is charged.
    """
    for round in set(method.checkpoints(training.rounds)) - set(kept):
        check_recovery(training, range(round, training.rounds))


def recovery_names(part: range) -> tuple[str, str]:
    """Return the names of the phases in which these rounds are undone, and run again."""
    return f"undo-{part.stop:06d}-{part.start:06d}", replay_name(part)


def replay_name(part: range) -> str:
    """Return the name of a phase in which these rounds are run again."""
    return f"replay-{part.start:06d}"
