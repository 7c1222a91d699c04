"""The order in which the runs of a study begin: of those that learn the same, one goes ahead of the others."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from rewindnet.experiments.folder.shared import SharedLearning
from rewindnet.experiments.studies.points import Point


class Queue:
    """Runs that are to be made.

    A run whose learning is that of another one waits until the other has ended, so that it is learned once.

    Args:
        points: the runs.
        learning: for the folder of each run that shares its learning with others, where.
    """

    def __init__(self, points: Sequence[Point], learning: Mapping[Path, SharedLearning]) -> None:
        self._waiting, self._learning = list(points), learning
        self._ahead: dict[str, Point] = {}
        self._learned: set[str] = set()

    def shared(self, point: Point) -> SharedLearning | None:
        """Return where a run shares its learning; None if it does not."""
        return self._learning.get(point.folder)

    @property
    def remain(self) -> bool:
        """Whether runs have not begun yet."""
        return bool(self._waiting)

    def take(self) -> Point | None:
        """Return the next run that may begin; None if there is none, or all of them wait for one that goes on."""
        for point in self._waiting:
            learning = self._key(point)
            if learning is None or learning in self._learned or learning not in self._ahead:
                self._waiting.remove(point)
                if learning is not None and learning not in self._learned:
                    self._ahead[learning] = point
                return point
        return None

    def ended(self, point: Point) -> None:
        """Note that a run has ended; those that wait for it may begin."""
        learning = self._key(point)
        if learning is not None and self._ahead.get(learning) is point:
            del self._ahead[learning]
            self._learned.add(learning)

    def _key(self, point: Point) -> str | None:
        """Return what a run learns; None if it shares its learning with no other."""
        shared = self.shared(point)
        return None if shared is None else shared.key
