"""RR-DU: unlearning by a token that walks the network and visits the deleting client with probability p.

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
from dataclasses import dataclass, replace
from math import isfinite, log, sqrt
from typing import Any

import numpy as np

from rewindnet.certificates import (
    Certificate,
    CertificateError,
    Claim,
    Release,
    TrainingRun,
    View,
    epsilon_of,
)
from rewindnet.certificates.mechanisms.rr_du import RRDU as RRDUMechanism
from rewindnet.certificates.mechanisms.rr_du_noise import calibrated, mu_given_reference
from rewindnet.clients.methods.base import MethodError, UnlearningPlan, demand
from rewindnet.clients.methods.rr_du_settings import RRDUSettings
from rewindnet.clients.methods.token_paths import graph_weights, parents_from, path_cost
from rewindnet.clients.steps.program import Program
from rewindnet.clients.training.noise import NoiseAddress
from rewindnet.topologies.routing import Tree


@dataclass(frozen=True)
class RRDU(RRDUSettings):
    """A token walks the network, with noise at the deleting client: RR-DU, reconstructed from secondary readings.

    The token begins as the learned model of the deleting client u, and its last model is given to all. It goes over the
    links of the whole graph, which are taken to be up while it travels. What is claimed takes the model that it begins
    with for known; the certified ε does not.

    The settings are documented at `RRDUSettings`.
    """

    @property
    def variant(self) -> str:
        """The alignment of u's steps, and how they are noised."""
        noise = "no noise" if self.noise == "off" else f"{self.noise} noise"
        return f"{self.alignment}, {noise}" + (", dual-as" if self.optimizer == "dual-as" else "")

    def checkpoints(self, rounds: int) -> Sequence[int]:
        """Return the last round of learning."""
        return (rounds,)

    def requested_depth(self, rounds: int) -> tuple[int, int]:
        """Return the end of learning, and no rounds of descent."""
        return rounds, 0

    def check(self, learning: TrainingRun) -> None:
        """Check that the settings can be met; an instance bound is known only after learning."""
        learning.check_view(replace(self, bound="worst-case").plan(learning).claim.view)

    def plan(self, learning: TrainingRun) -> UnlearningPlan:
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
        spread = self._spread(learning)
        if self.noise == "certified":
            assert self.epsilon is not None
            visits = calibrated(visits, learning, release, claim, self.epsilon)
        elif self.noise == "claimed":
            sigma = spread / self.epsilon if self.epsilon is not None else self.sigma
            assert sigma is not None
            visits = replace(visits, noise=(visits.step_size * sigma,) * len(visits.visit_rounds))
        sigmas = np.zeros(learning.mixing.nodes)
        sigmas[client] = visits.noise[0] if visits.noise else 0.0
        return UnlearningPlan(
            replace(release, sigma=sigmas, mechanism=visits),
            replace(
                claim, claimed_epsilon=self._claimed(visits, spread), claimed_by=_formula(visits, learning, self.delta)
            ),
        )

    def program(
        self, release: Release, learning: TrainingRun, address: NoiseAddress, checkpoint_names: Mapping[int, str]
    ) -> Program:
        """Return the token's rounds, and then the tree.

        Raises:
            MethodError: if the release names no path.
        """
        from rewindnet.clients.steps.rr_du import RRDUToken
        from rewindnet.clients.steps.spreading import along

        path = release.mechanism
        if not isinstance(path, RRDUMechanism):
            raise MethodError("the release of an rr-du names the path of a token")
        noise, end = dict(zip(path.visit_rounds, path.noise, strict=True)), path.begin + len(path.holders)
        rounds = range(path.begin, end)
        travel = RRDUToken(
            rounds=rounds,
            home=path.node,
            holders=path.holders,
            works=path.works,
            noise=tuple(noise.get(round, 0.0) for round in rounds),
            alignment=path.alignment,
            clip=path.clip,
            step_size=path.step_size,
            minibatches=self.minibatches,
            batch=self.batch,
            ball=self.trust_radius,
            centre=self.trust_centre,
            optimizer=path.optimizer,
            forgotten=path.forgotten,
            address=address,
            step_size_elsewhere=self._step_size_elsewhere(learning),
        )
        return Program((), (), (travel, along(Tree(path.parents), end)), watched=(path.node,))

    def check_certificate(self, certificate: Certificate, training: TrainingRun, cost: Mapping[str, Any]) -> None:
        """Draw the path again from the seed; compare it, the settings and the cost with what is recorded."""
        path = certificate.release.mechanism
        if not isinstance(path, RRDUMechanism):
            return
        drawn = self._path(training, path.node)
        parents = parents_from(graph_weights(training), drawn.holders[-1])
        demand(
            (path.holders, path.works, path.parents, path.begin)
            == (drawn.holders, drawn.works, parents, training.rounds),
            "the way of the token is not the one that is drawn",
        )
        settings = (path.alignment, path.clip, path.optimizer, path.centre, path.step_size)
        wanted = (self.alignment, self.clip, self.optimizer, self._centre, self._step_size(training))
        demand(settings == wanted, f"visits are described as {settings}, and were asked to be {wanted}")
        counts = path_cost(path.node, path.holders, path.works, path.parents, self._gradients(path, training))
        for name, value in counts.items():
            demand(cost[name] == value, f"{cost[name]} {name} were counted; the way of the token takes {value}")

    def _gradients(self, path: RRDUMechanism, training: TrainingRun) -> Sequence[int]:
        """Return the per-sample gradients [N] of a step at each node."""
        retained = training.samples - training.deleted
        gradients = self.minibatches * np.minimum(self.batch, retained) if self.batch else retained.copy()
        gradients[path.node] = path.forgotten if path.alignment == "lightweight" else retained[path.node]
        return [int(count) for count in gradients]

    def _spread(self, learning: TrainingRun) -> float:
        """Return ε·σ by the paper: L·√(p·T_u·ln(1/δ)·ln N/N), of a constant that is not known, taken as 1."""
        N = learning.mixing.nodes
        return self.clip * sqrt(self._probability(N) * self.hops * log(1 / self.delta) * log(N) / N)

    def _claimed(self, visits: RRDUMechanism, spread: float) -> float | None:
        """Return the ε of the paper's formula for this noise; None where it varies between visits, or is none."""
        if self.epsilon is not None and self.noise == "claimed":
            return self.epsilon
        sigmas = {noise / visits.step_size for noise in visits.noise}
        sigma = self.sigma if self.sigma is not None else sigmas.pop() if len(sigmas) == 1 else 0.0
        return spread / sigma if sigma else None

    def _mechanism(self, learning: TrainingRun, claim: Claim, client: int) -> RRDUMechanism:
        """Return the mechanism of the path that is drawn, as yet without noise."""
        path = self._path(learning, client)
        mechanism = RRDUMechanism(
            node=client,
            begin=learning.rounds,
            holders=path.holders,
            works=path.works,
            parents=parents_from(graph_weights(learning), path.holders[-1]),
            noise=(0.0,) * len(path.visits(client)),
            alignment=self.alignment,
            clip=self.clip,
            step_size=self._step_size(learning),
            growth=1.0,
            slope=0.0,
            forgotten=int(learning.deleted[client]),
            centre=self._centre,
            optimizer=self.optimizer,
        )
        return mechanism.with_growth(learning, claim)


def _formula(visits: RRDUMechanism, learning: TrainingRun, delta: float) -> str:
    """Return the formula that is claimed, and the ε that follows if the reference model is taken as known."""
    given = epsilon_of(mu_given_reference(visits, learning), delta)
    read = f"epsilon {given:.6g}" if isfinite(given) else "no finite epsilon"
    return (
        "sigma = (L/epsilon)·sqrt(p·T_u·ln(1/delta)·ln(N)/N), reconstructed from secondary readings of Lamri and "
        f"Maniatakos (2026), constant unknown and taken as 1; given the reference model, {len(visits.visit_rounds)} "
        f"visits with {visits.alignment} alignment compose to {read}"
    )


def _client(learning: TrainingRun) -> int:
    """Return u, the one client that deletes."""
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
