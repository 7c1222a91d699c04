"""RR-DU in numpy, on the data of a small network."""

from math import sqrt

import numpy as np


class Oracle:
    """RR-DU in numpy, as it is written down, on the data of a small network."""

    def __init__(self, case, forget):
        rng = np.random.default_rng(case.seed)
        x, y = case.rows(rng)
        ends = np.cumsum(case.sizes)
        self.x = [x[end - size : end] for end, size in zip(ends, case.sizes, strict=True)]
        self.y = [y[end - size : end] for end, size in zip(ends, case.sizes, strict=True)]
        self.l2, self.u, self.earlier_deletions = case.l2, case.client, forget
        self.kept = np.setdiff1d(np.arange(case.sizes[self.u]), forget)

    def gradient(self, theta, node, rows=None):
        rows = np.arange(len(self.y[node])) if rows is None else rows
        x, y = self.x[node][rows], self.y[node][rows]
        x = np.hstack([sqrt(1 - 0.1**2) * x, np.full((len(x), 1), 0.1)])
        scores = x @ theta.reshape(3, -1).T
        p = np.exp(scores - scores.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        p[np.arange(len(y)), y] -= 1
        return (p.T @ x / max(len(rows), 1)).ravel() + self.l2 * theta

    def direction(self, theta, alignment):
        u, n, m = self.u, len(self.y[self.u]), len(self.earlier_deletions)
        if alignment == "exact":
            return -self.gradient(theta, u, self.kept)
        ascent = m / n * self.gradient(theta, u, self.earlier_deletions)
        return ascent if alignment == "lightweight" else ascent - self.gradient(theta, u)
