"""Monte-Carlo audits: below what is true, above what is wrong, for every view."""

import json
from dataclasses import dataclass, replace
from math import log

import numpy as np
import pytest
from addresses import address_at
from drawn import examples
from hypothesis import given
from hypothesis import strategies as st
from learnings import DELTA, release_of, small_learning, views_of
from runs import run_through
from scipy.sparse import csr_array
from scipy.special import betaincinv
from scipy.stats import binomtest, norm

from rewindnet import topologies
from rewindnet.certificates import (
    Audit,
    CertificateError,
    Claim,
    MonteCarlo,
    Release,
    audit,
    certify,
    epsilon_of,
    gossip_product,
    monte_carlo,
    mu_of,
    mu_of_view,
    violation,
)
from rewindnet.certificates.audits import montecarlo as module
from rewindnet.certificates.audits.distinguisher import distinguisher
from rewindnet.certificates.audits.montecarlo import DRAWS, default_draws, lower_bound
from rewindnet.certificates.view import View
from rewindnet.certificates.views.light_cones import light_cone
from rewindnet.clients.training.noise import draw
from rewindnet.experiments.report.page import write_report
from rewindnet.experiments.verify.verify import verify_folder
from rewindnet.topologies import Stream

LEARNING = small_learning()


def certified(release, view, learning=LEARNING, delta=DELTA):
    return certify(learning, release, Claim(view, delta))


def sampler(seed, parameters, scale=1.0):
    """The noise of a run's audit, or of one whose noise has another size than it says."""

    def noise(node, first, rows):
        return scale * draw(rows * parameters, address_at(seed, first), node, Stream.AUDIT).reshape(rows, parameters)

    return noise


def at_the_limit(certificate, parameters=5):
    """Centres [N, d] as far apart as the certificate allows, in some direction."""
    towards = np.random.default_rng(3).standard_normal((4, parameters))
    unit = towards / np.linalg.norm(towards, axis=1, keepdims=True)
    return np.array(certificate.sensitivity)[:, None] * unit * (1 - 1e-12), np.zeros((4, parameters))


def one_node(mu):
    """A certificate and centres for which node 0 sees exactly μ."""
    certificate = replace(certified(release_of(np.ones(4)), "node:0"), mu=mu, epsilon=epsilon_of(mu, DELTA))
    centre = np.zeros((4, 1))
    centre[0] = mu
    return certificate, centre, np.zeros((4, 1))


# -- the bound ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mu", [0.05, 0.27, 1.0, 4.0])
@pytest.mark.parametrize("confidence", [0.6, 0.95])
def test_the_bound_is_below_the_truth_as_often_as_it_says(mu, confidence):
    certificate, centre, retrained = one_node(mu)
    found = [
        monte_carlo(
            certificate, LEARNING.mixing, centre, retrained, sampler(seed, 1), 300, confidence
        ).epsilon_lower_bound
        for seed in range(150)
    ]
    over = sum(epsilon > certificate.epsilon for epsilon in found)
    assert binomtest(over, len(found), 1 - confidence, "greater").pvalue > 1e-6
    assert min(found) >= 0
    if mu >= 1:
        assert np.median(found) > certificate.epsilon / 2


def test_half_the_noise_is_caught_and_all_of_it_is_not():
    release = release_of(np.zeros(4))
    caught, alarms = 0, 0
    for placement, view in (("output", "node"), ("output", "joint"), ("rewind", "transcript:all")):
        unit = replace(release, sigma=np.ones(4), placement=placement)
        mu = mu_of_view(View.of(view), np.array(certified(unit, view).sensitivity), unit, LEARNING.mixing)
        certificate = certified(replace(unit, sigma=np.full(4, mu / mu_of(1.0, DELTA))), view)
        assert certificate.epsilon == pytest.approx(1.0)
        centre, retrained = at_the_limit(certificate)
        divergence = np.linalg.norm(centre - retrained, axis=1)
        for seed in range(20):
            wrong, right = (
                monte_carlo(certificate, LEARNING.mixing, centre, retrained, sampler(seed, 5, scale))
                for scale in (0.5, 1.0)
            )
            assert wrong.draws == right.draws == DRAWS
            caught += not audit(certificate, LEARNING.mixing, divergence, wrong).holds
            alarms += not audit(certificate, LEARNING.mixing, divergence, right).holds
            # Nobody sees it without drawing: the distances are as they should be.
            assert audit(certificate, LEARNING.mixing, divergence).holds
            assert wrong.epsilon_lower_bound < epsilon_of(2 * mu_of(1.0, DELTA), DELTA)
    assert caught == 60
    # At the limit of the certificate the bound exceeds it as often as its confidence says.
    assert binomtest(alarms, 60, 0.05, "greater").pvalue > 1e-3


def test_a_sampler_that_gives_no_noise_or_ever_the_same_is_caught():
    certificate, centre, retrained = one_node(mu_of(1.0, DELTA))
    for broken in (lambda node, first, rows: np.zeros((rows, 1)), lambda node, first, rows: np.full((rows, 1), 0.3)):
        found = monte_carlo(certificate, LEARNING.mixing, centre, retrained, broken)
        assert found.epsilon_lower_bound > 1
        assert found.true_positives == (1800, 1800)
        assert found.false_positives == (0, 0)


def test_noise_that_is_too_coarse_is_caught():
    """Of the right size, but in steps of its standard deviation."""
    certificate, centre, retrained = one_node(mu_of(1.0, DELTA))

    def coarse(node, first, rows):
        return np.round(sampler(0, 1)(node, first, rows))

    assert monte_carlo(certificate, LEARNING.mixing, centre, retrained, coarse).epsilon_lower_bound > 1


@examples(100)
@given(st.data())
def test_counts_become_bounds_as_clopper_and_pearson_have_it(data):
    counted = data.draw(st.integers(20, 5000))
    true = [data.draw(st.integers(0, counted)) for _ in range(2)]
    false = [data.draw(st.integers(0, count)) for count in true]
    confidence, delta = data.draw(st.sampled_from([0.5, 0.95, 0.999])), data.draw(st.sampled_from([1e-9, 1e-5, 0.1]))

    def interval(count, level):
        """Of two one-sided bounds, each at that level."""
        return binomtest(count, counted).proportion_ci(1 - 2 * level, "exact")

    low, high = interval(true[0], (1 - confidence) / 10).low, interval(false[0], (1 - confidence) / 10).high
    plain = [log(up / down) for up, down in ((low - delta, high), (1 - high - delta, 1 - low)) if up > 0 and down > 0]
    mu = 2 * norm.ppf((1 + interval(true[1] - false[1], (1 - confidence) * 4 / 5).low) / 2)
    expected = max(0.0, *plain, epsilon_of(mu, delta), 0.0)
    assert lower_bound(true, false, counted, confidence, delta) == pytest.approx(expected, rel=1e-6, abs=1e-9)


def bounds_of_two_rates(samples, mu, confidence=0.95):
    """The bound with (2) from bounds on both rates, all four rates at a quarter of the level."""
    pilot, counted = np.split(samples, [len(samples) // 10])
    n, level, grid = len(counted), (1 - confidence) / 4, np.arange(601) / 100

    def bounds(true, false):
        low = np.where(true > 0, betaincinv(np.maximum(true, 1e-6), n - true + 1, level), 0.0)
        high = np.where(false < n, betaincinv(false + 1, np.maximum(n - false, 1e-6), 1 - level), 1.0)
        with np.errstate(divide="ignore"):
            one = np.log(np.maximum(low - DELTA, 0.0) / high)
            other = np.log(np.maximum(1 - high - DELTA, 0.0) / (1 - low))
        return np.maximum(one, other), norm.ppf(low) - norm.ppf(high)

    mean, deviation = pilot.mean(), max(pilot.std(), 1e-3)
    promised = bounds(*(n * norm.cdf((mean + shift - grid) / deviation) for shift in (mu, 0.0)))
    at = grid[[int(np.argmax(promise)) for promise in promised]]
    found = bounds(*(np.array([float(np.count_nonzero(counted + shift > t)) for t in at]) for shift in (mu, 0.0)))
    return max(0.0, found[0].max(), epsilon_of(max(0.0, found[1].max()), DELTA))


def bound_of(mu, draws, seed, confidence=0.95):
    """The lower bound from samples of honest noise at that distance, and the samples."""
    certificate, centre, retrained = one_node(mu)
    samples = np.random.default_rng([seed, draws]).standard_normal(draws)

    def noise(node, first, rows):
        return samples[first : first + rows, None]

    found = monte_carlo(certificate, LEARNING.mixing, centre, retrained, noise, draws, confidence)
    return found.epsilon_lower_bound, samples


@pytest.mark.parametrize("epsilon", [0.5, 1.0, 2.0, 4.0, 8.0])
@pytest.mark.parametrize("draws", [500, 2_000])
def test_one_count_for_a_difference_proves_more_than_two_rates(epsilon, draws):
    mu = mu_of(epsilon, DELTA)
    drawn = [bound_of(mu, draws, seed) for seed in range(20)]
    new, old = np.median([bound for bound, _ in drawn]), np.median([bounds_of_two_rates(x, mu) for _, x in drawn])
    assert old < new < epsilon
    assert epsilon - new < 0.75 * (epsilon - old)


@pytest.mark.slow
@pytest.mark.parametrize("confidence", [0.9, 0.95])
def test_in_a_thousand_audits_the_bound_exceeds_the_truth_no_more_often_than_stated(confidence):
    for epsilon in (0.5, 2.0, 8.0):
        mu = mu_of(epsilon, DELTA)
        over = sum(bound_of(mu, 500, 1_000 + seed, confidence)[0] > epsilon for seed in range(1_000))
        assert binomtest(over, 1_000, 1 - confidence, "greater").pvalue > 1e-4
        # And it is not far below it: the bound spends most of what it may.
        assert over > 1_000 * (1 - confidence) / 10


@examples(50)
@given(st.integers(0, 2**32 - 1))
def test_the_statistic_is_the_logarithm_of_the_likelihood_ratio(seed):
    """Of all noised vectors together, by their densities: log p_c(x)/p_c'(x) = μ·(T(x) − μ/2)."""
    generator = np.random.default_rng(seed)
    sigma = generator.uniform(0.1, 2, 4)
    centre, retrained, noise = generator.standard_normal((3, 4, 3))
    found = distinguisher(certified(release_of(sigma), "joint"), LEARNING.mixing, centre, retrained)
    x, spread = centre + sigma[:, None] * noise, sigma[:, None]
    ratio = np.sum(norm.logpdf(x, centre, spread) - norm.logpdf(x, retrained, spread))
    terms = zip(found.nodes, found.shares, strict=True)
    T = sum(share * found.towards(i) @ (x[i] - retrained[i]) / sigma[i] for i, share in terms)
    assert ratio == pytest.approx(found.mu * (T - found.mu / 2), rel=1e-8, abs=1e-8)


# -- the views ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Drifting:
    """Another mixing matrix in every round, with rows but not columns that sum to 1."""

    seed: int
    nodes: int

    def participating(self, round):
        return None

    def matrix(self, round):
        generator = np.random.default_rng([self.seed, round])
        weights = generator.exponential(1, (self.nodes, self.nodes)) * (generator.uniform(0, 1, 2 * [self.nodes]) < 0.4)
        weights += np.eye(self.nodes)
        return csr_array(weights / weights.sum(axis=1, keepdims=True))


@examples(80)
@given(st.integers(0, 2**32 - 1), st.integers(2, 7), st.integers(0, 3), st.data())
def test_the_distinguisher_of_every_view_is_the_best_there_is(seed, nodes, settle, data):
    """Against the whole covariance: of what is seen, as a linear map A of all noised vectors together."""
    generator = np.random.default_rng(seed)
    mixing, view = Drifting(seed, nodes), data.draw(views_of(nodes))
    placement = data.draw(st.sampled_from(["output", "rewind"]))
    sigma = generator.uniform(0.1, 2, nodes)
    averaged = view == "average" and placement == "output"
    release = Release("r2d", 2, 1, placement, np.full(nodes, 0.7) if averaged else sigma, 0 if averaged else settle)
    release = replace(release, averaged=averaged)
    learning = small_learning(
        mixing=mixing, rounds=3, samples=np.full(nodes, 20), deleted=np.eye(nodes, dtype=np.int64)[0]
    )
    certificate = certified(release, view, learning)
    centre, retrained = generator.standard_normal((2, nodes, 3))
    if averaged:
        centre, retrained = (np.tile(theta.mean(axis=0), (nodes, 1)) for theta in (centre, retrained))
    untouched = generator.uniform(0, 1, nodes) < (0 if averaged else 0.3)
    centre[untouched] = retrained[untouched]
    shift, found = centre - retrained, distinguisher(certificate, mixing, centre, retrained)
    A = brute_force_view(view, release, mixing, shift)
    covariance = A @ np.diag(release.sigma**2) @ A.T
    solved = np.linalg.pinv(covariance) @ (A @ shift)
    best = float(np.sqrt(np.sum((A @ shift) * solved)))
    if best < 1e-9:
        assert found is None
        return
    assert found.mu == pytest.approx(best, rel=1e-9)
    assert sum(share**2 for share in found.shares) == pytest.approx(1)
    z = generator.standard_normal((nodes, 3))
    expected = np.sum(solved * (A @ (release.sigma[:, None] * z))) / best
    projected = sum(s * found.towards(i) @ z[i] for i, s in zip(found.nodes, found.shares, strict=True))
    assert projected == pytest.approx(expected, rel=1e-8, abs=1e-9)
    # What the exact audit says is at least as much: it knows distances, not directions.
    distance = np.linalg.norm(shift, axis=1)
    assert found.mu <= mu_of_view(View.of(view), distance, release, mixing) * (1 + 1e-9)


def brute_force_view(view, release, mixing, shift):
    """A [k, N], what of the noised vectors the certificate takes the view to show."""
    N = mixing.nodes
    kind, _, which = view.partition(":")
    if release.averaged:
        return np.eye(N)[:1]
    if view in ("node", "transcript") and (view == "transcript" or release.placement == "rewind"):
        ratios = (np.linalg.norm(shift, axis=1) / release.sigma) ** 2
        cones = [light_cone(v, release.noise_round, release.rounds_after_noise, mixing) for v in range(N)]
        return np.eye(N)[max(cones, key=lambda cone: ratios[cone].sum())]
    if which.isdigit() and (kind == "transcript" or release.placement == "rewind"):
        return np.eye(N)[light_cone(int(which), release.noise_round, release.rounds_after_noise, mixing)]
    if kind != "node":
        return np.eye(N)
    P = gossip_product(release, mixing).toarray()
    if which:
        return P[[int(which)]]
    return P[[int(np.argmax(P @ np.linalg.norm(shift, axis=1) / np.sqrt(P**2 @ release.sigma**2)))]]


@pytest.mark.parametrize("settle", [0, 2])
def test_the_worst_node_is_the_one_that_is_sampled(settle):
    release = release_of([1.0, 1.0, 0.1, 1.0], gossip_rounds=settle)
    centre = np.diag([0.1, 0.2, 0.1, 0.05])
    asked = [node for node, *_ in calls(certified(release, "node"), centre)]
    assert (set(asked) == {2}) == (settle == 0)


def calls(certificate, centre, **settings_):
    """What the sampler is asked for."""
    asked = []

    def noise(node, first, rows):
        asked.append((node, first, rows))
        return np.ones((rows, centre.shape[1]))

    monte_carlo(certificate, LEARNING.mixing, centre, np.zeros_like(centre), noise, **settings_)
    return asked


def test_only_the_noise_that_matters_is_drawn():
    release = release_of(np.ones(4), placement="rewind", checkpoint_round=9, descent_rounds=1)
    centre = np.zeros((4, 2))
    centre[[0, 1, 3]] = 1.0
    assert {node for node, *_ in calls(certified(release, "transcript:0"), centre)} == {0, 1}
    assert {node for node, *_ in calls(certified(release, "transcript:all"), centre)} == {0, 1, 3}


def test_draws_come_in_blocks_that_memory_can_hold(monkeypatch):
    release, centre = release_of(np.ones(4)), np.full((4, 3), 0.4)
    certificate, table = certified(release, "joint"), np.random.default_rng(0).standard_normal((4, 500, 3))

    def noise(node, first, rows):
        return table[node, first : first + rows]

    whole = monte_carlo(certificate, LEARNING.mixing, centre, 0 * centre, noise, 500)
    monkeypatch.setattr(module, "_AT_ONCE", 100)
    assert monte_carlo(certificate, LEARNING.mixing, centre, 0 * centre, noise, 500) == whole
    asked = calls(certificate, centre, draws=500)
    assert max(rows * 3 for *_, rows in asked) <= 100
    assert [sum(rows for node, _, rows in asked if node == i) for i in range(4)] == [500] * 4


def test_nothing_is_sampled_where_there_is_nothing_to_see():
    centre, same = np.ones((4, 2)), np.ones((4, 2))
    noised = certified(release_of(np.ones(4)), "joint")
    assert monte_carlo(noised, LEARNING.mixing, centre, same, sampler(0, 2)) is None
    assert monte_carlo(noised, LEARNING.mixing, centre, 0 * same, sampler(0, 2), draws=0) is None
    bare = certified(release_of([1.0, 1.0, 0.0, 1.0]), "joint")
    assert monte_carlo(bare, LEARNING.mixing, centre, 0 * same, sampler(0, 2)) is None
    for view in ("node", "node:2", "joint", "transcript:all"):
        nothing = certified(release_of(np.zeros(4)), view)
        assert monte_carlo(nothing, LEARNING.mixing, centre, 0 * same, sampler(0, 2)) is None


def test_by_default_no_more_is_drawn_than_takes_a_moment():
    assert default_draws(10, 650) == DRAWS
    assert 500 <= default_draws(20, 7850) < DRAWS
    assert default_draws(539, 7840) == 0


@pytest.mark.parametrize("settings_", [{"draws": 99}, {"draws": -1}, {"draws": 10**8}])
def test_a_number_of_draws_without_a_meaning_is_refused(settings_):
    with pytest.raises(CertificateError, match=r"takes 0 draws, or 100 to 10,000,000, not "):
        calls(certified(release_of(np.ones(4)), "joint"), np.ones((4, 2)), **settings_)


@pytest.mark.parametrize("confidence", [0.0, 1.0, -1, 2, float("nan")])
def test_a_confidence_without_a_meaning_is_refused(confidence):
    with pytest.raises(CertificateError, match="confidence must lie strictly between 0 and 1"):
        calls(certified(release_of(np.ones(4)), "joint"), np.ones((4, 2)), confidence=confidence)


def test_an_audit_survives_its_record():
    certificate, centre, retrained = one_node(1.0)
    sampled = monte_carlo(certificate, LEARNING.mixing, centre, retrained, sampler(1, 1))
    found = audit(certificate, LEARNING.mixing, np.zeros(4), sampled)
    assert Audit.from_record(json.loads(json.dumps(found.to_record(), allow_nan=False))) == found
    record = found.to_record()["monte_carlo"]
    for damaged in ({**record, "more": 1}, {key: record[key] for key in list(record)[1:]}, [], 3):
        with pytest.raises(CertificateError, match="record of the Monte-Carlo audit is damaged"):
            MonteCarlo.from_record(damaged)


def test_an_audit_draws_what_no_release_has_drawn():
    released = draw(100, address_at(1), 0)
    assert not np.any(np.isin(draw(100, address_at(1), 0, Stream.AUDIT), released))
    assert topologies.Stream.AUDIT == 20


@examples(30)
@given(*2 * [st.floats(-140, 140).map(lambda power: 10**power)])
def test_no_size_of_centres_or_noise_ends_in_no_number(far, sigma):
    certificate = certified(release_of(np.full(4, sigma)), "joint")
    centre = np.full((4, 2), far)
    found = monte_carlo(certificate, LEARNING.mixing, centre, 0 * centre, sampler(0, 2), 100)
    assert found is None or np.isfinite(found.epsilon_lower_bound)


# -- in a run ----------------------------------------------------------------------------------------------------------

SCENARIO = {
    "data": {"source": "synthetic", "samples": 100, "dimensions": 3},
    "partition": {"clients": 4},
    "topology": "ring",
    "learning": {"rounds": 10},
    "deletion": {"samples": 2},
    "unlearning": [{"method": "r2d", "rewind": 0.2, "bound": "instance", "view": "joint"}, {"method": "retrain"}],
}


def test_a_run_says_what_samples_of_its_noise_prove(tmp_path):
    run = run_through(SCENARIO, tmp_path / "run", "audit.draws=5000", "audit.confidence=0.999")
    (_, found), (_, none), _ = run.certified
    assert (found.monte_carlo.draws, found.monte_carlo.confidence, none.monte_carlo) == (5000, 0.999, None)
    assert 0 < found.monte_carlo.epsilon_lower_bound < found.epsilon_empirical < 1
    assert [row["epsilon_lower_bound"] for row in run.summary] == [found.monte_carlo.epsilon_lower_bound, None, None]
    page = write_report(tmp_path / "run").read_text("utf-8")
    assert "of which samples of the noise show at least" in page
    assert "5,000 draws, 4,500 of them counted in each world; above " in page
    assert all(finding.holds for finding in verify_folder(tmp_path / "run"))
    run_through(SCENARIO, tmp_path / "none", "audit.draws=0")
    assert json.loads((tmp_path / "none/methods/0-r2d/audit.json").read_text())["monte_carlo"] is None
    assert all(finding.holds for finding in verify_folder(tmp_path / "none"))


def test_a_run_whose_noise_is_not_what_it_says_is_caught(tmp_path, monkeypatch):
    monkeypatch.setattr("rewindnet.experiments.runs.auditing.draw", lambda size, *address: 0.1 * draw(size, *address))
    (certificate, found), *_ = run_through(SCENARIO, tmp_path / "run").certified
    assert not found.holds
    assert found.epsilon_empirical < 1 < found.monte_carlo.epsilon_lower_bound
    assert f"by samples of the noise at least {found.monte_carlo.epsilon_lower_bound:.6g}" in violation(
        certificate, found
    )
    failed = {finding.what for finding in verify_folder(tmp_path / "run") if not finding.holds}
    assert {"0 r2d, audit", "0 r2d, Monte-Carlo audit"} <= failed
