"""Verdicts on noise: the audits of the noise of a release, from the models before and after it or from logs."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from rewindnet.certificates.additions import Additions
from rewindnet.certificates.audits.noise.log import COLUMNS, NoiseLogs, log_width, print_width
from rewindnet.certificates.audits.noise.record import NoiseAudit, NoiseTest, Status
from rewindnet.certificates.audits.noise.statistics import log_tests, vector_tests
from rewindnet.certificates.audits.noise.traces import NoiseTraces, Parameters, no_traces, vector_traces
from rewindnet.certificates.network import Vector

#: The probability that a run whose noise is as certified is called violated.
LEVEL = 1e-6


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
    tests = vector_tests(traces, earlier, additions.sigma[: len(traces.nodes)], centre, retrained)
    found = judged(tests, len(additions), len(additions), level)
    if shared and len(traces.nodes) > 1:
        words = "where all nodes were to add one and the same noise vector, they added different ones"
        found = replace(found, status="violated", sentence=words)
    return found, traces


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
    done = Additions(additions.rounds[at], additions.nodes[at], additions.sigma[at])
    sigma = done.sigma
    traces = NoiseTraces(own[:, COLUMNS:] / sigma[:, None], own[:, 2] / sigma, nothing.nodes, nothing.vectors)
    tests = log_tests(traces, earlier, done, own[:, 1] / sigma, own[:, 3] / sigma, parameters)
    return judged(tests, len(additions), measured, level), traces


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
        required |= {"all norms": (1, parameters * vectors), "repeats": (pairs, print_width(parameters))}
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
