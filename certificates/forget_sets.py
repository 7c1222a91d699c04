"""Digests of forget sets: one that names a forget set, and a commitment to it that can be published."""

import hashlib
import json
from collections.abc import Iterable, Mapping

from rewindnet.certificates.errors import CertificateError

#: The length of a salt in bytes.
SALT_BYTES = 32


def forget_digest(forget: Mapping[int, Iterable[int]]) -> str:
    """Return the sha256 of a forget set in its canonical form.

    A guess of the forget set can be confirmed by it, so it is not for publication.

    Args:
        forget: for each deleting node, the positions of its deleted samples in its own data.
    """
    return hashlib.sha256(_canonical(forget)).hexdigest()


def forget_commitment(salt: bytes, forget: Mapping[int, Iterable[int]]) -> str:
    """Return the commitment to a forget set: the sha256 of the salt followed by the forget set in its canonical form.

    Without the salt, no guess of the forget set can be confirmed by it, SHA-256 taken as a random function. The salt
    and the forget set open it, and no other forget set does. With one salt for two forget sets, opening one would
    allow guesses of the other, so every request has a salt of its own.

    Args:
        salt: 32 bytes, secret until the commitment is opened.
        forget: for each deleting node, the positions of its deleted samples in its own data.

    Raises:
        CertificateError: if the salt has another length.
    """
    if len(salt) != SALT_BYTES:
        raise CertificateError(f"the salt of a commitment has {SALT_BYTES} bytes, not {len(salt)}")
    return hashlib.sha256(salt + _canonical(forget)).hexdigest()


def _canonical(forget: Mapping[int, Iterable[int]]) -> bytes:
    """Return a forget set as JSON: nodes increasing, and the positions of each increasing."""
    plain = {str(node): sorted(int(position) for position in forget[node]) for node in sorted(forget)}
    return json.dumps(plain).encode()
