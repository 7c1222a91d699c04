"""Sensitivity after given numbers of rounds with and without the forget set, by each bound.

The recursion is that of `sensitivity.recursion`; the `published` bound is the closed form of the R2D paper.
"""

import numpy as np
from numpy.typing import NDArray

from rewindnet.certificates.claim import Bound
from rewindnet.certificates.constants import Regime
from rewindnet.certificates.errors import CertificateError
from rewindnet.certificates.sensitivity.local_steps import local_growth, strongest_regime
from rewindnet.certificates.sensitivity.recursion import Recursion, Sensitivity
from rewindnet.certificates.training import TrainingRun


def propagate(
    training: TrainingRun,
    *,
    disturbed: int,
    undisturbed: int,
    bound: Bound = "worst-case",
    regime: Regime | None = None,
) -> Sensitivity:
    """Return the sensitivity after `disturbed` rounds that use the forget set and `undisturbed` rounds that do not.

    With γ_E = γ^E and b_E = Σ_k γ^(E−1−k) b_k, the recursion from e⁰ = 0 is, for each order (b = 0 in undisturbed
    rounds):

        adapt-then-combine          e⁺ = W (γ_E e + b_E)
        combine-then-adapt          e⁺ = γ_E W e + b_E
        consensus-plus-gradient     e⁺ = (W − diag W) e + κ ∘ e + b_E

    Where clients project their parameters onto a ball, e is at most the ball's diameter after every round. Nodes that
    the influence of the deletion cannot have reached are computed identically in both runs and keep e = 0 exactly.
    Where the checkpoint of round s is recovered, its error is added to e^s at every node.

    Args:
        training: how the network learned and what was deleted.
        disturbed: s; rounds 0 … s−1 use the forget set.
        undisturbed: q; rounds s … s+q−1 use retained data only.
        bound: `worst-case` from the constants, `instance` from the ledger, `published` for the formula of the R2D
            paper, which ignores the topology.
        regime: the curvature to assume; by default the strongest that the constants prove.

    Raises:
        CertificateError: if the rounds lie outside learning, the regime is not proven, the result is not finite, or it
            would take constants that are not known.
    """
    regime = regime or strongest_regime(training)
    _check_rounds(training, disturbed, undisturbed)
    if disturbed and training.uncovered:
        raise CertificateError(f"no bound is known on how far the models differ: {training.uncovered}")
    if not training.constants.known:
        return _without_constants(training, disturbed)
    with np.errstate(over="ignore", invalid="ignore"):
        if bound == "published":
            result = _published(training, disturbed, undisturbed)
        else:
            result = _propagate_requests(
                training, training.deleted[:, None], disturbed, undisturbed, bound, regime
            ).column(0)
    if not np.all(np.isfinite(result.total)):
        raise CertificateError(_divergence_message(training, regime))
    return result


def is_bounded(training: TrainingRun, disturbed: int) -> bool:
    """Return whether a sensitivity after rounds that use the forget set follows from what is known of the model.

    Args:
        training: how the network learned and what was deleted.
        disturbed: the number of these rounds; none of them differs from retraining, whatever the model.
    """
    return training.constants.known or disturbed == 0 or not training.deleted.any()


def _without_constants(training: TrainingRun, disturbed: int) -> Sensitivity:
    """Return the sensitivity of a model of which nothing is known: 0 where no round has used the forget set.

    Raises:
        CertificateError: if one has.
    """
    if not is_bounded(training, disturbed):
        raise CertificateError(training.constants.why_unknown)
    zero = np.zeros(training.mixing.nodes)
    return Sensitivity(total=zero, rounding=zero)


def _check_rounds(training: TrainingRun, disturbed: int, undisturbed: int) -> None:
    """Refuse rounds that learning does not have."""
    if not 0 <= disturbed <= training.rounds or undisturbed < 0:
        raise CertificateError(
            f"learning has {training.rounds} rounds; {disturbed} rounds with the forget set and {undisturbed} without "
            "it do not fit"
        )


def _propagate_requests(
    training: TrainingRun, deleted: NDArray[np.int64], disturbed: int, undisturbed: int, bound: Bound, regime: Regime
) -> Sensitivity:
    """Return the sensitivity for each of k requests [N, k]."""
    recursion = Recursion(training, deleted, disturbed + undisturbed, bound, regime)
    state = recursion.advance(recursion.start, range(disturbed), disturbed=True)
    state = recursion.begun_from_checkpoint(state, disturbed)
    return recursion.advance(state, range(disturbed, disturbed + undisturbed), disturbed=False).sensitivity


def _published(training: TrainingRun, disturbed: int, undisturbed: int) -> Sensitivity:
    """Return (2mG/(Ln))·((1 + ηLn/(n−m))^s − 1)·(1 + ηL)^q at every node, counting local steps as rounds.

    Mu and Klabjan (2025), arXiv 2409.09778. For one machine this is their theorem. On a network it is a bound that
    ignores the topology: the rows of W sum to 1, so the largest e_i obeys the one-machine recursion of the worst node.
    """
    worst = published_distance(training, training.deleted, disturbed, undisturbed)
    recursion = _propagate_requests(
        training, training.deleted[:, None], disturbed, undisturbed, "worst-case", "nonconvex"
    )
    charged = recursion.rounding[:, 0]
    rounding = np.full_like(charged, charged.max(initial=0.0))
    return Sensitivity(total=np.full(training.mixing.nodes, worst) + rounding, rounding=rounding)


def published_distance(training: TrainingRun, deleted: NDArray[np.int64], disturbed: int, undisturbed: int) -> float:
    """Return the published sensitivity of a request without rounding, the same at every node.

    Args:
        training: how the network learned; its own deletions are ignored.
        deleted: [N], the number of samples that the request deletes at each node.
        disturbed: as for `propagate`.
        undisturbed: as for `propagate`.

    Raises:
        CertificateError: if the bound does not cover the request, or the step size is beyond what it allows.
    """
    clipped = training.client_clip is not None
    if training.batches is not None or training.departed or training.earlier_deletions or clipped:
        raise CertificateError(
            "the published bound is for full gradients that are not clipped, clients that stay and a first request; "
            "use worst-case"
        )
    if training.error_of_checkpoint(disturbed):
        raise CertificateError("the published bound has no place for the error of a checkpoint; use worst-case")
    if training.step_sizes:
        raise CertificateError("the published bound is for one step size in all rounds; use worst-case")
    eta, G, L = training.step_size, training.constants.G.value, training.constants.L.value
    worst = 0.0
    for n, m in zip(training.samples.tolist(), deleted.tolist(), strict=True):
        if m == 0 or disturbed == 0:
            continue
        if m == n:
            raise CertificateError(
                "the published bound does not cover a client that deletes everything; use worst-case"
            )
        limit = min(1 / L, n / (2 * (n - m) * L))
        if eta > limit:
            raise CertificateError(
                f"step_size {eta:g} is beyond what the published bound allows: "
                f"at most min(1/L, n/(2(n−m)L)) = {limit:.6g}"
            )
        s, q = disturbed * training.local_steps, undisturbed * training.local_steps
        growth = np.expm1(s * np.log1p(eta * L * n / (n - m))) * np.exp(q * np.log1p(eta * L))
        worst = max(worst, float(2 * m * G / (L * n) * growth))
    return worst


def _divergence_message(training: TrainingRun, regime: Regime) -> str:
    """Return the error message for a sensitivity that is not finite."""
    growth = local_growth(training, regime)
    advice = f"in the regime {regime} a local step may expand differences by {growth:.4g}"
    if regime in ("convex", "strongly-convex"):
        advice += f"; step_size up to 2/L = {2 / training.constants.L.value:.6g} keeps it at most 1"
    else:
        limit = 700 / (training.rounds * training.local_steps * training.constants.L.value)
        advice += f"; with {training.rounds} rounds keep step_size below about {limit:.3g}"
    return f"step_size {training.step_size:g} allows no finite certificate: {advice}"
