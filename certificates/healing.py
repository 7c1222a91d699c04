"""Healing: what a release does after its noise, otherwise than learning did, to get rid of the noise."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from math import inf
from typing import Any

from rewindnet.certificates.errors import CertificateError

#: What records of healing have always had; other fields are left out where they say nothing.
_ALWAYS = ("settle_first", "clip", "step_size")


@dataclass(frozen=True)
class Healing:
    """How the rounds after the noise differ from those of learning.

    The noise is on the checkpoint, so all of this is post-processing: it reads retained data alone, and no certificate
    depends on it but through the rounds in which messages spread.

    Attributes:
        settle_first: the gossip rounds before the descent.
        clip: whether the descent clips whole clients where learning did.
        step_size: of the descent; None for that of learning.
        spectrum: ρ, a bound on the eigenvalues of the mixing matrix but the first, by which the gossip rounds before
            the descent are accelerated (`settle_weights`); None: they are not.
        radius: of the ball onto which clients project after these gossip rounds; None for none.
        momentum: β of the descent: each of its rounds adds β times what the round before it has changed.
        after: the rounds of descent that come before, as in learning, of a release from the initial model: of
            retraining, all but those that heal.

    Raises:
        CertificateError: if a setting is impossible.
    """

    settle_first: int = 0
    clip: bool = True
    step_size: float | None = None
    spectrum: float | None = None
    radius: float | None = None
    momentum: float = 0.0
    after: int = 0

    def __post_init__(self) -> None:
        """Refuse what cannot have been done."""
        for name in ("settle_first", "after"):
            given = getattr(self, name)
            if not isinstance(given, int) or isinstance(given, bool) or given < 0:
                raise CertificateError(f"{name} is a number of rounds, not {given!r}")
        if not isinstance(self.clip, bool):
            raise CertificateError(f"whether the descent clips is true or false, not {self.clip!r}")
        if self.step_size is not None and not 0 < self.step_size < inf:
            raise CertificateError(f"the step size of a descent is a positive number, not {self.step_size!r}")
        if self.spectrum is not None and not 0 <= self.spectrum < 1:
            raise CertificateError(f"gossip is accelerated by a bound in [0, 1), not {self.spectrum!r}")
        if self.radius is not None and not 0 < self.radius < inf:
            raise CertificateError(f"clients project onto a ball of a positive radius, not {self.radius!r}")
        if not 0 <= self.momentum < 1:
            raise CertificateError(f"the momentum of a descent lies in [0, 1), not {self.momentum!r}")
        if not self.settle_first and (self.spectrum, self.radius) != (None, None):
            raise CertificateError("there are no gossip rounds before the descent to accelerate or to project after")

    @property
    def own_steps(self) -> bool:
        """Whether the descent takes other steps than learning did."""
        return not self.clip or self.step_size is not None or self.momentum > 0

    def __bool__(self) -> bool:
        """Return whether anything differs."""
        return self != Healing()

    def to_record(self) -> dict[str, Any]:
        """Return the healing as plain JSON."""
        plain = {field.name: field.default for field in fields(self)}
        return {name: value for name, value in asdict(self).items() if name in _ALWAYS or value != plain[name]}

    @classmethod
    def from_record(cls, record: Mapping[str, Any] | None) -> "Healing":
        """Return the healing of a record; the inverse of `to_record`.

        Args:
            record: the plain JSON; None where nothing differs.
        """
        return cls() if record is None else cls(**record)

    def words(self) -> str:
        """Return what differs, in a few words for a table; empty if nothing does."""
        how = "" if self.spectrum is None else "accelerated "
        gossip = f"{self.settle_first} {how}gossip rounds first" * (self.settle_first > 0)
        ball = "" if self.radius is None else f"norm at most {self.radius:g} after them"
        size = "" if self.step_size is None else f"descent by {self.step_size:g}"
        momentum = f"momentum {self.momentum:g}" * (self.momentum > 0)
        return ", ".join(part for part in (gossip, ball, "no clip" * (not self.clip), size, momentum) if part)


def settle_weights(spectrum: float | None) -> Iterator[float]:
    """Yield the weight ω of each gossip round before a descent: x⁺ = ω·W·x + (1 − ω)·x⁻, with x⁻ the x of before.

    Without a spectrum they are 1. With ρ they are those of the Chebyshev semi-iteration: after k rounds a component
    of x with eigenvalue λ of a symmetric W has been multiplied by T_k(λ/ρ)/T_k(1/ρ), the polynomial of degree k that is
    1 at 1 and smallest on [−ρ, ρ]. So the average stays what it is, and disagreement falls as by some √ of the rounds.

    Golub and Varga (1961), "Chebyshev semi-iterative methods, successive overrelaxation iterative methods, and second
    order Richardson iterative methods", part I.

    Args:
        spectrum: ρ; None for plain gossip.
    """
    weight = 1.0
    yield weight
    weight = 1.0 if spectrum is None else 1 / (1 - spectrum**2 / 2)
    while True:
        yield weight
        weight = 1.0 if spectrum is None else 1 / (1 - spectrum**2 * weight / 4)
