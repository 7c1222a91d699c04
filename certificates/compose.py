"""Several releases together: what a reader of all of them can tell.

Releases with independent Gaussian noise, μ_1, …, μ_k apart, are together as two Gaussians √(μ_1² + … + μ_k²) apart,
even where what is released later depends on what was seen before: Dong, Roth and Su (2022), "Gaussian differential
privacy", Cor. 3.3. No ε is ever added up.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import hypot

from rewindnet.certificates.accounting.gaussian import epsilon_of
from rewindnet.certificates.certificate import Certificate
from rewindnet.certificates.errors import CertificateError
from rewindnet.certificates.view import View


@dataclass(frozen=True)
class Together:
    """What may be claimed of several releases to a reader of all of them.

    `epsilon` and `mu` are None where nothing can be claimed, and then `reason` says why. `conditional` if one of the
    certificates is.
    """

    epsilon: float | None
    delta: float
    mu: float | None
    view: View
    conditional: bool
    reason: str | None = None


def compose(mus: Iterable[float], delta: float) -> float:
    """The ε at δ of releases with independent Gaussian noise, so far apart each; infinite if one of them is.

    Raises:
        CertificateError: if a distance is negative or no number, or δ is out of range.
    """
    mus = tuple(mus)
    for mu in mus:
        if not mu >= 0:
            raise CertificateError(f"the distance mu of a release is a non-negative number, not {mu}")
    return epsilon_of(hypot(*mus), delta)


def together(certificates: Sequence[Certificate], view: View) -> Together:
    """What may be claimed of these releases, each with noise of its own, to a reader who has this view of all of them.

    Each release is compared with its own retraining, and a certificate may be for a view that shows more
    (`covers`).

    Raises:
        CertificateError: if there are no certificates, they are for different δ, or the view does not exist.
    """
    deltas = sorted({certificate.delta for certificate in certificates})
    if len(deltas) != 1:
        found = f"they are for δ = {', '.join(f'{delta:g}' for delta in deltas)}" if deltas else "there are none"
        raise CertificateError(f"certificates of one δ can be taken together; {found}")
    view.within(min(certificate.release.sigma.size for certificate in certificates))
    conditional, mus, reason = any(certificate.conditional for certificate in certificates), [], None
    for number, certificate in enumerate(certificates):
        who = f"release {number} ({certificate.method}, view {certificate.view})"
        if certificate.mu is None:
            reason = reason or f"{who} has no number: {certificate.reason}"
        elif not covers(certificate, view):
            reason = reason or f"{who} says nothing about the view {view}"
        else:
            mus.append(certificate.mu)
    if reason is not None:
        return Together(None, deltas[0], None, view, conditional, reason)
    return Together(compose(mus, deltas[0]), deltas[0], hypot(*mus), view, conditional)


def covers(certificate: Certificate, view: View) -> bool:
    """Return whether the certificate's μ holds for this view as well, because its own view shows at least as much."""
    return certificate.release.mechanism.covers(certificate.release, certificate.view, view)
