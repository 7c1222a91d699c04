"""Checkpoints in half precision: no model is rounded by more than is charged, nor diverges by more, at any node."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from drawn import examples
from hypothesis import example, given
from hypothesis import strategies as st
from networks import SMALL, Network, further, learn_and_retrain, networks

from rewindnet.certificates import CertificateError, propagate
from rewindnet.certificates.sensitivity.half_precision import (
    check_charge,
    check_half_precision,
    error_of_half_precision,
)
from rewindnet.clients.steps.learning import Descend
from rewindnet.simulator.outcome import divergence, norms_of


@given(case=networks(early=None), share=st.floats(0, 1))
@examples(100)
def test_no_node_diverges_beyond_the_sensitivity_of_a_rounded_checkpoint(case: Network, share: float) -> None:
    case = replace(case, rounds=max(2, case.rounds))
    simulation, learned, oracle, learning = learn_and_retrain(case)
    T = case.rounds
    s = 1 + round(share * (T - 2))
    exact = learned.at(s)
    simulation.network.halve(learned.checkpoint_names[s])
    rounded = learned.at(s)
    error = error_of_half_precision(norms_of(rounded), rounded.shape[1])
    assert np.all(divergence(exact, rounded) * learning.present <= error)
    learning = replace(learning, storage_error=float(error.max()))
    unlearned = further(simulation, learned.checkpoint_names[s], Descend(case.order, range(s, T)), s)
    for q, measured in ((0, divergence(rounded, oracle.at(s))), (T - s, divergence(unlearned, oracle.at(T)))):
        for regime in learning.constants.regimes():
            for bound in case.bounds:
                e = propagate(learning, disturbed=s, undisturbed=q, bound=bound, regime=regime).total
                assert np.all(measured * learning.present <= e), (regime, bound, measured, e)


@given(
    values=st.lists(st.floats(-65_504, 65_504, allow_subnormal=True), min_size=1, max_size=40),
    scale=st.sampled_from([1.0, 1e-3, 1e-6, 1e-9]),
)
# Half a step beyond a power of two, where rounding is worst; and the largest number that is rounded to the largest.
@example(values=[1 + 2.0**-11, 1 + 2.0**-11 + 2.0**-40], scale=1.0)
@example(values=[2.0**-25 * 1.5, 2.0**-14 - 2.0**-25], scale=1.0)
@examples(200)
def test_the_error_of_rounding_is_bounded_by_the_norm_of_what_is_kept(values: list[float], scale: float) -> None:
    theta = torch.tensor([values], dtype=torch.float64) * scale
    kept = theta.half().double()
    off = (theta - kept).norm(dim=1).numpy()
    error = error_of_half_precision(kept.norm(dim=1).numpy(), len(values))
    assert np.all(off <= error)


def test_the_bound_is_reached() -> None:
    """Of a number half a step from its neighbours, large or small, the bound is larger by two thousandths at most."""
    for x in (1 + 2.0**-11, 2.0**-25):
        kept = torch.tensor([x], dtype=torch.float64).half().double()
        off = abs(float(kept) - x)
        error = float(error_of_half_precision(kept.abs().numpy(), 1)[0])
        assert off <= error <= off * 1.002


def test_a_model_that_overflows_is_refused() -> None:
    with pytest.raises(CertificateError, match="beyond 65,504"):
        check_half_precision(np.array([1.0, np.inf]), 3, 1e9, 4)
    with pytest.raises(CertificateError, match=r"round 4 may be off by 0.000489 in half precision, which is more than"):
        check_half_precision(np.array([1.0, 0.5]), 3, 4e-4, 4)
    check_half_precision(np.array([1.0, 0.5]), 3, 5e-4, 4)


def test_a_charge_that_no_model_of_this_size_can_keep_to_is_refused() -> None:
    check_charge(1e-6, 1000)
    with pytest.raises(CertificateError, match=r"1,000,000 parameters in half precision may be off by 2.98e-05"):
        check_charge(1e-6, 10**6)


def test_what_is_charged_is_in_the_sensitivity_of_the_checkpoint_alone() -> None:
    _, _, _, learning = learn_and_retrain(SMALL)
    T, charged = learning.rounds, replace(learning, storage_error=1e-3)
    for at, added in ((0, 0.0), (T // 2, 1e-3), (T, 0.0)):
        plain, more = (propagate(training, disturbed=at, undisturbed=0) for training in (learning, charged))
        difference = more.total - more.rounding - (plain.total - plain.rounding)
        assert difference == pytest.approx(np.full(learning.mixing.nodes, added), abs=1e-12)
    far = replace(charged, deleted=np.zeros_like(charged.deleted))
    assert np.all(propagate(far, disturbed=T // 2, undisturbed=0).total >= 1e-3)
