"""Claims: the guarantee that a certificate is computed for."""

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
    """The guarantee that a certificate is computed for: a view, a δ, a bound and an allocation of the noise.

    Attributes:
        view: what the observer sees. It may be given in its written form, such as `node:3`.
        delta: δ, in (0, 1).
        bound: how the sensitivity is bounded: `worst-case` from the constants of the objective, `instance` from
            measurements during learning, `published` by the formula of the R2D paper.
        allocation: how the noise is divided among the nodes: the same σ at every node (`uniform`), or the least total
            Σσ_i² (`optimal`).
        regime: the curvature that the objective is assumed to have; None for the strongest that the constants prove.
        claimed_epsilon: the ε that the method's own paper would state for this release; None if it states none.
        claimed_by: the name of the formula behind `claimed_epsilon`.

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
        """Parse the view, and refuse unknown choices."""
        for name, value, allowed in (
            ("bound", self.bound, get_args(Bound)),
            ("allocation", self.allocation, get_args(Allocation)),
        ):
            if value not in allowed:
                raise CertificateError(f"unknown {name} {value!r}; it is one of: {', '.join(allowed)}")
        object.__setattr__(self, "view", View.of(self.view))
        check_delta(self.delta)
