"""Verify the files of a run folder against the hashes in record.json, and its README against its records."""

from rewindnet.certificates import Audit, Certificate
from rewindnet.certificates.findings import OnRecord
from rewindnet.experiments.folder.contents import differences, file_hashes
from rewindnet.experiments.folder.format import is_sealed
from rewindnet.experiments.folder.reader import RunFolder
from rewindnet.experiments.folder.readme import readme
from rewindnet.experiments.folder.sameness import code_sha256
from rewindnet.experiments.verify.rebuild import Rebuilt
from rewindnet.experiments.verify.records import demand


def check_files(folder: RunFolder, rebuilt: Rebuilt) -> str:
    """Check that every file is the one that the run wrote, that none is missing, and that there is no other.

    A run of an earlier version may have no hash of its record.

    Args:
        folder: the run folder.
        rebuilt: what follows from the scenario.

    Returns:
        A sentence about what was checked.

    Raises:
        MismatchError: if a file is missing, changed or surplus; arrays are only checked for being surplus. Or if
            README.md says something else than follows from the records.
    """
    demand(is_sealed(folder.record), "record.json was changed: its content does not have the hash that it says")
    recorded = folder.record["files_sha256"]
    found = file_hashes(folder.path, folder.record["weights_sha256"])
    others = folder.record.get("others", ())
    wrong = differences(recorded, {name: value for name, value in found.items() if name not in others})
    demand(not wrong, f"this folder is not as the run wrote it: {', '.join(wrong)}")
    sentence = f"{len(recorded)} files have the hashes of the record, and there are no others"
    if rebuilt.scenario is None or folder.record.get("code_sha256") != code_sha256():
        # Another version of this program may say the same in other words.
        return OnRecord(f"{sentence}; README.md was written by another version and is on the record's word")
    releases = _releases(folder) if rebuilt.scenario.noise_is_secret else {}
    written = (folder.path / "README.md").read_text("utf-8")
    demand(written == readme(rebuilt.scenario, releases), "README.md is not what follows from the records of this run")
    return sentence


def _releases(folder: RunFolder) -> dict[str, tuple[Certificate, Audit]]:
    return {method.place: found for method, found in zip(folder.methods, folder.certified, strict=True)}
