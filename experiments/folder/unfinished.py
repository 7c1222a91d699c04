"""What an unfinished run leaves for the process that goes on with it, and whether one may."""

import json
import platform
from collections.abc import Mapping
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import IO, Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from rewindnet.experiments.folder.files import write
from rewindnet.experiments.folder.reader import FolderError, read_record, read_scenario, state
from rewindnet.experiments.scenario.errors import ScenarioError
from rewindnet.experiments.scenario.scenario import Scenario
from rewindnet.simulator.journal import STATE_TENSORS, Journal

try:
    import fcntl
except ImportError:  # not on every system
    fcntl = None  # type: ignore[assignment]

#: The part of a run folder that is there only until the run is complete.
UNFINISHED = "unfinished"

_LIBRARIES = ("torch", "numpy", "scipy", "networkx", "safetensors")


def check_target(folder: Path, scenario: Scenario, force: bool) -> bool:
    """Whether the folder holds an incomplete run of this very scenario, to go on with.

    Raises:
        ScenarioError: if it holds anything else and is not to be overwritten (`force`), cannot exist, or is being
            written to.
    """
    if not folder.exists():
        blocked = [parent for parent in folder.parents if parent.exists() and not parent.is_dir()]
        if blocked:
            raise ScenarioError(f"{folder} cannot be made: {blocked[0]} is not a folder; choose another with --out")
        return False
    if folder.is_dir() and all(file.suffix == ".part" or file.name == UNFINISHED for file in folder.iterdir()):
        return False
    if not (folder / "record.json").is_file():
        raise ScenarioError(f"{folder} exists and is not a run folder; choose another with --out")
    if (folder / UNFINISHED).is_dir():
        lock(folder).close()
    if force:
        return False
    if state(folder) == "complete":
        raise ScenarioError(f"{folder} already holds a run; choose another with --out, or overwrite it with --force")
    if not (folder / "scenario.yaml").is_file():
        # It was killed before it had written its first file.
        return False
    other = _differs(folder, scenario)
    if other:
        raise ScenarioError(
            f"{folder} holds an incomplete run {other}; choose another with --out, or overwrite it with --force"
        )
    return not is_secret(scenario)


def is_secret(scenario: Scenario) -> bool:
    """Whether un-noised states may not be written.

    Noise from the operating system is a secret: un-noised models on disk would give it away, and so would models whose
    noise can be drawn again.
    """
    return any(method.settings.get("noise_source") == "os" for method in scenario.unlearning)


def versions() -> dict[str, str]:
    """Of everything that a run's bits may depend on."""
    own = {"rewindnet": version("rewindnet"), "python": platform.python_version()}
    return own | {library: version(library) for library in _LIBRARIES}


def lock(folder: Path) -> IO[bytes]:
    """Keep other processes from writing to a run folder until what is returned is closed.

    Raises:
        ScenarioError: if another process writes to it.
    """
    (folder / UNFINISHED).mkdir(parents=True, exist_ok=True)
    held = (folder / UNFINISHED / "lock").open("wb")
    if fcntl is not None:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            held.close()
            raise ScenarioError(
                f"another process is writing to {folder}; wait for it, or choose another with --out"
            ) from None
    return held


def earlier_lines(folder: Path) -> dict[tuple[str, int], str]:
    """The lines of metrics.jsonl by phase and round, of all processes so far; the last of a killed one may be torn."""
    lines: dict[tuple[str, int], str] = {}
    for file in (folder / UNFINISHED / "metrics.jsonl", folder / "metrics.jsonl"):
        for text in file.read_text("utf-8", errors="replace").splitlines() if file.is_file() else ():
            with suppress(ValueError, KeyError, TypeError):
                line = json.loads(text)
                lines[str(line["phase"]), int(line["round"])] = text
    return lines


def _differs(folder: Path, scenario: Scenario) -> str | None:
    """What an incomplete run has different, so that it cannot be gone on with; None if it can."""
    begun, now = read_scenario(folder), scenario.plain()
    backend = begun.get("backend")
    if isinstance(backend, dict) and now["backend"]["precision"] == "exact" == backend.get("precision"):
        # Every transport computes the same bits, so that what one began another can finish.
        for either in (begun, now):
            either["backend"] = {key: either["backend"].get(key) for key in ("precision", "dtype", "device")}
    if begun != now:
        keys = [key for key in now if begun.get(key) != now[key]]
        return f"of another scenario (its {', '.join(keys) or 'keys'} {'differ' if len(keys) > 1 else 'differs'})"
    before = read_record(folder).get("versions", {})
    changed = [library for library, version in versions().items() if before.get(library) != version]
    return f"of other versions of {', '.join(changed)}" if changed else None


class FolderJournal(Journal):
    """States of unfinished tasks, a file each: a `Journal`.

    Args:
        folder: the run folder.
        shape: of a model, [N, d]; a state may be several times as wide.
        steps: of what was measured of a node while it learned, [T, R, E + 1].
    """

    def __init__(self, folder: Path, shape: tuple[int, int], steps: tuple[int, int, int]) -> None:
        self._folder, self._shape, self._steps = folder / UNFINISHED, shape, steps

    def names(self) -> list[str]:
        """What there is."""
        return [file.stem for file in self._folder.glob("*.safetensors")]

    def read(self, name: str) -> Mapping[str, Tensor]:
        """The tensors of one state.

        Raises:
            FolderError: if the file cannot be read, or holds no state of this run.
        """
        try:
            tensors: Mapping[str, Tensor] = load_file(self._file(name))
        except (OSError, SafetensorError) as problem:
            raise FolderError(f"{self._file(name)} is damaged ({problem}); begin anew with --force") from None
        nodes, parameters = self._shape
        theta = tuple(tensors["theta"].shape) if "theta" in tensors else ()
        whole = len(theta) == 2 and theta[0] == nodes and theta[1] % parameters == 0 < theta[1]
        measured = [tensor for key, tensor in tensors.items() if key not in STATE_TENSORS]
        if not (
            whole
            and tensors.keys() >= STATE_TENSORS
            and all(one.ndim == 1 or tuple(one.shape) == self._steps for one in measured)
        ):
            raise FolderError(f"{self._file(name)} is damaged (it holds no state of this run); begin anew with --force")
        return tensors

    def write(self, name: str, tensors: Mapping[str, Tensor]) -> None:
        """The whole state or none of it."""
        write(self._file(name), save({key: tensor.cpu().contiguous() for key, tensor in tensors.items()}))

    def remove(self, name: str) -> None:
        """It is needed no longer."""
        self._file(name).unlink()

    def _file(self, name: str) -> Path:
        return self._folder / f"{name}.safetensors"


def note_traffic(folder: Path, parts: Mapping[str, Any]) -> None:
    """Write down the messages that the parts of the run so far have sent."""
    write(folder / UNFINISHED / "traffic.json", json.dumps(parts))


def earlier_traffic(folder: Path) -> dict[str, Any]:
    """What was written down of them.

    Raises:
        FolderError: if that is damaged.
    """
    file = folder / UNFINISHED / "traffic.json"
    if not file.is_file():
        return {}
    try:
        parts = json.loads(file.read_text("utf-8"))
    except ValueError:
        parts = None
    if not isinstance(parts, dict):
        raise FolderError(f"{file} is damaged; begin anew with --force")
    return parts
