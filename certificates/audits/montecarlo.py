"""Monte-Carlo audits: a lower bound on ε from samples of the noise, by the likelihood-ratio test.

**Test statistic.** For a given view, the unlearned and the retrained network are Gaussians with the same covariance Σ
and known centres c and c', at the distance μ = ‖Σ^{-1/2}(c − c')‖. The most powerful test between them is a threshold
on the likelihood ratio (Neyman and Pearson 1933), whose logarithm is

    log p_c(x)/p_c'(x) = μ·(T(x) − μ/2),    T(x) = ⟨Σ⁻¹(c − c'), x − c'⟩/μ,

so a threshold on T is a threshold on the likelihood ratio. Let X = Σ_i ⟨b_i, z_i⟩ with Σ_i ‖b_i‖² = 1, where z_i is the
standard noise of node i. T equals X for the retrained network and μ + X for the unlearned one. The z_i are whole
vectors from the sampler that is audited; X is not assumed to be Gaussian.

**Validity.** The test says "unlearned" where T > t. Suppose the view is (ε, δ)-indistinguishable. Then
TPR ≤ e^ε·FPR + δ and 1 − FPR ≤ e^ε·(1 − TPR) + δ for every t (Kairouz, Oh and Viswanath 2015), hence

    ε ≥ log((TPR − δ)/FPR)    and    ε ≥ log((1 − FPR − δ)/(1 − TPR)).                       (1)

Suppose the view is μ-GDP, as a certificate with a μ claims. Then TPR ≤ Φ(Φ⁻¹(FPR) + μ) for every t (Dong, Roth and Su
2022, Def. 3). The difference TPR − FPR is largest where FPR = Φ(−μ/2), so TPR − FPR ≤ 2Φ(μ/2) − 1, hence

    μ ≥ 2·Φ⁻¹((1 + TPR − FPR)/2),    and    ε ≥ ε(δ; μ) where the noise is Gaussian.         (2)

**One count for a difference.** Both networks draw the same noise, so TPR − FPR = P(t − μ < X ≤ t): the probability that
the two tests of one draw, with its noise around either centre, disagree. The number of such draws is binomial, and one
lower bound of Clopper and Pearson (1934) replaces a lower bound on the TPR and an upper bound on the FPR. Where μ is
small, nearly all of the variance of the two rates is common to both and cancels.

The first tenth of the draws chooses two thresholds: one in the tail, where (1) is best, and one in the middle, where
(2) is best. Given the thresholds, the counts over the other draws are binomial. A fifth of 1 − confidence is spent on
(1): half of it on a lower bound on the TPR and half on an upper bound on the FPR. The rest is spent on the difference
in (2). By the union bound, which needs no independence, all three hold together with probability at least `confidence`.
The largest lower bound on ε that follows from them holds at that confidence.

Sources: Jagielski, Ullman and Oprea (2020), "Auditing differentially private machine learning"; Nasr et al. (2021),
"Adversary instantiation: lower bounds for differentially private machine learning"; Nasr et al. (2023), "Tight auditing
of differentially private machine learning", who bound the two rates in (2) one by one.

**Power.** With n counted draws, (1) cannot exceed log(n/5.3), and (2) loses about 2.8·√(μ/n) of a small μ, where bounds
on both rates would lose 5.6/√n.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv, ndtr, ndtri

from rewindnet.certificates.accounting.gaussian import epsilon_of
from rewindnet.certificates.audits.distinguisher import Distinguisher, distinguisher
from rewindnet.certificates.certificate import Certificate
from rewindnet.certificates.errors import CertificateError
from rewindnet.certificates.network import Mixing, Vector

#: A sampler of a node's standard noise: (node, first draw, number of draws) → [draws, d].
Noise = Callable[[int, int, int], NDArray[np.float64]]

DRAWS = 2_000
MOST_DRAWS = 10_000_000
#: The number of noise values that an audit draws by default, which takes a second or two.
_AFFORDABLE = 100_000_000
#: The fewest draws that an audit makes by default; with fewer it has no power at ε = 1.
_FEWEST = 500
#: The number of noise values in memory at a time.
_AT_ONCE = 1 << 20
#: The share of 1 − confidence that is spent on the two rates of the tail.
_SHARE_OF_TAIL = 0.2
#: The candidate thresholds, in standard deviations of X; with two digits, rounding of X cannot change the choice.
_THRESHOLDS = np.arange(601) / 100


@dataclass(frozen=True)
class MonteCarlo:
    """The result of testing a release with samples of its noise.

    Attributes:
        epsilon_lower_bound: a lower bound on ε at the certificate's δ, valid with probability `confidence`. Where the
            bound through μ is the largest one, it is valid if the noise is Gaussian; a certificate with a smaller ε is
            wrong in any case, because it claims its μ too.
        confidence: the confidence of the bound.
        draws: the number of draws of the noise of every node in the view; the first tenth chose the thresholds.
        counted: the number of draws that were counted under each of the two hypotheses.
        thresholds: the thresholds of the two tests, in standard deviations of X: that of the tail, and that of the
            middle.
        true_positives: how often each test said "unlearned" of the unlearned network.
        false_positives: how often each test said "unlearned" of the retrained network.
    """

    epsilon_lower_bound: float
    confidence: float
    draws: int
    counted: int
    thresholds: tuple[float, ...]
    true_positives: tuple[int, ...]
    false_positives: tuple[int, ...]

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> "MonteCarlo":
        """Return the result of a record, which is plain JSON.

        Args:
            record: the fields of this class by name.

        Raises:
            CertificateError: if a field is missing or unknown.
        """
        if not isinstance(record, Mapping) or {field.name for field in fields(cls)} != set(record):
            raise CertificateError("the record of the Monte-Carlo audit is damaged: fields missing or unknown")
        plain: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in record.items()
        }
        return cls(**plain)


def monte_carlo(
    certificate: Certificate,
    mixing: Mixing,
    centre: NDArray[np.floating[Any]],
    retrained: NDArray[np.floating[Any]],
    noise: Noise,
    draws: int | None = None,
    confidence: float = 0.999,
) -> MonteCarlo | None:
    """Return a lower bound on ε for the certificate's view, from samples of the noise around two centres.

    The bound concerns the values that the certificate's μ refers to: the model after the gossip rounds for `node:v`
    with placement output, the noised vectors in the light cone for `transcript:v`, and all noised vectors where the
    certificate treats the view as their post-processing.

    Args:
        certificate: the certificate of the release; its ε is not used.
        mixing: the mixing matrices of the network.
        centre: [N, d], the unlearned models where the noise is added, before the noise.
        retrained: [N, d], the retrained models at the same point.
        noise: the sampler to audit. Its vectors for different nodes or draws must be independent.
        draws: the number of draws; by default `DRAWS`, or as many as take a second or two, or none if those are too few
            to have any power.
        confidence: the confidence of the bound, in (0, 1).

    Returns:
        The result; None where there is nothing to sample: nothing differs, a node that differs carries no noise, or
        `draws` is 0.

    Raises:
        CertificateError: if the confidence does not lie in (0, 1), or the draws are too few or too many.
    """
    if not 0 < confidence < 1:
        raise CertificateError(f"confidence must lie strictly between 0 and 1, not {confidence}")
    if draws is not None:
        check_draws(draws)
    if draws == 0:
        return None
    optimal = distinguisher(certificate, mixing, centre, retrained)
    if optimal is None:
        return None
    draws = default_draws(len(optimal.nodes), centre.shape[1]) if draws is None else draws
    if draws == 0:
        return None
    samples = _projections(optimal, noise, draws, centre.shape[1])
    pilot, counted = np.split(samples, [draws // 10])
    thresholds = _thresholds(optimal.mu, pilot, len(counted), confidence, certificate.delta)
    true = tuple(int(np.count_nonzero(optimal.mu + counted > t)) for t in thresholds)
    false = tuple(int(np.count_nonzero(counted > t)) for t in thresholds)
    return MonteCarlo(
        epsilon_lower_bound=lower_bound(true, false, len(counted), confidence, certificate.delta),
        confidence=confidence,
        draws=draws,
        counted=len(counted),
        thresholds=thresholds,
        true_positives=true,
        false_positives=false,
    )


def check_draws(draws: int) -> int:
    """Return the given number of draws if it is 0 or between 100 and `MOST_DRAWS`.

    With fewer than 100 draws no threshold can be chosen.

    Args:
        draws: the number of draws.

    Raises:
        CertificateError: otherwise.
    """
    if draws != 0 and not 100 <= draws <= MOST_DRAWS:
        raise CertificateError(f"a Monte-Carlo audit takes 0 draws, or 100 to {MOST_DRAWS:,}, not {draws:,}")
    return draws


def default_draws(nodes: int, parameters: int) -> int:
    """Return how many draws an audit makes by default.

    Args:
        nodes: the number of nodes whose noise is drawn.
        parameters: d, the number of parameters of each model.
    """
    affordable = min(DRAWS, _AFFORDABLE // (nodes * parameters))
    return affordable if affordable >= _FEWEST else 0


def lower_bound(true: Sequence[int], false: Sequence[int], counted: int, confidence: float, delta: float) -> float:
    """Return the lower bound on ε that the counts of the tests prove at this confidence; at least 0.

    Args:
        true: the true positives of the test of the tail and of the test of the middle.
        false: the false positives of the two.
        counted: the number of draws under each hypothesis.
        confidence: the confidence of the bound.
        delta: δ.
    """
    tail_level, middle_level = _levels(confidence)
    low, high = _rate_bounds(np.array(true[:1], dtype=float), np.array(false[:1], dtype=float), counted, tail_level)
    mu = float(_mu_bound(np.array(true[-1] - false[-1], dtype=float), counted, middle_level))
    return max(0.0, float(_epsilon_bounds(low, high, delta).max()), epsilon_of(mu, delta))


def _levels(confidence: float) -> tuple[float, float]:
    """Return the error probabilities of each rate of the tail, and of the difference of rates in the middle."""
    return (1 - confidence) * _SHARE_OF_TAIL / 2, (1 - confidence) * (1 - _SHARE_OF_TAIL)


def _mu_bound(between: Vector, counted: int, level: float) -> Vector:
    """Return the lower bound of (2) on μ from the numbers of draws with t − μ < X ≤ t, at that level."""
    difference = _lowest_rate(between, counted, level)
    return np.asarray(2 * ndtri((1 + difference) / 2))


def _lowest_rate(count: Vector, counted: int, level: float) -> Vector:
    """Return Clopper and Pearson's lower bound on a probability, at that level."""
    smallest_count = 1e-6  # expected counts, from which thresholds are chosen, can lie between 0 and 1
    return np.where(count > 0, betaincinv(np.maximum(count, smallest_count), counted - count + 1, level), 0.0)


def _rate_bounds(true: Vector, false: Vector, counted: int, level: float) -> tuple[Vector, Vector]:
    """Return Clopper and Pearson's lower bounds on the TPRs and upper bounds on the FPRs, each at that level."""
    return _lowest_rate(true, counted, level), 1 - _lowest_rate(counted - false, counted, level)


def _epsilon_bounds(low: Vector, high: Vector, delta: float) -> Vector:
    """Return the larger bound on ε of (1) for a TPR of at least `low` and an FPR of at most `high`."""
    with np.errstate(divide="ignore"):
        return np.maximum(
            np.log(np.maximum(low - delta, 0.0) / high), np.log(np.maximum(1 - high - delta, 0.0) / (1 - low))
        )


def _thresholds(mu: float, pilot: Vector, counted: int, confidence: float, delta: float) -> tuple[float, ...]:
    """Return the two thresholds with the best expected bounds, for a Gaussian X with the pilot's mean and deviation."""
    mean, deviation = float(pilot.mean()), max(float(pilot.std()), 1e-3)
    true, false = (counted * ndtr((mean + shift - _THRESHOLDS) / deviation) for shift in (mu, 0.0))
    tail_level, middle_level = _levels(confidence)
    low, high = _rate_bounds(true, false, counted, tail_level)
    tail, middle = _epsilon_bounds(low, high, delta), _mu_bound(true - false, counted, middle_level)
    return tuple(float(_THRESHOLDS[int(np.argmax(promise))]) for promise in (tail, middle))


def _projections(optimal: Distinguisher, noise: Noise, draws: int, parameters: int) -> Vector:
    """Return the samples of X [draws]."""
    total = np.zeros(draws)
    rows = max(1, _AT_ONCE // parameters)
    for node, share in zip(optimal.nodes, optimal.shares, strict=True):
        direction = share * optimal.towards(node)
        for first in range(0, draws, rows):
            drawn = noise(node, first, min(rows, draws - first))
            total[first : first + len(drawn)] += drawn @ direction
    return total
