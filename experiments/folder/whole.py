"""Refuse a finished run whose files are not those that it wrote."""

from pathlib import Path

from rewindnet.arrays import sha256_of
from rewindnet.experiments.folder.contents import differences, file_hashes
from rewindnet.experiments.folder.errors import FolderError
from rewindnet.experiments.folder.format import is_sealed
from rewindnet.experiments.folder.reader import RunFolder, read_folder

#: The largest number of files that a message names.
_NAMED = 3


def read_whole(path: Path) -> RunFolder:
    """Read the folder of a finished run, if all of its files are as the run wrote them.

    Files that others have added are of no matter. A run of an earlier version may have no hash of its record.

    Args:
        path: the run folder.

    Raises:
        FolderError: as `read_folder`, or if a file is missing or was changed.
    """
    folder = read_folder(path)
    record = folder.record
    recorded, found = record.get("files_sha256", {}), file_hashes(folder.path, record["weights_sha256"])
    wrong = differences(recorded, {place: value for place, value in found.items() if place in recorded})
    wrong += [] if is_sealed(record) else ["record.json was changed"]
    wrong += [f"{place}.safetensors was changed" for place in record["weights_sha256"] if _was_changed(folder, place)]
    if wrong:
        named = ", ".join(wrong[:_NAMED]) + (f" and {len(wrong) - _NAMED} more" if len(wrong) > _NAMED else "")
        raise FolderError(
            f"the run in {path} is not as it was written: {named}; `rewindnet verify {path}` says what of it holds"
        )
    return folder


def _was_changed(folder: RunFolder, place: str) -> bool:
    """Return whether stored models are not those whose hash is in the record; False if none are stored.

    Raises:
        FolderError: if the file is damaged.
    """
    theta = folder.weights(place)
    return theta is not None and sha256_of(theta) != folder.record["weights_sha256"][place]
