"""Private learning designs its noise for a request that is fixed before any noise is drawn."""

from dataclasses import replace

import numpy as np
import pytest
from learnings import small_learning

from rewindnet.certificates import certify
from rewindnet.clients.methods import MethodError
from rewindnet.clients.methods.gossip_dp import GossipDP
from rewindnet.clients.methods.walk_dp import WalkDP


def deleting(client, samples):
    """The small network, in which this client deletes this many of its 20 samples."""
    deleted = np.zeros(4, dtype=np.int64)
    deleted[client] = samples
    return small_learning(deleted=deleted)


METHODS = pytest.mark.parametrize("method", [GossipDP, lambda **settings: WalkDP(seed=3, hops=60, **settings)])


@METHODS
def test_the_noise_does_not_depend_on_the_request_that_comes(method):
    levels = [
        method(epsilon=0.8).plan(deleting(client, samples)).release.sigma
        for client, samples in ((0, 5), (0, 20), (1, 1), (3, 20))
    ]
    for level in levels[1:]:
        np.testing.assert_array_equal(level, levels[0])


@METHODS
def test_every_request_of_the_design_gets_the_epsilon_and_the_hardest_gets_just_that(method):
    epsilons = {}
    for client in range(4):
        for samples in (1, 19, 20):
            training = deleting(client, samples)
            plan = method(epsilon=0.8).plan(training)
            certificate = certify(training, plan.release, plan.claim)
            assert not any("exceeds" in premise for premise in certificate.premises)
            epsilons[client, samples] = certificate.epsilon
    assert max(epsilons.values()) == pytest.approx(0.8, rel=1e-6)
    assert max(epsilons.values()) <= 0.8
    assert all(epsilons[client, 1] < epsilons[client, 20] < epsilons[client, 19] for client in range(4))


@METHODS
@pytest.mark.parametrize(
    ("client", "samples", "exceeds"), [(0, 5, False), (0, 4, False), (0, 6, True), (1, 1, True), (0, 20, True)]
)
def test_a_request_beyond_the_design_is_certified_as_what_it_is_and_says_so(method, client, samples, exceeds):
    training = deleting(client, samples)
    plan = method(epsilon=0.8, designed_client=0, designed_samples=5).plan(training)
    certificate = certify(training, plan.release, plan.claim)
    assert (
        any("This request exceeds that; its own ε is stated." in premise for premise in certificate.premises) == exceeds
    )
    assert any("the deletion of at most 5 of its samples by client 0" in premise for premise in certificate.premises)
    if client == 0:
        assert (certificate.epsilon > 0.8) == exceeds
    assert certificate.epsilon == pytest.approx(
        certify(training, replace(plan.release, mechanism=replace(plan.release.mechanism)), plan.claim).epsilon
    )


@METHODS
def test_a_sigma_that_is_given_is_no_design(method):
    training = deleting(0, 5)
    plan = method(sigma=3.0).plan(training)
    premises = certify(training, plan.release, plan.claim).premises
    assert "The level of the noise was set by its user, independently of the request." in premises
    assert any(premise.startswith("The request was chosen independently of the noisy models") for premise in premises)


@METHODS
@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"designed_samples": 0}, "designed_samples of .* is at least 1, not 0"),
        ({"designed_client": -1}, "designed_client of .* is a client, not -1"),
        ({"designed_client": 4}, "designed_client of .* is a client that holds samples, not 4"),
    ],
)
def test_a_design_without_a_meaning_is_refused(method, settings, sentence):
    with pytest.raises(MethodError, match=sentence):
        method(**settings).plan(deleting(0, 5))
