"""Certified Newton by a stochastic inverse Hessian: one damped Newton step on the retained data, and noise.

Zhang, Dong, Wang and Li (2024), "Towards certified unlearning for deep neural networks", arXiv 2408.00920, as Mu and
Klabjan (2025), arXiv 2409.09778, compare it with R2D. Weights are to stay within a norm C (`learning.radius`), λ makes
the Hessian positive, and its inverse is estimated from small batches. The bound that the paper adds noise for is

    Δ = (2C(MC + λ) + G)/(λ + λ_min) + (16·√(ln(d/ρ))/(λ + λ_min) + 1/16)·(2LC + G)

with M the Lipschitz constant of the Hessian, λ_min its smallest eigenvalue and d parameters; it is to hold with
probability 1 − ρ. Reconstructed: of what stands beside √(ln(d/ρ)) the code of Mu and Klabjan is followed, which has 1,
and √(d/ρ) in place of the root of the logarithm, the other formula here. The authors' own code adds σ = 0.001, whatever
ε. Their code adds λ times the sum of the norms of the layers to the loss; here it is λ/2·‖θ‖², as in the paper. On a
network every client takes the step with its own data, and models are mixed once, before the noise.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf, isfinite, log, sqrt
from typing import Any, ClassVar, Literal

import numpy as np

from rewindnet.certificates import (
    Certificate,
    CertificateError,
    Claim,
    Release,
    TrainingRun,
    View,
    textbook_epsilon,
    textbook_sigma,
)
from rewindnet.certificates.mechanisms.cns import CNS as CNSMechanism
from rewindnet.clients.methods.base import MethodError, UnlearningPlan, demand, weakest_bound
from rewindnet.clients.methods.empirical import Empirical
from rewindnet.clients.methods.settings import check_noise_settings
from rewindnet.clients.steps.program import Program
from rewindnet.clients.training.noise import NoiseAddress

#: The noise of the authors' code.
_SIGMA = 1e-3


@dataclass(frozen=True, kw_only=True)
class CNS(Empirical):
    """Take one damped Newton step by a stochastic inverse Hessian, add noise: Zhang et al. 2024, reconstructed.

    Give `epsilon`, for the noise that a formula takes for it, or `sigma`; with neither, σ is the authors' 0.001.

    Args:
        damping: λ, added to the eigenvalues of the Hessian.
        scale: by which it is divided; larger than λ, and than the largest eigenvalue with λ.
        recursions: s1, the number of estimates of the step, whose mean is taken.
        terms: s2, the number of terms of each.
        batch: samples in a term.
        epsilon: the ε to claim.
        sigma: the noise of every node instead.
        formula: of the claim: the paper's (`paper`), or that of the code that compared it with R2D (`code`).
        hessian_lipschitz: M.
        lowest: λ_min.
        failure: ρ.
        noise_source: `seed` for studies, `os` for a release.
        view: the view of the observer.
        delta: δ of the certificate.

    Raises:
        MethodError: if a setting is out of range.
    """

    name = "cns"
    why_none: ClassVar[str] = (
        "no certificate is known: the published bound takes a minimum of the loss, or gradients that vanish, and a "
        "Lipschitz constant of the Hessian of which no proof is known, and it may fail with some probability"
    )
    damping: float = 200.0
    scale: float = 5e4
    recursions: int = 10
    terms: int = 1000
    batch: int = 10
    epsilon: float | None = None
    sigma: float | None = None
    formula: Literal["paper", "code"] = "paper"
    hessian_lipschitz: float = 1.0
    lowest: float = 0.0
    failure: float = 0.1
    noise_source: Literal["seed", "os"] = "seed"

    def __post_init__(self) -> None:
        """Check the settings."""
        self._check(
            positive=("damping", "scale"),
            counts=("recursions", "terms", "batch"),
            shares=("hessian_lipschitz",),
        )
        check_noise_settings(self.name, self.epsilon, self.sigma, self.delta, self.view)
        if self.scale <= self.damping:
            raise MethodError(
                f"scale of cns must be larger than damping, {self.damping:g}, or the terms grow; it is {self.scale:g}"
            )
        if self.formula not in ("paper", "code"):
            raise MethodError(f"formula of cns is one of paper, code, not {self.formula!r}")
        if not (isfinite(self.lowest) and self.damping + self.lowest > 0):
            raise MethodError(f"lowest of cns must be larger than −damping, {-self.damping:g}, not {self.lowest}")
        if not 0 < self.failure < 1:
            raise MethodError(f"failure of cns is a probability strictly between 0 and 1, not {self.failure}")

    @property
    def variant(self) -> str:
        """The size of the noise."""
        return f"λ = {self.damping:g}"

    def plan(self, learning: TrainingRun) -> UnlearningPlan:
        """Return the step and its noise, with the ε that is claimed for it; nothing is certified.

        Raises:
            CertificateError: if an ε is asked for, and the formula lacks a constant.
        """
        learning.check_view(View.of(self.view))
        release = Release(
            method=self.name,
            checkpoint_round=learning.rounds,
            descent_rounds=0,
            placement="output",
            sigma=np.full(learning.mixing.nodes, self._sigma(learning)),
            noise_source=self.noise_source,
            mechanism=CNSMechanism(self.why_none, self._deed(learning)),
        )
        claim = Claim(View.of(self.view), self.delta, weakest_bound(learning), claimed_by=self._claimed_by(learning))
        bound, sigma = self._bound(learning, self.formula), self._sigma(learning)
        claimed = textbook_epsilon(sigma / bound, self.delta) if isfinite(bound) else inf
        return UnlearningPlan(release, replace(claim, claimed_epsilon=claimed if isfinite(claimed) else None))

    def program(
        self, release: Release, learning: TrainingRun, address: NoiseAddress, checkpoint_names: Mapping[int, str]
    ) -> Program:
        """Return the step and the noise."""
        from rewindnet.clients.steps.cns import CNSStep
        from rewindnet.clients.steps.learning import AddNoise

        step = CNSStep(
            rounds=range(learning.rounds, learning.rounds + 1),
            seed=address.seed,
            recursions=self.recursions,
            terms=self.terms,
            batch=self.batch,
            damping=self.damping,
            scale=self.scale,
        )
        return Program((step,), (AddNoise(tuple(release.sigma.tolist()), address),))

    def check_certificate(self, certificate: Certificate, training: TrainingRun, cost: Mapping[str, Any]) -> None:
        """Check the noise and the rounds against the settings."""
        wanted, sigma = self._sigma(training), certificate.release.sigma
        demand(bool(np.all(np.asarray(sigma) == wanted)), f"every node was to add noise of σ = {wanted:g}")
        demand(cost["rounds"] == 1, f"{cost['rounds']} rounds were counted; models are exchanged once")

    def checkpoints(self, rounds: int) -> Sequence[int]:
        """Return the end of learning."""
        return (rounds,)

    def _deed(self, learning: TrainingRun) -> str:
        return (
            f"took a Newton step on the retained data, with {self.damping:g} added to the eigenvalues of a Hessian "
            f"estimated from {self.recursions}·{self.terms} batches of {self.batch}, exchanged models once, and added "
            f"noise of σ = {self._sigma(learning):.3g}"
        )

    def _sigma(self, learning: TrainingRun) -> float:
        """Return the noise that was asked for."""
        if self.epsilon is None:
            return _SIGMA if self.sigma is None else self.sigma
        bound = self._bound(learning, self.formula)
        if not isfinite(bound):
            raise CertificateError(
                f"no noise can be claimed to reach epsilon {self.epsilon:g}: the formula of cns takes learning.radius, "
                "and G and L of the model (proven, declared or estimated constants); set these, or give sigma"
            )
        return bound * textbook_sigma(self.epsilon, self.delta)

    def _bound(self, learning: TrainingRun, formula: str) -> float:
        """Return Δ; infinity where a constant is not known."""
        constants, C = learning.constants, learning.radius
        if C is None or learning.arithmetic is None or not constants.known:
            return inf
        G, L, share = constants.G.value, constants.L.value, learning.arithmetic.parameters / self.failure
        root, low = sqrt(log(share)) if formula == "paper" else sqrt(share), self.damping + self.lowest
        newton = (2 * C * (self.hessian_lipschitz * C + self.damping) + G) / low
        return newton + (16 * root / low + 1 / 16) * (2 * L * C + G)

    def _claimed_by(self, learning: TrainingRun) -> str:
        """Return what is claimed by both formulas, for the record."""
        said = []
        for formula, root in (("paper", "sqrt(ln(d/rho))"), ("code", "sqrt(d/rho)")):
            bound = self._bound(learning, formula)
            size = f"{bound:.4g}" if isfinite(bound) else "unknown without learning.radius, G and L"
            said.append(f"{size} by the {formula}, with {root}")
        return (
            "sigma = Delta·sqrt(2·ln(1.25/delta))/epsilon, or the exact Gaussian above epsilon = 1, for Delta = "
            "(2C(MC + lambda) + G)/(lambda + lambda_min) + (16·root/(lambda + lambda_min) + 1/16)(2LC + G): "
            f"{said[0]}, and {said[1]}; the authors' own code adds sigma = {_SIGMA:g} whatever epsilon"
        )
