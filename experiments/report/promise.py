"""What a release promises, in two sentences for a reader who is no expert."""

from typing import Any

from rewindnet.certificates.handover.build import said_of
from rewindnet.certificates.handover.statement import statement
from rewindnet.experiments.folder.reader import RunFolder


def promise(run: RunFolder, index: int) -> list[str]:
    """Return what the certificate of a release promises, and what it does not cover.

    Args:
        run: the run.
        index: the number of the release.
    """
    certificate, audit = run.certified[index]
    constants = {
        name: value for name, value in certificate.training.constants.to_record().items() if isinstance(value, dict)
    }
    document: dict[str, Any] = {
        **said_of(certificate, run.training_run_of(index)),
        "learning": {"constants": {name: value for name, value in constants.items() if "provenance" in value}},
        "checked": {"noise": audit.noise_audit.status},
        "premises": certificate.premises,
        "names": dict(enumerate(run.names or ())),
    }
    said = statement(document)
    return [said["promise"], said["limits"]]
