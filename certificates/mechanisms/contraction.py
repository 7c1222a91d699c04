"""μ of the last state of a noisy iteration whose earlier states are not seen.

**Setting.** Two runs take the steps X_{t+1} = φ_t(X_t) + N(0, σ²I) and X'_{t+1} = φ'_t(X'_t) + N(0, σ²I) for
t = 0 … n − 1, from fixed starts with ‖X_0 − X'_0‖ ≤ Z. Assume that

    ‖φ_t(x) − φ'_t(y)‖ ≤ c_t·‖x − y‖ + s_t        for all x, y.                                          (1)

Nothing else is assumed about φ_t: no smoothness and no convexity.

**Theorem.** Let w_t = Π_{k>t} c_k and w_{−1} = Π_k c_k. The last states X_n and X'_n are μ-GDP with

    μ = (w_{−1}·Z + Σ_t w_t·s_t) / (σ·√(Σ_t w_t²))                                                      (2)

provided that

    Σ_{t≥j} w_t·s_t / Σ_{t≥j} w_t²  ≤  (w_{−1}·Z + Σ_t w_t·s_t) / Σ_t w_t²        for all j > 0.           (3)

*Proof* (the shifted interpolation of Bok, Su and Altschuler 2024, "Shifted interpolation for differential privacy",
written as an adaptive composition).

1. Choose a_t ≥ 0. Let Y start at Y_0 = X'_0 and use the noise ξ_t of X:

    X_{t+1} = φ_t(X_t) + ξ_t,    Y_{t+1} = φ'_t(Y_t) + h_t + ξ_t,

   where h_t is the vector of norm at most a_t that brings φ'_t(Y_t) as near to φ_t(X_t) as possible.
2. By (1), ‖X_t − Y_t‖ ≤ D_t with D_0 = Z and D_{t+1} = max(c_t·D_t + s_t − a_t, 0). If D_n = 0, then Y_n = X_n.
3. Given X_0 and Y_0, the past noise can be computed from Y_1 … Y_t, so X_t and with it h_t are functions of Y_0 … Y_t.
   In every step, Y and X' are therefore Gaussian with variance σ² around centres that differ, given the same past, by
   at most a_t. So (Y_1 … Y_n) and (X'_1 … X'_n) are μ-GDP with μ² = Σ_t a_t²/σ² (Dong, Roth and Su 2022, Cor. 3.3: an
   adaptive composition of Gaussian mechanisms).
4. Y_n = X_n and X'_n are post-processing of these sequences.
5. Without the maximum in step 2, D_n = 0 reads w_{−1}·Z + Σ_t w_t·(s_t − a_t) = 0. Of the a_t that satisfy this, those
   with the least sum of squares are proportional to w_t (Cauchy–Schwarz), which gives (2).
6. These a_t keep D_t ≥ 0, so that the maximum is never needed, if and only if (3) holds. ∎

**Condition (3)** holds in these cases:

* all s_t are 0;
* c_t = c ≤ 1 and s_t = s are constant (the quotient on the left is a mean of s/w_t with weights w_t², and 1/w_t
  decreases towards the end);
* such steps are followed by steps with s_t = 0, whatever their c_t.

It can fail otherwise, for example where s_t grows, and then (2) is not a bound: with φ_1(x) = x + s·sign(x) after one
step that does nothing, the runs can be distinguished better than (2) says.

The Rényi statement with the same constants, (α, α·μ²/2) for every α, is due to Feldman, Mironov, Talwar and Thakurta
(2018), "Privacy amplification by iteration", for c_t ≤ 1.
"""

from collections.abc import Sequence

import numpy as np

from rewindnet.certificates.errors import CertificateError
from rewindnet.certificates.network import Vector

#: The relative tolerance for rounding in (3).
_ROUNDING = 1e-9


def mu_of_last_state(start: float, contraction: Sequence[float], shifts: Sequence[float] | None = None) -> float:
    """Return μ of the last states under noise of standard deviation 1 after each of n steps, by (2).

    Args:
        start: Z.
        contraction: c_t ≥ 0 of every step; values above 1 are allowed.
        shifts: s_t ≥ 0 of every step; by default all 0.

    Returns:
        μ; infinite where there is no step and Z > 0.

    Raises:
        CertificateError: if a number is negative, or (3) does not hold.
    """
    c = np.asarray(contraction, dtype=np.float64)
    s = np.zeros_like(c) if shifts is None else np.asarray(shifts, dtype=np.float64)
    if not (start >= 0 and np.all(c >= 0) and np.all(s >= 0)):
        raise CertificateError("distances, contractions and shifts are not negative")
    if start == 0 and not s.any():
        return 0.0
    if not c.size:
        return float("inf")
    # Products of many factors overflow or underflow; only their ratios matter.
    with np.errstate(divide="ignore"):
        log_weights = np.append(np.cumsum(np.log(c[::-1]))[::-1], 0.0)
    w = np.exp(log_weights - log_weights[1:].max())
    weighted_shifts, weighted_noise = np.cumsum((w[1:] * s)[::-1])[::-1], np.cumsum((w[1:] ** 2)[::-1])[::-1]
    total = w[0] * start + weighted_shifts[0]
    if np.any(weighted_shifts[1:] * weighted_noise[0] > total * weighted_noise[1:] * (1 + _ROUNDING)):
        raise CertificateError("steps whose shifts grow towards the end are not covered by this bound")
    return float(total / np.sqrt(weighted_noise[0]))


def mu_under_two_bounds(start: Vector, steps: int, shrink: float, shift: float, growth: float | None) -> Vector:
    """Return μ [N] of the last states under unit noise, for several starts, where each step satisfies (1) in two ways.

    Every step satisfies (1) with (c, s) = (`shrink`, `shift`), `shrink` ≤ 1, and also with (c, s) = (`growth`, 0).
    Using the first for j steps and the second for the others gives a valid μ for every j; the least is returned. The
    first is tighter while the two runs are far apart, the second once they are near.

    Args:
        start: Z [N].
        steps: n.
        shrink: c of the first bound, in [0, 1].
        shift: s of the first bound.
        growth: c of the second bound; None where there is none.

    Returns:
        μ [N]; 0 where Z = 0, because φ = φ' takes equal states to equal states; infinite where n = 0 and Z > 0.
    """
    best = np.full(start.shape, np.inf)
    # Both sums are divided by growth^(n−j), so that they only grow with the number of steps.
    with np.errstate(over="ignore", divide="ignore"):
        shrunk = np.float64(shrink) ** np.arange(steps + 1)
        noise_after = np.cumsum(np.float64(growth if growth is not None else 1.0) ** (-2.0 * np.arange(1, steps + 1)))
    shift_sum, noise_before = np.append(0.0, np.cumsum(shrunk[:-1])), np.append(0.0, np.cumsum(shrunk[:-1] ** 2))
    for j in range(steps + 1) if growth is not None else [steps]:
        noise_sum = noise_before[j] + (noise_after[steps - j - 1] if j < steps else 0.0)
        if noise_sum > 0:
            np.minimum(best, (shrunk[j] * start + shift * shift_sum[j]) / np.sqrt(noise_sum), out=best)
    return np.where(start > 0, best, 0.0)
