"""What a certificate is made from, and what it is: frozen records, plain data in and out.

A `Learning` says how a network learned and what was deleted; a `Release` says what an unlearning method did; a
`Claim` says what is asked of it. Nothing here has seen a model or a sample.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from rewindnet.certificates.accounting.gaussian import check_delta
from rewindnet.certificates.constants import Constants, Regime
from rewindnet.certificates.errors import CertificateError
from rewindnet.certificates.release import NoiseSource, Placement, Release
from rewindnet.certificates.training import Order
from rewindnet.certificates.view import parse_view

if TYPE_CHECKING:
    pass

Bound = Literal["published", "worst-case", "instance"]
Allocation = Literal["uniform", "optimal"]


@dataclass(frozen=True)
class Claim:
    """What is asked of a certificate: for whom (`view`), at which δ, by which bound, under which regime.

    `claimed_epsilon` is what the method's own paper would print, by the formula that `claimed_by` names.
    """

    view: str
    delta: float
    bound: Bound = "worst-case"
    allocation: Allocation = "uniform"
    regime: Regime | None = None
    claimed_epsilon: float | None = None
    claimed_by: str | None = None

    def __post_init__(self) -> None:
        """Refuse an unknown bound, allocation or view, and a δ without a meaning."""
        for what, value, allowed in (
            ("bound", self.bound, get_args(Bound)),
            ("allocation", self.allocation, get_args(Allocation)),
        ):
            if value not in allowed:
                raise CertificateError(f"unknown {what} {value!r}; it is one of: {', '.join(allowed)}")
        parse_view(self.view)
        check_delta(self.delta)


@dataclass(frozen=True)
class Certificate:
    """What may be claimed. `certificate.json` is exactly these fields.

    `epsilon` is None where nothing can be claimed, and then `reason` says why. `sensitivity` is [N], at the place
    where the noise is added (empty where nothing is known of it); `rounding` is the part of it charged for finite
    precision. `shifts` bounds what the noise of each further event of the `mechanism` is added to.
    """

    method: str
    epsilon: float | None
    delta: float
    claimed_epsilon: float | None
    claimed_by: str | None
    view: str
    placement: Placement
    bound: Bound
    allocation: Allocation
    regime: Regime
    sensitivity: tuple[float, ...]
    rounding: tuple[float, ...]
    shifts: tuple[float, ...]
    sigma: tuple[float, ...]
    mechanism: Mapping[str, Any]
    mu: float | None
    constants: Constants
    rounds: int
    rewound: int
    checkpoint_round: int
    descent_rounds: int
    gossip_rounds: int
    averaged: bool
    step_size: float
    local_steps: int
    order: Order
    noise_source: NoiseSource
    mixing_sha256: str
    forget_sha256: str
    conditional: bool
    assumptions: tuple[str, ...]
    reason: str | None = None

    @property
    def release(self) -> Release:
        """What was done, as the certificate has it."""
        # Mechanisms are made of these records.
        from rewindnet.certificates.mechanisms import from_record

        return Release(
            method=self.method,
            checkpoint_round=self.checkpoint_round,
            descent_rounds=self.descent_rounds,
            placement=self.placement,
            sigma=np.array(self.sigma),
            gossip_rounds=self.gossip_rounds,
            averaged=self.averaged,
            noise_source=self.noise_source,
            mechanism=from_record(self.mechanism),
        )

    @property
    def claim(self) -> Claim:
        """What was asked of it."""
        return Claim(
            self.view, self.delta, self.bound, self.allocation, self.regime, self.claimed_epsilon, self.claimed_by
        )

    def to_record(self) -> dict[str, Any]:
        """Plain JSON."""
        return asdict(self)

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> "Certificate":
        """The inverse of `to_record`.

        Raises:
            CertificateError: if a field is missing or a field is there that no certificate has.
        """
        names = {field.name for field in fields(cls)}
        if names != set(record):
            odd = ", ".join(sorted(names ^ set(record)))
            raise CertificateError(f"the record of the certificate is damaged; fields missing or unknown: {odd}")
        plain: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in record.items()
        }
        plain["constants"] = Constants.from_record(record["constants"])
        return cls(**plain)
