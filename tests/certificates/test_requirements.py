"""A plan's sensitivities are the recursion's, and its noise is what `calibrate` finds."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from learnings import DELTA, learnings, views_of

from rewindnet.certificates import CertificateError, Claim, Release, calibrate, certify, mu_of, propagate
from rewindnet.certificates.planning.requirements import ALLOCATIONS, PLACEMENTS, noise_requirements, sigma_for
from rewindnet.certificates.planning.sensitivities import depth_sensitivities
from rewindnet.certificates.view import View

VIEWS = ("node", "joint", "average", "transcript:all", "node:1", "transcript:1")


def request_of(learning, client, count):
    deleted = np.zeros_like(learning.samples)
    deleted[client] = count
    return replace(learning, deleted=deleted)


def release_of(learning, placement, depth, view):
    averaged = view == "average" and placement == "output"
    return Release("r2d", learning.rounds - depth, depth, placement, np.zeros(learning.mixing.nodes), averaged=averaged)


@given(learning=learnings(measured=False), data=st.data())
@settings(deadline=None)
def test_every_request_at_every_depth_is_the_recursion(learning, data):
    clients = np.arange(learning.mixing.nodes)
    deleted = np.diag([data.draw(st.integers(1, int(n))) for n in learning.samples])
    depths = range(learning.rounds + 1)
    seen = set()
    for stop in depth_sensitivities(learning, deleted, rewound=depths, descent_rounds=depths):
        seen.add((stop.placement, stop.depth))
        quiet = stop.depth if stop.placement == "output" else 0
        for client in clients:
            own = request_of(learning, client, deleted[client, client])
            expected = propagate(own, disturbed=learning.rounds - stop.depth, undisturbed=quiet).total
            np.testing.assert_allclose(stop.sensitivity[:, client], expected, rtol=1e-12, atol=0)
    assert seen == {(placement, depth) for placement in PLACEMENTS for depth in depths}


@given(learning=learnings(measured=False), data=st.data(), epsilon=st.sampled_from([0.01, 1.0, 30.0]))
@settings(deadline=None)
def test_the_noise_is_what_calibrate_finds(learning, data, epsilon):
    client = data.draw(st.integers(0, learning.mixing.nodes - 1))
    count = data.draw(st.integers(1, int(learning.samples[client])))
    depth, view = data.draw(st.integers(0, learning.rounds)), data.draw(views_of(learning.mixing.nodes))
    found = noise_requirements(
        learning, np.array([client]), np.array([count]), [View.of(view)], rewound=[depth], descent_rounds=[depth]
    )
    own, mu = request_of(learning, client, count), mu_of(epsilon, DELTA)
    for p, placement in enumerate(PLACEMENTS):
        for a, allocation in enumerate(ALLOCATIONS):
            release, claim = release_of(own, placement, depth, view), Claim(view, DELTA, allocation=allocation)
            needed, finest = (part[p, 0, 0, a, 0] / mu for part in (found.needed, found.finest))
            try:
                sigma = calibrate(own, release, claim, epsilon)
            except CertificateError:
                assert np.isnan(needed)
                continue
            assert certify(own, replace(release, sigma=sigma), claim).reason is None
            planned, rms = sigma_for(found, mu)[p, 0, 0, a, 0], np.sqrt(np.mean(sigma**2))
            if needed == 0 or finest >= found.least[p, 0]:
                assert needed == pytest.approx(rms, rel=1e-10, abs=0)
                assert finest == pytest.approx(
                    sigma[sigma > 0].min(initial=np.inf) if sigma.any() else 0, rel=1e-10, abs=0
                )
                assert planned == pytest.approx(rms, rel=1e-10, abs=0)
                continue
            # What rounding would swallow is raised; where not all nodes have the same, the plan has a bound on it.
            assert sigma[sigma > 0].min() == found.least[p, 0]
            assert rms <= planned * (1 + 1e-10)
            assert planned <= np.hypot(rms, found.least[p, 0]) * (1 + 1e-10)
