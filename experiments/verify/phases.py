"""The phases of a run that all of its rounds but those of releases belong to: learning and retraining."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

from scipy.sparse import csr_array

from rewindnet.certificates import TrainingRun
from rewindnet.certificates.sensitivity.recovery import Inverses
from rewindnet.clients.methods.baselines import Retrain
from rewindnet.experiments.folder.reader import RunFolder, goes_on_from_releases
from rewindnet.experiments.runs.replays import recovery_names, replay_name
from rewindnet.experiments.scenario.kept_rounds import (
    missing_parts,
    recovered_parts,
    replay_cost,
    rounds_to_keep,
)
from rewindnet.experiments.scenario.settings import LearningSettings
from rewindnet.experiments.verify.plans import method_of
from rewindnet.experiments.verify.records import (
    certificate_of,
    recorded_requests,
    recorded_runs_of_releases,
    traffic_of,
)

#: The name of learning in metrics.jsonl, as recorded runs have it.
_LEARN = "learn"


@dataclass(frozen=True)
class Phase:
    """Rounds of learning or of retraining.

    Attributes:
        name: in metrics.jsonl.
        rounds: t of each.
        matrix: returns the mixing matrix [N, N] of a round t.
        checkpoints: the beginning of the names of its checkpoints.
        parts: in traffic.json, the rounds of each part.
        noised_after: the numbers of rounds after which the noise of an earlier release is added.
    """

    name: str
    rounds: range
    matrix: Callable[[int], csr_array]
    checkpoints: str
    parts: Mapping[str, range]
    noised_after: frozenset[int] = frozenset()


def phases_of(folder: RunFolder) -> list[Phase]:
    """Return the phases of learning and retraining, as they follow from the scenario and the releases.

    Where learning goes on from releases, methods share the phases up to the first request only.

    Args:
        folder: the run folder.

    Raises:
        CertificateError: if learning cannot have gone on from a recorded release.
    """
    training_runs = recorded_requests(folder)
    alone = goes_on_from_releases(folder.scenario)
    shared = training_runs[:1] if alone else training_runs
    # Rounds of learning elsewhere were counted elsewhere.
    phases = [] if folder.scenario["learning"].get("checkpoints_from") else [_learning(shared, training_runs)]
    phases += [phase for part in replayed_parts(folder) for phase in _again(folder, training_runs, part)]
    phases += [_retraining(folder, training, request) for request, training in enumerate(shared)]
    if alone:
        for index, training in enumerate(recorded_runs_of_releases(folder)):
            phases += _of_branch(folder, training_runs, training, index)
    return phases


def _learning(shared: list[TrainingRun], training_runs: list[TrainingRun]) -> Phase:
    """Return the learning that all methods share; its parts end where requests arrive."""
    ends = [0, *(training.rounds for training in shared)]
    parts = {
        "learned" + f"-{request}" * (request > 0): range(start, end)
        for request, (start, end) in enumerate(pairwise(ends))
    }
    return Phase(_LEARN, range(ends[-1]), lambda t: _learning_matrix(training_runs, t), "learned", parts)


def _again(folder: RunFolder, training_runs: list[TrainingRun], part: range) -> list[Phase]:
    """Return the rounds that were run again for a checkpoint that was not kept, or undone and then run again."""

    def matrix(round: int) -> csr_array:
        return _learning_matrix(training_runs, round)

    if not training_runs[-1].recovery_error:
        return [Phase(replay_name(part), part, matrix, "learned", {f"replayed-{part.start:06d}": part})]
    inverses, (undoing, again) = Inverses(), recovery_names(part)
    back = part[::-1]
    # The states in between are not those of learning to the last bit.
    return [
        Phase(
            undoing, back, lambda t: inverses(matrix(t), t).matrix, "recovered", {f"recovered-{part.start:06d}": back}
        ),
        Phase(again, part, matrix, "recovered", {f"replayed-{part.start:06d}": part}),
    ]


def replayed_parts(folder: RunFolder) -> list[range]:
    """Return the rounds that were run again, or undone, for checkpoints that releases began from and were not kept."""
    begun = {certificate_of(method).release.checkpoint_round for method in folder.methods}
    kept = _kept(folder)
    if not kept:
        return []
    return (recovered_parts if recorded_requests(folder)[-1].recovery_error else missing_parts)(kept, begun)


def cost_of_replay(folder: RunFolder, training: TrainingRun, round: int) -> Mapping[str, int]:
    """Count what it took to get at the checkpoint after a round: rounds, messages and gradients.

    Args:
        folder: the run folder.
        training: how the network learned.
        round: the number of rounds before the checkpoint.
    """
    kept = _kept(folder)
    return replay_cost(training, kept or {round}, round)


def _kept(folder: RunFolder) -> set[int]:
    """Return the rounds whose checkpoints were kept, where the scenario says which; otherwise nothing."""
    learning = LearningSettings.model_validate(folder.scenario["learning"])
    if learning.checkpoints is None or not learning.checkpoints.leaves_out:
        return set()
    methods = [method_of(folder, index) for index in range(len(folder.scenario["unlearning"]))]
    last = recorded_requests(folder)[-1]
    message_bytes, parameters = (
        int(traffic_of(folder)["message_bytes"]),
        last.arithmetic.parameters if last.arithmetic else 1,
    )
    carried = learning.optimizer.build().state_size(parameters) * message_bytes // parameters
    return rounds_to_keep(learning.checkpoints, methods, last.rounds, last.mixing.nodes * (message_bytes + carried))


def _learning_matrix(training_runs: list[TrainingRun], round: int) -> csr_array:
    """Return the mixing matrix [N, N] of a round of learning."""
    met = sum(training.rounds <= round for training in training_runs)
    training = training_runs[max(met - 1, 0)]
    before = training.mixing_before
    return (training.mixing if met or before is None else before).matrix(round)


def _retraining(folder: RunFolder, training: TrainingRun, request: int) -> Phase:
    """Return the retraining for a request that all methods are compared with."""
    suffix = f"-{request}" if len(folder.learning["requests"]) > 1 else ""
    T, methods = training.rounds, range(len(folder.scenario["unlearning"]))
    horizon = max(method_of(folder, index).horizon(T) for index in methods)
    name = f"retrained{suffix}"
    parts = {name: range(T)} | ({f"{name}-on": range(T, horizon)} if horizon > T else {})
    return Phase(f"{Retrain.name}{suffix}", range(horizon), training.mixing.matrix, name, parts)


def _of_branch(
    folder: RunFolder, training_runs: list[TrainingRun], training: TrainingRun, index: int
) -> Iterator[Phase]:
    """Yield the learning up to the request of a release, and the retraining, of its method alone; none if shared."""
    if not folder.branch_of(index):
        return
    suffix, end = folder.suffix_of(index), training.rounds
    rounds, matrix = range(training_runs[folder.request_of(index) - 1].rounds, end), training.mixing.matrix
    yield Phase(f"{_LEARN}{suffix}", rounds, matrix, f"learned{suffix}", {f"learned{suffix}": rounds})
    name = f"retrained{suffix}"
    # A release that goes back to the initial model is compared with plain retraining.
    from_start = not certificate_of(folder.methods[index]).release.checkpoint_round
    noisy = [] if from_start else [earlier.noise_round for earlier in training.earlier_releases if earlier.sigma]
    names = [*(f"{name}-before-noise-{part}" for part in range(len(noisy))), name]
    parts = {part: range(*ends) for part, ends in zip(names, pairwise([0, *noisy, end]), strict=True)}
    yield Phase(f"{Retrain.name}{suffix}", range(end), matrix, name, parts, frozenset(noisy))
