"""The audit of the noise that was used: false alarms, power, rounding, and what a record must say."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from rewindnet.certificates import CertificateError, NoiseAudit
from rewindnet.certificates.additions import BETWEEN_ROUNDS, Additions
from rewindnet.certificates.audits.noise.log import NoiseLog, fingerprints, measure_addition
from rewindnet.certificates.audits.noise.statistics import p_value
from rewindnet.certificates.audits.noise.traces import NoiseTraces
from rewindnet.certificates.audits.noise.verdict import LEVEL, audit_logs, audit_vectors, judged, required_tests

ONCE = np.array([BETWEEN_ROUNDS])
DOUBLE, SINGLE = 2.0**-53, 2.0**-24
Found = tuple[NoiseAudit, NoiseTraces]


def once(
    rng: np.random.Generator,
    nodes: int,
    parameters: int,
    *,
    factor: float = 1.0,
    noise: NDArray[np.float64] | None = None,
    dtype: Any = np.float64,
    size: float = 1.0,
    **more: Any,
) -> Found:
    """Noise that every node adds once to a model of that size, `factor` times as large as it says."""
    sigma = rng.uniform(0.1, 2.0, nodes)
    centre = (size * rng.standard_normal((nodes, parameters))).astype(dtype)
    drawn = rng.standard_normal((nodes, parameters)) if noise is None else noise
    noised = centre + (factor * sigma[:, None] * drawn).astype(dtype)
    retrained = centre + rng.standard_normal(centre.shape)
    roundoff = float(np.finfo(dtype).eps) / 2
    return audit_vectors(Additions.of(ONCE, sigma), centre, noised, roundoff, LEVEL, retrained, **more)


def every_round(
    rng: np.random.Generator, nodes: int, rounds: int, parameters: int, noise: NDArray[np.float64] | None = None
) -> Found:
    """Noise [rounds, nodes, d] that every node adds in every round, as each of them measures it."""
    sigma = rng.uniform(0.1, 2.0, nodes)
    drawn = rng.standard_normal((rounds, nodes, parameters)) if noise is None else noise
    logs = {}
    for node in range(nodes):
        rows, last = [], np.zeros(0)
        for round in range(rounds):
            centre = rng.standard_normal(parameters)
            row, last = measure_addition(centre, centre + sigma[node] * drawn[round, node], last, round, DOUBLE)
            rows.append(row)
        logs[node] = NoiseLog(np.stack(rows), last)
    return audit_logs(Additions.of(np.arange(rounds), sigma), logs, parameters, LEVEL)


def test_noise_as_certified_is_not_called_violated() -> None:
    """Over 1,000 seeds: none at the level of a run, and at looser levels no more often than they say."""
    p = {"once": [], "every round": [], "a few numbers": []}  # type: dict[str, list[float]]
    for seed in range(1_000):
        rng = np.random.default_rng([seed, 77])
        first, traces = once(rng, 5, 40)
        second, _ = once(rng, 5, 40, earlier=[traces])
        p["once"].append(min(1.0, 2 * min(first.p_value or 0.0, second.p_value or 0.0)))
        p["every round"].append(every_round(rng, 3, 5, 20)[0].p_value or 0.0)
        p["a few numbers"].append(once(rng, 2, 3)[0].p_value or 0.0)
    for found in p.values():
        assert np.mean(np.array(found) <= LEVEL) <= 1e-3
        for level in (0.01, 0.1):
            assert np.mean(np.array(found) <= level) <= level + 3 * np.sqrt(level / len(found))
        # Bonferroni wastes little: the level is not just never reached.
        assert np.mean(np.array(found) <= 0.3) >= 0.1


@pytest.mark.parametrize(
    ("nodes", "parameters", "factor", "least"),
    [
        (1, 7_850, 0.95, 0.85),
        (10, 7_850, 0.95, 1.0),
        (1, 7_850, 0.9, 1.0),
        (1, 7_850, 1.1, 1.0),
        (10, 650, 0.95, 0.5),
        (10, 650, 0.9, 1.0),
        (1, 650, 0.5, 1.0),
        (6, 15, 0.5, 1.0),
        (1, 15, 0.0, 1.0),
    ],
)
def test_too_little_or_too_much_noise_is_found(nodes: int, parameters: int, factor: float, least: float) -> None:
    rng = np.random.default_rng(5)
    found = [once(rng, nodes, parameters, factor=factor)[0] for _ in range(60)]
    assert np.mean([audit.status == "violated" for audit in found]) >= least
    assert "not the certified Gaussian" in next(audit for audit in found if audit.status == "violated").sentence


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_one_vector_for_all_nodes_is_found(dtype: Any) -> None:
    rng = np.random.default_rng(6)
    alike = np.repeat(rng.standard_normal((1, 650)), 10, axis=0)
    assert once(rng, 10, 650, noise=alike, dtype=dtype)[0].status == "violated"
    # Of two nodes among many, too, and with what all have in common a small part of each.
    pair = rng.standard_normal((10, 650))
    pair[7] = pair[2]
    found = once(rng, 10, 650, noise=pair, dtype=dtype)[0]
    assert (found.status, "nodes 2 and 7" in found.sentence or "node 2, and node 7" in found.sentence) == (
        "violated",
        True,
    )
    common = 0.9 * rng.standard_normal((30, 650)) + np.sqrt(1 - 0.81) * alike[:1]
    assert once(rng, 30, 650, noise=common, dtype=dtype)[0].status == "violated"


def test_equal_vectors_are_found_where_pairs_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rewindnet.certificates.audits.noise.statistics._PRODUCTS", 0)
    rng = np.random.default_rng(7)
    drawn = rng.standard_normal((3_000, 40))
    honest = once(rng, 3_000, 40, noise=drawn)[0]
    assert (honest.status, "pairs" in {test.name for test in honest.tests}) == ("holds", False)
    drawn[2_999] = drawn[17]
    found = once(rng, 3_000, 40, noise=drawn)[0]
    assert found.status == "violated"
    assert "node 17, and node 2999" in found.sentence


def test_noise_along_the_difference_is_found() -> None:
    """Noise that cancels the difference from retraining has about the right norm, and no right direction."""
    rng = np.random.default_rng(8)
    centre, retrained = rng.standard_normal((2, 1, 7_850))
    unit = (centre - retrained) / np.linalg.norm(centre - retrained)
    drawn = rng.standard_normal((1, 7_850))
    drawn += (8 - drawn @ unit.T) * unit
    found = audit_vectors(Additions.of(ONCE, np.ones(1)), centre, centre + drawn, DOUBLE, LEVEL, retrained)[0]
    assert found.status == "violated"
    assert "'direction'" in found.sentence


def test_a_shared_vector_must_be_the_same_everywhere() -> None:
    rng = np.random.default_rng(9)
    alike = np.repeat(rng.standard_normal((1, 650)), 6, axis=0)
    found, traces = once(rng, 6, 650, noise=alike, shared=True)
    assert (found.status, found.tests[0].tests, len(traces.prints)) == ("holds", 1, 1)
    different = once(rng, 6, 650, shared=True)[0]
    assert (different.status, "added different ones" in different.sentence) == ("violated", True)
    assert once(rng, 6, 650, noise=alike, factor=0.5, shared=True)[0].status == "violated"


def test_a_vector_of_an_earlier_release_is_found() -> None:
    rng = np.random.default_rng(10)
    drawn = rng.standard_normal((4, 650))
    _, first = once(rng, 4, 650, noise=drawn)
    between = once(rng, 4, 650)[1]
    assert once(rng, 4, 650, earlier=[first, between])[0].status == "holds"
    assert once(rng, 4, 650, noise=drawn, earlier=[first, between])[0].status == "violated"
    # What the release before had is a part of it, as it would be if it were added to the same state again.
    mixed = 0.95 * rng.standard_normal((4, 650)) + np.sqrt(1 - 0.95**2) * drawn
    found = once(rng, 4, 650, noise=mixed, earlier=[first])[0]
    assert (found.status, "'earlier release'" in found.sentence) == ("violated", True)


@pytest.mark.parametrize("wrong", ["scaled", "none", "one of many", "alike", "again", "opposite"])
def test_noise_of_every_round_is_measured_by_the_nodes(wrong: str) -> None:
    rng = np.random.default_rng(11)
    drawn = rng.standard_normal((12, 6, 65))
    assert every_round(rng, 6, 12, 65, drawn)[0].status == "holds"
    if wrong == "scaled":
        drawn *= 0.8
    elif wrong == "none":
        drawn *= 0
    elif wrong == "one of many":
        drawn[7, 3] = 0
    elif wrong == "alike":
        drawn[:] = drawn[:, :1]
    elif wrong == "again":
        drawn[9, 2] = drawn[3, 2]
    else:
        drawn[1::2] = -drawn[::2]
    found = every_round(rng, 6, 12, 65, drawn)[0]
    assert found.status == "violated"
    if wrong == "one of many":
        assert "node 3, round 7" in found.sentence


def test_an_addition_that_was_not_made_is_found() -> None:
    rng = np.random.default_rng(12)
    additions = Additions.of(np.arange(3), np.array([1.0, 0.0, 2.0]))
    assert len(additions) == 6
    row, last = measure_addition(np.zeros(20), rng.standard_normal(20), np.zeros(0), 0, DOUBLE)
    found, traces = audit_logs(additions, {0: NoiseLog(row[None], last)}, 20, LEVEL)
    assert (found.status, found.expected, found.measured, len(traces.prints)) == ("violated", 6, 1, 0)
    assert "node 0 was to add noise 3 times and was measured to do so 1 times" in found.sentence


def test_rounding_is_allowed_for() -> None:
    """In single precision, models a million times as large as the noise still show no violation, and no false claim."""
    for seed in range(50):
        rng = np.random.default_rng([seed, 3])
        assert once(rng, 5, 200, dtype=np.float32, size=1e3)[0].status == "holds"
        assert once(rng, 5, 200, dtype=np.float32, size=1e6)[0].status == "unchecked"
    found = once(np.random.default_rng(0), 5, 200, dtype=np.float32, size=1e6)[0]
    assert "too small for the arithmetic" in found.sentence


def test_the_allowance_bounds_what_rounding_does() -> None:
    """Inequality (1): the difference of the stored values is within the allowance of σZ, at every size of the model."""
    rng = np.random.default_rng(13)
    for dtype in (np.float32, np.float64):
        for size in (1e-6, 1e-3, 1.0, 1e3, 1e6):
            for _ in range(20):
                begin = (size * rng.standard_normal(300)).astype(dtype)
                step, z, eta, sigma = size * rng.standard_normal(300), rng.standard_normal(300), 0.37, 0.21
                wide = begin.astype(np.float64)
                noised = (wide - eta * (step + z * sigma)).astype(dtype).astype(np.float64)
                roundoff = float(np.finfo(dtype).eps) / 2
                row, added = measure_addition(wide - eta * step, noised, np.zeros(0), 0, roundoff, wide)
                # In extended precision, what was to be added.
                exact = -np.longdouble(eta) * np.longdouble(sigma) * z.astype(np.longdouble)
                assert float(np.sqrt(((added - exact) ** 2).sum())) <= row[2]


def test_the_allowance_is_not_far_from_what_rounding_can_do() -> None:
    """Of single numbers, whose roundings do not average out, some come to more than a tenth of it."""
    rng = np.random.default_rng(17)
    worst = 0.0
    for _ in range(5_000):
        begin = rng.standard_normal(1).astype(np.float32).astype(np.float64)
        z = rng.standard_normal(1)
        noised = (begin + (0.3 * z).astype(np.float32)).astype(np.float32).astype(np.float64)
        row, added = measure_addition(begin, noised, np.zeros(0), 0, SINGLE)
        worst = max(worst, float(np.abs(added - 0.3 * z)[0]) / row[2])
    assert 0.1 < worst <= 1


def test_fingerprints_are_inner_products_with_orthonormal_vectors() -> None:
    for parameters in (1, 3, 8, 65):
        basis = fingerprints(np.eye(parameters))
        np.testing.assert_allclose(basis.T @ basis, np.eye(min(8, parameters)), atol=1e-12)


def test_p_values_are_those_of_the_laws() -> None:
    from scipy.stats import chi2, norm

    assert float(p_value("chi", 40, 5.0, 0.0)) == pytest.approx(2 * chi2.cdf(25, 40))
    assert float(p_value("chi", 40, 8.0, 0.0)) == pytest.approx(2 * chi2.sf(64, 40))
    assert float(p_value("normal", None, -3.0, 1.0)) == pytest.approx(2 * norm.sf(2))
    rng = np.random.default_rng(14)
    gaps = np.abs(rng.standard_normal((200_000, 2)) - rng.standard_normal((200_000, 2))).max(axis=1)
    assert float(p_value("spacing", 2, 0.7, 0.1)) == pytest.approx(np.mean(gaps <= 0.8), abs=5e-3)
    assert float(p_value("normal", None, np.nan, 0.0)) == 0.0


def test_the_tests_that_an_audit_must_have_are_those_that_it_has() -> None:
    rng = np.random.default_rng(15)
    for nodes in (1, 5):
        sigma = np.ones(nodes)
        for found, additions, shared in (
            (once(rng, nodes, 40)[0], Additions.of(ONCE, sigma), False),
            (once(rng, nodes, 40, noise=np.ones((nodes, 40)), shared=True)[0], Additions.of(ONCE, sigma), True),
            (every_round(rng, nodes, 3, 40)[0], Additions.of(np.arange(3), sigma), False),
        ):
            shapes = {test.name: (test.tests, test.degrees) for test in found.tests}
            required = required_tests(additions, 40, shared)
            assert required.items() <= shapes.items()


def test_a_record_is_the_same_when_it_is_read() -> None:
    found = once(np.random.default_rng(16), 3, 20)[0]
    assert NoiseAudit.from_record(found.to_record()) == found
    assert found == judged(found.tests, 3, 3, LEVEL)
    for damaged in ({"status": "holds"}, {**found.to_record(), "more": 1}, {**found.to_record(), "tests": [{}]}):
        with pytest.raises(CertificateError, match="audit of noise is damaged"):
            NoiseAudit.from_record(damaged)


@pytest.mark.parametrize(("share", "status"), [(0.99, "violated"), (1.01, "holds")])
def test_the_level_is_that_of_the_run(share: float, status: str) -> None:
    found = once(np.random.default_rng(16), 3, 20)[0]
    test = found.tests[0]
    at_level = replace(test, p_value=share * LEVEL / (test.tests * len(found.tests)))
    assert judged((at_level, *found.tests[1:]), 3, 3, LEVEL).status == status


@pytest.mark.parametrize(("nodes", "jointly"), [(1, False), (20, False), (20, True)])
def test_noise_that_leaves_out_the_direction_to_the_retrained_model_is_violated(nodes: int, jointly: bool) -> None:
    """Such noise has the right norm and hides nothing: what the deletion changed is there without noise."""
    rng = np.random.default_rng(nodes)
    sigma, centre, gap = rng.uniform(0.5, 2.0, nodes), *rng.standard_normal((2, nodes, 650))
    drawn, scaled = rng.standard_normal((nodes, 650)), gap / sigma[:, None]
    for noise, status in ((drawn, "holds"), (_without(drawn, scaled, jointly), "violated")):
        noised = centre + sigma[:, None] * noise
        found, _ = audit_vectors(Additions.of(ONCE, sigma), centre, noised, DOUBLE, LEVEL, centre - gap)
        assert found.status == status, found
    assert "direction" in found.sentence


def _without(noise: NDArray[np.float64], gap: NDArray[np.float64], jointly: bool) -> NDArray[np.float64]:
    """Noise without its part along the gap: of all nodes together, or of each."""
    if jointly:
        return noise - gap * (noise * gap).sum() / (gap**2).sum()
    return noise - gap * (noise * gap).sum(axis=1, keepdims=True) / (gap**2).sum(axis=1, keepdims=True)
