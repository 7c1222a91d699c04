"""The order in which the runs of a study begin: of those that learn the same, one goes ahead of the others."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from rewindnet.experiments.folder.shared import SharedLearning
from rewindnet.experiments.studies.points import Point


class Queue:
    """Runs that are to be made.

    A run that learns what another one learns waits until the other has ended, so that it is learned once.

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
            new = [key for key in self._keys(point) if key not in self._learned]
            if not any(key in self._ahead for key in new):
                self._waiting.remove(point)
                self._ahead |= dict.fromkeys(new, point)
                return point
        return None

    def ended(self, point: Point) -> None:
        """Note that a run has ended; those that wait for it may begin."""
        for key in self._keys(point):
            if self._ahead.get(key) is point:
                del self._ahead[key]
                self._learned.add(key)

    def _keys(self, point: Point) -> tuple[str, ...]:
        """Return what a run learns that others learn, too."""
        shared = self.shared(point)
        return () if shared is None else shared.keys
