"""Records of the audit of noise: the tests that were made, and what follows from them."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from rewindnet.certificates.errors import CertificateError

Status = Literal["holds", "violated", "unchecked"]
Law = Literal["chi", "normal", "spacing"]


@dataclass(frozen=True)
class NoiseTest:
    """The most extreme of the tests of one statistic.

    Attributes:
        name: of the statistic, as the package lists them.
        tests: how many tests it has.
        law: of the statistic if the noise is as certified: χ, standard normal, or the distance of fingerprints.
        degrees: the degrees of freedom of χ, or the number k of entries of a fingerprint; None for a normal one.
        statistic: the most extreme value.
        allowance: by how much rounding may have changed it.
        p_value: its p-value, before any correction for the number of tests.
        where: the nodes and rounds, in words.
    """

    name: str
    tests: int
    law: Law
    degrees: int | None
    statistic: float
    allowance: float
    p_value: float
    where: str


@dataclass(frozen=True)
class NoiseAudit:
    """Whether the noise that a release added is what its certificate says.

    Attributes:
        status: `holds`; `violated`; or `unchecked`, where there was nothing to test it on.
        sentence: what was found, or why nothing was checked.
        expected: how many additions of noise the mechanism says there are.
        measured: how many were measured; None where none were looked for.
        level: the probability of calling noise violated that is as certified, of this release.
        p_value: the smallest p-value, adjusted for the number of statistics and tests, at most 1; None without a test.
        tests: the most extreme test of each statistic.
    """

    status: Status
    sentence: str
    expected: int = 0
    measured: int | None = None
    level: float | None = None
    p_value: float | None = None
    tests: tuple[NoiseTest, ...] = ()

    @property
    def no_noise(self) -> bool:
        """Whether nothing was checked because the mechanism adds no noise."""
        return self.status == "unchecked" and self.measured is None and not self.expected

    def to_record(self) -> dict[str, Any]:
        """Return the audit as plain JSON."""
        return asdict(self)

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> "NoiseAudit":
        """Return the audit of a record; the inverse of `to_record`.

        Args:
            record: the plain JSON of an audit of noise.

        Raises:
            CertificateError: if a field is missing or unknown.
        """
        try:
            tests = tuple(NoiseTest(**test) for test in record["tests"])
            if {field.name for field in fields(cls)} != set(record):
                raise KeyError("fields missing or unknown")
        except (KeyError, TypeError) as problem:
            raise CertificateError(f"the record of the audit of noise is damaged: {problem}") from None
        return cls(**{**record, "tests": tests})


def not_measured(reason: str, expected: int = 0) -> NoiseAudit:
    """Return an audit that has checked nothing.

    Args:
        reason: why, as a sentence.
        expected: how many additions of noise the mechanism says there are.
    """
    return NoiseAudit("unchecked", reason, expected)


NO_NOISE = not_measured("no noise: none is claimed")
NOT_MEASURED = not_measured("the noise that was added was not measured")
