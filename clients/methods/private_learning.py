"""The base class of methods that learn privately from the start, so that a deletion needs no further work."""

from collections.abc import Callable, Sequence
from typing import ClassVar

import numpy as np

from rewindnet.certificates import CertificateError, Claim, Mechanism, Release, TrainingRun, certify, mu_of
from rewindnet.certificates.release import NoiseSource
from rewindnet.clients.methods.base import Method
from rewindnet.clients.methods.settings import check_noise_settings, requested_epsilon

#: The noise changes what rounding is charged, which changes the noise; a few steps converge.
_STEPS = 12


class PrivateLearning(Method):
    """A method that releases the result of its own private learning on all data.

    Attributes:
        name: the name of the method.
        epsilon: the ε to reach; None where σ is given.
        sigma: the noise; None where ε is given.
        delta: δ.
        view: the view of the observer.
        noise_source: the source of noise, `seed` or `os`.
    """

    name: ClassVar[str]
    epsilon: float | None
    sigma: float | None
    delta: float
    view: str
    noise_source: NoiseSource

    def checkpoints(self, rounds: int) -> Sequence[int]:
        """Return the start."""
        return (0,)

    def requested_depth(self, rounds: int) -> tuple[int, int]:
        """Return the start, and no rounds of descent."""
        return 0, 0

    def _check_noise(self) -> None:
        """Refuse settings of the noise without a meaning, and fill in ε where neither is given."""
        check_noise_settings(self.name, self.epsilon, self.sigma, self.delta, self.view)
        object.__setattr__(self, "epsilon", requested_epsilon(self.name, self.epsilon, self.sigma))

    def _release_with(self, learning: TrainingRun, sigma: float, mechanism: Mechanism) -> Release:
        """Return the release of a learning with this noise at every node."""
        return Release(
            method=self.name,
            checkpoint_round=0,
            descent_rounds=0,
            placement="rewind",
            sigma=np.full(learning.mixing.nodes, sigma),
            noise_source=self.noise_source,
            mechanism=mechanism,
        )

    def _certified_noise(
        self,
        learning: TrainingRun,
        claim: Claim,
        release_of: Callable[[float], Release],
        local_shift: float,
        remedy: str,
    ) -> float:
        """Find the noise σ at which the certificate reads ε.

        Args:
            learning: how the network learned up to the request.
            claim: the claim of the certificate.
            release_of: returns the release with a given σ.
            local_shift: the root of the sum of all squared shifts, from which the search begins.
            remedy: what to do where no noise suffices, because more of it is charged more rounding.

        Raises:
            CertificateError: if no noise reaches ε.
        """
        assert self.epsilon is not None
        wanted = mu_of(self.epsilon, self.delta)
        sigma = local_shift / wanted
        reason: str | None = remedy
        for _ in range(_STEPS):
            certificate = certify(learning, release_of(sigma), claim)
            if certificate.mu is None:
                reason = certificate.reason
                break
            if certificate.mu <= wanted <= certificate.mu * (1 + 1e-9) or certificate.mu == 0:
                return sigma
            sigma *= certificate.mu / wanted * (1 + 1e-12)
        raise CertificateError(f"no noise reaches epsilon {self.epsilon:g} for the view {self.view}: {reason}")
