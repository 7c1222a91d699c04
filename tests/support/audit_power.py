"""How close Monte-Carlo audits come to the true ε, and what they catch: prints the tables of docs/certificates.md.

    PYTHONPATH=tests/support python -m audit_power

The first table compares the audit with bounds on both rates, at two thresholds, as in Nasr et al. (2023), "Tight
auditing of differentially private machine learning". The second multiplies the noise by 0.5 and by 1. Both have one
node that sees a shift of μ, so that the true ε is exact.
"""

from dataclasses import replace
from functools import cache

import numpy as np
from learnings import DELTA, release_of, small_learning
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri
from scipy.stats import beta

from rewindnet.certificates import Claim, certify, epsilon_of, monte_carlo, mu_of
from rewindnet.certificates.audits.montecarlo import DRAWS

Numbers = NDArray[np.float64]
LEARNING = small_learning()
EPSILONS = (0.5, 1.0, 2.0, 4.0, 8.0)
#: The candidate thresholds, in standard deviations of the noise.
THRESHOLDS = np.arange(601) / 100


@cache
def noise_of(seed: int, draws: int) -> Numbers:
    """The standard noise of a repetition [draws]."""
    return np.random.default_rng([seed, draws]).standard_normal(draws)


def by_disagreement(mu: float, seed: int, draws: int, scale: float = 1.0, confidence: float = 0.95) -> float:
    """The lower bound on ε of the product's audit."""
    certificate = certify(LEARNING, replace(release_of(np.ones(4)), sigma=np.ones(4)), Claim("node:0", DELTA))
    certificate = replace(certificate, mu=mu, epsilon=epsilon_of(mu, DELTA))
    centre = np.zeros((4, 1))
    centre[0] = mu

    def noise(node: int, first: int, rows: int) -> Numbers:
        return scale * noise_of(seed, draws)[first : first + rows, None]

    found = monte_carlo(certificate, LEARNING.mixing, centre, np.zeros((4, 1)), noise, draws, confidence)
    assert found is not None
    return found.epsilon_lower_bound


def by_both_rates(mu: float, seed: int, draws: int, confidence: float = 0.95) -> float:
    """The lower bound on ε from Clopper–Pearson bounds on the true- and the false-positive rate at two thresholds."""
    pilot, counted = np.split(noise_of(seed, draws), [draws // 10])
    n, level = len(counted), (1 - confidence) / 4

    def bounds(true: Numbers, false: Numbers) -> tuple[Numbers, Numbers]:
        with np.errstate(divide="ignore", invalid="ignore"):
            low = np.nan_to_num(beta.ppf(level, true, n - true + 1), nan=0.0)
            high = np.nan_to_num(beta.ppf(1 - level, false + 1, n - false), nan=1.0)
            epsilon = np.maximum(
                np.log(np.maximum(low - DELTA, 0) / high), np.log(np.maximum(1 - high - DELTA, 0) / (1 - low))
            )
            return epsilon, ndtri(low) - ndtri(high)

    expected = (n * ndtr((pilot.mean() + shift - THRESHOLDS) / pilot.std()) for shift in (mu, 0.0))
    chosen = THRESHOLDS[[int(np.argmax(promise)) for promise in bounds(*expected)]]
    true, false = (np.array([np.count_nonzero(counted + shift > t) for t in chosen], float) for shift in (mu, 0.0))
    epsilon, distance = bounds(true, false)
    return max(0.0, float(epsilon.max()), epsilon_of(max(float(distance.max()), 0.0), DELTA))


def compare(seeds: int = 20) -> None:
    """Print the median lower bounds, from both rates and from the disagreement."""
    print("| draws | " + " | ".join(f"true ε {epsilon:g}" for epsilon in EPSILONS) + " |")
    print("| --- |" + " --- |" * len(EPSILONS))
    for draws in (500, 2_000, 10_000):
        cells = []
        for epsilon in EPSILONS:
            mu = mu_of(epsilon, DELTA)
            medians = [np.median([way(mu, seed, draws) for seed in range(seeds)]) for way in WAYS]
            cells.append(" / ".join(f"{median:.2f}" for median in medians))
        print(f"| {draws:,} | " + " | ".join(cells) + " |", flush=True)


def too_high(confidence: float, seeds: int = 1_000) -> None:
    """Print how often the bound exceeds the truth."""
    counts = [
        sum(by_disagreement(mu_of(epsilon, DELTA), seed, DRAWS, 1.0, confidence) > epsilon for seed in range(seeds))
        for epsilon in EPSILONS
    ]
    print(f"\nconfidence {confidence:g}, {DRAWS:,} draws: above the true ε for {counts} of {seeds:,} seeds")


def catch(confidence: float, seeds: int = 300) -> None:
    """Print what is caught of half the noise, at the limit of a certificate of ε = 1."""
    mu = mu_of(1.0, DELTA)
    true = epsilon_of(2 * mu, DELTA)
    print(f"\n| confidence {confidence:g}, draws | caught | median lower bound, true {true:.2f} |", end="")
    print(" median for honest noise, true 1 | honest noise called wrong |\n| --- | --- | --- | --- | --- |")
    for draws in (500, 1_000, 2_000, 10_000):
        half, honest = (
            np.array([by_disagreement(mu, seed, draws, scale, confidence) for seed in range(seeds)])
            for scale in (0.5, 1.0)
        )
        print(f"| {draws:,} | {np.mean(half > 1):.0%} | {np.median(half):.2f} |", end="")
        print(f" {np.median(honest):.2f} | {np.mean(honest > 1):.1%} |", flush=True)


WAYS = (by_both_rates, by_disagreement)

if __name__ == "__main__":
    compare()
    for confidence in (0.95, 0.999):
        too_high(confidence)
        catch(confidence)
