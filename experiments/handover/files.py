"""Read the file of a certificate, and turn it into text."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rewindnet.certificates.errors import CertificateError
from rewindnet.certificates.handover.document import LARGEST_FILE, Document, parse
from rewindnet.errors import UserError


class HandoverError(UserError):
    """A certificate cannot be handed over, or a file, key or model for it cannot be used; the message says why."""


def read_certificate(file: Path) -> Document:
    """Read the file of a certificate.

    Raises:
        HandoverError: if it cannot be read, or is not the file of a certificate.
    """
    content = read_bytes(file, LARGEST_FILE)
    try:
        return parse(content)
    except CertificateError as problem:
        raise HandoverError(f"{file} is not the file of a certificate, or is damaged: {problem}") from None


def read_bytes(file: Path, most: int) -> bytes:
    """Read a file that is not larger than allowed.

    Args:
        file: the file.
        most: its largest size in bytes.

    Raises:
        HandoverError: if it is larger, or cannot be read.
    """
    try:
        with file.open("rb") as opened:
            content = opened.read(most + 1)
    except OSError as problem:
        raise HandoverError(f"{file} cannot be read: {problem.strerror or problem}") from None
    if len(content) > most:
        raise HandoverError(f"{file} is too large: more than {most:,} bytes")
    return content


def as_text(document: Mapping[str, Any]) -> str:
    """Return the content of a certificate's file."""
    return json.dumps(document, indent=1, allow_nan=False, ensure_ascii=False) + "\n"
