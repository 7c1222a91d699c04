"""The keys of a deployment: who may speak for the server, and who may join as a node."""

import datetime
import ipaddress
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

#: Where all servers of a deployment listen.
HOST = "127.0.0.1"
_NAME = "localhost"
_LIFETIME = datetime.timedelta(days=30)
#: Certificates are valid from a little before they are made: clocks are read twice.
_LEEWAY = datetime.timedelta(minutes=5)


@dataclass(frozen=True)
class Keys:
    """The files that hold the keys.

    Attributes:
        authority: certificate of the authority, which everybody checks servers against.
        certificate: of the servers, for `localhost` and 127.0.0.1.
        certificate_key: private key to it.
        secret: what a process that runs apps shows to the SuperLink or its SuperNode.
        nodes: private key of every node.
        nodes_public: public key of every node, for the SuperLink to know it by.
    """

    authority: Path
    certificate: Path
    certificate_key: Path
    secret: Path
    nodes: tuple[Path, ...]
    nodes_public: tuple[Path, ...]


def make_keys(folder: Path, nodes: int) -> Keys:
    """Make the keys of a deployment, readable by their owner alone.

    The authority's own key is forgotten: nothing more can be signed with it.

    Args:
        folder: where the files go; made if it is not there.
        nodes: the number of nodes N.

    Raises:
        OSError: if the files cannot be written.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    authority_key, server_key = _key(), _key()
    authority = _authority(authority_key)
    pairs = [make_pair(folder, f"node-{node}") for node in range(nodes)]
    return Keys(
        authority=_write(folder / "authority.pem", authority.public_bytes(serialization.Encoding.PEM)),
        certificate=_write(
            folder / "server.pem",
            _certificate(server_key, authority, authority_key).public_bytes(serialization.Encoding.PEM),
        ),
        certificate_key=_write(
            folder / "server.key",
            _private(server_key, serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8),
        ),
        secret=_write(folder / "secret", secrets.token_bytes(32)),
        nodes=tuple(private for private, _ in pairs),
        nodes_public=tuple(public for _, public in pairs),
    )


def make_pair(folder: Path, name: str) -> tuple[Path, Path]:
    """A node's private and public key, in the format of OpenSSH, on the curve P-256, the quickest that Flower takes."""
    key = _key()
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return (
        _write(folder / name, _private(key, serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH)),
        _write(folder / f"{name}.pub", public),
    )


def _key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def _private(
    key: ec.EllipticCurvePrivateKey, encoding: serialization.Encoding, format: serialization.PrivateFormat
) -> bytes:
    return key.private_bytes(encoding, format, serialization.NoEncryption())


def _write(path: Path, content: bytes) -> Path:
    path.unlink(missing_ok=True)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
    return path


def _authority(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority of this deployment")])
    signs = x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    return (
        _builder(name, name, key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(signs, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )


def _certificate(
    key: ec.EllipticCurvePrivateKey, authority: x509.Certificate, authority_key: ec.EllipticCurvePrivateKey
) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, _NAME)])
    hosts = [x509.DNSName(_NAME), x509.IPAddress(ipaddress.ip_address(HOST))]
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key())
    return (
        _builder(name, authority.subject, key.public_key())
        .add_extension(x509.SubjectAlternativeName(hosts), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(issuer, critical=False)
        .sign(authority_key, hashes.SHA256())
    )


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _LEEWAY)
        .not_valid_after(now + _LIFETIME)
    )
