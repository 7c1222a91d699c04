"""Audits of a certificate by retraining: measured divergences are compared with the certified bounds."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from math import inf, isfinite
from typing import Any

import numpy as np

from rewindnet.certificates.audits.montecarlo import MonteCarlo
from rewindnet.certificates.audits.noise.record import NOT_MEASURED, NoiseAudit
from rewindnet.certificates.certificate import Certificate
from rewindnet.certificates.divergence import DivergenceBounds
from rewindnet.certificates.errors import CertificateError
from rewindnet.certificates.network import Mixing, Vector
from rewindnet.certificates.view import node_title

#: The relative accuracy of an ε that is found as a root.
_DIGITS = 1e-9

_BARE = "the view shows models or messages that carry no noise and differ from those of retraining"
_TOO_LITTLE = "a node whose model differs from the retrained one carries no noise, or far too little"


@dataclass(frozen=True)
class Audit:
    """The result of comparing a certificate with retraining from the same random draws; the fields of `audit.json`.

    Attributes:
        divergence: [N], ‖c_i − c'_i‖₂ of the unlearned and the retrained models where the noise is added, before the
            noise.
        holds: whether every divergence is at most the node's sensitivity, every shift is at most its bound, neither the
            empirical ε nor the Monte-Carlo lower bound exceeds the certified ε, and the audit of the noise that was
            used is not violated.
        worst_node: the node with the largest divergence relative to its sensitivity.
        epsilon_empirical: the exact ε at δ of this pair of runs for joint views, for the average, and for single nodes
            without gossip rounds after the noise; an upper bound on it where the view post-processes the noised values.
            None where it is infinite, and then `reason` says why.
        reason: why there is no empirical ε; None where there is one.
        monte_carlo: the lower bound from samples of the noise; None where nothing was sampled.
        shifts: [events], the measured divergence of the values to which the mechanism added noise at its further
            events. The empirical ε is then conditional on the path that this run took.
        noise_audit: whether the noise that was added is what the certificate says.
    """

    divergence: tuple[float, ...]
    holds: bool
    worst_node: int
    epsilon_empirical: float | None
    reason: str | None = None
    monte_carlo: MonteCarlo | None = None
    shifts: tuple[float, ...] = ()
    noise_audit: NoiseAudit = NOT_MEASURED

    def to_record(self) -> dict[str, Any]:
        """Return the audit as plain JSON."""
        return asdict(self)

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> "Audit":
        """Return the audit of a record; the inverse of `to_record`.

        Args:
            record: the plain JSON of an audit.

        Raises:
            CertificateError: if a field is missing or unknown.
        """
        # Runs that were recorded before the noise was audited have no such field.
        if {field.name for field in fields(cls)} != {"noise_audit", *record}:
            raise CertificateError("the record of the audit is damaged: fields missing or unknown")
        sampled, noise = record["monte_carlo"], record.get("noise_audit")
        return cls(
            **{
                **record,
                "divergence": tuple(record["divergence"]),
                "shifts": tuple(record["shifts"]),
                "monte_carlo": None if sampled is None else MonteCarlo.from_record(sampled),
                "noise_audit": NOT_MEASURED if noise is None else NoiseAudit.from_record(noise),
            }
        )


def audit(
    certificate: Certificate,
    mixing: Mixing,
    divergence: Vector,
    monte_carlo: MonteCarlo | None = None,
    shifts: Vector | None = None,
    noise_audit: NoiseAudit = NOT_MEASURED,
) -> Audit:
    """Compare a certificate with the divergence measured by retraining.

    Args:
        certificate: the certificate.
        mixing: the mixing matrices of the network that it holds for.
        divergence: [N], measured where the noise is added, before the noise.
        monte_carlo: the result of sampling the noise, if it was sampled.
        shifts: [events], the measured divergences at the mechanism's further events; None if it has none.
        noise_audit: what was found of the noise that was added, if it was measured.

    Returns:
        The audit; its `holds` is false where the certificate is violated.

    Raises:
        CertificateError: if `divergence` does not have one entry for each node, or `shifts` one for each event.
    """
    sensitivity, bounds = np.array(certificate.sensitivity), np.array(certificate.shifts)
    shifts = np.zeros(0) if shifts is None else shifts
    if np.shape(divergence) != (len(certificate.release.sigma),):
        raise CertificateError(
            f"the divergence of {len(certificate.release.sigma)} nodes is needed, not of {np.shape(divergence)}"
        )
    release = certificate.release
    # Of a release that nothing is proven of, shifts are measured and have no bounds.
    events = len(bounds) if bounds.size or certificate.epsilon is not None else len(release.mechanism.events)
    if np.shape(shifts) != (events,):
        raise CertificateError(f"the shifts of {events} events are needed, not of {np.shape(shifts)}")
    mechanism, measured = release.mechanism, DivergenceBounds(divergence, shifts=shifts)
    mu = mechanism.mu(certificate.view, measured, release, mixing)
    # A view that shows what differs without noise tells the two runs apart, whatever the noise on the rest of it.
    bare = bool(np.any(divergence > 0)) and mechanism.shows_without_noise(certificate.view, release, measured)
    exact = inf if bare else mechanism.epsilon(certificate.view, measured, release, mixing, certificate.delta)
    exact = _without_rounding_excess(exact, mu, certificate)
    ratio = _relative_to_bound(divergence, sensitivity) if sensitivity.size else divergence
    within_sensitivity = bool(np.all(divergence <= sensitivity)) if sensitivity.size else True
    largest = max(exact, 0.0 if monte_carlo is None else monte_carlo.epsilon_lower_bound)
    claimed = certificate.epsilon
    within_shifts = bool(np.all(shifts <= bounds)) if bounds.size else True
    within_bounds = within_sensitivity and within_shifts and (claimed is None or largest <= claimed)
    return Audit(
        divergence=tuple(divergence.tolist()),
        holds=within_bounds and noise_audit.status != "violated",
        worst_node=int(np.argmax(ratio)),
        epsilon_empirical=exact if isfinite(exact) else None,
        reason=None if isfinite(exact) else _BARE if bare else _TOO_LITTLE,
        monte_carlo=monte_carlo,
        shifts=tuple(shifts.tolist()),
        noise_audit=noise_audit,
    )


def _without_rounding_excess(exact: float, mu: float, certificate: Certificate) -> float:
    """Return the empirical ε without a numerical excess over the certified ε.

    ε is found as a root of a difference of nearly equal terms. Where the measured divergence is within about 1e-12 of
    its bound, as for the instance bound of a single disturbed round, the smaller μ can come out with the larger ε by
    rounding. Mathematically it cannot, because ε increases with μ.
    """
    if certificate.epsilon is None or certificate.mu is None or not mu <= certificate.mu:
        return exact
    return min(exact, certificate.epsilon) if exact <= certificate.epsilon * (1 + _DIGITS) else exact


def _relative_to_bound(measured: Vector, bound: Vector) -> Vector:
    """Return the measured divergence relative to its bound; infinite where the bound is 0 and the divergence is not."""
    covered = np.where(bound > 0, bound, 1.0)
    return np.where(bound > 0, measured / covered, np.where(measured > 0, np.inf, 0.0))


def violation(certificate: Certificate, result: Audit, names: Sequence[str] | None = None) -> str:
    """Return the sentence that reports a violated certificate: the node, the numbers and the assumptions.

    Args:
        certificate: the certificate.
        result: the audit that it failed.
        names: the names of the nodes, in order; None if they have none.
    """
    node = result.worst_node
    measured = result.divergence[node]
    bound = certificate.sensitivity[node] if certificate.sensitivity else float("inf")
    relation = "its sensitivity is" if measured > bound else "within its sensitivity of"
    assumed = " ".join(certificate.assumptions)
    sampled = result.monte_carlo
    sample = "" if sampled is None else f", by samples of the noise at least {sampled.epsilon_lower_bound:.6g}"
    noise = f"{result.noise_audit.sentence}; " if result.noise_audit.status == "violated" else ""
    shift = _shift_violation(certificate, result)
    return (
        f"the certificate of {certificate.method} is violated: {noise}{node_title(node, names)} diverged by "
        f"{measured:.6g}, {relation} {bound:.6g}; {shift}"
        f"exact epsilon {result.epsilon_empirical}{sample}, certified {certificate.epsilon}. It assumed: {assumed}"
    )


def _shift_violation(certificate: Certificate, result: Audit) -> str:
    """Return the part of the sentence about the first shift that exceeds its bound; nothing where there is none."""
    for event, (measured, bound) in enumerate(zip(result.shifts, certificate.shifts, strict=bool(certificate.shifts))):
        if measured > bound:
            return f"the value to which noise {event} was added diverged by {measured:.6g}, its bound is {bound:.6g}; "
    return ""
