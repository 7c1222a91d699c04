"""Verify what is recorded of checkpoints that were kept in half precision: by how much they may have been rounded."""

import numpy as np

from rewindnet.certificates import TrainingRun
from rewindnet.certificates.errors import CertificateError
from rewindnet.certificates.sensitivity.half_precision import check_half_precision
from rewindnet.experiments.folder.reader import RunFolder
from rewindnet.experiments.scenario.kept_rounds import rounds_in_half_precision
from rewindnet.experiments.scenario.settings import LearningSettings
from rewindnet.experiments.verify.plans import method_of
from rewindnet.experiments.verify.records import TOLERANCE, MismatchError, certificate_of, demand


def check_halved(folder: RunFolder, training: TrainingRun) -> str:
    """Check that every checkpoint which a release began from was rounded by no more than is charged.

    Args:
        folder: the run folder.
        training: how the network learned.

    Returns:
        The rest of a sentence; empty where no release began from a checkpoint in half precision.

    Raises:
        MismatchError: if a checkpoint may be further off, or is not in half precision.
    """
    recorded, wanted = folder.learning.get("halved", []), _halved_rounds(folder)
    # Without such checkpoints no certificate is read here, so that a damaged one is reported as what it is.
    begun = {certificate_of(method).release.checkpoint_round for method in folder.methods} if wanted else set()
    found = [entry["round"] for entry in recorded]
    demand(
        found == sorted(wanted & begun),
        f"the checkpoints of rounds {found} are recorded in half precision, and {sorted(wanted & begun)} follow",
    )
    parameters = 1 if training.arithmetic is None else training.arithmetic.parameters
    measured = True
    for entry in recorded:
        norms, name = np.array(entry["norms"], dtype=np.float64), _array(entry["round"])
        demand(norms.shape == (training.mixing.nodes,), f"not every node has a norm of its model in {name}")
        try:
            check_half_precision(norms, parameters, training.storage_error, entry["round"])
        except CertificateError as problem:
            raise MismatchError(str(problem)) from None
        theta = folder.weights(name)
        if theta is None:
            measured = False
            continue
        with np.errstate(over="ignore"):
            demand(np.array_equal(theta, theta.astype(np.float16)), f"{name} holds numbers that half precision lacks")
        demand(
            np.allclose(np.linalg.norm(theta.astype(np.float64), axis=1), norms, rtol=TOLERANCE, atol=0),
            f"the norms of the models in {name} are not those that are recorded",
        )
    if not recorded:
        return ""
    given = "" if measured else ", given recorded norms"
    return f", {len(recorded)} checkpoints rounded by no more than is charged{given}"


def halved_arrays(folder: RunFolder) -> set[str]:
    """Name the arrays that hold checkpoints of learning which were kept in half precision.

    Args:
        folder: the run folder.
    """
    return {_array(round) for round in _halved_rounds(folder)}


def _array(round: int) -> str:
    return f"checkpoints/learned-{round:06d}"


def _halved_rounds(folder: RunFolder) -> frozenset[int]:
    """Return the rounds of learning whose checkpoints were kept in half precision, as they follow from the scenario."""
    learning = LearningSettings.model_validate(folder.scenario["learning"])
    methods = [method_of(folder, index) for index in range(len(folder.scenario["unlearning"]))]
    return rounds_in_half_precision(learning.checkpoints, methods, learning.rounds)
