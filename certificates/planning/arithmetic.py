"""The noise of a release on the back of an envelope: what is left where gossip has averaged it evenly."""

from math import isfinite

import numpy as np

from rewindnet.certificates.accounting.gaussian import mu_of
from rewindnet.certificates.claim import Claim
from rewindnet.certificates.release import Release
from rewindnet.certificates.sensitivity.local_steps import (
    local_growth,
    powers,
    strongest_regime,
    worst_case_disturbance,
)
from rewindnet.certificates.training import TrainingRun

#: The views in which the noise of all nodes counts together.
_TOGETHER = ("joint", "transcript:all")


def evenly_averaged_noise(training: TrainingRun, release: Release, claim: Claim, epsilon: float) -> float | None:
    """Return the standard deviation of the noise in every parameter of every model, after the noise is averaged evenly.

    Where mixing is doubly stochastic, it preserves the sum of the sensitivities: Σe ← γ·Σe + Σb in each of the T − K
    disturbed rounds, from 0. On a graph that mixes fast, e is even: ‖e‖₂ = Σe/√N, every node adds σ = ‖e‖₂/μ, and the
    average of N such vectors has σ/√N, so what is left is

        Σe / (μ(ε, δ)·N).

    N decides. Where a share of all clients deletes, Σb grows with N, and the share decides. Descent after the noise,
    which takes some of it away, and rounding are left out.

    Args:
        training: how the network learned, and what was deleted.
        release: what the unlearning method did.
        claim: the view, the bound and δ.
        epsilon: ε.

    Returns:
        None where this is not how the noise gets there: unless one Gaussian vector for each node is added to the
        checkpoint, the bound is the worst case and the view that of all nodes together.
    """
    together = str(claim.view) in _TOGETHER and claim.bound == "worst-case" and release.placement == "rewind"
    if not together or not release.mechanism.one_vector or epsilon <= 0 or training.batches is not None:
        return None
    if training.departed or training.uncovered or not training.constants.known:
        return None
    gamma, E = local_growth(training, claim.regime or strongest_regime(training)), training.local_steps
    steps, total = powers(gamma, E), 0.0
    with np.errstate(over="ignore", invalid="ignore"):
        for round in range(release.checkpoint_round):
            # Samples that an earlier request has taken away disturb no later round.
            total = steps[E] * total + float(worst_case_disturbance(training, round).sum(axis=1) @ steps[:E])
    noise = total / (mu_of(epsilon, claim.delta) * training.mixing.nodes)
    return noise if isfinite(noise) else None
