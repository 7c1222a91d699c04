"""Statistics of noise: the tests of the vectors of one release, each with its p-value.

The statistics and their laws are those of the table in `rewindnet.certificates.audits.noise`.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from scipy.special import chdtr, chdtrc, erf, ndtr

from rewindnet.certificates.additions import BETWEEN_ROUNDS, Additions
from rewindnet.certificates.audits.noise.log import norm_of
from rewindnet.certificates.audits.noise.record import Law, NoiseTest
from rewindnet.certificates.audits.noise.traces import NoiseTraces, Parameters, norms_of, some_rows
from rewindnet.certificates.network import Vector

#: The largest number of products for which all pairs of nodes are compared.
_PRODUCTS = 4e9
#: The number of rows of a matrix product at a time.
_ROWS = 256


def vector_tests(
    traces: NoiseTraces,
    earlier: Sequence[NoiseTraces],
    sigma: Vector,
    centre: Parameters,
    retrained: Parameters | None = None,
) -> tuple[NoiseTest, ...]:
    """Return the most extreme test of every statistic of noise that every node adds once.

    Args:
        traces: the vectors of the release, and their fingerprints.
        earlier: of the earlier releases of the run, in order.
        sigma: the standard deviation of each of these vectors.
        centre: [N, d], the models without the noise.
        retrained: [N, d], the retrained models at the same point, if they are known.
    """
    _, slack, nodes, r = traces
    tests = [*_norm_tests(norms_of(r), slack, r.shape[1], _Words(nodes))]
    if retrained is not None:
        tests += _direction(r, slack, nodes, _gaps(r, nodes, centre, retrained), sigma)
    if len(r) > 1:
        tests += _pairs(r, slack, nodes)
        total = norm_of(r.sum(axis=0)) / np.sqrt(len(r))
        tests += _extreme("sums over nodes", "chi", r.shape[1], [total], [slack.sum() / np.sqrt(len(r))], ["all nodes"])
    tests += _previous(traces, earlier)
    tests += _repeats(traces, earlier, _Words(nodes))
    return tuple(tests)


def log_tests(
    traces: NoiseTraces,
    earlier: Sequence[NoiseTraces],
    additions: Additions,
    norms: Vector,
    successive: Vector,
    parameters: int,
) -> tuple[NoiseTest, ...]:
    """Return the most extreme test of every statistic of noise that nodes add time and again.

    Args:
        traces: the fingerprints of the release.
        earlier: of the earlier releases of the run, in order.
        additions: what the mechanism says, node by node, each node's in the order in which it makes them.
        norms: [E], the norm of every vector in units of its σ.
        successive: [E], its inner product with the direction of the same node's vector before; NaN for the first.
        parameters: d.
    """
    words = _Words(additions.nodes, additions.rounds)
    return (
        *_norm_tests(norms, traces.slack, parameters, words),
        *_successive(successive, traces.slack, additions.nodes, words),
        *_sums_of_rounds(traces.prints, traces.slack, additions.rounds),
        *_repeats(traces, earlier, words),
    )


def p_value(law: Law, degrees: int | None, statistic: Vector | float, allowance: Vector | float) -> Vector:
    """Return the largest p-value of a statistic that rounding may have changed by its allowance.

    Args:
        law: of the statistic if the noise is as certified.
        degrees: of χ, or the number of entries of a fingerprint.
        statistic: any shape.
        allowance: the same shape.
    """
    value, slack = np.asarray(statistic, dtype=np.float64), np.asarray(allowance, dtype=np.float64)
    if law == "normal":
        p = 2 * ndtr(-np.maximum(np.abs(value) - slack, 0.0))
    elif law == "chi":
        low, high = chdtr(degrees, (value + slack) ** 2), chdtrc(degrees, np.maximum(value - slack, 0.0) ** 2)
        p = 2 * np.minimum(low, high)
    else:
        assert degrees is not None
        p = erf((value + slack) / 2) ** degrees
    # What is not a number is no noise either.
    return np.where(np.isfinite(value), np.minimum(p, 1.0), 0.0)


class _Words:
    """Names an addition in words, when one is asked for."""

    def __init__(self, nodes: NDArray[np.int64], rounds: NDArray[np.int64] | None = None) -> None:
        self._nodes = nodes
        self._rounds = np.full(len(nodes), BETWEEN_ROUNDS) if rounds is None else rounds

    def __getitem__(self, at: int) -> str:
        round = f", round {self._rounds[at]}" if self._rounds[at] != BETWEEN_ROUNDS else ""
        return f"node {self._nodes[at]}{round}"

    def take(self, rows: NDArray[np.intp]) -> "_Words":
        """Return the same for some of the additions."""
        return _Words(self._nodes[rows], self._rounds[rows])


def _extreme(
    name: str,
    law: Law,
    degrees: int | None,
    statistic: Vector | Sequence[float],
    allowance: Vector | Sequence[float],
    words: "Sequence[str] | _Words",
    tests: int | None = None,
) -> Iterator[NoiseTest]:
    """Yield the most extreme of some tests; nothing where there are none."""
    values, slack = np.asarray(statistic, dtype=np.float64), np.asarray(allowance, dtype=np.float64)
    if not len(values):
        return
    p = p_value(law, degrees, values, slack)
    at = int(np.argmin(p))
    number = len(values) if tests is None else tests
    yield NoiseTest(name, number, law, degrees, _number(values[at]), _number(slack[at]), float(p[at]), words[at])


def _number(value: float) -> float:
    """Return a number that JSON has: what is not finite becomes the largest float."""
    return float(value) if np.isfinite(value) else float(np.finfo(np.float64).max)


def _norm_tests(norms: Vector, slack: Vector, parameters: int, words: _Words) -> Iterator[NoiseTest]:
    """Yield the tests of every norm, and of all together where there are several."""
    yield from _extreme("norm", "chi", parameters, norms, slack, words)
    if len(norms) > 1:
        total, allowance = float(np.sqrt((norms**2).sum())), float(np.sqrt((slack**2).sum()))
        yield from _extreme("all norms", "chi", parameters * len(norms), [total], [allowance], ["all additions"])


def _gaps(
    r: NDArray[np.float64], nodes: NDArray[np.int64], centre: Parameters, retrained: Parameters
) -> tuple[Vector, Vector]:
    """Return the norms [n] of the distances from the retrained models, and their inner products [n] with the noise."""
    distance, along = np.empty(len(r)), np.empty(len(r))
    for rows in some_rows(*r.shape):
        first, second = (np.asarray(models[nodes[rows]], dtype=np.float64) for models in (centre, retrained))
        gap = first - second
        distance[rows], along[rows] = norms_of(gap), np.einsum("ij,ij->i", r[rows], gap)
    return distance, along


def _direction(
    r: NDArray[np.float64], slack: Vector, nodes: NDArray[np.int64], gaps: tuple[Vector, Vector], sigma: Vector
) -> Iterator[NoiseTest]:
    """Yield the tests of the inner products with the direction from the retrained model, and of all together.

    Noise that hides a model must not be too small along these directions, so the tests of all together are two-sided.
    """
    distance, products = gaps
    differing = np.flatnonzero(distance > 0)
    if not len(differing):
        return
    along = products[differing] / distance[differing]
    slack, weight = slack[differing], distance[differing] / sigma[differing]
    yield from _extreme("direction", "normal", None, along, slack, _Words(nodes[differing]))
    total, allowed = np.sqrt((along**2).sum()), np.sqrt((slack**2).sum())
    yield from _extreme("all directions", "chi", len(differing), [total], [allowed], ["all additions"])
    if len(differing) > 1:
        # Of a weight that is so large or small that its square is not finite, or 0, only the ratio counts.
        weight = weight / weight.max()
        joint, length = abs(float(weight @ along)), float(np.sqrt(weight @ weight))
        allowance = float(weight @ slack) / length
        yield from _extreme("joint direction", "chi", 1, [joint / length], [allowance], ["all additions"])


def _pairs(r: NDArray[np.float64], slack: Vector, nodes: NDArray[np.int64]) -> Iterator[NoiseTest]:
    """Yield the test of the inner products of all pairs, unless there are too many."""
    n, d = r.shape
    if n * n * d > _PRODUCTS:
        return
    norms, worst, pair = np.maximum(norms_of(r), 1e-300), -1.0, (0, 1)
    for first in range(0, n, _ROWS):
        rows = r[first : first + _ROWS] / norms[first : first + _ROWS, None]
        excess = np.abs(rows @ r.T) - slack
        excess[np.arange(n) <= np.arange(first, first + len(rows))[:, None]] = -1.0
        at = int(np.argmax(excess))
        if excess.flat[at] > worst:
            worst, pair = float(excess.flat[at]), (first + at // n, at % n)
    i, j = pair
    # Again without BLAS, so that the number does not depend on how many threads there are.
    statistic = float(np.einsum("i,i->", r[i] / norms[i], r[j]))
    words = [f"nodes {nodes[i]} and {nodes[j]}"]
    yield from _extreme("pairs", "normal", None, [statistic], [slack[j]], words, n * (n - 1) // 2)


def _sums_of_rounds(prints: NDArray[np.float64], slack: Vector, rounds: NDArray[np.int64]) -> Iterator[NoiseTest]:
    """Yield the test of the sums of the fingerprints of each round, and of all rounds together."""
    each, at = np.unique(rounds, return_inverse=True)
    count = np.bincount(at)
    total, allowance = np.zeros((len(each), prints.shape[1])), np.zeros(len(each))
    np.add.at(total, at, prints)
    np.add.at(allowance, at, slack)
    several = np.flatnonzero(count > 1)
    if not len(several):
        return
    root = np.sqrt(count[several])
    statistic, allowed = norms_of(total[several]) / root, allowance[several] / root
    words = [f"round {round}" if round != BETWEEN_ROUNDS else "all nodes" for round in each[several].tolist()]
    k = prints.shape[1]
    yield from _extreme("sums over nodes", "chi", k, statistic, allowed, words)
    if len(several) > 1:
        together, slack_together = np.sqrt((statistic**2).sum()), np.sqrt((allowed**2).sum())
        yield from _extreme("all sums", "chi", k * len(several), [together], [slack_together], ["all rounds"])


def _successive(statistic: Vector, slack: Vector, nodes: NDArray[np.int64], words: _Words) -> Iterator[NoiseTest]:
    """Yield the test of the inner products with each node's vector before, and of all together."""
    first = np.ones(len(nodes), dtype=bool)
    first[1:] = nodes[1:] != nodes[:-1]
    later = np.flatnonzero(~first)
    if not len(later):
        return
    # A vector of norm 0 has no direction; its own norm tells.
    value, allowance = np.nan_to_num(statistic[later], nan=0.0), slack[later]
    yield from _extreme("successive", "normal", None, value, allowance, words.take(later))
    if len(later) > 1:
        total, allowed = np.sqrt((value**2).sum()), np.sqrt((allowance**2).sum())
        yield from _extreme("all successive", "chi", len(later), [total], [allowed], ["all additions"])


def _previous(traces: NoiseTraces, earlier: Sequence[NoiseTraces]) -> Iterator[NoiseTest]:
    """Yield the test of the inner products with the same node's vector of the release before."""
    if not earlier or not len(earlier[-1].nodes) or earlier[-1].vectors.shape[1] != traces.vectors.shape[1]:
        return
    before = earlier[-1]
    common, here, there = np.intersect1d(traces.nodes, before.nodes, return_indices=True)
    other = before.vectors[there]
    norms = np.maximum(norms_of(other), 1e-300)
    statistic = np.einsum("ij,ij->i", traces.vectors[here], other) / norms
    yield from _extreme("earlier release", "normal", None, statistic, traces.slack[here], _Words(common))


def _repeats(traces: NoiseTraces, earlier: Sequence[NoiseTraces], words: _Words) -> Iterator[NoiseTest]:
    """Yield the tests of the nearest fingerprints, within the release and with those of earlier releases."""
    own, k = traces.prints, traces.prints.shape[1]
    if not len(own) or not np.all(np.isfinite(own)):
        return
    if len(own) > 1:
        distance, nearest = _nearest(own, own, 2)
        rows = np.arange(len(own))
        # Of equal points, a point itself need not come first.
        other = np.where(nearest[:, 0] == rows, 1, 0)
        distance, nearest = distance[rows, other], nearest[rows, other]
        p = p_value("spacing", k, distance, traces.slack + traces.slack[nearest])
        at = int(np.argmin(p))
        allowance, where = traces.slack[at] + traces.slack[nearest[at]], f"{words[at]}, and {words[int(nearest[at])]}"
        pairs = len(own) * (len(own) - 1) // 2
        yield from _extreme("repeats", "spacing", k, [distance[at]], [allowance], [where], pairs)
    past = [(number, part) for number, part in enumerate(earlier) if len(part.prints) and part.prints.shape[1] == k]
    if past:
        prints, slack = np.concatenate([part.prints for _, part in past]), np.concatenate([p.slack for _, p in past])
        which = np.concatenate([np.full(len(part.prints), number) for number, part in past])
        if not np.all(np.isfinite(prints)):
            return
        distance, nearest = _nearest(prints, own, 1)
        p = p_value("spacing", k, distance, traces.slack + slack[nearest])
        at = int(np.argmin(p))
        allowance, where = traces.slack[at] + slack[nearest[at]], f"{words[at]}, and release {which[nearest[at]]}"
        yield from _extreme(
            "earlier repeats", "spacing", k, [distance[at]], [allowance], [where], len(own) * len(prints)
        )


def _nearest(among: NDArray[np.float64], points: NDArray[np.float64], number: int) -> tuple[Any, Any]:
    """Return the distances and the rows of the nearest points, by the largest coordinate."""
    distance, nearest = cKDTree(among, balanced_tree=False).query(points, k=number, p=np.inf)
    return distance, nearest
