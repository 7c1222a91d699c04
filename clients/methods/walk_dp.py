"""Private learning by a random walk: every holder of a token adds noise to its gradient, and a request takes no more.

Cyffers, Bellet and Upadhyay (2024), "Differentially private decentralized learning with random walks". What they prove
of what node v can learn of node u, on average over walks with transition matrix W, in units of the sensitivity:

    ε_{u→v}(α) ≤ (αT/(σ²N²))·Σ_{t≤T} 1/t + (αT/(σ²N))·[−log(I − W + 11ᵀ/N)]_{uv}

is what is claimed. What is certified holds for the walk that was drawn: `rewindnet.certificates.mechanisms.walk_dp`.
"""

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, replace
from math import isfinite, sqrt
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from rewindnet.certificates import Certificate, CertificateError, Claim, Release, TrainingRun, View
from rewindnet.certificates.accounting.renyi import epsilon_of_rho, rho_of
from rewindnet.certificates.accounting.sampler import NoiseSource
from rewindnet.certificates.mechanisms.walk_dp import WalkDP as WalkDPMechanism
from rewindnet.certificates.mechanisms.walk_dp import check_holders, walk_shifts
from rewindnet.clients.methods.base import MethodError, UnlearningPlan, demand
from rewindnet.clients.methods.private_learning import PrivateLearning
from rewindnet.clients.methods.token_paths import graph_weights, parents_from
from rewindnet.clients.steps.program import Program
from rewindnet.clients.training.noise import NoiseAddress
from rewindnet.registry import former
from rewindnet.topologies.routing import Tree, mixing_walk

_REMEDY = "the more noise, the more its rounding is charged; set learning.radius, or use float64"

#: Of larger networks the logarithm of a matrix is not taken.
_LARGEST = 3_000


@former(values={"noise": {"sound": "certified"}})
@dataclass(frozen=True)
class WalkDP(PrivateLearning):
    """A token that learns with noise on every gradient, so that a deletion takes nothing more: private random walk.

    Its own learning goes by the rows of the mixing matrix, from the start, by one full gradient a hop on all data; its
    last token is released to all. Give `epsilon` or `sigma`; with neither, `epsilon` is 1.

    Args:
        seed: the seed of the walk.
        hops: T, steps in all; as many as learning has rounds by default.
        epsilon: the ε to reach or to claim.
        sigma: σ, the noise on every entry of a gradient.
        delta: δ.
        noise: whether epsilon is what can be proved (`certified`) or what the paper's formula says (`claimed`).
        clip: C, to which gradients are clipped; not at all by default: their sensitivity follows from the constants,
            and clipping gives up what convexity gives.
        step_size: η; that of learning by default.
        start: the first holder; drawn by default.
        view: who sees what: single views hide what a walk hides, `transcript:all` shows every token.
        noise_source: `seed` for studies, `os` for a release.
        designed_client: the client whose request the noise for `epsilon` is designed for, before any request; any by
            default.
        designed_samples: how many of its samples that request deletes at most; any number by default.

    Raises:
        MethodError: if epsilon and sigma are both given, or a setting is out of range.
    """

    name = "walk-dp"
    seed: int = 0
    _: KW_ONLY
    hops: int | None = None
    epsilon: float | None = None
    sigma: float | None = None
    delta: float = 1e-5
    noise: Literal["certified", "claimed"] = "certified"
    clip: float | None = None
    step_size: float | None = None
    start: int | None = None
    view: str = "node"
    noise_source: NoiseSource = "seed"
    designed_client: int | None = None
    designed_samples: int | None = None

    def __post_init__(self) -> None:
        """Check the settings, and fill in ε where neither ε nor σ is given."""
        self._check_noise()
        if self.hops is not None and self.hops < 1:
            raise MethodError(f"hops of walk-dp is at least 1, not {self.hops}")
        for name in ("clip", "step_size"):
            value = getattr(self, name)
            if value is not None and not (isfinite(value) and value > 0):
                raise MethodError(f"{name} of walk-dp is a positive number, not {value}")

    def seeded(self, seed: int) -> "WalkDP":
        """Return the method with the walk that this seed draws."""
        return replace(self, seed=seed)

    def plan(self, learning: TrainingRun) -> UnlearningPlan:
        """Draw the walk; return it with noise for ε, or ε for noise.

        Raises:
            CertificateError: if no noise reaches ε, or a client has left.
        """
        learning.check_view(View.of(self.view))
        check_holders(learning)
        walk = self._walk(learning)
        unit = self._claimed_rho(walk)
        claim = Claim(View.of(self.view), self.delta, claimed_by=_FORMULA)
        if self.sigma is not None:
            sigma = self.sigma
        elif self.noise == "certified":
            sigma = self.designed_noise(
                learning,
                claim,
                lambda run, s: self._release(replace(walk, learning=run), s),
                lambda run: float(walk_shifts(run, self.clip).max()) * sqrt(len(walk.holders)),
                _REMEDY,
            )
        elif unit is None:
            raise CertificateError(_NO_CLAIM)
        else:
            assert self.epsilon is not None
            runs = self.designed_requests(learning)
            designed = max(self._claimed_rho(replace(walk, learning=run)) or 0.0 for run in runs)
            sigma = sqrt(designed / rho_of(self.epsilon, self.delta))
        claimed = None if unit is None or sigma == 0 < unit else epsilon_of_rho(unit / (sigma or 1) ** 2, self.delta)
        return UnlearningPlan(
            self._release(walk, sigma),
            replace(claim, claimed_epsilon=claimed, claimed_by=_NO_CLAIM if unit is None else _FORMULA),
        )

    def program(
        self, release: Release, learning: TrainingRun, address: NoiseAddress, checkpoint_names: Mapping[int, str]
    ) -> Program:
        """Return the walk, all of it before any request, and then the tree.

        Raises:
            MethodError: if the release names no walk.
        """
        from rewindnet.clients.steps.spreading import along
        from rewindnet.clients.steps.walk_dp import WalkDPToken

        path = release.mechanism
        if not isinstance(path, WalkDPMechanism):
            raise MethodError("the release of walk-dp names the walk of a token")
        end = len(path.holders)
        walk = WalkDPToken(
            rounds=range(end),
            holders=path.holders,
            clip=path.clip,
            sigma=float(release.sigma.max()),
            step_size=path.step_size,
            address=address.before_requests(),
        )
        return Program((), (), (walk, along(Tree(path.parents), end)), watched=path.nodes, beforehand=True)

    def check_certificate(self, certificate: Certificate, training: TrainingRun, cost: Mapping[str, Any]) -> None:
        """Draw the walk again from the seed, and compare it and the settings with the certificate's."""
        path = certificate.release.mechanism
        if not isinstance(path, WalkDPMechanism):
            return
        walk = self._walk(training)
        demand(
            (path.holders, path.parents) == (walk.holders, walk.parents),
            "the walk of the token is not the one that is drawn",
        )
        settings, wanted = (path.clip, path.step_size), (self.clip, self._step_size(training))
        demand(settings == wanted, f"clip and step size are {settings}, and were asked to be {wanted}")

    def _step_size(self, learning: TrainingRun) -> float:
        return learning.step_size if self.step_size is None else self.step_size

    def _walk(self, learning: TrainingRun) -> "_Walk":
        """Draw the walk."""
        weights = graph_weights(learning)
        holders = mixing_walk(weights, learning.rounds if self.hops is None else self.hops, self.seed, self.start)
        return _Walk(learning, weights, holders, parents_from(weights, holders[-1]))

    def _release(self, walk: "_Walk", sigma: float) -> Release:
        step_size = self._step_size(walk.learning)
        mechanism = WalkDPMechanism.of(walk.learning, walk.holders, walk.parents, self.clip, step_size, sigma)
        return self._release_with(walk.learning, sigma, replace(mechanism, designed_for=self.design))

    def _claimed_rho(self, walk: "_Walk") -> float | None:
        """Return ρ for a σ of 1, of a Rényi divergence αρ, by the paper and at most what the visits of the walk allow.

        The paper's sum goes on for ever, and is negative at far nodes before the walk has mixed: 0 is claimed there.
        """
        learning, T = walk.learning, len(walk.holders)
        N, shifts = learning.mixing.nodes, walk_shifts(learning, self.clip)
        view = View.of(self.view).within(N)
        kind, node = view.kind, view.node
        deleting = np.flatnonzero(learning.deleted)
        visits = np.array([walk.holders.count(int(u)) for u in deleting])
        local = visits * shifts[deleting] ** 2 / 2
        if kind in ("joint", "average") or self.view == "transcript:all":
            return float(local.sum())
        spread = communicability(walk.weights)
        if spread is None:
            return None
        # A node that deletes knows what it deletes.
        peers = np.flatnonzero(learning.deleted == 0) if node is None else np.array([node])
        pairs = T / N * (walk_harmonic(T) / N + spread[deleting][:, peers]) * shifts[deleting, None] ** 2
        return float(np.minimum(np.maximum(pairs, 0.0), local[:, None]).sum(axis=0).max(initial=0.0))


@dataclass(frozen=True)
class _Walk:
    """A walk that was drawn."""

    learning: TrainingRun
    weights: csr_array
    holders: tuple[int, ...]
    parents: tuple[int, ...]


_FORMULA = (
    "Cyffers, Bellet and Upadhyay (2024): a Renyi divergence of order alpha at most alpha·T/(sigma²N)·(H_T/N − "
    "log(I − W + 11ᵀ/N)_uv) in units of the sensitivity, on average over walks, not more than K_u visits alone come to"
)
_NO_CLAIM = (
    "the formula of Cyffers, Bellet and Upadhyay (2024) is for symmetric mixing matrices of connected networks, of at "
    f"most {_LARGEST:,} nodes here"
)


def walk_harmonic(T: int) -> float:
    """Return H_T = Σ_{t≤T} 1/t."""
    return float((1 / np.arange(1, T + 1)).sum())


def communicability(weights: csr_array) -> NDArray[np.float64] | None:
    """Return −log(I − W + 11ᵀ/N) = Σ_t (W^t − 11ᵀ/N)/t [N, N].

    Returns:
        None where W is not symmetric, too large, or not connected.
    """
    N = weights.shape[0]
    if N > _LARGEST:
        return None
    W = weights.toarray()
    if not np.allclose(W, W.T, rtol=0, atol=1e-12):
        return None
    gaps, vectors = np.linalg.eigh(np.eye(N) - W + 1 / N)
    if gaps.min() <= 1e-12:
        return None
    result: NDArray[np.float64] = -(vectors * np.log(gaps)) @ vectors.T
    return result
