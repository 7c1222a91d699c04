"""The sampler of secret noise: its words, its tails, and the δ below which nothing can be certified with it."""

from dataclasses import replace
from fractions import Fraction

import mpmath
import numpy as np
import pytest
from addresses import address_at
from drawn import examples
from hypothesis import example, given
from hypothesis import strategies as st
from learnings import DELTA, release_of, small_learning
from scipy.special import log_ndtr, ndtr
from scipy.stats import chisquare, kstest

from rewindnet.certificates import Arithmetic, CertificateError, Claim, calibrate, certify
from rewindnet.certificates.accounting.sampler import sampler_floor
from rewindnet.certificates.mechanisms import NewtonSharedNoise
from rewindnet.clients.methods import METHODS
from rewindnet.clients.training.noise import MOST_WORDS, draw, gaussian_from

ALL_ONES = 2**64 - 1


class Words:
    """Words as given for one value, and then words from a generator."""

    def __init__(self, *given):
        self.given, self.asked = list(given), 0

    def __call__(self, count):
        self.asked += count
        return np.array([self.given.pop(0) if self.given else 1 << 63 for _ in range(count)], dtype=np.uint64)


def value_of(*words):
    return float(gaussian_from(Words(*words), 1)[0])


def exact_value_of(*words):
    """±Φ⁻¹(U/2) for the middle of what is left of U after these words, with 40 digits."""
    sign, upper = words[0] & 1, Fraction(words[0] >> 1, 2**63)
    width = Fraction(1, 2**63)
    for word in words[1:]:
        upper, width = upper + width * Fraction(word, 2**64), width / 2**64
    middle = upper + width / 2
    with mpmath.workdps(40):
        u = mpmath.mpf(middle.numerator) / middle.denominator
        size = mpmath.findroot(
            lambda z: mpmath.log(mpmath.erfc(z / mpmath.sqrt(2))) - mpmath.log(u), mpmath.sqrt(-2 * mpmath.log(u))
        )
    return float(size) if sign else -float(size)


# -- the words ---------------------------------------------------------------------------------------------------------


@examples(100)
@given(st.integers(0, ALL_ONES), st.integers(0, ALL_ONES), st.integers(0, 63))
@example(3, 0, 0)
@example(2, ALL_ONES, 0)
@example(2**54 - 2, ALL_ONES, 0)
@example(0, 2**63, 0)
def test_a_value_is_the_quantile_of_its_words(first, second, shift):
    """However small the words make U, and so however far out the value is."""
    first = (first >> shift) | (first & 1)
    words = (first, second) if first >> 1 < 2**53 else (first,)
    assert value_of(*words) == pytest.approx(exact_value_of(*words), rel=1e-13, abs=2**-50)


@pytest.mark.parametrize("zeros", range(1, MOST_WORDS))
def test_words_without_an_end_of_zeros_reach_further_and_further(zeros):
    words = (*zeros * (0,), 2**62 + 5)
    found, further = value_of(*words), value_of(*words[:-1], 0, 2**62 + 5)
    assert found == pytest.approx(exact_value_of(*words), rel=1e-13)
    assert found < -8.3
    assert further < found or zeros == MOST_WORDS - 1


def test_the_most_extreme_words_give_finite_values():
    zeros = Words(*MOST_WORDS * [0])
    lowest = float(gaussian_from(zeros, 1)[0])
    assert zeros.asked == MOST_WORDS
    assert lowest == pytest.approx(exact_value_of(*MOST_WORDS * [0]), rel=1e-13)
    assert -37 < lowest < -36
    assert value_of(1, *(MOST_WORDS - 1) * [0]) == -lowest
    assert value_of(ALL_ONES) == value_of(ALL_ONES - 1) == 0.0
    assert np.isfinite(gaussian_from(lambda count: np.zeros(count, dtype=np.uint64), 1000)).all()
    assert np.isfinite(gaussian_from(lambda count: np.full(count, ALL_ONES, dtype=np.uint64), 1000)).all()


@examples(100)
@given(st.lists(st.integers(0, ALL_ONES), min_size=3, max_size=3), st.integers(0, 63))
def test_the_sign_is_a_bit_of_its_own(words, shift):
    words[0] >>= shift
    plus, minus = (value_of(words[0] >> 1 << 1 | bit, *words[1:]) for bit in (1, 0))
    assert plus == -minus
    assert plus >= 0


def test_a_value_is_the_same_whatever_is_drawn_beside_it():
    firsts = [7, 1 << 40, 1 << 60, 0, 3 << 20]
    alone = [value_of(first, 11, 13) for first in firsts]
    continued = [i for i, first in enumerate(firsts) if first >> 1 < 2**53]
    words = Words(*firsts, *len(continued) * [11], *len(continued) * [13])
    np.testing.assert_array_equal(gaussian_from(words, len(firsts)), alone)


# -- the distribution --------------------------------------------------------------------------------------------------


def generated(size, seed=0):
    generator = np.random.default_rng(seed)
    return gaussian_from(lambda count: generator.integers(0, ALL_ONES, count, dtype=np.uint64, endpoint=True), size)


@pytest.mark.parametrize(
    "sampled", [generated, lambda size: draw(size, address_at(source="os"), 0)], ids=["generated", "os"]
)
def test_the_values_are_normal(sampled):
    values = sampled(1_000_000)
    assert kstest(values, "norm").pvalue > 1e-8
    edges = np.array([-np.inf, -4, -3, -2, -1.5, -1, -0.5, -0.1, 0, 0.1, 0.5, 1, 1.5, 2, 3, 4, np.inf])
    counts = np.histogram(values, edges)[0]
    assert chisquare(counts, np.diff(ndtr(edges)) * len(values)).pvalue > 1e-8
    assert np.unique(values).size > 0.999999 * len(values)


@pytest.mark.parametrize("bits", [20, 70, 300, 800])
def test_the_far_tail_is_normal(bits):
    """Given that the first bits of U are 0, |z| has the law of the tail beyond −Φ⁻¹(2^−bits/2)."""
    generator = np.random.default_rng(bits)
    whole, part = divmod(bits - 63, 64) if bits >= 63 else (-1, bits)
    calls = 0

    def words(count):
        nonlocal calls
        drawn = generator.integers(0, ALL_ONES, count, dtype=np.uint64, endpoint=True)
        index, calls = calls, calls + 1
        if bits < 63:
            return (drawn >> np.uint64(bits)) | (drawn << np.uint64(63)) >> np.uint64(63) if index == 0 else drawn
        if index <= whole:
            return np.zeros(count, dtype=np.uint64) if index else drawn & np.uint64(1)
        return drawn >> np.uint64(part) if index == whole + 1 else drawn

    values = np.abs(gaussian_from(words, 20_000))
    # The share of U that is left, from the value: log(Φ(−z)·2/2^−bits), with digits that the tail does not lose.
    left = np.exp(log_ndtr(-values) + np.log(2) * (bits + 1))
    assert kstest(left, "uniform").pvalue > 1e-8
    assert values.min() > {20: 4.8, 70: 9.5, 300: 20, 800: 33}[bits]


# -- the floor ---------------------------------------------------------------------------------------------------------


def test_the_floor_is_that_of_all_values_together():
    assert sampler_floor("os", 10**12) == 10**12 * 2.0**-906 < 1e-260
    assert sampler_floor("seed", 10**6) == 10**6 * 2.0**-48
    assert sampler_floor("seed", 0) == 0.0
    assert sampler_floor("seed", 10**30) == 1.0
    with pytest.raises(CertificateError, match="draws"):
        sampler_floor("os", -1)


def test_the_floor_of_secret_noise_is_the_chance_that_its_words_run_out():
    """The first 14 words are 0 and so is the end of the last one: 63 + 13·64 + 11 bits."""
    assert 63 + (MOST_WORDS - 2) * 64 + 11 == 906
    assert sampler_floor("os", 1) == 2.0**-906


ARITHMETIC = Arithmetic(2.0**-53, 6, 3, 1000, 0.1)


def test_a_delta_below_the_floor_is_refused():
    learning = small_learning(arithmetic=ARITHMETIC)
    floor = sampler_floor("seed", 4 * 1000)
    for delta, source in ((floor * 1.01, "seed"), (1e-250, "os")):
        assert certify(learning, release_of(np.ones(4), noise_source=source), Claim("node", delta)).epsilon > 0
    said = r"delta .* is below what the noise source seed can give: its 4 vectors of 1,000 values .*noise_source os"
    for use in (
        lambda claim: certify(learning, release_of(np.ones(4)), claim),
        lambda claim: calibrate(learning, release_of(np.zeros(4)), claim, 1.0),
    ):
        with pytest.raises(CertificateError, match=said):
            use(Claim("node", floor * 0.99))
    with pytest.raises(CertificateError, match="noise source os can give"):
        certify(learning, release_of(np.ones(4), noise_source="os"), Claim("node", 1e-290))


def test_where_nothing_is_drawn_or_nothing_is_known_nothing_is_refused():
    claim = Claim("node", 1e-100)
    exact = certify(small_learning(arithmetic=ARITHMETIC), release_of(np.zeros(4), checkpoint_round=0), claim)
    assert exact.epsilon == 0
    assert certify(small_learning(), release_of(np.ones(4)), claim).epsilon > 0


def drawn_vectors(monkeypatch):
    """Counts the vectors that any step draws."""
    from rewindnet.clients.steps import learning, noisy

    counted = []
    for module, name in ((learning, "draw"), (noisy, "draw_in_round")):
        real = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *args, _real=real: (counted.append(args[0]), _real(*args))[1])
    return counted


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("r2d", {"rewind": 0.5}),
        ("r2d", {"rewind": 0.5, "view": "average", "placement": "output"}),
        ("r2d", {"rewind": 0.5, "view": "node:1", "placement": "rewind", "allocation": "optimal"}),
        ("noise-only", {}),
        ("langevin", {"rounds": 3}),
        ("langevin", {"rounds": 0}),
        ("noisy-finetune", {"rounds": 3}),
        ("rr-du", {"noise": "certified"}),
        ("gossip-dp", {}),
        ("walk-dp", {"hops": 9}),
    ],
)
def test_every_mechanism_counts_the_vectors_that_are_drawn(name, given, tmp_path, monkeypatch):
    from runs import run_through

    counted = drawn_vectors(monkeypatch)
    scenario = {
        "data": {"source": "synthetic", "samples": 60, "dimensions": 3},
        "partition": {"clients": 4},
        "topology": "ring",
        "learning": {"rounds": 6},
        "deletion": {"samples": 2},
        "audit": {"draws": 0},
        "unlearning": [{"method": name, **given}],
    }
    certificate, _ = run_through(scenario, tmp_path / "run").certified[0]
    release = certificate.release
    assert release.mechanism.noise_vectors(release) == len(counted) > 0


def test_one_shared_vector_is_one_vector():
    release = release_of(np.ones(4), mechanism=NewtonSharedNoise())
    assert release.mechanism.noise_vectors(release) == 1
    assert replace(release, sigma=np.zeros(4)).mechanism.noise_vectors(replace(release, sigma=np.zeros(4))) == 0


def test_rounds_of_noise_are_counted_towards_the_floor():
    learning = small_learning(arithmetic=ARITHMETIC)
    plan = METHODS["gossip-dp"](sigma=1.0, delta=DELTA).plan(learning)
    between = sampler_floor("seed", 2 * 4 * 1000)
    with pytest.raises(CertificateError, match="its 40 vectors of 1,000 values"):
        certify(learning, plan.release, replace(plan.claim, delta=between))
