"""Audits: a certificate that can be caught out by retraining."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from math import isfinite
from typing import Any

import numpy as np

from rewindnet.certificates.audits.montecarlo import MonteCarlo
from rewindnet.certificates.certificate import Certificate
from rewindnet.certificates.errors import CertificateError
from rewindnet.certificates.release import DivergenceBounds
from rewindnet.certificates.training import Mixing, Vector

#: How far, relatively, an ε that is solved for may be off.
_DIGITS = 1e-9


@dataclass(frozen=True)
class Audit:
    """What retraining with the same coins says of a certificate. `audit.json` is exactly these fields.

    Attributes:
        divergence: [N], ‖c_i − c'_i‖₂ where the noise is added: unlearned against retrained, before any noise.
        holds: whether no node diverged further than its sensitivity, no shift was larger than bounded, and neither the
            exact ε nor the lower bound from samples exceeds the certified one.
        worst_node: the node with the largest divergence relative to its sensitivity.
        epsilon_empirical: the true privacy loss of this very pair at δ for joint views, for the average, and for single
            nodes without settling; an upper bound on it where the view post-processes what was noised. None where it
            is infinite, and then `reason` says why.
        monte_carlo: the lower bound from samples of the noise; None where nothing was sampled.
        shifts: what the noise of each further event was added to, measured where it was added; the exact ε is then the
            privacy loss along the way that this run took.
    """

    divergence: tuple[float, ...]
    holds: bool
    worst_node: int
    epsilon_empirical: float | None
    reason: str | None = None
    monte_carlo: MonteCarlo | None = None
    shifts: tuple[float, ...] = ()

    def to_record(self) -> dict[str, Any]:
        """Plain JSON."""
        return asdict(self)

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> "Audit":
        """The inverse of `to_record`.

        Raises:
            CertificateError: if a field is missing or unknown.
        """
        if {field.name for field in fields(cls)} != set(record):
            raise CertificateError("the record of the audit is damaged: fields missing or unknown")
        sampled = record["monte_carlo"]
        return cls(
            **{
                **record,
                "divergence": tuple(record["divergence"]),
                "shifts": tuple(record["shifts"]),
                "monte_carlo": None if sampled is None else MonteCarlo.from_record(sampled),
            }
        )


def audit(
    certificate: Certificate,
    mixing: Mixing,
    divergence: Vector,
    monte_carlo: MonteCarlo | None = None,
    shifts: Vector | None = None,
) -> Audit:
    """Hold a certificate against the divergence [N] measured by retraining.

    Args:
        certificate: what is claimed.
        mixing: the network that it was claimed on.
        divergence: [N], measured where the noise is added, before the noise.
        monte_carlo: what samples of the noise say, if any were drawn.
        shifts: [events] of the mechanism, measured.

    Raises:
        CertificateError: if the divergence is not that of every node, or the shifts not those of every event.
    """
    sensitivity, bounds = np.array(certificate.sensitivity), np.array(certificate.shifts)
    shifts = np.zeros(0) if shifts is None else shifts
    if np.shape(divergence) != (len(certificate.release.sigma),):
        raise CertificateError(
            f"the divergence of {len(certificate.release.sigma)} nodes is needed, not of {np.shape(divergence)}"
        )
    if np.shape(shifts) != bounds.shape:
        raise CertificateError(f"the shifts of {len(bounds)} events are needed, not of {np.shape(shifts)}")
    release = certificate.release
    mechanism, measured = release.mechanism, DivergenceBounds(divergence, shifts=shifts)
    mu = mechanism.mu(certificate.view, measured, release, mixing)
    exact = mechanism.epsilon(certificate.view, measured, release, mixing, certificate.delta)
    exact = _to_the_digits(exact, mu, certificate)
    over = _relative(divergence, sensitivity) if sensitivity.size else divergence
    within = bool(np.all(divergence <= sensitivity)) if sensitivity.size else True
    shown = max(exact, 0.0 if monte_carlo is None else monte_carlo.epsilon_lower_bound)
    claimed = certificate.epsilon
    return Audit(
        divergence=tuple(divergence.tolist()),
        holds=within and bool(np.all(shifts <= bounds)) and (claimed is None or shown <= claimed),
        worst_node=int(np.argmax(over)),
        epsilon_empirical=exact if isfinite(exact) else None,
        reason=None
        if isfinite(exact)
        else "a node that differs from the retrained one carries no noise, or far too little",
        monte_carlo=monte_carlo,
        shifts=tuple(shifts.tolist()),
    )


def _to_the_digits(exact: float, mu: float, certificate: Certificate) -> float:
    """The exact ε, without the last digits that only the search for it has put above the certified one.

    ε is found as a root, from differences of nearly equal terms. Where what was measured lies within a millionth of a
    millionth of its bound, as the instance bound of a single disturbed round does, the smaller μ can come out with the
    larger ε. It cannot have it: ε increases with μ.
    """
    if certificate.epsilon is None or certificate.mu is None or not mu <= certificate.mu:
        return exact
    return min(exact, certificate.epsilon) if exact <= certificate.epsilon * (1 + _DIGITS) else exact


def _relative(measured: Vector, bound: Vector) -> Vector:
    """Measured as a share of the bound; infinite where nothing should be."""
    covered = np.where(bound > 0, bound, 1.0)
    return np.where(bound > 0, measured / covered, np.where(measured > 0, np.inf, 0.0))


def violation(certificate: Certificate, found: Audit) -> str:
    """The sentence for a certificate that an audit caught out: the node, both numbers and the assumptions."""
    node = found.worst_node
    measured, bound = found.divergence[node], certificate.sensitivity[node] if certificate.sensitivity else float("inf")
    relation = "its sensitivity is" if measured > bound else "within its sensitivity of"
    assumed = " ".join(certificate.assumptions)
    sampled = found.monte_carlo
    sample = "" if sampled is None else f", by samples of the noise at least {sampled.epsilon_lower_bound:.6g}"
    shifted = [at for at, (one, most) in enumerate(zip(found.shifts, certificate.shifts, strict=True)) if one > most]
    shift = "".join(
        f"what noise {at} was added to had shifted by {found.shifts[at]:.6g}, at most {certificate.shifts[at]:.6g}; "
        for at in shifted[:1]
    )
    return (
        f"the certificate of {certificate.method} is violated: node {node} diverged by {measured:.6g}, "
        f"{relation} {bound:.6g}; {shift}"
        f"exact epsilon {found.epsilon_empirical}{sample}, certified {certificate.epsilon}. It assumed: {assumed}"
    )
