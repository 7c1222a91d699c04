"""The mechanisms: how noise hides. Adding one is a file here and a line in `MECHANISMS`."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from certificates.errors import CertificateError
from certificates.mechanisms.mechanism import Differences, Mechanism
from certificates.mechanisms.once import Once
from certificates.mechanisms.private_walk import PrivateWalk
from certificates.mechanisms.visits import Visits
from certificates.records import Release

MECHANISMS: Mapping[str, type[Mechanism]] = {kind.kind: kind for kind in (Once, Visits, PrivateWalk)}


def mechanism_of(release: Release) -> Mechanism:
    """That of a release; one Gaussian vector a node where it names none."""
    return Once() if release.mechanism is None else release.mechanism


def to_record(mechanism: Mechanism) -> dict[str, Any]:
    """A mechanism as plain JSON."""
    return {"kind": mechanism.kind, **asdict(mechanism)}  # type: ignore[call-overload]


def from_record(record: Mapping[str, Any]) -> Mechanism:
    """The inverse of `to_record`.

    Raises:
        CertificateError: if it is the record of no mechanism.
    """
    try:
        settings = {name: _frozen(value) for name, value in record.items() if name != "kind"}
        return MECHANISMS[record["kind"]](**settings)
    except (KeyError, TypeError, AttributeError) as problem:
        raise CertificateError(f"the record of the mechanism is damaged: {problem!r}") from None


def _frozen(value: Any) -> Any:
    """Lists, which JSON has, as tuples, which records have."""
    return tuple(_frozen(one) for one in value) if isinstance(value, list | tuple) else value


__all__ = [
    "MECHANISMS",
    "Differences",
    "Mechanism",
    "Once",
    "PrivateWalk",
    "Visits",
    "from_record",
    "mechanism_of",
    "to_record",
]
