"""Composition: the guarantee of several releases for an observer who sees all of them.

Let k releases have independent Gaussian noise and be μ_1-GDP, …, μ_k-GDP. Together they are √(μ_1² + … + μ_k²)-GDP,
also where a later release depends on what was seen of the earlier ones: Dong, Roth and Su (2022), "Gaussian
differential privacy", Cor. 3.3. The values of ε are never added.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import hypot

from rewindnet.certificates.accounting.gaussian import epsilon_of
from rewindnet.certificates.certificate import Certificate
from rewindnet.certificates.errors import CertificateError
from rewindnet.certificates.view import View


@dataclass(frozen=True)
class Composition:
    """The guarantee of several releases for an observer who sees all of them.

    Attributes:
        epsilon: ε at `delta`; None where no finite value is proven.
        delta: the δ of all releases.
        mu: √Σμ_k² of the releases; None where no finite value is proven.
        view: the view that the observer has of every release.
        conditional: whether one of the certificates is conditional.
        data_dependent_noise: whether one of the certificates is per-instance, or its noise was computed from the data.
        reason: why there is no ε; None where there is one.
    """

    epsilon: float | None
    delta: float
    mu: float | None
    view: View
    conditional: bool
    data_dependent_noise: bool
    reason: str | None = None


def compose(mus: Iterable[float], delta: float) -> float:
    """Return the ε at δ of the composition of releases with independent Gaussian noise.

    Args:
        mus: μ ≥ 0 of every release.
        delta: δ.

    Returns:
        ε; infinite if one of the μ is.

    Raises:
        CertificateError: if a μ is negative or not a number, or δ is out of range.
    """
    mus = tuple(mus)
    for mu in mus:
        if not mu >= 0:
            raise CertificateError(f"the distance mu of a release is a non-negative number, not {mu}")
    return epsilon_of(hypot(*mus), delta)


def compose_certificates(certificates: Sequence[Certificate], view: View) -> Composition:
    """Return the guarantee of several certified releases, with independent noise, for one view of all of them.

    Each release is compared with its own retraining. The certificate of a release may be for a view that shows more
    than `view` (see `covers`).

    Args:
        certificates: one for each release, all for the same δ.
        view: the view that the observer has of every release.

    Raises:
        CertificateError: if there are no certificates, they are for different δ, or the view does not exist.
    """
    deltas = sorted({certificate.delta for certificate in certificates})
    if len(deltas) != 1:
        problem = f"they are for δ = {', '.join(f'{delta:g}' for delta in deltas)}" if deltas else "there are none"
        raise CertificateError(f"certificates of one δ can be taken together; {problem}")
    view.within(min(certificate.release.sigma.size for certificate in certificates))
    conditional = any(certificate.conditional for certificate in certificates)
    dependent = any(certificate.data_dependent_noise for certificate in certificates)
    mus, reason = [], None
    for number, certificate in enumerate(certificates):
        label = f"release {number} ({certificate.method}, view {certificate.view})"
        if certificate.mu is None:
            reason = reason or f"{label} has no number: {certificate.reason}"
        elif not covers(certificate, view):
            reason = reason or f"{label} says nothing about the view {view}"
        else:
            mus.append(certificate.mu)
    if reason is not None:
        return Composition(None, deltas[0], None, view, conditional, dependent, reason)
    return Composition(compose(mus, deltas[0]), deltas[0], hypot(*mus), view, conditional, dependent)


def covers(certificate: Certificate, view: View) -> bool:
    """Return whether the certificate's μ also holds for another view, because its own view shows at least as much.

    Args:
        certificate: the certificate of a release.
        view: the other view.
    """
    return certificate.release.mechanism.covers(certificate.release, certificate.view, view)
