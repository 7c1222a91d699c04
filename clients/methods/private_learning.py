"""The base class of methods that learn privately from the start, so that a deletion needs no further work."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from math import isfinite
from typing import ClassVar

import numpy as np

from rewindnet.certificates import CertificateError, Claim, Mechanism, Release, TrainingRun, certify, mu_of
from rewindnet.certificates.accounting.sampler import NoiseSource
from rewindnet.certificates.mechanisms.private_learning import Design
from rewindnet.clients.methods.base import Method, MethodError
from rewindnet.clients.methods.settings import check_noise_settings, requested_epsilon

#: The noise changes what rounding is charged, which changes the noise; a few steps converge.
_STEPS = 20


class PrivateLearning(Method):
    """A method that releases the result of its own private learning on all data.

    Attributes:
        name: the name of the method.
        epsilon: the ε to reach; None where σ is given.
        sigma: the noise; None where ε is given.
        delta: δ.
        view: the view of the observer.
        noise_source: the source of noise, `seed` or `os`.
        designed_client: the client whose request the noise is designed for; None for any.
        designed_samples: the largest number of its samples that the noise is designed for; None for any number.
    """

    name: ClassVar[str]
    epsilon: float | None
    sigma: float | None
    delta: float
    view: str
    noise_source: NoiseSource
    designed_client: int | None
    designed_samples: int | None

    def checkpoints(self, rounds: int) -> Sequence[int]:
        """Return the start."""
        return (0,)

    def requested_depth(self, rounds: int) -> tuple[int, int]:
        """Return the start, and no rounds of descent."""
        return 0, 0

    def _check_noise(self) -> None:
        """Refuse settings of the noise without a meaning, and fill in ε where neither is given."""
        if self.designed_samples is not None and self.designed_samples < 1:
            raise MethodError(f"designed_samples of {self.name} is at least 1, not {self.designed_samples}")
        if self.designed_client is not None and self.designed_client < 0:
            raise MethodError(f"designed_client of {self.name} is a client, not {self.designed_client}")
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

    @property
    def design(self) -> Design | None:
        """The request that the noise is designed for; None where σ is given."""
        return None if self.epsilon is None else (self.designed_client, self.designed_samples)

    def designed_requests(self, learning: TrainingRun) -> list[TrainingRun]:
        """Return the run with each request that the noise is designed for; with a departed client, the actual request.

        Args:
            learning: how the network learns; its own deletion is not used, except for departures.

        Raises:
            MethodError: if there is no such client, or it holds no sample.
        """
        if learning.departed:
            return [learning]
        N, counts = learning.mixing.nodes, learning.samples
        chosen = np.flatnonzero(counts) if self.designed_client is None else np.array([self.designed_client])
        if self.designed_client is not None and not (self.designed_client < N and counts[self.designed_client]):
            raise MethodError(
                f"designed_client of {self.name} is a client that holds samples, not {self.designed_client}"
            )
        requests = []
        for client in chosen.tolist():
            n = int(counts[client])
            most = min(n, self.designed_samples or n)
            # The bound on the change of a mean gradient is larger for all samples but one than for all.
            for number in {most, max(n - 1, 1)} if most == n else {most}:
                deleted = np.zeros(N, dtype=np.int64)
                deleted[client] = number
                requests.append(replace(learning, deleted=deleted, ledger=None, batches=None, earlier_deletions=()))
        return requests

    def designed_noise(
        self,
        learning: TrainingRun,
        claim: Claim,
        release_of: Callable[[TrainingRun, float], Release],
        local_shift: Callable[[TrainingRun], float],
        remedy: str,
    ) -> float:
        """Return the least noise σ at which every request of the design has a certified ε of at most `epsilon`.

        Args:
            learning: how the network learns.
            claim: what is claimed.
            release_of: the release of a run with a noise of that size.
            local_shift: the root of the sum of all squared shifts of a run, from which the search begins.
            remedy: what to do where no noise suffices, because more of it is charged more rounding.

        Raises:
            CertificateError: if no noise reaches ε.
        """
        assert self.epsilon is not None
        wanted, sigma = mu_of(self.epsilon, self.delta), 0.0
        for run in sorted(self.designed_requests(learning), key=local_shift, reverse=True):
            if sigma > 0:
                mu = certify(run, release_of(run, sigma), claim).mu
                if mu is not None and mu <= wanted:
                    continue
            needed = self._certified_noise(run, claim, partial(release_of, run), local_shift(run), remedy)
            sigma = max(sigma, needed)
        return sigma

    def _certified_noise(
        self,
        learning: TrainingRun,
        claim: Claim,
        release_of: Callable[[float], Release],
        local_shift: float,
        remedy: str,
    ) -> float:
        """Return the noise σ at which the certificate of one request has the wanted ε.

        Args:
            learning: how the network learns, with the request.
            claim: what is claimed.
            release_of: the release with a noise of that size.
            local_shift: the root of the sum of all squared shifts, from which the search begins.
            remedy: what to do where no noise suffices, because more of it is charged more rounding.

        Raises:
            CertificateError: if no noise reaches ε.
        """
        assert self.epsilon is not None
        wanted = mu_of(self.epsilon, self.delta)
        sigma = local_shift / wanted
        least = self._least_sigma(learning, release_of(sigma)) if sigma > 0 else 0.0
        sigma = max(sigma, least)
        reason: str | None = remedy
        nudge = 1e-15
        for _ in range(_STEPS):
            certificate = certify(learning, release_of(sigma), claim)
            if certificate.mu is None:
                reason = certificate.reason
                break
            assert certificate.epsilon is not None
            # At μ = μ(ε, δ) the ε of the certificate, which is rounded up, may exceed the one that was asked for.
            near = sigma == least or wanted <= certificate.mu * (1 + 1e-9) or certificate.mu == 0
            if certificate.mu <= wanted and near:
                if certificate.epsilon <= self.epsilon:
                    return sigma
                sigma, nudge = sigma * (1 + nudge), 4 * nudge
                continue
            sigma = max(sigma * (certificate.mu / wanted * (1 + 1e-12)), least)
        raise CertificateError(f"no noise reaches epsilon {self.epsilon:g} for the view {self.view}: {reason}")

    def _least_sigma(self, learning: TrainingRun, release: Release) -> float:
        """Return the smallest σ that the arithmetic resolves; 0 where it resolves none, which the certificate says."""
        least = release.mechanism.least_sigma(learning, release)
        return least if isfinite(least) else 0.0
