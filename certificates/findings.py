"""What checks of a run folder, or of a certificate's file, find."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Status = Literal["holds", "FAILS", "recorded", "unchecked"]


class OnRecord(str):
    """The sentence of a check a part of which rests on the word of the record, or of its issuer."""


class Unchecked(str):
    """The sentence of a check that could not be made: why."""


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    Attributes:
        what: what was checked.
        status: `holds`; `FAILS`; `recorded`, where a part rests on the word of the record or of its issuer;
            `unchecked`, where the check could not be made.
        sentence: what was checked in detail, or what is wrong.
    """

    what: str
    status: Status
    sentence: str

    @property
    def holds(self) -> bool:
        """Whether nothing wrong was found."""
        return self.status != "FAILS"


def passed(what: str, sentence: str) -> Finding:
    """Return the finding of a check that passed, with the status that its sentence calls for.

    Args:
        what: what was checked.
        sentence: a plain one, an `OnRecord` or an `Unchecked`.
    """
    status: Status = "holds"
    if isinstance(sentence, OnRecord | Unchecked):
        status = "recorded" if isinstance(sentence, OnRecord) else "unchecked"
    return Finding(what, status, str(sentence))


def tally(findings: Iterable[Finding], whose: str = "the record's word") -> str:
    """Count the findings by their status, in a sentence.

    Args:
        findings: the findings.
        whose: what those rest on that are neither derived nor unchecked.
    """
    counts = Counter(finding.status for finding in findings)
    return (
        f"{counts['holds']} hold, {counts['FAILS']} fail, {counts['recorded']} rest on {whose}, "
        f"{counts['unchecked']} unchecked"
    )
