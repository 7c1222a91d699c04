"""One constant of an objective, with its provenance."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from typing import Any, Literal

Provenance = Literal["proven", "enforced", "estimated", "declared", "unknown"]


@dataclass(frozen=True)
class Constant:
    """A constant of the objective and its provenance.

    Attributes:
        value: the number; infinite where it is not known.
        provenance: `proven` from the model and the features, `enforced` by clipping, `estimated` from data, `declared`
            by the user, or `unknown`. Only the first two make a certificate unconditional.
    """

    value: float
    provenance: Provenance

    @property
    def conditional(self) -> bool:
        """Whether a certificate that uses this constant is conditional on its being right."""
        return self.provenance in ("estimated", "declared")


def constant_of(name: str, record: Mapping[str, Any]) -> Constant:
    """Return the constant of a record; one that is not known has an infinite value, which bounds nothing.

    Args:
        name: the name of the constant.
        record: its value, None where it is not known, and its provenance.
    """
    if record["provenance"] == "unknown" and record["value"] is None:
        return Constant(-inf if name == "strong_convexity" else inf, "unknown")
    return Constant(float(record["value"]), record["provenance"])
