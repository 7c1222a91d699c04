"""Monte-Carlo audits: a lower bound on ε from samples of the noise, by the best linear distinguisher.

Whoever sees a view and must tell the unlearned network from the retrained one does best with T = ⟨Σ⁻¹(c − c'), ·⟩
(Neyman and Pearson 1933: both are Gaussians with covariance Σ around c and c'). Scaled to unit variance, T − T(c') is X
where the network was retrained and μ + X where it unlearned, with X = Σ_i ⟨b_i, z_i⟩, Σ_i ‖b_i‖² = 1 and z_i the
standard noise of node i. The z_i are whole vectors out of whatever sampler is to be tried; that X is Gaussian is not
assumed.

**Validity.** Guess "unlearned" where T > t. If a view is (ε, δ)-indistinguishable, TPR ≤ e^ε·FPR + δ and
1 − FPR ≤ e^ε·(1 − TPR) + δ for every t (Kairouz, Oh and Viswanath 2015), hence

    ε ≥ log((TPR − δ)/FPR)    and    ε ≥ log((1 − FPR − δ)/(1 − TPR));

if it is μ-GDP, as a certificate's μ claims, TPR ≤ Φ(Φ⁻¹(FPR) + μ) (Dong, Roth and Su 2022, Def. 3), hence

    μ ≥ Φ⁻¹(TPR) − Φ⁻¹(FPR),    and ε ≥ ε(δ; μ) where the noise is Gaussian.

The first tenth of the draws chooses two thresholds: one in the tail, where the first bounds are best, and one in the
middle, where the last one is. Given these, the counts over the other draws are binomial. A lower bound on the TPR and
an upper one on the FPR of either threshold (Clopper and Pearson 1934), each at level (1 − confidence)/4, hold all
together with probability at least `confidence` by the union bound, which needs no independence: so the same draws serve
both worlds. The largest of what follows from them is a lower bound at that confidence. Jagielski, Ullman and Oprea
(2020), "Auditing differentially private machine learning"; Nasr et al. (2021), "Adversary instantiation: lower bounds
for differentially private machine learning"; the bound through μ as in Nasr et al. (2023), "Tight auditing of
differentially private machine learning".

**Power.** For n counted draws the first bounds cannot exceed log(n/4.4), and the last loses about 5.6/√n of μ. At
ε = 1, δ = 1e-5 noise of half the certified size (μ = 0.54 instead of 0.27) is caught from about 1,000 draws on, and by
the first bounds alone from about 25,000.
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
from rewindnet.certificates.training import Mixing, Vector

#: Standard noise of a node: (node, first draw, number of draws) → [draws, d].
Noise = Callable[[int, int, int], NDArray[np.float64]]

DRAWS = 2_000
MOST_DRAWS = 10_000_000
#: Noise values that an audit draws unless told how many draws to make: a second or two's worth.
_AFFORDABLE = 100_000_000
#: With fewer draws nothing is seen at ε = 1.
_FEWEST = 500
#: Noise values held at a time.
_AT_ONCE = 1 << 20
#: Thresholds to choose from, in standard deviations of X. Two digits, so that no rounding of X can shift the choice.
_THRESHOLDS = np.arange(601) / 100


@dataclass(frozen=True)
class MonteCarlo:
    """What samples of the noise say of a release.

    Attributes:
        epsilon_lower_bound: the true ε at the certificate's δ is at least this with probability `confidence`. Where the
            bound through μ is the largest, that is if the noise is Gaussian; a certificate of less is wrong in any
            case, for it claims its μ too.
        confidence: of the bound.
        draws: of every node's noise that the view shows; the first tenth chose the thresholds.
        counted: how many of them were counted, in each of the two worlds.
        thresholds: of the two tests, in standard deviations of the noise.
        true_positives: how often each test said "unlearned" of what was.
        false_positives: how often of what was retrained.
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
        """From plain JSON.

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
    confidence: float = 0.95,
) -> MonteCarlo | None:
    """A lower bound on ε for the certificate's view of what was noised around these centres.

    It bounds what the certificate's μ is about: the settled model for `node:v` of placement output, the noised vectors
    in the light cone for `transcript:v`, all noised vectors where the certificate takes the view for their
    post-processing.

    Args:
        certificate: what is claimed of the release; its ε plays no part.
        mixing: the network.
        centre: [N, d], where the noise is added, before it.
        retrained: [N, d], the same had the network never seen the forget set.
        noise: the sampler to try. What it gives for different nodes or draws must be independent.
        draws: how many; by default `DRAWS`, or as many as take a second or two, or none if that is too few to see
            anything.
        confidence: of the bound, in (0, 1).

    Returns:
        None where there is nothing to sample: nothing differs, or something that differs carries no noise, or no draws.

    Raises:
        CertificateError: if the confidence is no probability, or the draws are too few or too many.
    """
    if not 0 < confidence < 1:
        raise CertificateError(f"confidence must lie strictly between 0 and 1, not {confidence}")
    if draws is not None:
        check_draws(draws)
    if draws == 0:
        return None
    best = distinguisher(certificate, mixing, centre, retrained)
    if best is None:
        return None
    draws = default_draws(len(best.nodes), centre.shape[1]) if draws is None else draws
    if draws == 0:
        return None
    seen = _projections(best, noise, draws, centre.shape[1])
    pilot, counted = np.split(seen, [draws // 10])
    thresholds = _thresholds(best.mu, pilot, len(counted), confidence, certificate.delta)
    true = tuple(int(np.count_nonzero(best.mu + counted > t)) for t in thresholds)
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
    """The number of draws given, if it is 0 or from 100, fewer of which choose no threshold, to `MOST_DRAWS`.

    Raises:
        CertificateError: otherwise.
    """
    if draws != 0 and not 100 <= draws <= MOST_DRAWS:
        raise CertificateError(f"a Monte-Carlo audit takes 0 draws, or 100 to {MOST_DRAWS:,}, not {draws:,}")
    return draws


def default_draws(nodes: int, parameters: int) -> int:
    """How many draws an audit makes by itself of the noise of so many nodes with so many parameters each."""
    affordable = min(DRAWS, _AFFORDABLE // (nodes * parameters))
    return affordable if affordable >= _FEWEST else 0


def lower_bound(true: Sequence[int], false: Sequence[int], counted: int, confidence: float, delta: float) -> float:
    """The ε that these counts of true and false positives, one for each test, prove at this confidence; at least 0."""
    level = (1 - confidence) / (2 * len(true))
    low, high = _bounds(np.array(true, dtype=float), np.array(false, dtype=float), counted, level)
    mu = float((ndtri(low) - ndtri(high)).max())
    return max(0.0, float(_free(low, high, delta).max()), epsilon_of(max(mu, 0.0), delta))


def _bounds(true: Vector, false: Vector, counted: int, level: float) -> tuple[Vector, Vector]:
    """Clopper and Pearson's lower bounds on TPRs and upper bounds on FPRs, each at that level."""
    least = 1e-6  # of a fraction of a count, which only planning knows
    low = np.where(true > 0, betaincinv(np.maximum(true, least), counted - true + 1, level), 0.0)
    high = np.where(false < counted, betaincinv(false + 1, np.maximum(counted - false, least), 1 - level), 1.0)
    return low, high


def _free(low: Vector, high: Vector, delta: float) -> Vector:
    """What a TPR of at least `low` and a FPR of at most `high` say of ε, whatever was sampled."""
    with np.errstate(divide="ignore"):
        return np.maximum(
            np.log(np.maximum(low - delta, 0.0) / high), np.log(np.maximum(1 - high - delta, 0.0) / (1 - low))
        )


def _thresholds(mu: float, pilot: Vector, counted: int, confidence: float, delta: float) -> tuple[float, ...]:
    """The two thresholds that promise most, if X is about Gaussian with the pilot's mean and deviation."""
    mean, deviation = float(pilot.mean()), max(float(pilot.std()), 1e-3)
    true, false = (counted * ndtr((mean + shift - _THRESHOLDS) / deviation) for shift in (mu, 0.0))
    low, high = _bounds(true, false, counted, (1 - confidence) / 4)
    tail, middle = _free(low, high, delta), ndtri(low) - ndtri(high)
    return tuple(float(_THRESHOLDS[int(np.argmax(promise))]) for promise in (tail, middle))


def _projections(best: Distinguisher, noise: Noise, draws: int, parameters: int) -> Vector:
    """X [draws]."""
    total = np.zeros(draws)
    rows = max(1, _AT_ONCE // parameters)
    for node, share in zip(best.nodes, best.shares, strict=True):
        towards = share * best.towards(node)
        for first in range(0, draws, rows):
            drawn = noise(node, first, min(rows, draws - first))
            total[first : first + len(drawn)] += drawn @ towards
    return total
