"""What is asked of a certificate."""

from dataclasses import dataclass
from typing import Literal, get_args

from rewindnet.certificates.accounting.gaussian import check_delta
from rewindnet.certificates.constants import Regime
from rewindnet.certificates.errors import CertificateError
from rewindnet.certificates.view import View

Bound = Literal["published", "worst-case", "instance"]
Allocation = Literal["uniform", "optimal"]


@dataclass(frozen=True)
class Claim:
    """What is asked of a certificate.

    Attributes:
        view: for whom it holds. It may be given as it is written, like `node:3`.
        delta: δ.
        bound: by which sensitivity: `worst-case` from the constants, `instance` from measurements, `published` by the
            formula of the paper on R2D.
        allocation: how the noise is divided among the nodes: the same everywhere (`uniform`), or the least in all
            (`optimal`).
        regime: the curvature to assume; None for the strongest that the constants prove.
        claimed_epsilon: the ε that the method's own paper would print for this release; None if it prints none.
        claimed_by: the name of the formula by which it is claimed.

    Raises:
        CertificateError: if the bound, the allocation or the view is unknown, or δ does not lie in (0, 1).
    """

    view: View
    delta: float
    bound: Bound = "worst-case"
    allocation: Allocation = "uniform"
    regime: Regime | None = None
    claimed_epsilon: float | None = None
    claimed_by: str | None = None

    def __post_init__(self) -> None:
        """Read the view, and refuse what is unknown."""
        for what, value, allowed in (
            ("bound", self.bound, get_args(Bound)),
            ("allocation", self.allocation, get_args(Allocation)),
        ):
            if value not in allowed:
                raise CertificateError(f"unknown {what} {value!r}; it is one of: {', '.join(allowed)}")
        object.__setattr__(self, "view", View.of(self.view))
        check_delta(self.delta)
