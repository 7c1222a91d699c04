"""Which checkpoints of learning the clients keep, and which rounds are run again to get at the others.

A method begins from the checkpoint of one round. If no client has kept that one, the network goes back to the last that
was kept before it and runs the rounds in between once more: on all data, with the same random draws, so that every bit
is what it was. It does so before anything is erased.
"""

import re
from collections.abc import Collection, Iterable, Sequence
from itertools import pairwise
from typing import Annotated

import numpy as np
from pydantic import Field, field_validator, model_validator

from rewindnet.certificates import TrainingRun
from rewindnet.certificates.sensitivity.recovery import step_solver
from rewindnet.clients.methods import Method
from rewindnet.experiments.scenario.errors import ScenarioError
from rewindnet.experiments.scenario.sections import Section

#: The number of rounds at which constants are estimated.
_ESTIMATES = 5

_UNITS = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}


class CheckpointSettings(Section):
    """Which checkpoints are kept besides those of the first and the last round; exactly one of the settings is given.

    With `recover` none are, and models of earlier rounds are computed from those of the last. With `half_precision`
    those are that the methods may begin from, as without any setting.

    Attributes:
        every: keep one every so many rounds.
        rounds: keep those after these rounds.
        budget: keep as many as take that much memory or disk over the whole network, in bytes or as a text like 2GiB:
            the further back, the further apart.
        recover: the largest error of a recovered model, by its distance from the checkpoint, that certificates charge.
        half_precision: the largest error of a model that is kept in half precision, which certificates charge as well.
    """

    every: Annotated[int, Field(ge=1)] | None = None
    rounds: tuple[Annotated[int, Field(ge=0)], ...] | None = None
    budget: int | str | None = None
    recover: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    half_precision: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None

    @field_validator("rounds", mode="before")
    @classmethod
    def _as_tuple(cls, given: object) -> object:
        return tuple(given) if isinstance(given, list) else given

    @field_validator("budget")
    @classmethod
    def _a_size(cls, given: int | str | None) -> int | str | None:
        _bytes_of(given or 0)
        return given

    @model_validator(mode="after")
    def _one_alone(self) -> "CheckpointSettings":
        if sum(setting is not None for _, setting in self) != 1:
            raise ScenarioError("give one of every, rounds, budget, recover and half_precision, like {every: 10}")
        return self

    @property
    def leaves_out(self) -> bool:
        """Whether checkpoints that a method begins from may not be kept."""
        return self.half_precision is None

    def kept(self, rounds: int, state_bytes: int) -> set[int]:
        """Return the rounds whose checkpoints are kept whatever the methods are.

        Args:
            rounds: T, the number of rounds of learning.
            state_bytes: the size of a checkpoint of the whole network.

        Raises:
            ScenarioError: if a round is beyond T, or the budget is too small for the first and the last checkpoint.
        """
        if self.every is not None:
            return {*range(0, rounds + 1, self.every), rounds}
        if self.rounds is not None:
            if max(self.rounds, default=0) > rounds:
                raise ScenarioError(
                    f"learning.checkpoints.rounds names round {max(self.rounds)}; learning has {rounds} rounds"
                )
            return {0, *self.rounds, rounds}
        if self.recover is not None or self.half_precision is not None:
            return {0, rounds}
        budget = _bytes_of(self.budget or 0)
        states = budget // state_bytes
        if states < 2:
            raise ScenarioError(
                f"learning.checkpoints.budget is {budget:,} bytes; the first and the last checkpoint alone take "
                f"{2 * state_bytes:,}"
            )
        return {0, rounds, *_spaced(rounds, states - 2)}


def _spaced(rounds: int, inside: int) -> set[int]:
    """Return rounds between the first and the last, so that the distances from the last grow by the same factor."""
    if inside >= rounds - 1:
        return set(range(1, rounds))
    distances = np.geomspace(1, rounds, inside + 2)[1:-1]
    # The least distances round to the same numbers; what that saves goes where the gaps are longest.
    chosen = {rounds - round(distance) for distance in distances.tolist()} - {0, rounds}
    for _ in range(inside - len(chosen)):
        chosen.add(_middle_of_the_widest({0, *chosen, rounds}, rounds))
    return chosen


def _middle_of_the_widest(kept: Collection[int], rounds: int) -> int:
    """Return the round in the gap that is the longest for its distance from the last round, half way into it."""
    ends = sorted(kept)
    gaps = [(after - before, before, after) for before, after in pairwise(ends) if after - before > 1]
    _, before, after = max(gaps, key=lambda gap: (gap[0] / (rounds - gap[1]), gap[0]))
    return (before + after) // 2


def _bytes_of(size: int | str) -> int:
    """Return the bytes of a size like 2GiB.

    Raises:
        ScenarioError: if it is none.
    """
    if isinstance(size, int):
        return size
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([A-Za-z]+)", size.strip())
    if found is None or found[2] not in _UNITS:
        raise ScenarioError(f"learning.checkpoints.budget is a size like 2GiB or 500MB, not {size!r}")
    return int(float(found[1]) * _UNITS[found[2]])


def rounds_to_keep(
    settings: CheckpointSettings | None, methods: Sequence[Method], rounds: int, state_bytes: int
) -> set[int]:
    """Return the rounds of learning whose checkpoints are kept.

    Args:
        settings: those of the scenario; None: keep all that a method may need.
        methods: the methods of the scenario; those that need more of learning than one checkpoint have all kept.
        rounds: T, the number of rounds of learning.
        state_bytes: the size of a checkpoint of the whole network.
    """
    policy = set() if settings is None else settings.kept(rounds, state_bytes)
    everything = settings is None or not settings.leaves_out
    needed = {t for method in methods if everything or not replays(method) for t in method.checkpoints(rounds)}
    return {rounds, *policy, *needed}


def rounds_in_half_precision(
    settings: CheckpointSettings | None, methods: Sequence[Method], rounds: int
) -> frozenset[int]:
    """Return the rounds of learning whose checkpoints are kept in half precision.

    Neither the first nor the last are, and none of a method that needs more of learning than one checkpoint: nothing is
    charged for what such a method reads.

    Args:
        settings: those of the scenario.
        methods: the methods of the scenario.
        rounds: T, the number of rounds of learning.
    """
    if settings is None or settings.half_precision is None:
        return frozenset()
    exact = {t for method in methods if not replays(method) for t in method.checkpoints(rounds)}
    return frozenset(t for method in methods for t in method.checkpoints(rounds)) - exact - {0, rounds}


def estimation_rounds(rounds: int) -> list[int]:
    """Return the rounds of learning at which constants are estimated, evenly spaced from the first to the last.

    Args:
        rounds: T, the number of rounds of learning.
    """
    return sorted({round(place) for place in np.linspace(0, rounds, _ESTIMATES).tolist()})


def replays(method: Method) -> bool:
    """Return whether rounds may be run again to get at the checkpoint that a method begins from."""
    return method.needs_checkpoints_alone


def missing_parts(kept: Collection[int], needed: Iterable[int]) -> list[range]:
    """Return the rounds to be run again for checkpoints that were not kept, in order.

    Each part begins at a checkpoint that is kept, or that an earlier part has led to, and ends at one that is needed.
    """
    there, parts = sorted(kept), list[range]()
    for end in sorted(set(needed) - set(there)):
        parts.append(range(max(t for t in [*there, *(part.stop for part in parts)] if t < end), end))
    return parts


def recovered_parts(kept: Collection[int], needed: Iterable[int]) -> list[range]:
    """Return the rounds to be undone for checkpoints that were not kept, the last first.

    Each part ends at a checkpoint that is kept, or that an earlier part has led back to, and begins at one that is
    needed.
    """
    there, parts = set(kept), list[range]()
    for start in sorted(set(needed) - there, reverse=True):
        parts.append(range(start, min(t for t in there if t > start)))
        there.add(start)
    return parts


def replay_cost(training: TrainingRun, kept: Collection[int], round: int) -> dict[str, int]:
    """Count what it takes to get at the checkpoint after a round: rounds, messages and gradients.

    Args:
        training: how the network learns; with a `recovery_error` rounds are undone, and then run again.
        kept: the rounds whose checkpoints are kept.
        round: the number of rounds before the checkpoint.
    """
    undone = bool(training.recovery_error)
    if undone:
        rounds = range(round, min(t for t in kept if t >= round))
    else:
        rounds = range(max(t for t in kept if t <= round), round)
    taken = 1 + step_solver(training).gradients if undone and rounds else 1
    between = training.mixing.nodes * (training.mixing.nodes - 1) if undone else 0
    matrices = [(training.mixing_before or training.mixing).matrix(t) for t in rounds]
    return {
        "rounds": len(rounds) * (1 + undone),
        "messages": sum(int(W.nnz - np.count_nonzero(W.diagonal())) + between for W in matrices),
        "gradients": taken * sum(int(training.gradients(t, False).sum()) for t in rounds),
    }


def check_replays(settings: CheckpointSettings | None, method: Method, rounds: int, kept: Collection[int]) -> None:
    """Check that a method may run rounds again.

    The rounds in between read the forget set. Who sees the messages of unlearning would see what it taught. Rounds are
    undone for certificates that charge for it, before it is known at which depth they hold.

    Raises:
        ScenarioError: if its certificate is to cover messages, and one of its checkpoints is not kept; or if models
            are recovered, and its depth or bound does not go with that.
    """
    missing = sorted(set(method.checkpoints(rounds)) - set(kept))
    view = str(getattr(method, "view", ""))
    if settings is None or not missing or not replays(method):
        return
    if settings.recover is not None and method.requested_depth(rounds) is None:
        raise ScenarioError(
            "learning.checkpoints.recover takes models back to a round that is known beforehand: give "
            f"{type(method).__name__} its rewind, and one of epsilon and sigma"
        )
    if not view.startswith("transcript"):
        return
    raise ScenarioError(
        f"the view {view} of {type(method).__name__} covers the messages of unlearning, and without a checkpoint after "
        f"round {', '.join(map(str, missing))} some of them are those of learning again, on the forget set: keep it "
        "with learning.checkpoints.rounds, or certify another view"
    )
