"""What all releases of a method tell together, where there are several requests."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rewindnet.certificates import Certificate, compose_certificates


def composed(certified: Sequence[Sequence[Certificate]]) -> list[dict[str, Any]]:
    """Compute what may be claimed, for each method, to a reader of its releases for all requests.

    Args:
        certified: for each method, its certificates, request by request.
    """
    return [_claim(certificates) for certificates in certified if certificates]


def _claim(certificates: Sequence[Certificate]) -> dict[str, Any]:
    view = certificates[0].view
    return {"method": certificates[0].method, **asdict(compose_certificates(certificates, view)), "view": str(view)}
