"""Audits of the noise that was used: is what a release added to its models Gaussian noise of the certified size?

**Measurements.** Let a node add noise to a value c (its *centre*) and go on from the value s. With the certified
standard deviation σ, r = (s − c)/σ must be a draw from N(0, I) in d dimensions, independent of all other draws. What is
measured is the difference of the stored values before and after the addition; the sampler is not asked what it drew.

**Rounding.** Let u be the unit roundoff of the stored values, and x the value from which a step with noise began (x = c
where noise is all that is added). Scaling, converting, adding, stepping and differencing round at most eight times,
each time by at most u·(‖x‖ + ‖c‖ + ‖s‖), and a sum of d products is off by at most d·2⁻⁵²·‖s − c‖. So

    ‖(s − c) − σZ‖ ≤ a,    a = 8u(‖x‖ + ‖c‖ + ‖s‖) + d·2⁻⁵²·‖s − c‖.                                        (1)

Write τ = a/σ. By (1), every statistic below that is linear in r with a unit vector, or is a norm of r, is within its
allowance of the same statistic of Z. A p-value is computed at the end of that interval where it is largest. So under
the hypothesis that the noise is as certified, P[p ≤ α] ≤ α holds for what was computed, not only for real numbers.

**Statistics.** Let E be the number of additions of a release.

    norm                 ‖r_e‖ for each addition                      χ_d, two-sided           allowance τ_e
    all norms            √(Σ_e ‖r_e‖²)                                χ_{Ed}, two-sided        √(Σ_e τ_e²)
    direction            ⟨r_i, (c_i − c'_i)/‖c_i − c'_i‖⟩             N(0, 1)                  τ_i
    pairs                ⟨r_i, r_j⟩/‖r_i‖, i < j                      N(0, 1)                  τ_j
    sums over nodes      ‖Σ_i r_i‖/√n for the n nodes of one round    χ_d, two-sided           Σ_i τ_i/√n
    successive           ⟨r_e, r_e'⟩/‖r_e'‖, e' the addition of the   N(0, 1)                  τ_e
                         same node before e
    all sums             √(Σ of their squares over the rounds)        χ, two-sided             √(Σ τ²)
    all successive       √(Σ of the squares of the last line)         χ, two-sided             √(Σ τ²)
    earlier release      ⟨r_i, r_i°⟩/‖r_i°‖, r° of the release before N(0, 1)                  τ_i
    repeats              the distance of two fingerprints             P = erf(t/2)^k           τ_e + τ_e'
    earlier repeats      the same, with all earlier releases          P = erf(t/2)^k           τ_e + τ_e'

c' is the retrained model at the same point. Given r_i, the inner product of r_i/‖r_i‖ with an independent N(0, I)
vector is N(0, 1); the same holds for successive vectors, by conditioning on everything before. Statistics that use one
vector for each node are computed from the centres and the noised models of all nodes. Mechanisms that add noise time
and again are measured by each node, which reports its norms, its successive inner products and a fingerprint of each
vector, and keeps one vector of d numbers.

**Fingerprints.** The coordinates are cut into k = min(8, d) consecutive parts. A fingerprint [k] has, for each part,
the sum of its coordinates with public signs ±1, divided by the root of their number. These are inner products with k
orthonormal vectors, so the fingerprint of Z is N(0, I_k). Two independent fingerprints are within t in the largest
coordinate with probability erf(t/2)^k. Equal vectors, of any nodes, rounds or releases, have equal fingerprints but for
rounding, and are found whatever the number of nodes, as long as rounding is small next to the noise. The sums over
nodes of mechanisms that add noise time and again are those of their fingerprints, with k in place of d.

**Pairs.** All pairs are compared up to n²d = 4·10⁹ products (2,500 nodes with 650 parameters, 700 with 7,850). Beyond
that the sums over nodes and the fingerprints are what is left: the sum finds a part that all vectors have in common (a
correlation ρ of all pairs multiplies the square of the statistic by 1 + (n − 1)ρ), fingerprints find equal vectors.

**Level.** Each of the F statistics of a release has an equal share of the release's level, and its tests share that
equally (Bonferroni): the adjusted p-value of a test is p·F·(number of tests of the statistic). The level of a run, 10⁻⁶
for all of it together, is shared equally by its releases.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import lru_cache
from typing import Any, Literal, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from scipy.special import chdtr, chdtrc, erf, ndtr

from rewindnet.certificates.additions import BETWEEN_ROUNDS, Additions
from rewindnet.certificates.errors import CertificateError
from rewindnet.certificates.network import Vector

Status = Literal["holds", "violated", "unchecked"]
Law = Literal["chi", "normal", "spacing"]
Parameters = NDArray[np.floating[Any]]
Size = TypeVar("Size", float, Vector)

#: The probability that a run whose noise is as certified is called violated.
LEVEL = 1e-6
#: The largest number of entries of a fingerprint.
_PRINT = 8
#: The columns of a log before the fingerprint: round, ‖s − c‖, a of (1), ⟨s − c, last⟩/‖last‖ (NaN for the first).
_COLUMNS = 4
#: The largest number of products for which all pairs of nodes are compared.
_PRODUCTS = 4e9
#: The number of rows of a matrix product at a time.
_ROWS = 256
#: The seed of the public signs.
_SIGNS = 20_250_607


class NoiseLog(NamedTuple):
    """What a node has measured of the noise that it added.

    Attributes:
        rows: [E, 4 + k], for each addition its round, ‖s − c‖, the allowance (1), the inner product of s − c with the
            direction of the node's vector before (NaN for the first), and the fingerprint of s − c.
        last: [d], s − c of the last addition; [0] before the first.
    """

    rows: NDArray[np.float64]
    last: Vector


NoiseLogs = Mapping[int, NoiseLog]


@dataclass(frozen=True)
class NoiseTest:
    """The most extreme of the tests of one statistic.

    Attributes:
        name: of the statistic, as the module lists them.
        tests: how many tests it has.
        law: of the statistic if the noise is as certified: χ, standard normal, or the distance of fingerprints.
        degrees: the degrees of freedom of χ, or the number k of entries of a fingerprint; None for a normal one.
        statistic: the most extreme value.
        allowance: by how much rounding may have changed it.
        p_value: its p-value, before any correction for the number of tests.
        where: the nodes and rounds, in words.
    """

    name: str
    tests: int
    law: Law
    degrees: int | None
    statistic: float
    allowance: float
    p_value: float
    where: str


@dataclass(frozen=True)
class NoiseAudit:
    """Whether the noise that a release added is what its certificate says.

    Attributes:
        status: `holds`; `violated`; or `unchecked`, where there was nothing to test it on.
        sentence: what was found, or why nothing was checked.
        expected: how many additions of noise the mechanism says there are.
        measured: how many were measured; None where none were looked for.
        level: the probability of calling noise violated that is as certified, of this release.
        p_value: the smallest p-value, adjusted for the number of statistics and tests, at most 1; None without a test.
        tests: the most extreme test of each statistic.
    """

    status: Status
    sentence: str
    expected: int = 0
    measured: int | None = None
    level: float | None = None
    p_value: float | None = None
    tests: tuple[NoiseTest, ...] = ()

    @property
    def no_noise(self) -> bool:
        """Whether nothing was checked because the mechanism adds no noise."""
        return self.status == "unchecked" and self.measured is None and not self.expected

    def to_record(self) -> dict[str, Any]:
        """Return the audit as plain JSON."""
        return asdict(self)

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> "NoiseAudit":
        """Return the audit of a record; the inverse of `to_record`.

        Args:
            record: the plain JSON of an audit of noise.

        Raises:
            CertificateError: if a field is missing or unknown.
        """
        try:
            tests = tuple(NoiseTest(**test) for test in record["tests"])
            if {field.name for field in fields(cls)} != set(record):
                raise KeyError("fields missing or unknown")
        except (KeyError, TypeError) as problem:
            raise CertificateError(f"the record of the audit of noise is damaged: {problem}") from None
        return cls(**{**record, "tests": tests})


class NoiseTraces(NamedTuple):
    """What later releases of a run are compared with.

    Attributes:
        prints: [M, k], the fingerprints of the vectors of a release, in units of their σ.
        slack: [M], τ of each.
        nodes: [n], the nodes of `vectors`.
        vectors: [n, d], the vector of each of these nodes, in units of its σ; [0, 0] where each node has several.
    """

    prints: NDArray[np.float64]
    slack: Vector
    nodes: NDArray[np.int64]
    vectors: NDArray[np.float64]


def log_width(parameters: int) -> int:
    """Return the number of columns of a `NoiseLog` of models with this number of parameters."""
    return _COLUMNS + min(_PRINT, parameters)


def no_traces(parameters: int) -> NoiseTraces:
    """Return the traces of a release without noise, of models with this number of parameters."""
    width = log_width(parameters) - _COLUMNS
    return NoiseTraces(np.zeros((0, width)), np.zeros(0), np.zeros(0, np.int64), np.zeros((0, 0)))


def not_measured(reason: str, expected: int = 0) -> NoiseAudit:
    """Return an audit that has checked nothing.

    Args:
        reason: why, as a sentence.
        expected: how many additions of noise the mechanism says there are.
    """
    return NoiseAudit("unchecked", reason, expected)


NO_NOISE = not_measured("no noise: none is claimed")
NOT_MEASURED = not_measured("the noise that was added was not measured")


def measure_addition(
    centre: Vector, noised: Vector, last: Vector, round: int, roundoff: float, begin: Vector | None = None
) -> tuple[Vector, Vector]:
    """Measure one addition of noise.

    Args:
        centre: c [d], the value without the noise.
        noised: s [d], the value with it.
        last: [d], s − c of the same node's addition before; [0] for its first.
        round: of the addition.
        roundoff: u of the stored values.
        begin: x [d], the value from which the step with the noise began; None: it is `centre`.

    Returns:
        A row of a `NoiseLog` [4 + k], and s − c [d].
    """
    added = noised - centre
    norm = _norm(added)
    sizes = (_norm(centre) if begin is None else _norm(begin)) + _norm(centre) + _norm(noised)
    allowance = _allowance(roundoff, sizes, len(added), norm)
    before = _norm(last)
    successive = float(np.einsum("i,i->", added, last)) / before if before > 0 else np.nan
    return np.array([round, norm, allowance, successive, *fingerprints(added[None])[0]]), added


def _allowance(roundoff: float, sizes: Size, parameters: int, norm: Size) -> Size:
    """Return a of (1), given ‖x‖ + ‖c‖ + ‖s‖, d and ‖s − c‖."""
    return 8 * roundoff * sizes + parameters * 2.0**-52 * norm


def fingerprints(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the fingerprint [m, k] of each of the vectors [m, d]."""
    signs, starts, scale = _parts(vectors.shape[1])
    return np.asarray(np.add.reduceat(vectors * signs, starts, axis=1) * scale)


@lru_cache(maxsize=4)
def _parts(d: int) -> tuple[Vector, NDArray[np.int64], Vector]:
    """Return the public signs [d], the first coordinate of every part [k], and 1/√(length) of every part [k]."""
    signs = np.random.default_rng(_SIGNS).choice(np.array([-1.0, 1.0]), d)
    starts: NDArray[np.int64] = (np.arange(min(_PRINT, d), dtype=np.int64) * d) // min(_PRINT, d)
    scale: Vector = np.diff([*starts.tolist(), d]).astype(np.float64) ** -0.5
    return signs, starts, scale


def _norm(vector: Vector) -> float:
    # Not by BLAS, whose sums depend on the number of threads.
    return float(np.sqrt(np.einsum("i,i->", vector, vector)))


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


def audit_vectors(
    additions: Additions,
    centre: Parameters,
    noised: Parameters,
    roundoff: float,
    level: float,
    retrained: Parameters | None = None,
    shared: bool = False,
    earlier: Sequence[NoiseTraces] = (),
) -> tuple[NoiseAudit, NoiseTraces]:
    """Audit noise that every node adds once, given all models before and after it.

    Args:
        additions: what the mechanism says, one addition for each node.
        centre: [N, d], the models without the noise.
        noised: [N, d], the models with it.
        roundoff: u of the stored models.
        level: of this release.
        retrained: [N, d], the retrained models at the same point, if they are known.
        shared: whether all nodes add one and the same vector.
        earlier: of the earlier releases of the run, in order.

    Returns:
        The audit, and what later releases are compared with.
    """
    traces = vector_traces(additions, centre, noised, roundoff, shared)
    _, slack, nodes, r = traces
    tests = [*_norm_tests(_norms(r), slack, r.shape[1], _Words(nodes))]
    if retrained is not None:
        tests += _direction(r, slack, nodes, centre, retrained)
    if len(r) > 1:
        tests += _pairs(r, slack, nodes)
        total = _norm(r.sum(axis=0)) / np.sqrt(len(r))
        tests += _extreme("sums over nodes", "chi", r.shape[1], [total], [slack.sum() / np.sqrt(len(r))], ["all nodes"])
    tests += _previous(traces, earlier)
    tests += _repeats(traces, earlier, _Words(nodes))
    found = judged(tuple(tests), len(additions), len(additions), level)
    if shared and len(nodes) > 1:
        words = "where all nodes were to add one and the same noise vector, they added different ones"
        found = replace(found, status="violated", sentence=words)
    return found, traces


def vector_traces(
    additions: Additions, centre: Parameters, noised: Parameters, roundoff: float, shared: bool = False
) -> NoiseTraces:
    """Return the vectors of noise that every node adds once, and their fingerprints, in units of their σ.

    Args:
        additions: what the mechanism says, one addition for each node.
        centre: [N, d], the models without the noise.
        noised: [N, d], the models with it.
        roundoff: u of the stored models.
        shared: whether all nodes add one and the same vector, of which only one is then returned, unless they differ.
    """
    nodes, sigma = additions.nodes, additions.sigma
    before, after = (np.asarray(models, dtype=np.float64)[nodes] for models in (centre, noised))
    added = after - before
    slack = _allowance(roundoff, 2 * _norms(before) + _norms(after), added.shape[1], _norms(added)) / sigma
    r = added / sigma[:, None]
    if shared and not np.any(_norms(r - r[0]) > slack + slack[0]):
        nodes, slack, r = nodes[:1], slack[:1], r[:1]
    return NoiseTraces(fingerprints(r), slack, nodes, r)


def audit_logs(
    additions: Additions, logs: NoiseLogs, parameters: int, level: float, earlier: Sequence[NoiseTraces] = ()
) -> tuple[NoiseAudit, NoiseTraces]:
    """Audit noise that nodes add time and again, given what each of them has measured.

    Args:
        additions: what the mechanism says.
        logs: of the nodes; those of others than the mechanism speaks of are left out.
        parameters: d.
        level: of this release.
        earlier: of the earlier releases of the run, in order.

    Returns:
        The audit, and what later releases are compared with.
    """
    width = log_width(parameters)
    empty = np.zeros((0, width))
    involved = np.unique(additions.nodes)
    rows = {int(node): logs[int(node)].rows if int(node) in logs else empty for node in involved}
    expected = {int(node): additions.rounds[additions.nodes == node] for node in involved}
    measured = sum(map(len, rows.values()))
    nothing = no_traces(parameters)
    wrong = [node for node, own in rows.items() if not np.array_equal(own[:, 0], expected[node])]
    if wrong:
        return NoiseAudit("violated", _miscounted(wrong[0], expected, rows), len(additions), measured, level), nothing
    own = np.concatenate([rows[int(node)] for node in involved])
    at = np.concatenate([np.flatnonzero(additions.nodes == node) for node in involved])
    nodes, rounds, sigma = additions.nodes[at], additions.rounds[at], additions.sigma[at]
    norms, slack = own[:, 1] / sigma, own[:, 2] / sigma
    words = _Words(nodes, rounds)
    traces = NoiseTraces(own[:, _COLUMNS:] / sigma[:, None], slack, nothing.nodes, nothing.vectors)
    tests = [*_norm_tests(norms, slack, parameters, words)]
    tests += _successive(own[:, 3] / sigma, slack, nodes, words)
    tests += _sums_of_rounds(traces.prints, slack, rounds)
    tests += _repeats(traces, earlier, words)
    return judged(tuple(tests), len(additions), measured, level), traces


def required_tests(additions: Additions, parameters: int, shared: bool = False) -> dict[str, tuple[int, int | None]]:
    """Return the number of tests and the degrees of freedom of the statistics that an audit must have, by name.

    Args:
        additions: what the mechanism says.
        parameters: d.
        shared: whether all nodes add one and the same vector.
    """
    vectors = 1 if shared else len(additions)
    required: dict[str, tuple[int, int | None]] = {"norm": (vectors, parameters)}
    if vectors > 1:
        pairs = vectors * (vectors - 1) // 2
        required |= {"all norms": (1, parameters * vectors), "repeats": (pairs, min(_PRINT, parameters))}
    later = vectors - len(np.unique(additions.nodes))
    if not shared and later:
        required["successive"] = (later, None)
    return required


def judged(tests: tuple[NoiseTest, ...], expected: int, measured: int, level: float) -> NoiseAudit:
    """Return the audit that follows from the most extreme tests of all statistics.

    Args:
        tests: one for each statistic.
        expected: how many additions the mechanism says there are.
        measured: how many were measured.
        level: of this release.
    """
    adjusted = [min(1.0, test.p_value * test.tests * len(tests)) for test in tests]
    worst, smallest = tests[int(np.argmin(adjusted))], min(adjusted)
    many = sum(test.tests for test in tests)
    if smallest <= level:
        status: Status = "violated"
        said = _violated(worst, smallest)
    elif (total := _total(tests)) is not None and not total.allowance <= 0.5 * np.sqrt(total.degrees or 0):
        status, said = "unchecked", "the noise is too small for the arithmetic: rounding may be all that was measured"
    else:
        status = "holds"
        said = (
            f"{measured:,} additions of noise were measured and agree with the certified σ: {many:,} tests, smallest "
            f"adjusted p-value {smallest:.3g} ({worst.name}, {worst.where})"
        )
    return NoiseAudit(status, said, expected, measured, level, smallest, tests)


def _total(tests: Sequence[NoiseTest]) -> NoiseTest | None:
    """Return the test that measures the noise as a whole."""
    named = {test.name: test for test in tests}
    return named.get("all norms", named.get("norm"))


def _violated(worst: NoiseTest, adjusted: float) -> str:
    """Return the sentence about a statistic that noise as certified does not have."""
    typical = {"chi": f"about {np.sqrt(worst.degrees or 0):.4g}", "normal": "within about 6 of 0"}
    usual = typical.get(worst.law, "far larger")
    what = {
        "norm": "the norm of a noise vector in units of its σ",
        "all norms": "the norm of all noise vectors together in units of their σ",
        "repeats": "the distance of the fingerprints of two noise vectors",
        "earlier repeats": "the distance of the fingerprints of two noise vectors of two releases",
    }.get(worst.name, f"the statistic {worst.name!r}")
    return (
        f"the noise that was added is not the certified Gaussian: {what} is {worst.statistic:.6g} ({worst.where}), "
        f"where it should be {usual}; adjusted p-value {adjusted:.3g}"
    )


def _miscounted(node: int, expected: Mapping[int, NDArray[np.int64]], rows: Mapping[int, Vector]) -> str:
    """Return the sentence about a node that did not add noise when the mechanism says."""
    return (
        f"node {node} was to add noise {len(expected[node]):,} times and was measured to do so {len(rows[node]):,} "
        "times, or in other rounds"
    )


def _norms(vectors: NDArray[np.float64]) -> Vector:
    """Return the norm of every row."""
    return np.asarray(np.sqrt(np.einsum("ij,ij->i", vectors, vectors)))


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


def _direction(
    r: NDArray[np.float64], slack: Vector, nodes: NDArray[np.int64], centre: Parameters, retrained: Parameters
) -> Iterator[NoiseTest]:
    """Yield the test of the inner products with the direction from the retrained model."""
    gap = np.asarray(centre, dtype=np.float64)[nodes] - np.asarray(retrained, dtype=np.float64)[nodes]
    distance = _norms(gap)
    differing = np.flatnonzero(distance > 0)
    along = np.einsum("ij,ij->i", r[differing], gap[differing]) / distance[differing]
    yield from _extreme("direction", "normal", None, along, slack[differing], _Words(nodes[differing]))


def _pairs(r: NDArray[np.float64], slack: Vector, nodes: NDArray[np.int64]) -> Iterator[NoiseTest]:
    """Yield the test of the inner products of all pairs, unless there are too many."""
    n, d = r.shape
    if n * n * d > _PRODUCTS:
        return
    norms, worst, pair = np.maximum(_norms(r), 1e-300), -1.0, (0, 1)
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
    statistic, allowed = _norms(total[several]) / root, allowance[several] / root
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
    norms = np.maximum(_norms(other), 1e-300)
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
