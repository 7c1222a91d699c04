"""Verify what is recorded of models that were recovered: the bound on their error, from how far their rounds lead."""

import numpy as np

from rewindnet.certificates import TrainingRun
from rewindnet.certificates.network import Vector
from rewindnet.certificates.sensitivity.recovery import recovery_error
from rewindnet.experiments.folder.reader import RunFolder
from rewindnet.experiments.verify.phases import replayed_parts
from rewindnet.experiments.verify.records import TOLERANCE, demand


def check_recovered(folder: RunFolder, training: TrainingRun) -> str:
    """Derive the bound on the error of every recovered model again, and check that it is within what is charged.

    Args:
        folder: the run folder.
        training: how the network learned.

    Returns:
        The rest of a sentence; empty where nothing was recovered.

    Raises:
        MismatchError: if a checkpoint was not recovered as it follows, or may be further off than is charged.
    """
    recorded, charged = folder.learning.get("recovered", []), training.recovery_error
    parts = replayed_parts(folder) if charged else []
    found, wanted = (
        [(entry["round"], entry["until"]) for entry in recorded],
        [(part.start, part.stop) for part in parts],
    )
    demand(found == wanted, f"the rounds {found} are recorded as undone, and {wanted} follow")
    off: dict[int, Vector] = {}
    for part, entry in zip(parts, recorded, strict=True):
        apart = np.array(entry["apart"], dtype=np.float64)
        demand(bool(np.all(apart >= 0)), f"a distance of models recovered for round {part.start} is no number")
        derived = recovery_error(training, part, apart + off.get(part.stop, 0.0))
        demand(
            np.allclose(entry["off"], derived, rtol=TOLERANCE, atol=0) and float(derived.max()) <= charged,
            f"the models recovered for round {part.start} may be off by {derived.max():.3g}; {max(entry['off']):.3g} "
            f"is recorded and {charged:g} is charged",
        )
        off[part.start] = derived
    return f", errors of {len(parts)} recovered checkpoints as charged, given recorded distances" if parts else ""
