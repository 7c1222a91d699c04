from itertools import pairwise
from math import expm1, inf, log, nan, pi, sqrt

import mpmath
import numpy as np
import pytest
from drawn import examples
from hypothesis import example, given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import norm

from rewindnet.certificates import CertificateError, check_delta, check_epsilon, delta_of, epsilon_of, mu_of
from rewindnet.certificates import textbook_epsilon as published_epsilon
from rewindnet.certificates import textbook_sigma as published_sigma

#: dp-accounting's dependencies warn when they are imported; nothing else is let through.
accountants = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

epsilons = st.floats(-3, log(50, 10)).map(lambda power: 10**power)
deltas = st.floats(-12, log(0.5, 10)).map(lambda power: 10**power)


def integrated_delta(mu, epsilon):
    """∫ max(0, φ(x − μ) − e^ε·φ(x)) dx, from where the two densities cross on: nothing cancels in this integral."""
    start = epsilon / mu - mu / 2
    reach = 1 / max(1.0, start)

    def excess(u):
        return norm.pdf(start + reach * u) / norm.pdf(start) * -expm1(-mu * reach * u)

    ends = [0.0, 2.0, 8.0, 40.0, 40.0 + 2 * abs(start)]
    pieces = [quad(excess, one, two, epsabs=0, epsrel=1e-12, limit=400)[0] for one, two in pairwise(ends)]
    return norm.pdf(start) * reach * sum(pieces)


def test_the_analytic_gaussian_mechanism_at_its_check_value():
    assert 1 / mu_of(1.0, 1e-5) == pytest.approx(3.730631635, rel=1e-9)


@examples(200)
@given(epsilons, deltas)
def test_what_is_calibrated_is_certified(epsilon, delta):
    mu = mu_of(epsilon, delta)
    assert delta_of(mu, epsilon) <= delta
    assert delta_of(mu, epsilon) == pytest.approx(delta, rel=1e-7)
    certified = epsilon_of(mu, delta)
    assert certified == pytest.approx(epsilon, rel=1e-8)
    assert delta_of(mu, certified) <= delta


@examples(200)
@given(st.floats(-3, 1.5).map(lambda power: 10**power), deltas)
def test_what_is_certified_is_calibrated(mu, delta):
    epsilon = epsilon_of(mu, delta)
    assert delta_of(mu, epsilon) <= delta
    if epsilon > 1e-9:
        assert mu_of(epsilon, delta) == pytest.approx(mu, rel=1e-7)


@examples(60)
@given(st.floats(-3, 1.0).map(lambda power: 10**power), st.floats(-12, 3.0))
def test_delta_is_the_integral_of_the_excess_of_one_density_over_the_other(mu, x):
    epsilon = max(0.0, mu * (mu / 2 - x / 2))
    assert delta_of(mu, epsilon) == pytest.approx(integrated_delta(mu, epsilon), rel=1e-8)


@examples(100)
@given(st.floats(-9, 4).map(lambda power: 10**power))
def test_delta_at_epsilon_zero_is_the_total_variation_distance(mu):
    assert delta_of(mu, 0.0) == pytest.approx(2 * norm.cdf(mu / 2) - 1 if mu > 1e-3 else mu / sqrt(2 * pi), rel=1e-6)


@accountants
@pytest.mark.parametrize("delta", [1e-9, 1e-5, 1e-2])
@pytest.mark.parametrize("epsilon", [0.01, 0.3, 1.0, 4.0, 20.0])
def test_the_accountant_of_dp_accounting_calibrates_the_same_noise(epsilon, delta):
    import dp_accounting

    assert 1 / mu_of(epsilon, delta) == pytest.approx(dp_accounting.get_sigma_gaussian(epsilon, delta), rel=1e-8)
    mu = mu_of(epsilon, delta)
    assert epsilon_of(mu, delta) == pytest.approx(dp_accounting.get_epsilon_gaussian(1 / mu, delta), rel=1e-8)


def pessimistic_and_optimistic(mu, interval):
    from dp_accounting.pld import privacy_loss_distribution as pld

    return [
        pld.from_gaussian_mechanism(
            1 / mu, pessimistic_estimate=worst, value_discretization_interval=interval, use_connect_dots=worst
        )
        for worst in (True, False)
    ]


@accountants
@pytest.mark.parametrize(
    ("mu", "interval"),
    [
        (0.1, 1e-5),
        (1.0, 1e-4),
        *(pytest.param(*case, marks=pytest.mark.slow) for case in ((0.01, 1e-6), (0.3, 1e-5), (2.0, 1e-4))),
    ],
)
def test_the_privacy_loss_distribution_brackets_epsilon(mu, interval):
    above, below = pessimistic_and_optimistic(mu, interval)
    for delta in (1e-8, 1e-5, 1e-3):
        epsilon = epsilon_of(mu, delta)
        highest, lowest = above.get_epsilon_for_delta(delta), below.get_epsilon_for_delta(delta)
        assert highest - lowest < 0.02 * epsilon
        assert lowest <= epsilon <= highest


@accountants
def test_independent_releases_add_in_squares():
    mus = [0.3, 0.4, 0.7]
    together = sqrt(sum(mu**2 for mu in mus))
    estimates = [pessimistic_and_optimistic(mu, 1e-4) for mu in mus]
    for worst, on_our_side in ((0, 1), (1, -1)):
        first, second, third = (estimate[worst] for estimate in estimates)
        composed = first.compose(second).compose(third).get_epsilon_for_delta(1e-5)
        assert on_our_side * (composed - epsilon_of(together, 1e-5)) >= 0
        assert composed == pytest.approx(epsilon_of(together, 1e-5), rel=1e-3)


# -- the digits --------------------------------------------------------------------------------------------------------

small_mus = st.one_of(st.floats(-18, -6.001), st.floats(-300, -6.001)).map(lambda power: 10**power)
mus = st.one_of(small_mus, st.floats(-6, 3).map(lambda power: 10**power))
tiny_deltas = st.one_of(st.floats(-300, log(0.5, 10)), st.floats(-20, -6)).map(lambda power: 10**power)


def exact_delta(mu, epsilon):
    """δ(ε; μ) of these floats, with 50 digits more than the difference of the two terms loses."""
    with mpmath.workdps(60 + max(0, round(-2 * np.log10(mu)))):
        mu, epsilon = mpmath.mpf(mu), mpmath.mpf(epsilon)
        first, second = (mpmath.erfc((epsilon / mu + side * mu / 2) / mpmath.sqrt(2)) / 2 for side in (-1, 1))
        return +(first - mpmath.exp(epsilon) * second)


def stated_error(mu):
    """The relative error of δ(ε; μ) that the module states."""
    return 1e-12 if mu < 1e-6 else 1e-10 / min(mu, 1.0)


@examples(300)
@given(mus, st.floats(0, 37))
@example(9.99e-7, 37.0)
@example(1e-6, 37.0)
@example(1e-12, 2.0)
@example(1e-12, 1.9999999)
def test_delta_has_the_digits_that_are_stated(mu, x):
    epsilon = mu * (x + mu / 2)
    exact = exact_delta(mu, epsilon)
    if exact >= 1e-300:
        assert abs(delta_of(mu, epsilon) / exact - 1) <= stated_error(mu)


@examples(100)
@given(mus)
def test_delta_at_epsilon_zero_is_an_error_function(mu):
    exact = mpmath.erf(mpmath.mpf(mu) / (2 * mpmath.sqrt(2)))
    assert abs(delta_of(mu, 0.0) / exact - 1) <= stated_error(mu) / 1000


@examples(300)
@given(mus, tiny_deltas)
@example(1e-16, 1e-17)
@example(1e-300, 1e-300)
@example(1e-6, 1e-300)
def test_epsilon_is_never_rounded_down(mu, delta):
    epsilon = epsilon_of(mu, delta)
    allowed = 1 if mu < 1e-6 else 1 + stated_error(mu)
    assert exact_delta(mu, epsilon) <= mpmath.mpf(delta) * allowed
    # And it is no larger than it must be: a little less of it is not enough.
    if epsilon > 1e-3 * mu:
        assert exact_delta(mu, epsilon * (1 - 1e-6)) > delta


@examples(300)
@given(st.floats(-300, 3).map(lambda power: 10**power), tiny_deltas)
@example(1e-300, 1e-300)
@example(1e-20, 1e-20)
def test_mu_is_never_rounded_up(epsilon, delta):
    mu = mu_of(epsilon, delta)
    allowed = 1 if mu < 1e-6 else 1 + stated_error(mu)
    assert exact_delta(mu, epsilon) <= mpmath.mpf(delta) * allowed
    assert exact_delta(mu * (1 + 1e-6), epsilon) > delta


@examples(100)
@given(st.floats(1e-3, 30), st.floats(-30, -8).map(lambda power: 10**power))
def test_what_is_calibrated_is_certified_for_small_distances(x, delta):
    epsilon = x * delta
    assert epsilon_of(mu_of(epsilon, delta) * (1 - 1e-12), delta) <= epsilon


@pytest.mark.parametrize("delta", [1e-15, 1e-12, 1e-9])
def test_the_two_forms_of_delta_meet(delta):
    below, above = epsilon_of(1e-6 * (1 - 1e-12), delta), epsilon_of(1e-6, delta)
    assert below == pytest.approx(above, rel=1e-6)


def test_a_distance_just_above_delta_has_an_epsilon():
    """δ(0; μ) = erf(μ/(2√2)) = 3.99e-17 exceeds δ."""
    assert delta_of(1e-16, 0.0) == pytest.approx(3.989422804014327e-17, rel=1e-13)
    assert epsilon_of(1e-16, 1e-17) == pytest.approx(9.0234634751e-17, rel=1e-9)


def test_the_published_noise_is_the_textbooks_up_to_one_and_exact_above():
    assert published_sigma(1.0, 1e-5) == pytest.approx(4.8448052626)
    assert published_sigma(0.5, 1e-5) == pytest.approx(sqrt(2 * log(1.25e5)) / 0.5)
    assert published_sigma(2.0, 1e-5) == 1 / mu_of(2.0, 1e-5)


@examples(100)
@given(epsilons, deltas)
def test_the_published_epsilon_inverts_the_published_noise(epsilon, delta):
    sigma = published_sigma(epsilon, delta)
    claimed = published_epsilon(sigma, delta)
    # Just above 1 the exact formula asks for less noise than the textbook's at 1, and is then claimed as 1.
    assert claimed == pytest.approx(max(epsilon, 1.0) if claimed == 1.0 else epsilon, rel=1e-7)
    if epsilon <= 1:
        assert sigma >= 1 / mu_of(epsilon, delta)


def test_no_noise_is_claimed_to_be_infinite():
    assert published_epsilon(0.0, 1e-5) == inf
    assert published_epsilon(1e12, 1e-5) == pytest.approx(sqrt(2 * log(1.25e5)) / 1e12)


@examples(100)
@given(st.floats(1e-3, 30), st.floats(1.001, 3), deltas, st.floats(1.001, 3))
def test_more_distance_costs_more_and_more_delta_costs_less(mu, further, delta, looser):
    assert epsilon_of(mu, delta) <= epsilon_of(mu * further, delta)
    assert epsilon_of(mu, min(0.9, delta * looser)) <= epsilon_of(mu, delta)
    epsilon = 0.1 + epsilon_of(mu, delta)
    assert mu_of(epsilon, delta) < mu_of(epsilon * further, delta)
    assert mu_of(epsilon, delta) < mu_of(epsilon, min(0.9, delta * looser)) or delta * looser > 0.9
    assert delta_of(mu, epsilon) <= delta_of(mu * further, epsilon)
    assert delta_of(mu, epsilon * further) <= delta_of(mu, epsilon)


def test_extreme_distances():
    assert epsilon_of(1e-9, 1e-5) == 0.0
    assert 0 < epsilon_of(1e-9, 1e-12) < 1e-8
    # ε = μ²/2 + μ·z with Φ(−z) ≈ δ where μ is large: the second term of δ(ε; μ) vanishes.
    assert epsilon_of(1e4, 1e-5) == pytest.approx(5e7 + 1e4 * -norm.ppf(1e-5), rel=1e-6)
    assert epsilon_of(0.0, 1e-5) == 0.0
    assert epsilon_of(inf, 1e-5) == inf
    assert epsilon_of(nan, 1e-5) == inf
    assert delta_of(0.0, 1.0) == 0.0
    assert delta_of(inf, 1.0) == 1.0
    assert delta_of(1e-200, 1.0) == 0.0


@pytest.mark.parametrize("delta", [1e-300, 1e-15, 0.5, 1 - 1e-12])
@pytest.mark.parametrize("epsilon", [1e-300, 1e-15, 1.0, 1e12])
def test_every_allowed_pair_is_solved(epsilon, delta):
    mu = mu_of(epsilon, delta)
    assert 0 < mu < inf
    assert delta_of(mu, epsilon) <= delta
    assert np.isfinite(epsilon_of(mu, delta))


@pytest.mark.parametrize("epsilon", [0.0, -1.0, nan, inf, -inf, 1e20])
def test_an_epsilon_without_a_meaning_is_refused(epsilon):
    for use in (check_epsilon, lambda given: mu_of(given, 1e-5), lambda given: published_sigma(given, 1e-5)):
        with pytest.raises(CertificateError, match=r"epsilon must be a positive number of at most 1e\+12, not "):
            use(epsilon)


@pytest.mark.parametrize("delta", [0.0, 1.0, -0.1, 2.0, nan, inf, 1e-320])
def test_a_delta_without_a_meaning_is_refused(delta):
    for use in (
        check_delta,
        lambda given: mu_of(1.0, given),
        lambda given: epsilon_of(1.0, given),
        lambda given: published_epsilon(1.0, given),
    ):
        with pytest.raises(CertificateError, match="delta must lie strictly between 0 and 1"):
            use(delta)
