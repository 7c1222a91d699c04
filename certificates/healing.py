"""Healing: what a release does after its noise, otherwise than learning did, to get rid of the noise."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import inf
from typing import Any

from rewindnet.certificates.errors import CertificateError


@dataclass(frozen=True)
class Healing:
    """How the rounds after the noise differ from those of learning.

    The noise is on the checkpoint, so all of this is post-processing: it reads retained data alone, and no certificate
    depends on it but through the rounds in which messages spread.

    Attributes:
        settle_first: the gossip rounds before the descent.
        clip: whether the descent clips whole clients where learning did.
        step_size: of the descent; None for that of learning.

    Raises:
        CertificateError: if a setting is impossible.
    """

    settle_first: int = 0
    clip: bool = True
    step_size: float | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot have been done."""
        if not isinstance(self.settle_first, int) or isinstance(self.settle_first, bool) or self.settle_first < 0:
            raise CertificateError(f"settle_first is a number of rounds, not {self.settle_first!r}")
        if not isinstance(self.clip, bool):
            raise CertificateError(f"whether the descent clips is true or false, not {self.clip!r}")
        if self.step_size is not None and not 0 < self.step_size < inf:
            raise CertificateError(f"the step size of a descent is a positive number, not {self.step_size!r}")

    @property
    def own_steps(self) -> bool:
        """Whether the descent takes other steps than learning did."""
        return not self.clip or self.step_size is not None

    def __bool__(self) -> bool:
        """Return whether anything differs."""
        return self != Healing()

    def to_record(self) -> dict[str, Any]:
        """Return the healing as plain JSON."""
        return asdict(self)

    @classmethod
    def from_record(cls, record: Mapping[str, Any] | None) -> "Healing":
        """Return the healing of a record; the inverse of `to_record`.

        Args:
            record: the plain JSON; None where nothing differs.
        """
        return cls() if record is None else cls(**record)

    def words(self) -> str:
        """Return what differs, in a few words for a table; empty if nothing does."""
        gossip = f"{self.settle_first} gossip rounds first" * (self.settle_first > 0)
        size = "" if self.step_size is None else f"descent by {self.step_size:g}"
        return ", ".join(part for part in (gossip, "no clip" * (not self.clip), size) if part)
