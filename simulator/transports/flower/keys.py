"""The keys of a deployment: of its servers, and of the nodes that may join."""

import datetime
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

import trustme
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

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
        authority: certificate of the authority, which every process checks servers against.
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

    The authority's own key is not written down: nothing more can be signed with it.

    Args:
        folder: where the files go; made if it is not there.
        nodes: the number of nodes N.

    Raises:
        OSError: if the files cannot be written.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    now = datetime.datetime.now(datetime.UTC)
    authority = trustme.CA(path_length=0)
    server = authority.issue_cert(_NAME, HOST, not_before=now - _LEEWAY, not_after=now + _LIFETIME)
    pairs = [make_pair(folder, f"node-{node}") for node in range(nodes)]
    return Keys(
        authority=_write(folder / "authority.pem", authority.cert_pem.bytes()),
        certificate=_write(folder / "server.pem", server.cert_chain_pems[0].bytes()),
        certificate_key=_write(folder / "server.key", server.private_key_pem.bytes()),
        secret=_write(folder / "secret", secrets.token_bytes(32)),
        nodes=tuple(private for private, _ in pairs),
        nodes_public=tuple(public for _, public in pairs),
    )


def make_pair(folder: Path, name: str) -> tuple[Path, Path]:
    """Make a node's private and public key, in the format of OpenSSH, on the curve P-256.

    It is the quickest curve that Flower takes.

    Returns:
        the two files.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return _write(folder / name, private), _write(folder / f"{name}.pub", public)


def _write(path: Path, content: bytes) -> Path:
    """Write a file that only its owner can read, in place of any that is there."""
    path.unlink(missing_ok=True)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
    return path
