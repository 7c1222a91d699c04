"""Checks of settings that several methods have."""

from math import inf

from rewindnet.certificates import View, check_delta, check_epsilon
from rewindnet.clients.methods.base import MethodError


def check_noise_settings(method: str, epsilon: float | None, sigma: float | None, delta: float, view: str) -> None:
    """Check the settings of the noise, for methods that take ε or σ.

    Raises:
        MethodError: as `requested_epsilon`.
        CertificateError: if ε or δ is out of range, or there is no such view.
    """
    check_delta(delta)
    View.of(view)
    requested_epsilon(method, epsilon, sigma)


def requested_epsilon(method: str, epsilon: float | None, sigma: float | None) -> float | None:
    """Return the ε to calibrate to, for methods that take ε or σ: 1 where neither is given, None where σ is.

    Raises:
        MethodError: if both are given, or σ is no size of noise.
        CertificateError: if ε is out of range.
    """
    if epsilon is not None and sigma is not None:
        raise MethodError(f"{method} takes epsilon or sigma, and the other follows; both are given")
    if sigma is not None and not 0 <= sigma < inf:
        raise MethodError(f"sigma must be a non-negative number, not {sigma}")
    return None if sigma is not None else check_epsilon(1.0 if epsilon is None else epsilon)
