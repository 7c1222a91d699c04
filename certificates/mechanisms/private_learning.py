"""Functions shared by the mechanisms whose noise is added to clipped gradients during learning."""

from collections.abc import Callable
from dataclasses import replace
from math import inf

import numpy as np
from numpy.typing import NDArray

from rewindnet.certificates.network import Vector
from rewindnet.certificates.sensitivity.local_steps import local_growth, strongest_regime
from rewindnet.certificates.sensitivity.rounding import RESOLUTION
from rewindnet.certificates.training import TrainingRun

#: The charge for rounding holds except for noise so large that its probability is below this.
UNLIKELY = 1e-30

#: The smallest δ that is accepted, next to which the probability of such noise is negligible.
LEAST_DELTA = 1e-20


#: The premise of every mechanism whose noise was drawn before the request (Gupta et al. 2021, arXiv 2106.04378).
FIXED_REQUEST = (
    "The request was chosen independently of the noisy models: the noise was drawn before the request, and a request "
    "that is chosen after seeing the models that carry it is not covered (Gupta et al. 2021)."
)


#: The request that noise is designed for: the client, None for any; the largest number of its samples, None for any.
Design = tuple[int | None, int | None]


def exceeds(training: TrainingRun, design: Design) -> bool:
    """Return whether a request is larger than the one that the noise was designed for.

    Args:
        training: how the network learned, and what was deleted.
        design: the request that the noise was designed for.
    """
    client, samples = design
    deleting = np.flatnonzero(training.deleted)
    return (
        len(deleting) > 1
        or (client is not None and bool(np.any(deleting != client)))
        or (samples is not None and bool(np.any(training.deleted > samples)))
    )


def design_sentence(training: TrainingRun, design: Design | None) -> str:
    """Return the sentence about the request that the level of the noise was designed for.

    Args:
        training: how the network learned, and what was deleted.
        design: the request that the noise was designed for; None where σ was given.
    """
    if design is None:
        return "The level of the noise was set by its user, independently of the request."
    client, samples = design
    who = "any one client" if client is None else f"client {client}"
    what = "any number of its samples" if samples is None else f"at most {samples} of its samples"
    sentence = f"The level of the noise was designed, before any request, for the deletion of {what} by {who}."
    exceeded = " This request exceeds that; its own ε is stated." if exceeds(training, design) else ""
    return sentence + exceeded


def changed_gradient(training: TrainingRun) -> Vector:
    """Return a bound on how much the deletion changes the mean gradient of every node [N], without clipping.

    It is 2mG/n where m of n samples are deleted, and G where all are.

    Args:
        training: how the network learned, and what was deleted.
    """
    n, m, G = training.samples, training.deleted.astype(float), training.constants.G.value
    share = np.divide(2 * m, n, out=np.zeros_like(m), where=n > 0)
    # G may be infinite, for a model of which it is not known.
    share = np.where(deletes_all(training), 1.0, share)
    return np.asarray(np.multiply(share, G, out=np.zeros_like(m), where=m > 0))


def deletes_all(training: TrainingRun) -> NDArray[np.bool_]:
    """Return the mask [N] of the nodes that delete all of their samples.

    Args:
        training: how the network learned, and what was deleted.
    """
    return np.asarray((training.samples == training.deleted) & (training.deleted > 0))


def clipped_growth(training: TrainingRun, clip: float | None, step_size: float) -> float:
    """Return γ, the Lipschitz constant of a step with a clipped gradient; infinite where no constants are known.

    It is that of the strongest regime where no gradient can be longer than the clip; otherwise it is 1 + ηL, because
    clipping preserves smoothness but not convexity.

    Args:
        training: how the network learned.
        clip: the norm to which gradients are clipped; None for no clipping.
        step_size: η.
    """
    constants = training.constants
    if not constants.known:
        return inf
    regularisation = constants.l2.value * (training.radius or inf) if constants.l2.value > 0 else 0.0
    if clip is None or clip >= constants.G.value + regularisation:
        return local_growth(replace(training, step_size=step_size), strongest_regime(training))
    return 1 + step_size * constants.L.value


def least_resolved_sigma(training: TrainingRun, step_size: float, norm: Callable[[float], float]) -> float:
    """Return the smallest σ for which `unresolved_noise` finds the noise η·σ large enough; infinite where none is.

    Args:
        training: how the network learned.
        step_size: η.
        norm: the bound on the norm of every model for a given σ; it must be affine in σ.
    """
    if training.arithmetic is None:
        return 0.0
    share, fixed = RESOLUTION * training.arithmetic.unit_roundoff, norm(0.0)
    # η·σ ≥ share·(fixed + slope·σ).
    room = step_size - share * (norm(1.0) - fixed)
    return share * fixed / room * (1 + 1e-9) if room > 0 else inf


def unresolved_noise(training: TrainingRun, delta: float, noise: float, norm: float, when: str) -> str | None:
    """Return the reason why noise added during learning has no ε in this arithmetic; None where it may have one.

    Args:
        training: how the network learned.
        delta: δ.
        noise: the standard deviation of the noise that is added to a model at a time: η·σ.
        norm: a bound on the norm of every model.
        when: the step in which noise is added, such as "a round".
    """
    if training.arithmetic is None:
        return None
    if delta < LEAST_DELTA:
        return f"rounding is charged up to a probability of {UNLIKELY:g}, and delta must be {LEAST_DELTA:g} or more"
    smallest = RESOLUTION * training.arithmetic.unit_roundoff * norm
    if noise < smallest:
        return (
            f"the noise of {when} (step_size·sigma {noise:.4g}) is too small for the arithmetic to carry; it takes at "
            f"least {smallest:.4g} here"
        )
    return None
