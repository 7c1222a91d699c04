"""Compose the certificates of all releases of a method, for runs with several requests."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rewindnet.certificates import Certificate, compose_certificates


def compose_releases(certified: Sequence[Sequence[Certificate]]) -> list[dict[str, Any]]:
    """Compute, for each method, the (ε, δ) against an observer of its releases for all requests.

    Args:
        certified: for each method, its certificates in the order of the requests.

    Returns:
        A record for each method that has certificates.
    """
    return [_composition(certificates) for certificates in certified if certificates]


def _composition(certificates: Sequence[Certificate]) -> dict[str, Any]:
    """Compose the certificates of one method."""
    view = certificates[0].view
    return {"method": certificates[0].method, **asdict(compose_certificates(certificates, view)), "view": str(view)}
