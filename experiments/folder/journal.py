"""Store the states of unfinished tasks on disk, so that another process can continue them."""

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open
from torch import Tensor

from rewindnet.experiments.folder.files import write
from rewindnet.experiments.folder.format import UNFINISHED
from rewindnet.experiments.folder.lines import RoundLines
from rewindnet.experiments.folder.tensors import file_parts
from rewindnet.simulator.journal import Journal

_HASH, _SEAL = "sha256", "lines"


class FolderJournal(Journal):
    """Stores the state of each unfinished task in a file, with a hash of it and of the lines of all rounds before it.

    A state is used again only if it belongs to the run, is the one that was stored under its name, and no line that
    was written before it has changed.

    Args:
        folder: the run folder.
        run: what tells the run from others.
        lines: the lines of metrics.jsonl.
        say: is told about damaged states, in a sentence.
    """

    def __init__(self, folder: Path, run: str, lines: RoundLines, say: Callable[[str], None]) -> None:
        self._folder, self._run, self._lines, self._say = folder / UNFINISHED, run, lines, say

    def names(self) -> list[str]:
        """Return the names of the stored states."""
        return [file.stem for file in self._folder.glob("*.safetensors")]

    def read(self, name: str) -> Mapping[str, Tensor] | None:
        """Read the tensors of one state; None, and a sentence aloud, if it is damaged."""
        try:
            with safe_open(self._file(name), "pt") as file:
                found = dict(file.metadata() or {})
                tensors: Mapping[str, Tensor] = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        except (OSError, SafetensorError, ValueError, RuntimeError):
            found, tensors = {}, {}
        seal = found.get(_SEAL, "")
        if found.get(_HASH) == self._digest(name, seal, tensors) and self._lines.are_sealed_by(seal):
            return tensors
        self._say(f"{self._file(name)} is damaged, or the lines before it are; going on from the state before it")
        return None

    def write(self, name: str, tensors: Mapping[str, Tensor]) -> None:
        """Write the tensors of one state, atomically."""
        stored = {key: tensor.cpu().contiguous() for key, tensor in tensors.items()}
        seal = self._lines.seal()
        write(self._file(name), file_parts(stored, {_HASH: self._digest(name, seal, stored), _SEAL: seal}))

    def remove(self, name: str) -> None:
        """Remove a state that is no longer needed."""
        self._file(name).unlink(missing_ok=True)

    def _digest(self, name: str, seal: str, tensors: Mapping[str, Tensor]) -> str:
        """Return the sha256 of a state of this run."""
        digest = hashlib.sha256("\0".join((self._run, name, seal, "")).encode())
        for part in file_parts(tensors):
            digest.update(part)
        return digest.hexdigest()

    def _file(self, name: str) -> Path:
        return self._folder / f"{name}.safetensors"
