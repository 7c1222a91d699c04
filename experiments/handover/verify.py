"""Check the file of a certificate, from it alone: nothing of the run is needed, and torch is not."""

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from rewindnet.certificates.errors import CertificateError
from rewindnet.certificates.findings import OnRecord, Unchecked
from rewindnet.certificates.handover.arithmetic import check_arithmetic
from rewindnet.certificates.handover.consistency import check_statement
from rewindnet.certificates.handover.document import Document, checked
from rewindnet.certificates.handover.outcomes import Outcomes, outcome
from rewindnet.experiments.handover.files import HandoverError, read_certificate
from rewindnet.extras import missing_extras_named


def verify_certificate(
    certificate: Mapping[str, Any] | str | PathLike[str],
    key: str | PathLike[str] | None = None,
    models: Sequence[str | PathLike[str]] = (),
) -> Outcomes:
    """Check a certificate that was handed over.

    Args:
        certificate: the file of `export_certificate`, or its content.
        key: the file of the public key that it must be signed with; None for any key.
        models: files of released models, in the format safetensors, to compare with the hashes.

    Returns:
        The outcomes of all checks; `holds`, `unchecked` and `tally` sum them up.

    Raises:
        UserError: if a file cannot be read, or is not what it should be.
    """
    document = _document(certificate)
    with missing_extras_named():
        from rewindnet.experiments.handover.models import check_models
        from rewindnet.experiments.handover.signature import check_signature
    compared = [outcome("models", check_models, document, Path(file)) for file in models]
    return Outcomes(
        (
            outcome("signature", check_signature, document, None if key is None else Path(key)),
            outcome("arithmetic", check_arithmetic, document),
            outcome("statement", check_statement, document),
            outcome("origin", _origin, document),
            *(compared or [outcome("models", _no_models)]),
        )
    )


def _document(certificate: Mapping[str, Any] | str | PathLike[str]) -> Document:
    """Return the content of a certificate's file, if it is of that form."""
    if not isinstance(certificate, Mapping):
        return read_certificate(Path(certificate))
    try:
        return checked(dict(certificate))
    except CertificateError as problem:
        raise HandoverError(f"this is not the content of a certificate's file, or it is damaged: {problem}") from None


def _origin(document: Document) -> str:
    """Say where the numbers come from that the arithmetic begins with."""
    if document["guarantee"]["epsilon"] is None:
        return "nothing is promised, so there is nothing to trace"
    return OnRecord(
        "that sensitivity and noise are those of the run is the word of the issuer, who has the run folder and says: "
        f"{document['checked']['issuer']}"
    )


def _no_models() -> str:
    """Say that no model was compared."""
    return Unchecked("no model was given, so none was compared with its hash")
