"""Newton-style unlearning: correct the learned models to where retraining would end, add noise, take clean rounds.

Reconstructed from secondary readings of Wu et al. (2026), arXiv 2601.06436, whose body was not available: curvature of
the target's data, a Newton correction, Gaussian noise, one correction broadcast to all, one clean round. The reach
`network`, in which the whole network solves for its own correction, is not from the paper.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import acosh, ceil, isfinite, log, sqrt
from typing import Literal

import numpy as np

from rewindnet.certificates import (
    CertificateError,
    Claim,
    Release,
    TrainingRun,
    View,
    mu_of,
    textbook_epsilon,
    textbook_sigma,
)
from rewindnet.certificates.calibrate import resolved_noise
from rewindnet.certificates.mechanisms import Newton as NewtonMechanism
from rewindnet.certificates.mechanisms import NewtonSharedNoise
from rewindnet.certificates.mechanisms.fixed_point import check_contraction, lowest_eigenvalue
from rewindnet.certificates.network import Vector
from rewindnet.clients.methods.base import Method, MethodError, UnlearningPlan
from rewindnet.clients.methods.settings import check_noise_settings, requested_epsilon
from rewindnet.clients.steps.base import CommunicationStep
from rewindnet.clients.steps.program import Program
from rewindnet.clients.training.curvatures import Curvature
from rewindnet.clients.training.noise import NoiseAddress
from rewindnet.registry import former
from rewindnet.topologies.routing import adjacency_of_weights, spreading_tree

_CLAIMED_BY = (
    "sigma = (B/epsilon)·sqrt(2·ln(1.25/delta)), B = rho·D²/(2·mu) being the error of one Newton step after Sekhari et "
    "al. (2021) and D its length, 2mG/(N·n·mu) or, for a whole client, G/((N − 1)·mu); the constant of its own paper "
    "is not known, rho = 1 is taken"
)


@former(values={"noise": {"sound": "certified"}})
@dataclass(frozen=True, kw_only=True)
class Newton(Method):
    """Correct the learned models by a Newton step, add Gaussian noise, take clean rounds (reconstructed).

    Give `epsilon` or `sigma`; with neither, `epsilon` is 1. For strongly convex objectives, the order
    consensus-plus-gradient and a network that stays the same.

    Args:
        reach: `network`, in which neighbours solve together for what becomes of every node, or `uniform`, as in the
            paper: the target works out one correction from its own data and broadcasts it.
        curvature: `hessian`, `fisher` (the empirical one) or `diagonal` (its diagonal).
        iterations: sweeps of the network, or conjugate gradients of the target; by default as many as reach
            `tolerance`.
        tolerance: what the solver may leave, relatively.
        epsilon: the ε to reach.
        sigma: the noise of every node instead.
        delta: δ.
        noise: calibrate to ε by the measured residual (`certified`) or as the paper might (`claimed`).
        shared_noise: one noise vector for all, as in the paper, which leaves the nodes' differences bare.
        clean: rounds of descent on retained data after the noise.
        view: who sees what: node, node:v, joint or average; no noise covers transcripts.
        noise_source: `seed` for studies, `os` for a release.

    Raises:
        MethodError: if both epsilon and sigma are given, or a setting is out of range.
    """

    reach: Literal["network", "uniform"] = "network"
    curvature: Curvature = "hessian"
    iterations: int | None = None
    tolerance: float = 1e-6
    epsilon: float | None = None
    sigma: float | None = None
    delta: float = 1e-5
    noise: Literal["certified", "claimed"] = "certified"
    shared_noise: bool = False
    clean: int = 1
    view: str = "joint"
    noise_source: Literal["seed", "os"] = "seed"

    def __post_init__(self) -> None:
        """Check the settings."""
        check_noise_settings("newton", self.epsilon, self.sigma, self.delta, self.view)
        object.__setattr__(self, "epsilon", requested_epsilon("newton", self.epsilon, self.sigma))
        if self.noise == "claimed" and self.sigma is not None:
            raise MethodError("noise claimed follows from epsilon; with sigma there is nothing to calibrate")
        for name, value, known in (
            ("reach", self.reach, ("network", "uniform")),
            ("curvature", self.curvature, ("hessian", "fisher", "diagonal")),
            ("noise", self.noise, ("certified", "claimed")),
        ):
            if value not in known:
                raise MethodError(f"{name} is one of {', '.join(known)}, not {value!r}")
        if self.iterations is not None and self.iterations < 1:
            raise MethodError(
                f"iterations is a number of sweeps or steps of the solver, at least 1, not {self.iterations}"
            )
        if not 0 < self.tolerance < 1:
            raise MethodError(f"tolerance must lie strictly between 0 and 1, not {self.tolerance}")
        if self.clean < 0:
            raise MethodError(f"clean is a number of rounds, not {self.clean}")

    @property
    def shares_secret_noise(self) -> bool:
        """Whether one vector from the operating system is added at all nodes."""
        return self.shared_noise and self.noise_source == "os"

    @property
    def variant(self) -> str:
        """Which nodes work out the correction, and by which curvature."""
        return f"{self.reach}, {self.curvature}"

    def checkpoints(self, rounds: int) -> Sequence[int]:
        """Return the last round of learning."""
        return (rounds,)

    def requested_depth(self, rounds: int) -> tuple[int, int]:
        """Return the end of learning, and the clean rounds."""
        return rounds, self.clean

    def plan(self, learning: TrainingRun) -> UnlearningPlan:
        """Return the correction, with the noise as far as it is known before the residual is measured."""
        learning.check_view(View.of(self.view))
        check_contraction(learning, 0)
        mechanism = self._mechanism(learning)
        check_contraction(learning, mechanism.rounds + 1 + self.clean)
        release = Release(
            method="newton",
            checkpoint_round=learning.rounds,
            descent_rounds=self.clean,
            placement="rewind",
            sigma=np.full(learning.mixing.nodes, self.sigma or 0.0),
            noise_source=self.noise_source,
            mechanism=mechanism,
        )
        claim = Claim(View.of(self.view), self.delta, "instance", claimed_by=_CLAIMED_BY)
        if self.sigma is None and self.noise == "certified":
            reason = mechanism.why_not_covered(learning, release, claim)
            if reason is not None:
                raise CertificateError(f"no noise reaches epsilon {self.epsilon:g} for the view {self.view}: {reason}")
            return UnlearningPlan(release, claim)
        if self.noise == "claimed":
            release = replace(release, sigma=release.sigma + self._claimed_sigma(learning))
        return UnlearningPlan(release, self._claimed(learning, release, claim))

    def refine(self, plan: UnlearningPlan, learning: TrainingRun, measured: Mapping[int, Vector]) -> UnlearningPlan:
        """Return the plan with the residual that the nodes have measured, and the noise that it takes."""
        nodes, mechanism = range(learning.mixing.nodes), plan.release.mechanism
        assert isinstance(mechanism, NewtonMechanism)
        moved, residual = (tuple(float(measured[node][at]) for node in nodes) for at in (-2, -1))
        mechanism = replace(mechanism, residual=residual, moved=moved)
        release = replace(plan.release, mechanism=mechanism)
        if self.epsilon is None or self.noise == "claimed":
            return UnlearningPlan(release, plan.claim)
        unit, bounds = replace(release, sigma=np.ones(len(nodes))), mechanism.bounds(learning, release, plan.claim)
        reach = mechanism.mu(View.of(self.view), bounds, unit, learning.mixing)
        # A hair more noise than the boundary asks for, so that the certificate of the rounded σ still reads ε.
        sigma = unit.sigma * (reach / mu_of(self.epsilon, self.delta)) * (1 + 1e-12)
        release = replace(release, sigma=resolved_noise(learning, release, sigma))
        return UnlearningPlan(release, self._claimed(learning, release, plan.claim))

    def program(
        self, release: Release, learning: TrainingRun, address: NoiseAddress, checkpoint_names: Mapping[int, str]
    ) -> Program:
        """Return the correction, the measurement of its residual, noise, clean rounds."""
        from rewindnet.clients.steps.learning import AddNoise, Descend
        from rewindnet.clients.steps.newton import NewtonBroadcast, NewtonResidual, NewtonSweeps

        mechanism, start, N = release.mechanism, release.checkpoint_round, len(release.sigma)
        assert isinstance(mechanism, NewtonMechanism)
        solved = start + mechanism.rounds
        rounds = range(start, solved)
        correct: CommunicationStep
        if mechanism.source is None:
            correct = NewtonSweeps(rounds, self.curvature, mechanism.spectrum, address.seed)
        else:
            correct = NewtonBroadcast(
                rounds=rounds,
                clients=N,
                source=mechanism.source,
                curvature=self.curvature,
                iterations=self._steps(mechanism.spectrum),
                seed=address.seed,
            )
        sigma = tuple(release.sigma.tolist())
        return Program(
            approach=(correct, NewtonResidual(range(solved, solved + 1))),
            noise=(AddNoise(sigma, address, shared=self.shared_noise),),
            finish=(Descend(learning.order, range(start, start + release.descent_rounds)),),
            watched=tuple(range(N)),
        )

    def _mechanism(self, learning: TrainingRun) -> NewtonMechanism:
        """Return how the correction is going to be worked out."""
        low, high = _curvatures(learning, self.curvature)
        kind = NewtonSharedNoise if self.shared_noise else NewtonMechanism
        W = learning.mixing.matrix(0)
        if self.reach == "network":
            gamma = learning.step_size
            spectrum = (gamma * low, 1 - lowest_eigenvalue(W) + gamma * high)
            return kind(rounds=1 + self._steps(spectrum), spectrum=spectrum)
        targets = np.flatnonzero(learning.deleted)
        if len(targets) != 1 or learning.earlier_deletions:
            raise CertificateError(
                "with reach uniform newton answers a first request of one client; for others use reach network"
            )
        target = int(targets[0])
        depth = max(spreading_tree(adjacency_of_weights(W), target).depths)
        return kind(rounds=1 + depth, spectrum=(low, high), source=target, held=int(learning.samples[target]))

    def _steps(self, spectrum: tuple[float, float]) -> int:
        """Return the sweeps or conjugate gradients that reach the tolerance where the eigenvalues lie in there."""
        if self.iterations is not None:
            return self.iterations
        low, high = spectrum
        if self.reach == "network":
            return ceil(acosh(1 / self.tolerance) / acosh((high + low) / (high - low)))
        root = sqrt(high / low)
        return ceil(log(2 / self.tolerance) / log((root + 1) / (root - 1)))

    def _claimed_sigma(self, learning: TrainingRun) -> float:
        assert self.epsilon is not None
        return _claimed_bound(learning) * textbook_sigma(self.epsilon, self.delta)

    def _claimed(self, learning: TrainingRun, release: Release, claim: Claim) -> Claim:
        """Return the claim with what the paper might print for this noise."""
        bound = _claimed_bound(learning)
        claimed = textbook_epsilon(float(release.sigma.min()) / bound, self.delta) if bound > 0 else 0.0
        return replace(claim, claimed_epsilon=claimed if isfinite(claimed) else None)


def _curvatures(learning: TrainingRun, curvature: Curvature) -> tuple[float, float]:
    """Return the numbers between which the eigenvalues of a client's curvature lie (`clients.training.curvature`)."""
    constants = learning.constants
    if curvature == "hessian":
        return constants.strong_convexity.value, constants.L.value
    if constants.l2.value <= 0:
        raise CertificateError(f"the curvature {curvature} needs l2 > 0, which bounds it from below")
    return constants.l2.value, constants.l2.value + constants.G.value**2


def _claimed_bound(learning: TrainingRun) -> float:
    """Return B, by which the paper's correction might be said to miss the optimum: see `_CLAIMED_BY`."""
    mu, G, N = learning.constants.strong_convexity.value, learning.constants.G.value, learning.mixing.nodes
    length = 0.0
    for n, m in zip(learning.samples.tolist(), learning.deleted.tolist(), strict=True):
        if m:
            length += G / (max(N - 1, 1) * mu) if m == n else 2 * m * G / (N * n * mu)
    return length**2 / (2 * mu)
