"""What the checks of a certificate's file find."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from rewindnet.certificates.errors import CertificateError
from rewindnet.errors import UserError

Status = Literal["holds", "FAILS", "recorded", "unchecked"]


class OnRecord(str):
    """The sentence of a check a part of which rests on the issuer's word."""


class Unchecked(str):
    """The sentence of a check that could not be made: why."""


@dataclass(frozen=True)
class Outcome:
    """The result of one check of a certificate's file.

    Attributes:
        what: what was checked.
        status: `holds`; `FAILS`; `recorded`, where a part rests on the issuer's word; `unchecked`, where the check
            could not be made.
        sentence: what was checked in detail, or what is wrong.
    """

    what: str
    status: Status
    sentence: str


class Outcomes(tuple[Outcome, ...]):
    """The results of all checks of a certificate's file."""

    @property
    def holds(self) -> bool:
        """Whether nothing wrong was found; `unchecked` says what could not be checked."""
        return all(outcome.status != "FAILS" for outcome in self)

    @property
    def unchecked(self) -> list[Outcome]:
        """What could not be checked."""
        return [outcome for outcome in self if outcome.status == "unchecked"]

    @property
    def tally(self) -> str:
        """The number of checks with each status, in a sentence."""
        counts = Counter(outcome.status for outcome in self)
        return (
            f"{counts['holds']} hold, {counts['FAILS']} fail, {counts['recorded']} rest on the issuer's word, "
            f"{counts['unchecked']} unchecked"
        )


def outcome(what: str, check: Callable[..., str], *arguments: Any) -> Outcome:
    """Run a check, and turn its sentence or its error into an outcome.

    A file of the right form can still hold numbers that the mechanisms refuse or stumble over; then it is damaged.

    Args:
        what: what is checked.
        check: returns a sentence, or raises a `CertificateError`.
        arguments: the arguments of the check.

    Raises:
        UserError: if the check could not begin, because another input than the file cannot be used.
    """
    try:
        sentence = check(*arguments)
    except CertificateError as problem:
        return Outcome(what, "FAILS", str(problem))
    except UserError:
        raise
    except (
        TypeError,
        ValueError,
        LookupError,
        AttributeError,
        ArithmeticError,
        AssertionError,
        MemoryError,
    ) as problem:
        return Outcome(what, "FAILS", f"the numbers of the file are damaged ({type(problem).__name__})")
    status: Status = "holds"
    if isinstance(sentence, OnRecord | Unchecked):
        status = "recorded" if isinstance(sentence, OnRecord) else "unchecked"
    return Outcome(what, status, str(sentence))
