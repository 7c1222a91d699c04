"""RR-DU: unlearning by a token that walks the network and comes by the deleting client now and then.

Lamri and Maniatakos (CVPR 2026), "Fully decentralized certified unlearning", arXiv 2512.08443. **Reconstructed from its
abstract and secondary readings**: the body was not available, and every point that they leave open is a setting. The
abstract has an ascent on the forget set at the client (`lightweight`) and a trust region around the original model; it
does not say how the token comes back, where it starts, or what is done with it in the end.

    θ ← θ_ref
    for t = 1 … T_u:
        next holder: with probability p the deleting client u, else by the walk
        at u:    θ ← Proj_{‖θ − θ_ref‖ ≤ ϱ}(θ + η·(g + Z)),  g clipped to norm L, Z ~ N(0, σ²·I)
        else:    θ ← Proj_Θ(θ − η·g),                        g the mean of s minibatch gradients

What it claims is the ε of its own formula; what can be proved of it is `rewindnet.certificates.mechanisms.rr_du`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from math import isfinite, log, sqrt
from typing import Literal

import numpy as np
from scipy.sparse import csr_array

from rewindnet.certificates import (
    CertificateError,
    Claim,
    Regime,
    Release,
    TrainingRun,
    View,
    check_delta,
    check_epsilon,
    epsilon_of,
)
from rewindnet.certificates.mechanisms.rr_du import RRDU as RRDUMechanism
from rewindnet.certificates.mechanisms.rr_du import Alignment, Centre, Optimizer
from rewindnet.clients.methods.base import Method, MethodError, Plan
from rewindnet.clients.steps.learning import Program
from rewindnet.clients.steps.rr_du import RRDUToken, RRDUTokenWithForgetSet
from rewindnet.clients.steps.spreading import along
from rewindnet.topologies.routing import Routing, TokenStart, Tree, adjacency_of_weights, spreading_tree, token_path


@dataclass(frozen=True)
class RRDU(Method):
    """A token walks the network, with noise at the deleting client: RR-DU, reconstructed from secondary readings.

    The token begins as the learned model of the deleting client u, and its last model is given to all. It goes over the
    links of the whole graph, which are taken to be up while it travels. What is claimed takes the model that it begins
    with for known; the sound ε does not.

    Args:
        seed: of the path, the batches and, in studies, the noise.
        hops: T_u, steps that are taken, by whoever has the token.
        alignment: of u's direction: `lightweight` (m/n_u)·∇f_forget, an ascent; `lightweight+descent`
            −∇f_u + (m/n_u)·∇f_forget; `exact` −∇f'_u; every objective with its regulariser.
        routing: whose step is next, if not u's: `others`, any other node, drawn uniformly, along shortest paths of the
            graph (each edge a message and a round); `neighbours`, a neighbour of the holder.
        visit_probability: p; 1/N by default.
        start: whose step is first: `u`, or `random`, drawn like any other.
        visits: the most steps that u takes; no limit by default.
        noise: `claimed`, as the paper's formula has it for epsilon; `sound`, the least that certifies (ε, δ) against
            retraining; `off`.
        epsilon: the ε to claim or to reach; 1 by default.
        sigma: of Z, given instead of epsilon with noise `claimed`; the claim then follows.
        delta: δ.
        clip: L.
        trust_radius: ϱ; no trust region by default.
        trust_centre: `reference`, as u began, or `noised`, as u first sent it.
        optimizer: of all steps: `sgd`, or `adam`, whose moments stay with each holder.
        step_size: η; that of learning by default.
        minibatches: s.
        batch: samples in each; 0: everybody descends by the full gradient.
        view: who sees what; all views of a single token that is given to all are one but for those of transcripts.
        bound: `worst-case` or `instance`, of what u begins with.
        regime: the curvature to assume; by default the strongest that the model proves.
        noise_source: `seed` for studies, `os` for a release.

    Raises:
        MethodError: if a setting is out of range.
    """

    seed: int = 0
    _: KW_ONLY
    hops: int = 100
    alignment: Alignment = "lightweight"
    routing: Routing = "others"
    visit_probability: float | None = None
    start: TokenStart = "u"
    visits: int | None = None
    noise: Literal["claimed", "sound", "off"] = "claimed"
    epsilon: float | None = None
    sigma: float | None = None
    delta: float = 1e-5
    clip: float = 0.5
    trust_radius: float | None = None
    trust_centre: Centre = "reference"
    optimizer: Optimizer = "sgd"
    step_size: float | None = None
    minibatches: int = 4
    batch: int = 0
    view: str = "node"
    bound: Literal["worst-case", "instance"] = "worst-case"
    regime: Regime | None = None
    noise_source: Literal["seed", "os"] = "seed"

    def __post_init__(self) -> None:
        """Refuse settings without a meaning."""
        check_delta(self.delta)
        View.of(self.view)
        for name in ("hops", "minibatches"):
            if getattr(self, name) < 1:
                raise MethodError(f"{name} of rr-du is at least 1, not {getattr(self, name)}")
        for name in ("visits", "batch"):
            if (getattr(self, name) or 0) < 0:
                raise MethodError(f"{name} of rr-du is not negative, and it is {getattr(self, name)}")
        for name in ("clip", "trust_radius", "step_size"):
            value = getattr(self, name)
            if value is not None and not (isfinite(value) and value > 0):
                raise MethodError(f"{name} of rr-du is a positive number, not {value}")
        if self.visit_probability is not None and not 0 <= self.visit_probability <= 1:
            raise MethodError(f"visit_probability is between 0 and 1, not {self.visit_probability}")
        if self.sigma is not None and not (isfinite(self.sigma) and self.sigma >= 0):
            raise MethodError(f"sigma must be a non-negative number, not {self.sigma}")
        self._check_noise()

    def _check_noise(self) -> None:
        """An ε or a σ, where there is noise; a σ only for the paper's."""
        if self.noise == "off" and (self.epsilon, self.sigma) != (None, None):
            raise MethodError("rr-du with noise off takes neither epsilon nor sigma")
        if self.noise == "sound" and self.sigma is not None:
            raise MethodError("rr-du with noise sound takes the epsilon to reach; sigma follows")
        if self.epsilon is not None and self.sigma is not None:
            raise MethodError("rr-du takes epsilon or sigma, and the other follows; both are given")
        if self.noise != "off" and self.epsilon is None and self.sigma is None:
            object.__setattr__(self, "epsilon", 1.0)
        if self.epsilon is not None:
            check_epsilon(self.epsilon)

    def seeded(self, seed: int) -> "RRDU":
        """With the path that this seed draws."""
        return replace(self, seed=seed)

    @property
    def variant(self) -> str:
        """The alignment of u's steps, and how they are noised."""
        return f"{self.alignment}, " + ("no noise" if self.noise == "off" else f"{self.noise} noise")

    def checkpoints(self, rounds: int) -> Sequence[int]:
        """The learned model."""
        return (rounds,)

    def check(self, learning: TrainingRun) -> None:
        """An instance bound is known only after learning."""
        learning.check_view(replace(self, bound="worst-case").plan(learning).claim.view)

    def plan(self, learning: TrainingRun) -> Plan:
        """Draw the path, and find the noise or what is claimed of it.

        Raises:
            CertificateError: if others delete, too, the client has left, or no noise reaches ε.
        """
        learning.check_view(View.of(self.view))
        client = _client(learning)
        release = Release(
            "rr-du", learning.rounds, 0, "output", np.zeros(learning.mixing.nodes), noise_source=self.noise_source
        )
        claim = Claim(View.of(self.view), self.delta, self.bound, regime=self.regime)
        visits = self._mechanism(learning, claim, client)
        spread = self._spread(learning, len(visits.visit_rounds))
        if self.noise == "sound":
            assert self.epsilon is not None
            visits = visits.calibrated(learning, release, claim, self.epsilon)
        elif self.noise == "claimed":
            sigma = spread / self.epsilon if self.epsilon is not None else self.sigma
            assert sigma is not None
            visits = replace(visits, noise=(visits.step_size * sigma,) * len(visits.visit_rounds))
        sigmas = np.zeros(learning.mixing.nodes)
        sigmas[client] = visits.noise[0] if visits.noise else 0.0
        return Plan(
            replace(release, sigma=sigmas, mechanism=visits),
            replace(claim, claimed_epsilon=self._claimed(visits, spread), claimed_by=self._by(visits, learning)),
        )

    def _spread(self, learning: TrainingRun, visits: int) -> float:
        """ε·σ by the paper: L·√(p·T_u·ln(1/δ)·ln N/N), of a constant that is not known, taken as 1."""
        N = learning.mixing.nodes
        return self.clip * sqrt(self._probability(N) * self.hops * log(1 / self.delta) * log(N) / N)

    def _claimed(self, visits: RRDUMechanism, spread: float) -> float | None:
        """The ε of the paper's formula for this noise; None where it varies from visit to visit, or is none."""
        if self.epsilon is not None and self.noise == "claimed":
            return self.epsilon
        sigmas = {noise / visits.step_size for noise in visits.noise}
        sigma = self.sigma if self.sigma is not None else sigmas.pop() if len(sigmas) == 1 else 0.0
        return spread / sigma if sigma else None

    def _by(self, visits: RRDUMechanism, learning: TrainingRun) -> str:
        """The formula, and what its reading comes to."""
        given = epsilon_of(visits.mu_given_reference(learning), self.delta)
        read = f"epsilon {given:.6g}" if isfinite(given) else "no finite epsilon"
        return (
            "sigma = (L/epsilon)·sqrt(p·T_u·ln(1/delta)·ln(N)/N), reconstructed from secondary readings of Lamri and "
            f"Maniatakos (2026), constant unknown and taken as 1; given the reference model, "
            f"{len(visits.visit_rounds)} visits with {self.alignment} alignment compose to {read}"
        )

    def _probability(self, nodes: int) -> float:
        return 1 / nodes if self.visit_probability is None else self.visit_probability

    def _mechanism(self, learning: TrainingRun, claim: Claim, client: int) -> RRDUMechanism:
        """The path, as yet without noise."""
        adjacency = _links(learning)
        path = token_path(
            adjacency,
            client,
            self.hops,
            self.seed,
            visit=self._probability(learning.mixing.nodes),
            routing=self.routing,
            start=self.start,
            cap=self.visits,
        )
        mechanism = RRDUMechanism(
            node=client,
            begin=learning.rounds,
            holders=path.holders,
            works=path.works,
            parents=spreading_tree(adjacency, path.holders[-1]).parents,
            noise=(0.0,) * len(path.visits(client)),
            alignment=self.alignment,
            clip=self.clip,
            step_size=learning.step_size if self.step_size is None else self.step_size,
            growth=1.0,
            slope=0.0,
            forgotten=int(learning.deleted[client]),
            centre=None if self.trust_radius is None else self.trust_centre,
            optimizer=self.optimizer,
        )
        return mechanism.with_growth(learning, claim)

    def program(
        self, release: Release, learning: TrainingRun, seed: int, index: int, checkpoint_names: Mapping[int, str]
    ) -> Program:
        """The token's way, and then the tree.

        Raises:
            MethodError: if the release names no path.
        """
        way = release.mechanism
        if not isinstance(way, RRDUMechanism):
            raise MethodError("the release of an rr-du names the path of a token")
        tree, noise = Tree(way.parents), dict(zip(way.visit_rounds, way.noise, strict=True))
        end = way.begin + len(way.holders)
        rounds = range(way.begin, end)
        token = RRDUTokenWithForgetSet if self.alignment == "lightweight" else RRDUToken
        travel = token(
            rounds=rounds,
            home=way.node,
            holders=way.holders,
            works=way.works,
            noise=tuple(noise.get(round, 0.0) for round in rounds),
            alignment=way.alignment,
            clip=way.clip,
            step_size=way.step_size,
            minibatches=self.minibatches,
            batch=self.batch,
            ball=self.trust_radius,
            centre=self.trust_centre,
            optimizer=way.optimizer,
            forgotten=way.forgotten,
            seed=seed,
            release=index,
            source=release.noise_source,
        )
        return Program((), (), (travel, along(tree, end)), watched=(way.node,))


def _links(learning: TrainingRun) -> csr_array:
    """The graph: where the mixing matrix that a schedule is made from has weights; where there is none, its first."""
    weights = getattr(learning.mixing, "weights", None)
    return adjacency_of_weights(learning.mixing.matrix(0) if weights is None else weights)


def _client(learning: TrainingRun) -> int:
    """u."""
    deleting = np.flatnonzero(learning.deleted).tolist()
    if len(deleting) != 1:
        raise CertificateError(
            f"rr-du unlearns what one client deletes; here clients {', '.join(map(str, deleting))} delete"
        )
    if learning.departed:
        raise CertificateError(
            f"the token of rr-du comes from client {deleting[0]}, which has left; use deletion.departure relay"
        )
    return int(deleting[0])
