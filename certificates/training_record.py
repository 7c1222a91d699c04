"""Training runs as plain JSON, as run folders and certificates keep them."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from rewindnet.certificates.constants import Constants
from rewindnet.certificates.errors import CertificateError
from rewindnet.certificates.measurements import Arithmetic, EarlierRelease, Ledger
from rewindnet.certificates.network import Batches, Mixing
from rewindnet.certificates.public_facts import PublicFacts
from rewindnet.certificates.training import CLIP_TOLERANCE, TrainingRun


def training_record(training: TrainingRun) -> dict[str, Any]:
    """Return a run as plain JSON, without the mixing matrices, which are recorded with the topology."""
    clip = {"client_clip": training.client_clip, "clip_tolerance": training.clip_tolerance}
    return {
        **(clip if training.client_clip is not None else {}),
        **({"public": training.public.to_record()} if training.public is not None else {}),
        "rounds": training.rounds,
        "step_size": training.step_size,
        "local_steps": training.local_steps,
        "order": training.order,
        "constants": training.constants.to_record(),
        "samples": training.samples.tolist(),
        "deleted": training.deleted.tolist(),
        "forget_commitment": training.forget_commitment,
        "ledger": training.ledger and training.ledger.to_record(),
        "arithmetic": training.arithmetic and asdict(training.arithmetic),
        "radius": training.radius,
        "departed": list(training.departed),
        "earlier_deletions": [[start, counts.tolist()] for start, counts in training.earlier_deletions],
        "continued": training.continued,
        "from_release": training.from_release,
        "earlier_releases": [list(earlier) for earlier in training.earlier_releases],
        "checkpoints_sha256": training.checkpoints_sha256,
        "step_sizes": list(training.step_sizes),
        "uncovered": training.uncovered,
        "recovery_error": training.recovery_error,
        **({"storage_error": training.storage_error} if training.storage_error else {}),
    }


def training_of_record(
    record: Mapping[str, Any],
    mixing: Mixing,
    mixing_before: Mixing | None = None,
    batches: Batches | None = None,
) -> TrainingRun:
    """Return the run of a record; the inverse of `training_record`.

    Args:
        record: the plain JSON of a run.
        mixing: the mixing matrices.
        mixing_before: the mixing matrices before a departure, if there was one.
        batches: the minibatches, if learning used any.

    Raises:
        CertificateError: if the record is damaged or cannot be certified.
    """
    try:
        return TrainingRun(
            mixing=mixing,
            rounds=int(record["rounds"]),
            step_size=float(record["step_size"]),
            local_steps=int(record["local_steps"]),
            order=record["order"],
            constants=Constants.from_record(record["constants"]),
            samples=np.array(record["samples"], dtype=np.int64),
            deleted=np.array(record["deleted"], dtype=np.int64),
            ledger=record["ledger"] and Ledger.from_record(record["ledger"]),
            arithmetic=record["arithmetic"] and Arithmetic(**record["arithmetic"]),
            forget_commitment=str(record["forget_commitment"]),
            batches=batches,
            radius=None if record["radius"] is None else float(record["radius"]),
            departed=tuple(int(node) for node in record["departed"]),
            mixing_before=mixing_before,
            earlier_deletions=tuple(
                (int(start), np.array(counts, dtype=np.int64)) for start, counts in record["earlier_deletions"]
            ),
            continued=bool(record["continued"]),
            # Runs that were recorded before learning could go on from releases have no such entries.
            from_release=bool(record.get("from_release", False)),
            earlier_releases=tuple(
                EarlierRelease(int(round), int(noise_round), float(sigma))
                for round, noise_round, sigma in record.get("earlier_releases", ())
            ),
            client_clip=None if record.get("client_clip") is None else float(record["client_clip"]),
            clip_tolerance=float(record.get("clip_tolerance", CLIP_TOLERANCE)),
            checkpoints_sha256=str(record.get("checkpoints_sha256", "")),
            step_sizes=tuple(float(size) for size in record.get("step_sizes", ())),
            uncovered=str(record.get("uncovered", "")),
            recovery_error=float(record.get("recovery_error", 0.0)),
            storage_error=float(record.get("storage_error", 0.0)),
            public=PublicFacts.from_record(record["public"]) if "public" in record else None,
        )
    except (KeyError, TypeError, ValueError) as problem:
        if isinstance(problem, CertificateError):
            raise
        raise CertificateError(f"the record of learning is damaged: {problem!r}") from None
