"""What a release promises, in two sentences for a reader who is no expert."""

from typing import Any

import numpy as np

from rewindnet.certificates.handover.statement import statement
from rewindnet.experiments.folder.reader import RunFolder


def promise(run: RunFolder, index: int) -> list[str]:
    """Return what the certificate of a release promises, and what it does not cover.

    Args:
        run: the run.
        index: the number of the release.
    """
    certificate, audit = run.certified[index]
    training, release = run.training_run_of(index), certificate.release
    deleted = [
        {"client": int(node), "samples": int(training.deleted[node])} for node in np.flatnonzero(training.deleted)
    ]
    constants = {
        name: value for name, value in certificate.training.constants.to_record().items() if isinstance(value, dict)
    }
    document: dict[str, Any] = {
        "guarantee": {
            "method": certificate.method,
            "view": str(certificate.view),
            "epsilon": certificate.epsilon,
            "delta": certificate.delta,
            "mu": certificate.mu,
            "reason": certificate.reason,
            "conditional": certificate.conditional,
            "data_dependent_noise": certificate.data_dependent_noise,
        },
        "request": {"deleted": deleted},
        "noise": {"source": release.noise_source, "added": bool(release.mechanism.noise_vectors(release))},
        "learning": {"constants": {name: value for name, value in constants.items() if "provenance" in value}},
        "checked": {"noise": audit.noise_audit.status},
        "premises": certificate.premises,
        "names": dict(enumerate(run.names or ())),
    }
    said = statement(document)
    return [said["promise"], said["limits"]]
