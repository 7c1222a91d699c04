"""Verify the files of a run folder against the hashes in record.json."""

from rewindnet.experiments.folder.contents import differences, file_hashes
from rewindnet.experiments.folder.format import is_sealed
from rewindnet.experiments.folder.reader import RunFolder
from rewindnet.experiments.verify.records import demand


def check_files(folder: RunFolder) -> str:
    """Check that every file is the one that the run wrote, that none is missing, and that there is no other.

    A run of an earlier version may have no hash of its record.

    Returns:
        A sentence about what was checked.

    Raises:
        MismatchError: if a file is missing, changed or surplus; arrays are only checked for being surplus.
    """
    demand(is_sealed(folder.record), "record.json was changed: its content does not have the hash that it says")
    recorded = folder.record["files_sha256"]
    found = file_hashes(folder.path, folder.record["weights_sha256"])
    others = folder.record.get("others", ())
    wrong = differences(recorded, {name: value for name, value in found.items() if name not in others})
    demand(not wrong, f"this folder is not as the run wrote it: {', '.join(wrong)}")
    return f"{len(recorded)} files have the hashes of the record, and there are no others"
