"""Private learning by gossip: every client adds noise to its clipped gradient in every round of learning.

Noisy gossip descent is Muffliato-SGD with one gossip round a step: Cyffers, Even, Bellet and Massoulié (2022),
"Muffliato: peer-to-peer privacy amplification for decentralized optimization and averaging"; without a graph it is
DP-SGD: Abadi et al. (2016), "Deep learning with differential privacy". Their accounting adds up message by message
as if messages did not share noise, which bounds nothing; here every ε is derived anew.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from math import hypot, inf, isfinite, sqrt
from typing import Literal

import numpy as np
from scipy.sparse import csr_array

from rewindnet.certificates import (
    CertificateError,
    Claim,
    Mixing,
    Release,
    TrainingRun,
    View,
    certify,
    check_delta,
    epsilon_of,
    mu_of,
)
from rewindnet.certificates import GossipDP as GossipDPMechanism
from rewindnet.certificates.mechanisms.gossip_dp import shift_bounds
from rewindnet.certificates.mechanisms.linear_view import is_affordable, linear_mu, received_weights, released_weights
from rewindnet.certificates.release import NoiseSource
from rewindnet.clients.methods.base import Method, MethodError, Plan, noise_asked
from rewindnet.clients.steps.gossip_dp import GossipDPRounds
from rewindnet.clients.steps.learning import Program

_LINEAR = "exact linear Gaussian accounting of the view, gradients taken as given"
_LOCAL = "local composition: sqrt(sum over rounds of (shift/sigma)^2), Gaussian"

#: The noise changes what rounding is charged, which changes the noise; a few steps settle it.
_STEPS = 12


class _Remembered:
    """A network whose matrices, which are asked for again and again, are drawn once."""

    def __init__(self, mixing: Mixing) -> None:
        self.nodes, self.participating = mixing.nodes, mixing.participating
        self.matrix: Callable[[int], csr_array] = cache(mixing.matrix)


@dataclass(frozen=True, kw_only=True)
class GossipDP(Method):
    """Learn with noise on every clipped gradient, so that a deletion takes nothing more: private gossip descent.

    Its own learning runs from the start for as many rounds, on all data, and is what it releases; it adapts, then
    combines, whatever the order of the network's. Give `epsilon` or
    `sigma`; with neither, `epsilon` is 1.

    Args:
        epsilon: the ε to reach.
        sigma: σ, the noise on every entry of a gradient.
        delta: δ.
        clip: C, the norm to which gradients are clipped; by default the largest that they can have, or G where nothing
            bounds the l2 term.
        view: who sees what: node, node:v, joint, average, transcript, transcript:v or transcript:all.
        calibrate: whether the noise makes the proven ε the one asked for (`sound`), or the claimed one (`claimed`).
        noise_source: `seed` for studies, `os` for a release.

    Raises:
        MethodError: if epsilon and sigma are both given, or a setting is out of range.
    """

    epsilon: float | None = None
    sigma: float | None = None
    delta: float = 1e-5
    clip: float | None = None
    view: str = "node"
    calibrate: Literal["sound", "claimed"] = "sound"
    noise_source: NoiseSource = "seed"

    def __post_init__(self) -> None:
        """One of the two."""
        check_delta(self.delta)
        View.of(self.view)
        object.__setattr__(self, "epsilon", noise_asked("gossip-dp", self.epsilon, self.sigma))
        if self.clip is not None and not 0 < self.clip < inf:
            raise MethodError(f"clip must be a positive number, not {self.clip}")
        if self.calibrate not in ("sound", "claimed"):
            raise MethodError(f"calibrate is sound or claimed, not {self.calibrate!r}")

    def checkpoints(self, rounds: int) -> Sequence[int]:
        """The start."""
        return (0,)

    def plan(self, learning: TrainingRun) -> Plan:
        """Noise for ε, or ε for noise."""
        learning.check_view(View.of(self.view))
        learning = replace(learning, mixing=_Remembered(learning.mixing))
        unit, how = self._claimed(learning)
        claim = Claim(View.of(self.view), self.delta, claimed_by=how)
        if self.sigma is not None:
            sigma = self.sigma
        elif self.calibrate == "claimed":
            assert self.epsilon is not None
            sigma = unit / mu_of(self.epsilon, self.delta)
        else:
            sigma = self._sound_noise(learning, claim)
        claimed = epsilon_of(unit / sigma, self.delta) if sigma > 0 else inf
        return Plan(
            self._release(learning, sigma), replace(claim, claimed_epsilon=claimed if isfinite(claimed) else None)
        )

    def program(
        self, release: Release, learning: TrainingRun, seed: int, index: int, checkpoint_names: Mapping[int, str]
    ) -> Program:
        """The private learning, all of it before any request."""
        own = release.mechanism
        assert isinstance(own, GossipDPMechanism)
        sigma = float(release.sigma.max())
        learn = GossipDPRounds(range(own.rounds), own.clip, sigma, seed, index, release.noise_source)
        return Program((), (), (learn,), watched=own.nodes, beforehand=True)

    def _clip(self, learning: TrainingRun) -> float:
        if self.clip is not None:
            return self.clip
        return learning.constants.G.value + learning.constants.l2.value * (learning.radius or 0.0)

    def _release(self, learning: TrainingRun, sigma: float) -> Release:
        return Release(
            method="gossip-dp",
            checkpoint_round=0,
            descent_rounds=0,
            placement="rewind",
            sigma=np.full(learning.mixing.nodes, sigma),
            noise_source=self.noise_source,
            mechanism=GossipDPMechanism.of(learning, self._clip(learning), sigma),
        )

    def _sound_noise(self, learning: TrainingRun, claim: Claim) -> float:
        """The noise at which the certificate reads ε."""
        assert self.epsilon is not None
        wanted = mu_of(self.epsilon, self.delta)
        sigma = float(shift_bounds(learning, self._clip(learning)).max()) * sqrt(learning.rounds) / wanted
        reason: str | None = (
            "the more noise, the larger the models and what their rounding is charged; set learning.radius, or "
            "backend.dtype to float64"
        )
        for _ in range(_STEPS):
            certificate = certify(learning, self._release(learning, sigma), claim)
            if certificate.mu is None:
                reason = certificate.reason
                break
            if certificate.mu <= wanted <= certificate.mu * (1 + 1e-9) or certificate.mu == 0:
                return sigma
            sigma *= certificate.mu / wanted * (1 + 1e-12)
        raise CertificateError(f"no noise reaches epsilon {self.epsilon:g} for the view {self.view}: {reason}")

    def _claimed(self, learning: TrainingRun) -> tuple[float, str]:
        """μ for a σ of 1 by the accounting that is claimed, and its name."""
        T, N, most = learning.rounds, learning.mixing.nodes, shift_bounds(learning, self._clip(learning))
        there = [learning.mixing.participating(t) for t in range(T)]
        noise = np.array(
            [np.ones(N) if participating is None else participating.astype(float) for participating in there]
        )
        shifts = noise * most
        view = View.of(self.view).within(N)
        kind, node = view.kind, view.node
        # Who deletes knows what it deletes.
        peers = [int(v) for v in np.flatnonzero(learning.deleted == 0) if node in (None, v)]
        hears_all = kind == "transcript:all" or (kind == "transcript" and not peers)
        if hears_all or not is_affordable(kind, node, T, learning.mixing):
            return hypot(*shifts[shifts > 0]), _LOCAL
        if kind == "transcript":
            return max(linear_mu(received_weights(v, T, learning.mixing), shifts, noise) for v in peers), _LINEAR
        models = released_weights(T, learning.mixing)
        if kind == "node":
            nodes = range(N) if node is None else [node]
            return max(linear_mu(models[[v]], shifts, noise) for v in nodes), _LINEAR
        return linear_mu(models if kind == "joint" else models.mean(axis=0)[None], shifts, noise), _LINEAR
