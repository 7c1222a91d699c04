"""Several requests, and a reader of what was released for each of them."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rewindnet.certificates import Certificate, together


def composed(certified: Sequence[Sequence[Certificate]]) -> list[dict[str, Any]]:
    """What may be claimed, for each method, to a reader of all that it has released, request by request."""
    found = []
    for certificates in certified:
        view = certificates[0].view if certificates else ""
        if certificates:
            found.append({"method": certificates[0].method, **asdict(together(certificates, view))})
    return found
