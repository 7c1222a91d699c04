"""Several requests, and a reader of what was released for each of them."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rewindnet.certificates import Certificate, compose_certificates


def composed(certified: Sequence[Sequence[Certificate]]) -> list[dict[str, Any]]:
    """What may be claimed, for each method, to a reader of all that it has released, request by request."""
    found = []
    for certificates in certified:
        if certificates:
            composed = asdict(compose_certificates(certificates, certificates[0].view))
            found.append({"method": certificates[0].method, **composed, "view": str(certificates[0].view)})
    return found
