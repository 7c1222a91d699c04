"""How many runs of a study go on at the same time."""

from collections.abc import Sequence
from pathlib import Path

from rewindnet.clients.kept_states import memory_of_machine
from rewindnet.clients.training.parallel import processors
from rewindnet.experiments.runs.run_setup import RunSetup

#: The bytes that a process takes before it has any data, and the states that it holds beside the kept ones.
_PROCESS, _STATES = 6e8, 12


def memory_of(setup: RunSetup) -> float:
    """Estimate the bytes of memory that a run takes: its process, its data, and the models that it holds."""
    network = setup.network
    data = float(network.features.x.nbytes + network.features.test_x.nbytes)
    states = (len(setup.kept_rounds) + _STATES) * float(network.nodes * network.message_bytes)
    # Clients hold a copy of their rows in double precision, and measuring takes another one for a while.
    return _PROCESS + 5 * data + states


def default_jobs(setups: Sequence[tuple[float, int, bool]]) -> int:
    """Return how many runs may go on at the same time on this machine.

    Args:
        setups: for each run that is to be made, its bytes of memory, its threads, and whether it is one process.
    """
    if len(setups) < 2 or not all(alone for _, _, alone in setups):
        return 1
    by_cores = processors() // max(threads for _, threads, _ in setups)
    by_memory = int(_free_memory() // max(memory for memory, _, _ in setups))
    return max(1, min(len(setups), by_cores, by_memory))


def _free_memory() -> float:
    """Return the bytes of memory that are free on this machine, as far as the system says so."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        available = next(line.split()[1] for line in lines if line.startswith("MemAvailable:"))
        return min(1024.0 * float(available), memory_of_machine())
    except (OSError, StopIteration, ValueError, IndexError):
        return memory_of_machine()
