"""Releases together, and every certificate before the accountant of dp-accounting."""

from dataclasses import replace
from math import hypot, inf, nan

import numpy as np
import pytest
from drawn import examples
from hypothesis import assume, given
from hypothesis import strategies as st
from learnings import DELTA, release_of, requests, small_learning, views_of

from rewindnet.certificates import (
    CertificateError,
    Claim,
    calibrate,
    certify,
    compose,
    compose_certificates,
    epsilon_of,
    gossip_product,
    mu_of_view,
)
from rewindnet.certificates.compose import covers
from rewindnet.certificates.view import View
from rewindnet.certificates.views.light_cones import light_cone
from rewindnet.certificates.views.mu import why_not_covered

#: dp-accounting's dependencies warn when they are imported; nothing else is let through.
accountants = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
LEARNING = small_learning()


def judged(multipliers, delta, interval):
    """ε of Gaussian mechanisms of sensitivity 1 with these standard deviations: no less than, no more than."""
    from dp_accounting.pld import privacy_loss_distribution as pld

    estimates = []
    for worst in (False, True):
        each = [
            pld.from_gaussian_mechanism(
                multiplier,
                pessimistic_estimate=worst,
                value_discretization_interval=interval,
                use_connect_dots=worst,
            )
            for multiplier in multipliers
        ]
        whole = each[0]
        for other in each[1:]:
            whole = whole.compose(other)
        estimates.append(whole.get_epsilon_for_delta(delta))
    return estimates


def multipliers_of(certificate, mixing):
    """σ/e of every Gaussian that the view shows, from the certificate's own vectors alone."""
    e, sigma = np.array(certificate.sensitivity), np.array(certificate.release.sigma)
    release, (kind, _, which) = certificate.release, str(certificate.view).partition(":")
    if certificate.release.averaged:
        return [sigma[0] / e[0]]
    if certificate.release.placement == "output" and kind == "node":
        P = gossip_product(release, mixing).toarray()
        nodes = [int(which)] if which else range(len(e))
        return [min(np.sqrt(P[v] ** 2 @ sigma**2) / (P[v] @ e) for v in nodes if P[v] @ e > 0)]
    seen = e > 0
    if which.isdigit():
        seen &= light_cone(int(which), release.noise_round, release.rounds_after_noise, mixing)
    elif kind in ("node", "transcript") and not which:
        cones = [light_cone(v, release.noise_round, release.rounds_after_noise, mixing) & seen for v in range(len(e))]
        seen = max(cones, key=lambda cone: ((e[cone] / sigma[cone]) ** 2).sum())
    return list(sigma[seen] / e[seen])


@accountants
@examples(30)
@given(requests(), st.sampled_from([0.1, 0.5, 1.0, 3.0, 8.0]))
def test_no_certificate_is_below_what_the_accountant_finds_possible(request_, epsilon):
    learning, release, claim = request_
    e = np.ones(learning.mixing.nodes)
    assume(why_not_covered(claim.view, lambda: e, release, learning.mixing) is None)
    certificate = certify(learning, replace(release, sigma=calibrate(learning, release, claim, epsilon)), claim)
    assume(certificate.epsilon)
    # A node a millionth of its noise apart adds nothing that could be seen here.
    shown = [multiplier for multiplier in multipliers_of(certificate, learning.mixing) if multiplier < 1e6]
    lowest, highest = judged(shown, claim.delta, epsilon / 1000)
    assert lowest <= certificate.epsilon <= highest * (1 + 1e-6)
    assert highest - lowest < 0.02 * epsilon


@accountants
@examples(20)
@given(st.lists(st.floats(0.02, 1.5), min_size=1, max_size=6), st.sampled_from([1e-9, 1e-5, 0.01]))
def test_releases_compose_as_the_accountant_has_it(mus, delta):
    assert compose(mus, delta) == epsilon_of(hypot(*mus), delta)
    assume(compose(mus, delta) > 0.01)
    lowest, highest = judged([1 / mu for mu in mus], delta, compose(mus, delta) / 1000)
    assert lowest <= compose(mus, delta) <= highest * (1 + 1e-6)
    assert highest - lowest < 0.02 * compose(mus, delta)


@accountants
def test_composed_events_agree_and_the_relation_matters():
    """The sensitivity is in the multiplier, so that one more or less, not a replacement, is the relation to ask for."""
    import dp_accounting
    from dp_accounting.pld import PLDAccountant
    from dp_accounting.rdp import RdpAccountant

    mus, relation = [0.2, 0.1, 0.3], dp_accounting.NeighboringRelation
    events = dp_accounting.ComposedDpEvent([dp_accounting.GaussianDpEvent(1 / mu) for mu in mus])

    def found(accountant, neighbours):
        return accountant(neighboring_relation=neighbours).compose(events).get_epsilon(DELTA)

    ours = compose(mus, DELTA)
    assert ours <= found(PLDAccountant, relation.ADD_OR_REMOVE_ONE) <= ours * 1.001
    assert ours <= found(RdpAccountant, relation.ADD_OR_REMOVE_ONE) <= ours * 1.2
    # Where a sample is replaced the one accountant doubles the sensitivity, and the other does not.
    assert found(PLDAccountant, relation.REPLACE_ONE) == pytest.approx(compose(2 * np.array(mus), DELTA), rel=1e-3)
    assert found(RdpAccountant, relation.REPLACE_ONE) == found(RdpAccountant, relation.ADD_OR_REMOVE_ONE)


def certified(view, sigma=3.0, learning=LEARNING, delta=DELTA, **changes):
    return certify(learning, release_of(np.full(4, sigma), **changes), Claim(view, delta))


def test_what_is_released_twice_is_known_better():
    once, again = certified("node"), certified("node", checkpoint_round=3, descent_rounds=7)
    both = compose_certificates([once, again], View.of("node"))
    assert both.mu == pytest.approx(hypot(once.mu, again.mu))
    assert both.epsilon == compose([once.mu, again.mu], DELTA) > max(once.epsilon, again.epsilon)
    assert both.epsilon < once.epsilon + again.epsilon
    assert (both.delta, str(both.view), both.conditional, both.reason) == (DELTA, "node", False, None)
    assert not both.data_dependent_noise
    assert compose_certificates([once], View.of("node")).epsilon == once.epsilon
    assert (
        compose_certificates(
            [once, certified("joint", 0.0, checkpoint_round=0, descent_rounds=10)], View.of("node")
        ).epsilon
        == once.epsilon
    )
    assert compose_certificates([replace(once, conditional=True), again], View.of("node")).conditional
    assert compose_certificates([once, replace(again, data_dependent_noise=True)], View.of("node")).data_dependent_noise


def test_one_release_without_a_number_leaves_none():
    bare = certified("node", 0.0)
    found = compose_certificates([certified("node"), bare], View.of("node"))
    assert (found.epsilon, found.mu) == (None, None)
    assert found.reason == f"release 1 (r2d, view node) has no number: {bare.reason}"


def test_a_certificate_for_another_view_leaves_none():
    found = compose_certificates([certified("joint"), certified("node")], View.of("joint"))
    assert (found.epsilon, found.reason) == (None, "release 1 (r2d, view node) says nothing about the view joint")
    assert compose_certificates([certified("joint"), certified("node")], View.of("node")).reason is None


@examples(80)
@given(views_of(4), views_of(4), st.sampled_from(["output", "rewind"]), st.integers(0, 2), st.integers(0, 2**32 - 1))
def test_a_view_covers_another_only_if_it_never_tells_less(own, other, placement, settle, seed):
    generator = np.random.default_rng(seed)
    changes = {"placement": placement, "gossip_rounds": settle, "checkpoint_round": 8, "descent_rounds": 2}
    certificate = certified(own, **changes)
    if not covers(certificate, View.of(other)):
        return
    for _ in range(5):
        distance = generator.exponential(1, 4) * (generator.uniform(0, 1, 4) < 0.7)
        release = replace(certificate.release, sigma=generator.uniform(0.1, 2, 4))
        less, more = (mu_of_view(View.of(view), distance, release, LEARNING.mixing) for view in (other, own))
        assert less <= more * (1 + 1e-12)


@pytest.mark.parametrize(
    ("own", "placement", "covered", "not_covered"),
    [
        ("node:1", "output", ["node:1"], ["node", "node:2", "joint", "average", "transcript:1", "transcript:all"]),
        ("node", "output", ["node", "node:1"], ["joint", "average", "transcript:1", "transcript:all"]),
        ("joint", "output", ["joint", "node", "node:3", "average"], ["transcript:3", "transcript:all"]),
        ("transcript:2", "rewind", ["transcript:2", "node:2"], ["node", "node:1", "transcript:1", "transcript:all"]),
        (
            "node:1",
            "rewind",
            ["node:1", "transcript:1"],
            ["node", "joint", "average", "transcript:3", "transcript:all"],
        ),
        ("transcript", "rewind", ["transcript", "transcript:3", "node", "node:1"], ["joint", "transcript:all"]),
        ("joint", "rewind", ["node:1", "node", "joint", "average", "transcript:3", "transcript:all"], []),
        ("transcript:all", "rewind", ["node", "joint", "average", "transcript:3"], []),
    ],
)
def test_what_covers_what(own, placement, covered, not_covered):
    certificate = certified(own, placement=placement)
    assert [view for view in covered if not covers(certificate, View.of(view))] == []
    assert [view for view in not_covered if covers(certificate, View.of(view))] == []


def test_retraining_adds_nothing_whoever_looks():
    retrained = certified("node", 0.0, checkpoint_round=0, descent_rounds=10)
    noised = certified("transcript:all", placement="rewind")
    assert compose_certificates([noised, retrained], View.of("transcript:all")).epsilon == noised.epsilon


def test_an_average_covers_nothing_else():
    averaged = certified("average", averaged=True)
    assert covers(averaged, View.of("average"))
    assert not covers(averaged, View.of("node:0"))


@pytest.mark.parametrize("mus", [[-1.0], [0.1, nan]])
def test_a_distance_without_a_meaning_is_refused(mus):
    with pytest.raises(CertificateError, match="the distance mu of a release is a non-negative number, not "):
        compose(mus, DELTA)


def test_the_ends_of_composition():
    assert compose([], DELTA) == 0.0
    assert compose([0.5, inf], DELTA) == inf
    with pytest.raises(CertificateError, match="certificates of one δ can be taken together; there are none"):
        compose_certificates([], View.of("node"))
    with pytest.raises(CertificateError, match=r"they are for δ = 1e-05, 0\.01"):
        compose_certificates([certified("node"), certified("node", delta=0.01)], View.of("node"))
    with pytest.raises(CertificateError, match="names a node that does not exist; nodes are 0 to 3"):
        compose_certificates([certified("node")], View.of("node:4"))
