"""The files in a folder of checkpoints of a network that learned elsewhere."""

import re
from pathlib import Path

#: The file that describes learning, and the one that may hold mixing matrices.
DESCRIPTION, MIXING = "training.json", "mixing.npy"
_MODELS = re.compile(r"round-(\d{6,9})\.safetensors")


def rounds_in(folder: Path) -> tuple[int, ...]:
    """Return the rounds after which a folder holds models, increasing; none if there is no such folder.

    Raises:
        OSError: if the folder cannot be read.
    """
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    return tuple(sorted(int(match[1]) for name in names if (match := _MODELS.fullmatch(name))))


def models_file(folder: Path, round: int) -> Path:
    """Return the file of the models after a round."""
    return folder / f"round-{round:06d}.safetensors"


def files_in(folder: Path) -> list[Path]:
    """Return all files of a folder that are read: the description, mixing matrices if there are any, and models.

    Raises:
        OSError: if the folder cannot be read.
    """
    described = [file for file in (folder / DESCRIPTION, folder / MIXING) if file.is_file()]
    return described + [models_file(folder, round) for round in rounds_in(folder)]
