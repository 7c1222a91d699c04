"""Private learning by gossip: every client adds noise to its clipped gradient in every round of learning.

Noisy gossip descent is Muffliato-SGD with one gossip round a step: Cyffers, Even, Bellet and Massoulié (2022),
"Muffliato: peer-to-peer privacy amplification for decentralized optimization and averaging"; without a graph it is
DP-SGD: Abadi et al. (2016), "Deep learning with differential privacy". Their accounting adds up message by message
as if messages did not share noise, which bounds nothing; here every ε is derived anew.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from math import hypot, inf, isfinite, sqrt
from typing import Literal

import numpy as np
from scipy.sparse import csr_array

from rewindnet.certificates import Claim, Mixing, Release, TrainingRun, View, epsilon_of, mu_of
from rewindnet.certificates import GossipDP as GossipDPMechanism
from rewindnet.certificates.accounting.sampler import NoiseSource
from rewindnet.certificates.mechanisms.gossip_dp import shift_bounds
from rewindnet.certificates.mechanisms.linear_view import is_affordable, linear_mu, received_weights, released_weights
from rewindnet.clients.methods.base import MethodError, UnlearningPlan
from rewindnet.clients.methods.private_learning import PrivateLearning
from rewindnet.clients.steps.program import Program
from rewindnet.clients.training.noise import NoiseAddress
from rewindnet.registry import former

_LINEAR = "exact linear Gaussian accounting of the view, gradients taken as given"
_LOCAL = "local composition: sqrt(sum over rounds of (shift/sigma)^2), Gaussian"
_REMEDY = (
    "the more noise, the larger the models and what their rounding is charged; set learning.radius, or "
    "backend.dtype to float64"
)


class _CachedMixing:
    """A network whose matrices, which are asked for again and again, are drawn once."""

    def __init__(self, mixing: Mixing) -> None:
        self.nodes, self.participating = mixing.nodes, mixing.participating
        self.matrix: Callable[[int], csr_array] = cache(mixing.matrix)


@former(values={"calibrate": {"sound": "certified"}})
@dataclass(frozen=True, kw_only=True)
class GossipDP(PrivateLearning):
    """Learn with noise on every clipped gradient, so that a deletion takes nothing more: private gossip descent.

    Its own learning runs from the start for as many rounds, on all data, and is what it releases; it adapts, then
    combines, whatever the order of the network's. Give `epsilon` or `sigma`; with neither, `epsilon` is 1.

    Args:
        epsilon: the ε to reach.
        sigma: σ, the noise on every entry of a gradient.
        delta: δ.
        clip: C, the norm to which gradients are clipped; by default the largest that they can have, or G where nothing
            bounds the l2 term.
        view: who sees what: node, node:v, joint, average, transcript, transcript:v or transcript:all.
        calibrate: whether the noise makes the proven ε the one asked for (`certified`), or the claimed one (`claimed`).
        noise_source: `seed` for studies, `os` for a release.
        designed_client: the client whose request the noise for `epsilon` is designed for, before any request; any by
            default.
        designed_samples: how many of its samples that request deletes at most; any number by default.

    Raises:
        MethodError: if epsilon and sigma are both given, or a setting is out of range.
    """

    name = "gossip-dp"
    epsilon: float | None = None
    sigma: float | None = None
    delta: float = 1e-5
    clip: float | None = None
    view: str = "node"
    calibrate: Literal["certified", "claimed"] = "certified"
    noise_source: NoiseSource = "seed"
    designed_client: int | None = None
    designed_samples: int | None = None

    def __post_init__(self) -> None:
        """Check the settings, and fill in ε where neither ε nor σ is given."""
        self._check_noise()
        if self.clip is not None and not 0 < self.clip < inf:
            raise MethodError(f"clip must be a positive number, not {self.clip}")
        if self.calibrate not in ("certified", "claimed"):
            raise MethodError(f"calibrate is certified or claimed, not {self.calibrate!r}")

    def plan(self, learning: TrainingRun) -> UnlearningPlan:
        """Return the private learning, with noise for ε, or ε for noise."""
        learning.check_view(View.of(self.view))
        learning = replace(learning, mixing=_CachedMixing(learning.mixing))
        unit, how = self._claimed(learning)
        claim = Claim(View.of(self.view), self.delta, claimed_by=how)
        if self.sigma is not None:
            sigma = self.sigma
        elif self.calibrate == "claimed":
            assert self.epsilon is not None
            designed = max(self._claimed(run)[0] for run in self.designed_requests(learning))
            sigma = designed / mu_of(self.epsilon, self.delta)
        else:
            sigma = self.designed_noise(learning, claim, self._release, self._local_shift, _REMEDY)
        claimed = epsilon_of(unit / sigma, self.delta) if sigma > 0 else inf
        return UnlearningPlan(
            self._release(learning, sigma), replace(claim, claimed_epsilon=claimed if isfinite(claimed) else None)
        )

    def program(
        self, release: Release, learning: TrainingRun, address: NoiseAddress, checkpoint_names: Mapping[int, str]
    ) -> Program:
        """Return the private learning, all of it before any request."""
        from rewindnet.clients.steps.gossip_dp import GossipDPRounds

        own = release.mechanism
        assert isinstance(own, GossipDPMechanism)
        sigma = float(release.sigma.max())
        learn = GossipDPRounds(range(own.rounds), own.clip, sigma, address.before_requests())
        return Program((), (), (learn,), watched=own.nodes, beforehand=True)

    def _clip(self, learning: TrainingRun) -> float:
        if self.clip is not None:
            return self.clip
        if not learning.constants.known:
            raise MethodError(
                f"{self.name} clips gradients, by default to the largest that they can have, and "
                f"{learning.constants.why_unknown}; set clip"
            )
        return learning.constants.G.value + learning.constants.l2.value * (learning.radius or 0.0)

    def _release(self, learning: TrainingRun, sigma: float) -> Release:
        mechanism = GossipDPMechanism.of(learning, self._clip(learning), sigma)
        return self._release_with(learning, sigma, replace(mechanism, designed_for=self.design))

    def _local_shift(self, learning: TrainingRun) -> float:
        return float(shift_bounds(learning, self._clip(learning)).max()) * sqrt(learning.rounds)

    def _claimed(self, learning: TrainingRun) -> tuple[float, str]:
        """Return μ for a σ of 1 by the accounting that is claimed, and the name of that accounting."""
        T, N, most = learning.rounds, learning.mixing.nodes, shift_bounds(learning, self._clip(learning))
        participation = [learning.mixing.participating(t) for t in range(T)]
        noise = np.array(
            [np.ones(N) if participating is None else participating.astype(float) for participating in participation]
        )
        shifts = noise * most
        view = View.of(self.view).within(N)
        kind, node = view.kind, view.node
        # A node that deletes knows what it deletes.
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
