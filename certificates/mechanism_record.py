"""Mechanisms as plain data: their records, and the classes that are registered to read them again."""

from collections.abc import Mapping
from dataclasses import asdict
from types import MappingProxyType
from typing import Any, ClassVar, Self

from rewindnet.certificates.errors import CertificateError


class RecordedMechanism:
    """A frozen dataclass of plain data, of which a record names the kind.

    A subclass with a `kind` is registered under it when it is defined.

    Attributes:
        kind: the name of the mechanism in a record.
    """

    kind: ClassVar[str]

    _kinds: ClassVar[dict[str, type[Any]]] = {}

    def __init_subclass__(cls, **options: Any) -> None:
        """Register the subclass under its kind."""
        super().__init_subclass__(**options)
        if "kind" in vars(cls):
            existing = RecordedMechanism._kinds.get(cls.kind)
            if existing is not None and (existing.__module__, existing.__qualname__) != (
                cls.__module__,
                cls.__qualname__,
            ):
                raise TypeError(f"there is a mechanism of the kind {cls.kind!r} already: {existing.__qualname__}")
            RecordedMechanism._kinds[cls.kind] = cls

    @classmethod
    def kinds(cls) -> Mapping[str, type[Self]]:
        """Return every registered class, by its kind."""
        return MappingProxyType(cls._kinds)

    def to_record(self) -> dict[str, Any]:
        """Return the mechanism as plain JSON."""
        return {"kind": self.kind, **asdict(self)}  # type: ignore[call-overload]

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Self:
        """Return the mechanism of a record; the inverse of `to_record`.

        Args:
            record: the plain JSON of a mechanism.

        Raises:
            CertificateError: if it is not the record of a mechanism.
        """
        try:
            settings = {name: _frozen(value) for name, value in record.items() if name != "kind"}
            mechanism: Self = RecordedMechanism._kinds[record["kind"]](**settings)
        except (KeyError, TypeError, AttributeError) as problem:
            raise CertificateError(f"the record of the mechanism is damaged: {problem!r}") from None
        return mechanism


def _frozen(value: Any) -> Any:
    """Return a JSON value with its lists replaced by tuples, which frozen mechanisms need."""
    return tuple(_frozen(item) for item in value) if isinstance(value, list | tuple) else value
