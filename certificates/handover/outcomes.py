"""What the checks of a certificate's file find."""

from collections.abc import Callable
from typing import Any

from rewindnet.certificates.errors import CertificateError
from rewindnet.certificates.findings import Finding, passed, tally
from rewindnet.errors import UserError


class Outcomes(tuple[Finding, ...]):
    """The results of all checks of a certificate's file."""

    @property
    def holds(self) -> bool:
        """Whether nothing wrong was found; `unchecked` says what could not be checked."""
        return all(finding.holds for finding in self)

    @property
    def unchecked(self) -> list[Finding]:
        """What could not be checked."""
        return [finding for finding in self if finding.status == "unchecked"]

    @property
    def tally(self) -> str:
        """The number of checks with each status, in a sentence."""
        return tally(self, "the issuer's word")


def outcome(what: str, check: Callable[..., str], *arguments: Any) -> Finding:
    """Run a check, and turn its sentence or its error into a finding.

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
        return Finding(what, "FAILS", str(problem))
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
        return Finding(what, "FAILS", f"the numbers of the file are damaged ({type(problem).__name__})")
    return passed(what, sentence)
