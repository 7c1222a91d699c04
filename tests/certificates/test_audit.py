"""An audit holds if nothing that was measured is beyond what is certified: every comparison by itself."""

from dataclasses import replace

import numpy as np
import pytest
from machines import Everyone, machine

from rewindnet.certificates import Claim, GossipDP, MonteCarlo, NoiseAudit, Release, audit, certify
from rewindnet.certificates.audits.audit import violation
from rewindnet.certificates.calibrate import claimed_epsilon

LEARNING = machine("logistic", 0.1, n=20, m=2, eta=0.5, T=6, mixing=Everyone(4))
RELEASE = Release("r2d", 3, 3, "output", np.full(4, 0.3))
#: What the audit compares for a single node leaves the other nodes to the comparison with their sensitivity.
CERTIFICATE = certify(LEARNING, RELEASE, Claim("node:0", 1e-5))
BOUND = np.array(CERTIFICATE.sensitivity)


def test_what_is_within_its_bounds_holds() -> None:
    for share in (0.0, 0.5, 1.0):
        found = audit(CERTIFICATE, LEARNING.mixing, share * BOUND)
        assert found.holds
        assert found.epsilon_empirical is not None
        assert CERTIFICATE.epsilon is not None
        assert found.epsilon_empirical <= CERTIFICATE.epsilon


@pytest.mark.parametrize("node", [1, 3])
def test_one_node_beyond_its_sensitivity_is_a_violation(node: int) -> None:
    measured = 0.5 * BOUND
    measured[node] = BOUND[node] * (1 + 1e-9)
    found = audit(CERTIFICATE, LEARNING.mixing, measured)
    assert (found.holds, found.worst_node) == (False, node)
    assert f"node {node} diverged by" in violation(CERTIFICATE, found)


def test_a_pair_that_is_further_apart_than_certified_is_a_violation() -> None:
    assert CERTIFICATE.epsilon is not None
    too_low = replace(CERTIFICATE, epsilon=0.99 * CERTIFICATE.epsilon)
    assert not audit(too_low, LEARNING.mixing, BOUND).holds


@pytest.mark.parametrize(
    ("view", "averaged", "bare"),
    [
        ("joint", False, False),
        ("transcript:all", False, True),
        ("transcript:1", False, True),
        ("node", True, True),
        ("average", True, False),
    ],
)
def test_a_view_of_what_carries_no_noise_has_no_empirical_epsilon(view: str, averaged: bool, bare: bool) -> None:
    """Messages of the descent, and models of which only the average has noise, tell the two runs apart."""
    release = replace(RELEASE, averaged=averaged, sigma=np.full(4, 0.3))
    claim = Claim(view, 1e-5)
    certificate = certify(LEARNING, release, claim)
    assert (certificate.epsilon is None) is bare
    assert (claimed_epsilon(LEARNING, release, claim) is None) is bare
    found = audit(certificate, LEARNING.mixing, 0.5 * BOUND)
    assert found.holds
    assert (found.epsilon_empirical is None) is bare
    assert not bare or "models or messages that carry no noise" in str(found.reason)
    # Where nothing differs, there is nothing to tell.
    assert audit(certificate, LEARNING.mixing, 0.0 * BOUND).epsilon_empirical == 0


def test_one_machine_sends_no_messages_that_would_show_anything() -> None:
    alone = machine("logistic", 0.1, n=20, m=2, eta=0.5, T=6)
    certificate = certify(alone, Release("r2d", 3, 3, "output", np.full(1, 0.3)), Claim("transcript:all", 1e-5))
    assert certificate.epsilon is not None
    assert audit(certificate, alone.mixing, 0.5 * np.array(certificate.sensitivity)).epsilon_empirical is not None


@pytest.mark.parametrize(("share", "holds"), [(0.99, True), (1.01, False)])
def test_samples_that_prove_more_than_certified_are_a_violation(share: float, holds: bool) -> None:
    assert CERTIFICATE.epsilon is not None
    sampled = MonteCarlo(share * CERTIFICATE.epsilon, 0.999, 200, 180, (1.0, 1.0), (90, 90), (10, 10))
    assert audit(CERTIFICATE, LEARNING.mixing, 0.1 * BOUND, sampled).holds is holds


@pytest.mark.parametrize("status", ["holds", "unchecked", "violated"])
def test_noise_that_is_violated_is_a_violation(status: str) -> None:
    noise = NoiseAudit(status, "what was found of the noise")  # type: ignore[arg-type]
    found = audit(CERTIFICATE, LEARNING.mixing, 0.1 * BOUND, noise_audit=noise)
    assert found.holds is (status != "violated")
    assert ("what was found of the noise" in violation(CERTIFICATE, found)) is (status == "violated")


@pytest.mark.parametrize("event", [0, 5])
def test_one_shift_beyond_its_bound_is_a_violation(event: int) -> None:
    mechanism = GossipDP.of(LEARNING, 1.5, 2.0)
    release = Release("gossip-dp", 0, 0, "rewind", np.full(4, 2.0), mechanism=mechanism)
    certificate = certify(LEARNING, release, Claim("joint", 1e-5))
    bounds = np.array(certificate.shifts)
    assert len(bounds) == LEARNING.rounds
    assert audit(certificate, LEARNING.mixing, np.zeros(4), shifts=bounds).holds
    shifts = 0.5 * bounds
    shifts[event] = bounds[event] * (1 + 1e-9)
    found = audit(certificate, LEARNING.mixing, np.zeros(4), shifts=shifts)
    assert not found.holds
    assert f"the value to which noise {event} was added diverged by" in violation(certificate, found)
