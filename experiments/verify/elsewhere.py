"""Verify what a run took from a network that learned elsewhere."""

import numpy as np

from rewindnet.certificates.findings import OnRecord
from rewindnet.experiments.folder.reader import RunFolder
from rewindnet.experiments.scenario.checkpoints import read_checkpoints
from rewindnet.experiments.scenario.devices import dtype_of
from rewindnet.experiments.scenario.errors import ScenarioError
from rewindnet.experiments.verify.records import demand, recorded_requests
from rewindnet.experiments.verify.weights import checkpoint_rounds


def learned_elsewhere(folder: RunFolder) -> bool:
    """Return whether the scenario or the records of a run say that its network learned elsewhere.

    Args:
        folder: the run folder.
    """
    recorded = any(request.get("checkpoints_sha256") for request in folder.learning["requests"])
    return recorded or bool(folder.scenario["learning"].get("checkpoints_from"))


def check_elsewhere(folder: RunFolder) -> str:
    """Check the hash of the folder that the checkpoints come from, and the stored checkpoints against it.

    Args:
        folder: the run folder.

    Returns:
        A sentence about what was checked.

    Raises:
        MismatchError: if the checkpoints are others.
    """
    place = folder.scenario["learning"].get("checkpoints_from")
    demand(bool(place), "checkpoints of a network that learned elsewhere are recorded; the scenario learns here")
    hashes = {training.checkpoints_sha256 for training in recorded_requests(folder)}
    demand("" not in hashes and len(hashes) == 1, "the hash of the checkpoints is missing from the record of learning")
    (recorded,) = hashes
    try:
        checkpoints = read_checkpoints(str(place), dtype_of(folder.scenario["backend"]["dtype"]))
    except ScenarioError as problem:
        return OnRecord(f"the checkpoints are on the record's word ({problem}); their sha256 is recorded as {recorded}")
    demand(checkpoints.sha256 == recorded, f"{place} has the sha256 {checkpoints.sha256}, not {recorded}")
    compared = 0
    for name in folder.record["weights_sha256"]:
        stored = folder.weights(name) if name.startswith("checkpoints/learned-") else None
        if stored is not None:
            theta = checkpoints.models(int(checkpoint_rounds(name) or 0)).numpy()
            demand(np.array_equal(stored, theta), f"{name} is not what {place} holds")
            compared += 1
    return OnRecord(
        f"{compared} stored checkpoints are those of {place}, whose sha256 is the recorded one; that they were learned "
        "as described rests on the word of their trainer"
    )
