"""Store the states of unfinished tasks on disk, so that another process can continue them."""

from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from rewindnet.experiments.folder.errors import FolderError
from rewindnet.experiments.folder.files import write
from rewindnet.simulator.journal import STATE_TENSORS, Journal

#: The subfolder of a run folder that exists only until the run is complete.
UNFINISHED = "unfinished"


class FolderJournal(Journal):
    """Stores the state of each unfinished task in a file: a `Journal`.

    Args:
        folder: the run folder.
        shape: [N, d], the shape of the models; a state may be several times as wide.
        steps: [T, R, E + 1], the shape of the measurements of a node during learning.
    """

    def __init__(self, folder: Path, shape: tuple[int, int], steps: tuple[int, int, int]) -> None:
        self._folder, self._shape, self._steps = folder / UNFINISHED, shape, steps

    def names(self) -> list[str]:
        """Return the names of the stored states."""
        return [file.stem for file in self._folder.glob("*.safetensors")]

    def read(self, name: str) -> Mapping[str, Tensor]:
        """Read the tensors of one state.

        Raises:
            FolderError: if the file cannot be read, or holds no state of this run.
        """
        try:
            tensors: Mapping[str, Tensor] = load_file(self._file(name))
        except (OSError, SafetensorError) as problem:
            raise FolderError(f"{self._file(name)} is damaged ({problem}); start again with --force") from None
        if not self._is_whole(tensors):
            raise FolderError(
                f"{self._file(name)} is damaged (it holds no state of this run); start again with --force"
            )
        return tensors

    def _is_whole(self, tensors: Mapping[str, Tensor]) -> bool:
        """Return whether these tensors are a state of this run."""
        nodes, parameters = self._shape
        theta = tuple(tensors["theta"].shape) if "theta" in tensors else ()
        if not (len(theta) == 2 and theta[0] == nodes and theta[1] % parameters == 0 < theta[1]):
            return False
        measured = [tensor for key, tensor in tensors.items() if key not in STATE_TENSORS]
        return tensors.keys() >= STATE_TENSORS and all(
            tensor.ndim == 1 or tuple(tensor.shape) == self._steps for tensor in measured
        )

    def write(self, name: str, tensors: Mapping[str, Tensor]) -> None:
        """Write the tensors of one state, atomically."""
        write(self._file(name), save({key: tensor.cpu().contiguous() for key, tensor in tensors.items()}))

    def remove(self, name: str) -> None:
        """Remove a state that is no longer needed."""
        self._file(name).unlink()

    def _file(self, name: str) -> Path:
        return self._folder / f"{name}.safetensors"
