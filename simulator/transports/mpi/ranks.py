"""What mpiexec tells the processes that it starts."""

import os

#: What launchers tell the processes that they start: number and count.
_LAUNCHERS = (("PMI_RANK", "PMI_SIZE"), ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"), ("PMIX_RANK", "PMIX_SIZE"))


def rank() -> int:
    """Return the number of this process among those that mpiexec started; 0 where it started none."""
    return _told()[0]


def ranks() -> int | None:
    """Return how many processes mpiexec started; None where it started none, 0 where it does not say how many."""
    return _told()[1]


def _told() -> tuple[int, int | None]:
    for number, count in _LAUNCHERS:
        if number in os.environ:
            return int(os.environ[number]), int(os.environ.get(count, 0))
    return 0, None
