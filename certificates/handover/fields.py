"""Checks of the form of plain JSON: each takes a value and its place, and refuses a value of another form."""

import re
from collections.abc import Callable
from math import inf, isfinite
from typing import Any

from rewindnet.certificates.errors import CertificateError

#: A check: called with a value and the place where it stands; raises a `CertificateError`.
Check = Callable[[Any, str], None]

_LONGEST_TEXT, _DEEPEST = 5_000, 6


def _refuse(place: str, wanted: str) -> CertificateError:
    """Return the error about the value at a place."""
    return CertificateError(f"{place or 'the file'} is not {wanted}")


def text(value: Any, place: str) -> None:
    """Refuse what is not a text of printable characters."""
    if not isinstance(value, str) or len(value) > _LONGEST_TEXT or not value.isprintable():
        raise _refuse(place, f"a text of at most {_LONGEST_TEXT:,} printable characters")


def flag(value: Any, place: str) -> None:
    """Refuse what is not true or false."""
    if not isinstance(value, bool):
        raise _refuse(place, "true or false")


def number(lowest: float = -inf, highest: float = inf) -> Check:
    """Return a check for finite numbers between two bounds."""

    def check(value: Any, place: str) -> None:
        if isinstance(value, bool) or not isinstance(value, int | float) or not _within(value, lowest, highest):
            raise _refuse(place, "a number of the possible size")

    return check


def whole(highest: int) -> Check:
    """Return a check for whole numbers from 0 up to a bound."""

    def check(value: Any, place: str) -> None:
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= highest:
            raise _refuse(place, f"a whole number from 0 to {highest:,}")

    return check


def choice(*allowed: str) -> Check:
    """Return a check for one of several texts."""

    def check(value: Any, place: str) -> None:
        if not isinstance(value, str) or value not in allowed:
            raise _refuse(place, f"one of: {', '.join(allowed)}")

    return check


def is_exactly(wanted: Any) -> Check:
    """Return a check for one value."""

    def check(value: Any, place: str) -> None:
        if type(value) is not type(wanted) or value != wanted:
            raise _refuse(place, repr(wanted))

    return check


def hexadecimal(digits: int) -> Check:
    """Return a check for so many hexadecimal digits in lower case."""

    def check(value: Any, place: str) -> None:
        if not isinstance(value, str) or not re.fullmatch(rf"[0-9a-f]{{{digits}}}", value):
            raise _refuse(place, f"{digits} hexadecimal digits")

    return check


def optional(inner: Check) -> Check:
    """Return a check for what another check takes, or null."""

    def check(value: Any, place: str) -> None:
        if value is not None:
            inner(value, place)

    return check


def list_of(inner: Check) -> Check:
    """Return a check for lists of what another check takes."""

    def check(value: Any, place: str) -> None:
        if not isinstance(value, list):
            raise _refuse(place, "a list")
        for index, item in enumerate(value):
            inner(item, f"{place}[{index}]")

    return check


def mapping_of(inner: Check) -> Check:
    """Return a check for objects with any names, whose values another check takes."""

    def check(value: Any, place: str) -> None:
        if not isinstance(value, dict):
            raise _refuse(place, "an object")
        for name, item in value.items():
            text(name, f"a name in {place}")
            inner(item, f"{place}.{name}")

    return check


def record(**members: Check) -> Check:
    """Return a check for objects with just these members."""

    def check(value: Any, place: str) -> None:
        if not isinstance(value, dict):
            raise _refuse(place, "an object")
        prefix = f"{place}." if place else ""
        for name in members:
            if name not in value:
                raise CertificateError(f"{prefix}{name} is missing")
        for name in value:
            if name not in members:
                shown = name if name.isprintable() and len(name) < 80 else "a member"
                raise CertificateError(f"{shown} is in {place or 'the file'}, and no certificate has it there")
        for name, inner in members.items():
            inner(value[name], f"{prefix}{name}")

    return check


def plain(highest: int) -> Check:
    """Return a check for any plain data of little depth, with finite numbers and whole numbers up to a bound."""

    def check(value: Any, place: str, depth: int = 0) -> None:
        if depth > _DEEPEST:
            raise _refuse(place, "nested so little as in a certificate")
        if isinstance(value, dict | list):
            for key, item in value.items() if isinstance(value, dict) else enumerate(value):
                text(str(key), f"a name in {place}")
                check(item, f"{place}.{key}", depth + 1)
        elif isinstance(value, int) and not isinstance(value, bool):
            number(-highest, highest)(value, place)
        elif isinstance(value, float):
            number()(value, place)
        elif value is not None and not isinstance(value, bool):
            text(value, place)

    return check


def _within(value: float, lowest: float, highest: float) -> bool:
    """Return whether a number is finite and between two bounds; whole numbers too large for a double are not."""
    try:
        return isfinite(value) and lowest <= value <= highest
    except OverflowError:
        return False
