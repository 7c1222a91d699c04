"""Optimizers and step sizes: held against torch's, at every client by itself, with gossip worked out by hand."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from drawn import examples
from hypothesis import given
from hypothesis import strategies as st
from networks import SMALL, Network, further, learn_and_retrain, networks
from numpy_learning import worker
from torch import Tensor
from torch.nn.functional import cross_entropy

from rewindnet.certificates import CertificateError, Claim, Regime, TrainingRun, View, certify, propagate
from rewindnet.certificates.training_record import training_of_record, training_record
from rewindnet.clients.methods import METHODS, MethodError
from rewindnet.clients.steps.learning import Descend
from rewindnet.clients.training.optimizers import OPTIMIZERS, SGD, Optimizer, OptimizerError
from rewindnet.clients.training.optimizers.adam import Adam
from rewindnet.clients.training.optimizers.adamw import AdamW
from rewindnet.clients.training.step_sizes import STEP_SIZES, StepSizeError
from rewindnet.simulator.engine import execute
from rewindnet.simulator.outcome import divergence
from rewindnet.simulator.task import Task

Made = Callable[[list[Tensor], float], torch.optim.Optimizer]

#: Ours, and torch's of the same rules.
RULES: dict[str, tuple[Optimizer, Made]] = {
    "sgd": (SGD(), lambda p, lr: torch.optim.SGD(p, lr)),
    "momentum": (SGD(momentum=0.9), lambda p, lr: torch.optim.SGD(p, lr, momentum=0.9)),
    "nesterov": (
        SGD(momentum=0.8, nesterov=True),
        lambda p, lr: torch.optim.SGD(p, lr, momentum=0.8, nesterov=True),
    ),
    # An epsilon that is not tiny beside gradients, of which rounding is all there is of some.
    "adam": (
        Adam(beta1=0.8, epsilon=0.02),
        lambda p, lr: torch.optim.Adam(p, lr, betas=(0.8, 0.999), eps=0.02),
    ),
    "adamw": (
        AdamW(weight_decay=0.3, epsilon=0.02),
        lambda p, lr: torch.optim.AdamW(p, lr, weight_decay=0.3, eps=0.02),
    ),
}
STATEFUL = [name for name in RULES if name != "sgd"]
ORDERS = ("adapt-then-combine", "combine-then-adapt", "consensus-plus-gradient")


def torch_learning(case: Network, made: Made, forget_from: int) -> list[Tensor]:
    """θ [N, d] after each round, by torch at every client alone; from a round on without the forget set."""
    blocks = worker(case.simulation()).blocks
    N, d = case.nodes, blocks[0].model.parameters
    mixing = case.simulation().training_run.mixing
    data: list[dict[int, Any]] = [{}, {}]
    for met, block in enumerate(blocks):
        for bucket in block.buckets:
            for k, row in enumerate(bucket.rows.tolist()):
                held = bucket.weight[k] > 0
                data[met][row] = bucket.x[k][held], bucket.y[k][held]
    points = [torch.zeros(d, dtype=torch.float64, requires_grad=True) for _ in range(N)]
    optimizers = [made([point], blocks[0].step_size) for point in points]
    states = torch.zeros(N, d, dtype=torch.float64)
    trajectory = [states.clone()]

    def adapt(start: Tensor, t: int) -> Tensor:
        for i, (point, optimizer) in enumerate(zip(points, optimizers, strict=True)):
            point.data.copy_(start[i])
            for group in optimizer.param_groups:
                group["lr"] = blocks[0].step_size_at(t)
            for _ in range(case.local_steps):
                x, y = data[int(t >= forget_from)][i]
                optimizer.zero_grad()
                matrix = point.view(3, -1)
                (cross_entropy(x @ matrix.T, y) + case.l2 / 2 * (point**2).sum()).backward()
                if case.gradient_clip is not None:
                    torch.nn.utils.clip_grad_norm_([point], case.gradient_clip)
                optimizer.step()
        return torch.stack([point.detach().clone() for point in points])

    for t in range(case.rounds):
        W = torch.from_numpy(mixing.matrix(t).toarray())
        if case.order == "adapt-then-combine":
            states = W @ adapt(states, t)
        elif case.order == "combine-then-adapt":
            states = adapt(W @ states, t)
        else:
            states = W @ states + adapt(states, t) - states
        trajectory.append(states)
    return trajectory


def case_of(name: str, **changes: Any) -> Network:
    return replace(SMALL, optimizer=RULES[name][0], step=0.3, local_steps=2, **changes)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("name", RULES)
def test_learning_is_torch_at_every_client_and_gossip(name: str, order: str) -> None:
    """What an optimizer carries stays at its client, from round to round, and parameters alone are averaged."""
    case = case_of(name, order=order, step_factors=(1.0, 1.0, 0.5, 0.5, 0.25, 0.25))
    _, learned, oracle, _ = learn_and_retrain(case)
    for met, trajectory in enumerate((learned, oracle)):
        expected = torch_learning(case, RULES[name][1], 0 if met else case.rounds)
        for t in range(case.rounds + 1):
            torch.testing.assert_close(trajectory.at(t), expected[t], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("ours", "made"),
    [
        *RULES.values(),
        (Adam(), lambda p, lr: torch.optim.Adam(p, lr)),
        (AdamW(), lambda p, lr: torch.optim.AdamW(p, lr)),
    ],
)
def test_a_step_is_torch_s_on_the_same_gradients(ours: Optimizer, made: Made) -> None:
    """Also of clients side by side, one of which began later."""
    generator = torch.Generator().manual_seed(5)
    theta = torch.randn(2, 7, dtype=torch.float64, generator=generator)
    points = [row.clone().requires_grad_(True) for row in theta]
    optimizers, state = [made([point], 0.1) for point in points], torch.zeros(2, ours.state_size(7)).double()
    for step in range(9):
        for rows in [[0]] if step < 3 else [[0, 1]]:
            gradient = torch.randn(2, 7, dtype=torch.float64, generator=generator) * 10.0 ** (step - 4)
            for row in rows:
                points[row].grad = gradient[row].clone()
                optimizers[row].step()
            some, of_some = theta[rows], state[rows]
            ours.step(some, gradient[rows], of_some, 0.1)
            theta[rows], state[rows] = some, of_some
        torch.testing.assert_close(theta, torch.stack([p.detach() for p in points]), rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("clip", [0.05, 1e9])
def test_gradients_are_clipped_as_torch_clips_them(clip: float) -> None:
    case = case_of("momentum", gradient_clip=clip)
    _, learned, _, _ = learn_and_retrain(case)
    expected = torch_learning(case, RULES["momentum"][1], case.rounds)
    # torch adds 1e-6 to the norm that it divides by.
    torch.testing.assert_close(learned.at(case.rounds), expected[-1], rtol=1e-4, atol=1e-5)
    unclipped = torch_learning(replace(case, gradient_clip=None), RULES["momentum"][1], case.rounds)
    assert torch.allclose(expected[-1], unclipped[-1]) == (clip > 1)


@pytest.mark.parametrize("name", STATEFUL)
def test_going_on_from_a_checkpoint_is_learning_on(name: str) -> None:
    """A checkpoint holds what the optimizer carries; going on from it twice gives the same bits twice."""
    case = case_of(name)
    simulation, learned, _, _ = learn_and_retrain(case)
    for s in (1, 4):
        for _ in range(2):
            task = Task("on", 0, learned.checkpoint_names[s], (), (Descend(case.order, range(s, 6)),), s, frozenset())
            execute(simulation.network, task, simulation.training_run.mixing)
            assert torch.equal(simulation.network.fetch(), learned.at(6))
        descend = Descend(case.order, range(s, 6))
        rewound = further(simulation, learned.checkpoint_names[s], descend, s)
        torch.testing.assert_close(rewound, torch_learning(case, RULES[name][1], s)[-1], rtol=1e-12, atol=1e-12)
        assert not torch.allclose(rewound, learned.at(6))


@pytest.mark.parametrize("name", STATEFUL)
def test_r2d_descends_from_the_checkpoint_with_its_state(name: str) -> None:
    """The noise is on the parameters alone, and there is no certificate; that of retraining stays."""
    case = case_of(name)
    simulation, learned, oracle, learning = learn_and_retrain(case)
    method = METHODS["r2d"](rewind=0.5, sigma=0.01)
    outcome = simulation.execute(method, method.plan(learning), learned, 0)
    expected = torch_learning(case, RULES[name][1], 3)[-1]
    torch.testing.assert_close(outcome.centre, expected, rtol=1e-12, atol=1e-12)
    assert 0.005 < float((outcome.released - outcome.centre).std()) < 0.02
    assert outcome.plan.claim.claimed_epsilon is None
    certificate = certify(learning, outcome.plan.release, outcome.plan.claim)
    assert (certificate.epsilon, certificate.sensitivity) == (None, ())
    assert certificate.reason == case.optimizer.uncovered
    noisy = METHODS["r2d"](rewind=0.5, sigma=0.01, placement="rewind")
    first = simulation.execute(noisy, noisy.plan(learning), learned, 1)
    assert first.released.shape == first.noised.shape == expected.shape
    assert 0 < float((first.released - expected).norm()) < 1
    retrain = METHODS["retrain"]()
    plan = retrain.plan(learning)
    assert certify(learning, plan.release, plan.claim).epsilon == 0
    assert torch.equal(simulation.execute(retrain, plan, learned, 2).released, oracle.at(6))


def uncovered_run(**changes: Any) -> TrainingRun:
    *_, learning = learn_and_retrain(replace(SMALL, **changes))
    return learning


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"optimizer": SGD(momentum=0.5)}, "momentum"),
        ({"optimizer": Adam()}, "adam, which"),
        ({"optimizer": AdamW()}, "adamw, which"),
        ({"gradient_clip": 1.0}, "learning.gradient_clip"),
    ],
)
def test_what_no_bound_covers_is_said_wherever_a_bound_is_needed(changes: dict[str, Any], words: str) -> None:
    learning = uncovered_run(**changes)
    assert words in learning.uncovered
    refused: list[tuple[str, dict[str, Any]]] = [
        ("r2d", {"rewind": 0.5}),
        ("r2d", {"rewind": 0.5, "sigma": 0.1, "allocation": "optimal"}),
        ("warm-start", {"rounds": 2}),
        ("noise-only", {"epsilon": 1.0}),
        ("langevin", {"epsilon": 1.0}),
        ("rr-du", {"noise": "certified"}),
    ]
    for name, settings in refused:
        with pytest.raises(CertificateError, match=words):
            METHODS[name](**settings).plan(learning)
    with pytest.raises(MethodError, match="plain gradient steps"):
        METHODS["federaser"]().plan(learning)
    with pytest.raises(CertificateError, match=words):
        propagate(learning, disturbed=1, undisturbed=0)
    for name in ("do-nothing", "warm-start"):
        plan = METHODS[name](**({"rounds": 2, "sigma": 0.1} if name == "warm-start" else {})).plan(learning)
        certificate = certify(learning, plan.release, plan.claim)
        assert certificate.epsilon is None
        assert words in str(certificate.reason)
    # Private learning, and a start that is clipped, do not rest on how the network learned.
    for name, settings in (
        ("gossip-dp", {"epsilon": 1.0, "clip": 1.0}),
        ("noisy-finetune", {"epsilon": 1.0, "bound": "published", "start_radius": 1.0}),
    ):
        plan = METHODS[name](**settings).plan(learning)
        assert 0 < (certify(learning, plan.release, plan.claim).epsilon or 0.0) <= 1.0


FACTORS = st.lists(st.sampled_from([0.05, 0.3, 1.0, 1.6]), min_size=1, max_size=12).map(tuple)


@given(case=networks(), share=st.floats(0, 1), factors=FACTORS)
@examples(60)
def test_no_node_diverges_beyond_its_sensitivity_under_a_schedule(
    case: Network, share: float, factors: tuple[float, ...]
) -> None:
    """Step sizes that change are bounded round by round, by both bounds and in every regime."""
    case = replace(case, step_factors=factors)
    simulation, learned, oracle, learning = learn_and_retrain(case)
    T, K = case.rounds, round(share * case.rounds)
    unlearned = further(simulation, learned.checkpoint_names[T - K], Descend(case.order, range(T - K, T)), T - K)
    measured = divergence(unlearned, oracle.at(T)) * learning.present
    for regime in learning.constants.regimes():
        instance, worst = (
            propagate(learning, disturbed=T - K, undisturbed=K, bound=bound, regime=regime).total
            for bound in (case.bounds[0], case.bounds[-1])
        )
        assert np.all(measured <= instance), (regime, measured, instance)
        assert np.all(instance <= worst * (1 + 1e-9)), (regime, instance, worst)


@pytest.mark.parametrize("regime", ["nonconvex", "convex"])
def test_a_schedule_is_bounded_with_the_step_of_each_round(regime: Regime) -> None:
    """One client, a round of each size: e ← γ(η_t)·e + 2·η_t·m·G/n, worked out by hand."""
    factors = (1.0, 0.5, 0.1, 2.0)
    case = replace(SMALL, family="path", nodes=1, client=0, sizes=(12,), rounds=4, step_factors=factors)
    *_, learning = learn_and_retrain(case)
    learning = replace(learning, arithmetic=None)
    G, L, l2 = (getattr(learning.constants, name).value for name in ("G", "L", "l2"))
    e, m, n = 0.0, int(learning.deleted[0]), 12
    for t, factor in enumerate(factors):
        eta = factor * learning.step_size
        lowest = -L if regime == "nonconvex" else learning.constants.lowest_curvature(regime)
        growth = max(1 - eta * lowest, eta * L - 1)
        e = growth * e + (2 * eta * m * G / n if t < 3 else 0.0)
    found = propagate(learning, disturbed=3, undisturbed=1, regime=regime).total
    assert found == pytest.approx([e], rel=1e-12)
    assert l2 > 0


def test_a_schedule_is_certified_but_for_proofs_of_one_step_size() -> None:
    case = replace(SMALL, step_factors=(1.0, 1.0, 0.1, 0.1, 0.1, 0.1))
    *_, learning = learn_and_retrain(case)
    *_, plain = learn_and_retrain(SMALL)
    sigmas = {}
    for name, run in (("schedule", learning), ("plain", plain)):
        plan = METHODS["r2d"](rewind=0.5).plan(run)
        certificate = certify(run, plan.release, plan.claim)
        assert certificate.epsilon == pytest.approx(1.0, rel=1e-6)
        assert any("public schedule" in sentence for sentence in certificate.assumptions) == (name == "schedule")
        sigmas[name] = plan.release.sigma.max()
    # Smaller steps late do less harm, and heal less.
    assert sigmas["schedule"] != pytest.approx(sigmas["plain"], rel=0.01)
    with pytest.raises(CertificateError, match="one step size"):
        METHODS["langevin"](epsilon=1.0).plan(learning)
    with pytest.raises(CertificateError, match="one step size"):
        METHODS["r2d"](rewind=0.5, bound="published").plan(learning)
    again = training_of_record(training_record(learning), learning.mixing)
    assert again.step_sizes == learning.step_sizes
    assert certify(again, plan.release, Claim(View.of("node"), 1e-5)).epsilon is not None


@pytest.mark.parametrize(
    ("name", "settings", "of"),
    [
        ("constant", {}, lambda o: torch.optim.lr_scheduler.ConstantLR(o, factor=1.0)),
        ("step", {"every": 3, "factor": 0.3}, lambda o: torch.optim.lr_scheduler.StepLR(o, 3, 0.3)),
        ("cosine", {"final": 0.2}, lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, 10, eta_min=0.2)),
        ("linear", {"final": 0.2}, lambda o: torch.optim.lr_scheduler.LinearLR(o, 1.0, 0.2, 10)),
        ("constant", {"warm_up": 4}, lambda o: torch.optim.lr_scheduler.LambdaLR(o, lambda t: min(1.0, (t + 1) / 4))),
    ],
)
def test_schedules_are_those_of_torch(name: str, settings: dict[str, Any], of: Callable[[Any], Any]) -> None:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler, expected = of(optimizer), []
    for _ in range(10):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    found = STEP_SIZES.build(name, 10, **settings)
    assert (found or (1.0,) * 10) == pytest.approx(expected, rel=1e-12)
    assert (found == ()) == (settings == {})


@pytest.mark.parametrize(
    ("name", "settings", "words"),
    [
        ("sgd", {"momentum": 1.0}, "lies in [0, 1)"),
        ("sgd", {"nesterov": True}, "needs a momentum"),
        ("adam", {"beta2": 1.0}, "lie in [0, 1)"),
        ("adam", {"epsilon": 0.0}, "positive"),
        ("adamw", {"weight_decay": -1.0}, "at least 0"),
        ("adagrad", {}, "there are: sgd, adam, adamw"),
    ],
)
def test_settings_of_optimizers_out_of_range_are_refused(name: str, settings: dict[str, Any], words: str) -> None:
    with pytest.raises(OptimizerError) as refused:
        OPTIMIZERS.build(name, **settings)
    assert words in str(refused.value)


@pytest.mark.parametrize(
    ("name", "settings"), [("step", {"every": 0}), ("cosine", {"final": 2.0}), ("constant", {"warm_up": -1})]
)
def test_settings_of_schedules_out_of_range_are_refused(name: str, settings: dict[str, Any]) -> None:
    with pytest.raises(StepSizeError, match=r"learning\.step_sizes"):
        STEP_SIZES.build(name, 5, **settings)
