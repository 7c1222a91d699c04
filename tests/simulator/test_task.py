"""How often the state of a task is looked at."""

import pytest

from rewindnet.clients.steps.learning import Descend
from rewindnet.clients.steps.ridge import RidgeSums
from rewindnet.simulator.task import LOOKS, Task


def looks(start: int, end: int, keep: frozenset[int] = frozenset()) -> list[int]:
    task = Task("task", 1, "begin", (), (Descend("adapt-then-combine", range(start, end)),), start, keep)
    return [rounds for rounds in range(start, end + 1) if task.looked_at(rounds)]


@pytest.mark.parametrize("depth", [0.1, 0.3, 0.5, 0.7, 0.9, 1.0])
def test_a_descent_is_looked_at_in_proportion_to_its_rounds(depth: float) -> None:
    T = 400
    descent = round(depth * T)
    assert len(looks(T - descent, T)) == LOOKS * depth


def test_the_end_and_what_is_kept_are_looked_at_and_nothing_is_before_the_first_round() -> None:
    assert looks(0, 7) == [1, 2, 3, 4, 5, 6, 7]
    assert looks(90, 100) == [95, 100]
    assert looks(97, 103) == [102, 103]
    assert looks(97, 103, frozenset({97, 99})) == [97, 99, 102, 103]


def test_nothing_is_looked_at_between_two_rounds_of_a_step_that_is_not_resumable() -> None:
    sums, rest = RidgeSums(range(6), (0, 0, 1), 0.1), Descend("adapt-then-combine", range(6, 9))
    assert (sums.resumable, rest.resumable) == (False, True)
    task = Task("task", 1, "begin", (), (sums, rest), 0, frozenset({0}))
    assert [rounds for rounds in range(10) if task.looked_at(rounds)] == [0, 6, 7, 8, 9]
