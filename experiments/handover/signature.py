"""Ed25519 signatures of certificates, and their keys."""

import hashlib
import os
from contextlib import suppress
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from rewindnet.certificates.errors import CertificateError
from rewindnet.certificates.findings import Unchecked
from rewindnet.certificates.handover.document import Document, canonical
from rewindnet.experiments.handover.files import HandoverError, read_bytes

_LARGEST_KEY = 2**16
_OPENSSL = "openssl genpkey -algorithm ed25519"


def make_keys(private: Path) -> tuple[Path, str]:
    """Write a new private key, which only its owner may read, and beside it the public key.

    Args:
        private: the file of the private key; the other one ends in `.public.pem`.

    Returns:
        The file of the public key, and its fingerprint.

    Raises:
        HandoverError: if one of the files exists, or cannot be written.
    """
    public = private.with_name(f"{private.stem}.public.pem")
    key = Ed25519PrivateKey.generate()
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    shown = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    for file in (private, public):
        if file.exists():
            raise HandoverError(f"{file} exists, and a key is never overwritten; choose another name")
    try:
        for file, content, mode in ((private, secret, 0o600), (public, shown, 0o644)):
            with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as opened:
                opened.write(content)
    except OSError as problem:
        raise HandoverError(f"{private} cannot be written: {problem.strerror or problem}") from None
    return public, fingerprint(_raw(key.public_key()))


def signed(document: Document, private: Path) -> Document:
    """Return a certificate with a signature.

    Args:
        document: the certificate; a signature that it has is replaced.
        private: the file of the private key.

    Raises:
        HandoverError: if the file does not hold an Ed25519 private key without a password.
    """
    key = _private_key(private)
    public = _raw(key.public_key())
    signature = {
        "algorithm": "Ed25519",
        "public_key": public.hex(),
        "fingerprint": fingerprint(public),
        "value": key.sign(canonical(document)).hex(),
    }
    return {**document, "signature": signature}


def check_signature(document: Document, public: Path | None) -> str:
    """Check the signature of a certificate.

    Args:
        document: the certificate.
        public: the file of the public key that it must be signed with; None for any key.

    Returns:
        A sentence about what was checked: without a signature, or without a public key, that is not all.

    Raises:
        CertificateError: if the signature is wrong, by another key than the given one, or missing where one is given.
        HandoverError: if the file does not hold an Ed25519 public key.
    """
    expected, signature = None if public is None else _public_key(public), document.get("signature")
    if signature is None:
        if expected is not None:
            raise CertificateError("it is not signed, and a key to check a signature with was given")
        return Unchecked("it is not signed: any person may have written or changed this file")
    stated = bytes.fromhex(signature["public_key"])
    if fingerprint(stated) != signature["fingerprint"]:
        raise CertificateError("the fingerprint in the signature is not that of its public key")
    if expected is not None and expected != stated:
        raise CertificateError(
            f"it is signed with another key: fingerprint {signature['fingerprint']}, not {fingerprint(expected)}"
        )
    try:
        Ed25519PublicKey.from_public_bytes(stated).verify(bytes.fromhex(signature["value"]), canonical(document))
    except (InvalidSignature, ValueError):
        raise CertificateError("the signature is not that of this content: the file was changed after it") from None
    if expected is None:
        return Unchecked(
            f"it is signed with the key of fingerprint {signature['fingerprint']}; whose key that is was not checked, "
            "because no key was given"
        )
    return f"it is signed with the given key, of fingerprint {signature['fingerprint']}"


def fingerprint(public: bytes) -> str:
    """Return the fingerprint of a public key: the sha256 of its 32 bytes, in hexadecimal digits."""
    return hashlib.sha256(public).hexdigest()


def _private_key(file: Path) -> Ed25519PrivateKey:
    """Read a private key."""
    content, key = read_bytes(file, _LARGEST_KEY), None
    try:
        key = serialization.load_pem_private_key(content, password=None)
    except TypeError:
        raise HandoverError(f"{file} has a password; keys with a password are not supported") from None
    except (ValueError, UnsupportedAlgorithm):
        pass
    if not isinstance(key, Ed25519PrivateKey):
        raise HandoverError(f"{file} holds no private Ed25519 key in PEM, as `{_OPENSSL}` makes")
    return key


def _public_key(file: Path) -> bytes:
    """Read the 32 bytes of a public key."""
    content, key = read_bytes(file, _LARGEST_KEY), None
    with suppress(ValueError, UnsupportedAlgorithm):
        key = serialization.load_pem_public_key(content)
    if not isinstance(key, Ed25519PublicKey):
        raise HandoverError(
            f"{file} holds no public Ed25519 key in PEM, as `openssl pkey -pubout` makes of a private one"
        )
    return _raw(key)


def _raw(key: Ed25519PublicKey) -> bytes:
    """Return the 32 bytes of a public key."""
    return key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
