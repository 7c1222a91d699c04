"""What (ε, δ) and μ mean for a test of hypotheses: how often it can be right when it is seldom wrong.

A test looks at what the view shows and calls it *unlearned* or *learned again*. Let α be the probability that it calls
unlearned what was learned again (a false alarm), and β the probability that it calls unlearned what was unlearned.

* Definition 1 for the set S of outcomes that the test calls unlearned gives β ≤ e^ε·α + δ; for the complement of S,
  with the two processes exchanged, 1 − α ≤ e^ε·(1 − β) + δ. (Wasserman and Zhou 2010, "A statistical framework for
  differential privacy", Theorem 2.4.)
* If distinguishing the two is at least as hard as distinguishing N(0, 1) from N(μ, 1), then β ≤ Φ(Φ⁻¹(α) + μ), because
  by Neyman and Pearson the best test of the two Gaussians has just this β (Dong, Roth and Su 2022, Section 2.2).

All bounds hold at once, so the least of them does.
"""

from math import ceil, exp

from scipy.special import ndtr, ndtri

#: The false alarms of which a statement speaks.
FALSE_ALARMS = 0.05


def most_detected(mu: float, epsilon: float, delta: float, false_alarms: float = FALSE_ALARMS) -> float:
    """Return the largest probability β with which a test can recognise what was unlearned.

    Args:
        mu: μ ≥ 0.
        epsilon: ε ≥ 0.
        delta: δ.
        false_alarms: α in (0, 1), the probability of a false alarm.
    """
    by_mu = float(ndtr(ndtri(false_alarms) + mu))
    # Beyond this, e^ε times any α of interest is above 1.
    by_set = exp(epsilon) * false_alarms + delta if epsilon < 700 else 1.0
    by_complement = 1 - exp(-epsilon) * (1 - false_alarms - delta)
    return min(by_mu, by_set, by_complement, 1.0)


def in_hundred(probability: float) -> str:
    """Return a probability as cases in a hundred, with two decimals, rounded up.

    Args:
        probability: between 0 and 1.
    """
    return f"{ceil(probability * 1e4) / 100:.2f}".rstrip("0").rstrip(".")
