"""Beginning anew: the rounds of a descent from the initial model, without noise and with ε = 0."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from networks import SMALL

from rewindnet.certificates import certify
from rewindnet.clients.methods import MethodError
from rewindnet.clients.methods.anew import Anew
from rewindnet.simulator.outcome import divergence


def test_it_is_the_first_rounds_of_retraining_and_has_no_epsilon() -> None:
    simulation = SMALL.simulation()
    learned, (*_, learning) = simulation.learn([0])
    oracle = simulation.retrain(SMALL.rounds, [0, 2])
    method = Anew(rewind=1 / 3)
    plan = method.plan(learning)
    assert method.checkpoints(SMALL.rounds) == (0,)
    assert (plan.release.checkpoint_round, plan.release.descent_rounds) == (0, 2)
    outcome = simulation.execute(method, plan, learned, 0)
    assert torch.equal(outcome.released, oracle.at(2))
    assert outcome.cost.gradients == 2 * int((learning.samples - learning.deleted).sum())
    certificate = certify(learning, plan.release, plan.claim)
    assert (certificate.epsilon, certificate.mu) == (0.0, 0.0)
    assert not np.any(divergence(outcome.centre, simulation.oracle_state(plan.release, oracle)))


def test_its_step_size_may_be_its_own() -> None:
    simulation = SMALL.simulation()
    learned, (*_, learning) = simulation.learn([0])
    method = Anew(rewind=1 / 3, descent_step_size=0.1)
    outcome = simulation.execute(method, method.plan(learning), learned, 0)
    other = replace(SMALL, step=0.1 * SMALL.step / learning.step_size).simulation()
    assert torch.allclose(outcome.released, other.retrain(SMALL.rounds, [2]).at(2), rtol=1e-12)


def test_a_share_beyond_all_rounds_is_refused() -> None:
    with pytest.raises(MethodError, match=r"rewind is the share of rounds to run, in \[0, 1\], not 1.5"):
        Anew(rewind=1.5)
