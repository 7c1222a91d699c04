"""The mixing matrices that a release went through: their digest, and whether they are doubly stochastic."""

import hashlib

import numpy as np

from rewindnet.certificates.release import Release
from rewindnet.certificates.training import TrainingRun

#: The tolerance within which the columns of a doubly stochastic matrix sum to 1.
_BALANCE = 1e-9


def mixing_digest(training: TrainingRun, release: Release) -> str:
    """Return the sha256 of every mixing matrix that the release went through.

    Args:
        training: the network, with the mixing matrices before a departure if there was one.
        release: what the unlearning method did, which gives the number of rounds.
    """
    digest = hashlib.sha256()
    previous = None
    for t in range(_rounds(release)):
        W = training.mixing.matrix(t)
        if W is not previous:
            previous, block = W, _bytes(W)
        digest.update(block)
        if training.mixing_before is not None:
            digest.update(_bytes(training.mixing_before.matrix(t)))
    return digest.hexdigest()


def _bytes(W: object) -> bytes:
    """Return the sha256 of a sparse matrix, which does not depend on the byte order of the machine."""
    matrix = W.tocsr()  # type: ignore[attr-defined]
    matrix.sort_indices()
    parts = (matrix.indptr.astype("<i8"), matrix.indices.astype("<i8"), matrix.data.astype("<f8"))
    return hashlib.sha256(b"".join(part.tobytes() for part in parts)).digest()


def doubly_stochastic(training: TrainingRun, release: Release) -> bool:
    """Return whether every mixing matrix that the release went through has columns that sum to 1.

    Args:
        training: the network, with its mixing matrices.
        release: what the unlearning method did, which gives the number of rounds.
    """
    previous = None
    for t in range(_rounds(release)):
        W = training.mixing.matrix(t)
        if W is not previous and np.abs(np.asarray(W.sum(axis=0)) - 1).max() > _BALANCE:
            return False
        previous = W
    return True


def _rounds(release: Release) -> int:
    """Return the number of rounds that a release went through, including learning rounds in which it added noise."""
    rounds_with_noise = max((round + 1 for round, _ in release.mechanism.events), default=0)
    return max(release.gossip.stop, rounds_with_noise)
