"""The noise of a token's visits to the deleting client: how much reaches an ε, and what it would hide of a known model.

The mechanism and its proof are those of `mechanisms.rr_du`.
"""

from dataclasses import replace
from math import hypot

import numpy as np

from rewindnet.certificates.accounting.gaussian import mu_of, mu_of_difference
from rewindnet.certificates.claim import Claim
from rewindnet.certificates.errors import CertificateError
from rewindnet.certificates.mechanisms.rr_du import RRDU
from rewindnet.certificates.release import Release
from rewindnet.certificates.training import TrainingRun


def calibrated(mechanism: RRDU, training: TrainingRun, release: Release, claim: Claim, epsilon: float) -> RRDU:
    """Return the mechanism with the noise that reaches (ε, δ), at the least Σ_k noise_k².

    Under Σ_k (difference_k/noise_k)² = μ² this is noise_k² ∝ difference_k; a visit at which the two runs cannot
    differ carries no noise.

    Args:
        mechanism: the visits, whatever their noise.
        training: how the network learned, and what was deleted.
        release: what the unlearning method did.
        claim: the view, the δ and the bound.
        epsilon: the ε to reach.

    Raises:
        CertificateError: if no noise can reach it for the claim's view.
    """
    least = mechanism.least_sigma(training, release)
    unit_noise = replace(mechanism, noise=(max(1.0, least),) * len(mechanism.visit_rounds))
    bounds = unit_noise.bounds(training, release, claim)
    reason = unit_noise.why_not_covered(training, release, claim)
    if reason is not None:
        raise CertificateError(f"no noise reaches epsilon {epsilon:g} for the view {claim.view}: {reason}")
    differences = unit_noise.shifts(bounds)
    # Slightly above the exact boundary, so that the certificate of the rounded noise still gives at most ε.
    noise = np.sqrt(differences * differences.sum()) / mu_of(epsilon, claim.delta) * (1 + 1e-12)
    noise = np.where(differences > 0, np.maximum(noise, least), noise)
    return replace(mechanism, noise=tuple(noise.tolist()))


def mu_given_reference(mechanism: RRDU, training: TrainingRun) -> float:
    """Return μ of all visits if u's learned model were known and the same in both runs: √(Σ_k (η·Δ/noise_k)²).

    Only under this reading is the paper's sensitivity that of a clipped direction. It is not a guarantee of
    unlearning: with `exact` alignment it is 0 without any noise, as it would be if nothing were done at all.

    Args:
        mechanism: the visits and their noise.
        training: how the network learned, and what was deleted.
    """
    shift = mechanism.later_shift(training)
    return hypot(*(mu_of_difference(shift, noise) for noise in mechanism.noise)) if mechanism.noise else 0.0
