"""Measurements during learning, and the arithmetic in which it was computed."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from rewindnet.certificates.errors import CertificateError
from rewindnet.certificates.network import Vector


@dataclass(frozen=True)
class Ledger:
    """What was measured in every round of learning, for instance bounds.

    Attributes:
        nodes: the U deleting nodes.
        disturbance: [T, E, U], η‖∇f_u(θ) − ∇f'_u(θ)‖ at the points where learning computed its gradients.
        affected_nodes: the V nodes whose mixing weights have changed because a client has left.
        mixing_drift: [T, V], ‖Σ_j (W_t − W'_t)_ij·x_j‖ for the messages x that these nodes received.

    Raises:
        CertificateError: if a node is listed twice, or a measurement is negative or not finite.
    """

    nodes: tuple[int, ...]
    disturbance: Vector
    affected_nodes: tuple[int, ...] = ()
    mixing_drift: Vector | None = None

    def __post_init__(self) -> None:
        """Refuse a ledger with repeated nodes or invalid measurements."""
        if len(set(self.nodes)) < len(self.nodes) or len(set(self.affected_nodes)) < len(self.affected_nodes):
            raise CertificateError("the ledger names a node twice")
        for measured in (self.disturbance, self.mixing_drift):
            if measured is not None and (not np.all(np.isfinite(measured)) or np.any(measured < 0)):
                raise CertificateError("the ledger holds a disturbance that is not a non-negative number")

    def to_record(self) -> dict[str, Any]:
        """Return the ledger as plain JSON."""
        return {
            "nodes": list(self.nodes),
            "disturbance": self.disturbance.tolist(),
            "affected_nodes": list(self.affected_nodes),
            "mixing_drift": None if self.mixing_drift is None else self.mixing_drift.tolist(),
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> "Ledger":
        """Return the ledger of a record; the inverse of `to_record`.

        Args:
            record: the plain JSON of a ledger.

        Raises:
            KeyError: if a field is missing.
            CertificateError: as the class.
        """
        drift = record["mixing_drift"]
        return cls(
            nodes=tuple(record["nodes"]),
            disturbance=np.array(record["disturbance"], dtype=np.float64),
            affected_nodes=tuple(record["affected_nodes"]),
            mixing_drift=None if drift is None else np.array(drift, dtype=np.float64),
        )


@dataclass(frozen=True)
class Arithmetic:
    """The floating-point arithmetic of learning, as far as the charge for rounding depends on it.

    Attributes:
        unit_roundoff: u, 2⁻⁵³ for float64 and 2⁻²⁴ for float32.
        inputs: q, the number of terms in a score.
        outputs: C, the number of scores of a sample.
        parameters: d, the number of parameters of a model.
        initial_norm: ‖θ⁰‖.

    Raises:
        CertificateError: if a number is out of range.
    """

    unit_roundoff: float
    inputs: int
    outputs: int
    parameters: int
    initial_norm: float

    def __post_init__(self) -> None:
        """Refuse numbers that no arithmetic can have."""
        possible = 0 < self.unit_roundoff < 1 and min(self.inputs, self.outputs, self.parameters) >= 1
        if not (possible and 0 <= self.initial_norm < float("inf")):
            raise CertificateError(f"the description of the arithmetic has a number out of range: {self}")


class EarlierRelease(NamedTuple):
    """A release for an earlier request, from which learning went on.

    `round`: the round of learning after which it went on. `noise_round`: the rounds before the noise was added, on the
    way that learning then took. `sigma`: the largest standard deviation of a node's noise.
    """

    round: int
    noise_round: int
    sigma: float
