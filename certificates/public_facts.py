"""What of a network's learning rests on public rows, or on weights from elsewhere, and not on any client's data."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class PublicFacts:
    """The rows that are declared public, and what the features were made from.

    Attributes:
        rows: the number of public rows; 0 if none are declared.
        labelled: whether they have labels of the task.
        origin: what they are, as the part of a sentence.
        features: what the map of the features was made from, in a sentence; empty if from the seed and its settings.
        weights_sha256: the sha256 of the weights in that map; empty if it has none.
    """

    rows: int = 0
    labelled: bool = False
    origin: str = ""
    features: str = ""
    weights_sha256: str = ""

    def to_record(self) -> dict[str, Any]:
        """Return the facts as plain JSON."""
        return asdict(self)

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> "PublicFacts":
        """Return the facts of a record; the inverse of `to_record`."""
        texts = {name: str(record[name]) for name in ("origin", "features", "weights_sha256")}
        return cls(int(record["rows"]), bool(record["labelled"]), **texts)

    @property
    def premises(self) -> tuple[str, ...]:
        """The sentences that a certificate has about them."""
        found = []
        if self.rows:
            found.append(
                f"{self.rows:,} rows are declared public: {self.origin}. What every client learns may rest on them, "
                "and no request can delete any."
            )
        if self.features:
            found.append(f"{self.features} Its weights have the sha256 {self.weights_sha256}.")
        return tuple(found)
