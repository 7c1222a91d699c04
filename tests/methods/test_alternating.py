"""Methods that alternate: against torch at one client; on a network by who works, what is sent and what never is."""

from collections import defaultdict
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from addresses import address_at
from federated import CASE, data, unlearned
from networks import SMALL
from torch import Tensor
from torch.nn.functional import cross_entropy

from rewindnet.certificates import certify
from rewindnet.clients.methods import METHODS, MethodError
from rewindnet.clients.models import MODELS
from rewindnet.clients.step_records import from_record, to_record
from rewindnet.clients.steps.alternating import AlternatingEpochs
from rewindnet.clients.steps.epochs import Samples
from rewindnet.clients.training.optimizers.pair import OptimizerPair
from rewindnet.simulator.simulation import Simulation
from rewindnet.topologies.rng import Stream, rng_at

ALONE = replace(SMALL, family="path", nodes=1, client=0, sizes=(23,), l2=0.05, model="logistic")
SETTINGS: dict[str, Any] = {"epochs": 3, "step_size": 0.1, "forget_step_size": 0.03, "batch": 4, "forget_batch": 3}
PAIRINGS = ("shared-sgd", "shared-adam", "dual-ss", "dual-sa", "dual-as", "dual-aa")


def sets(simulation: Simulation, node: int = 0) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """The forget set and the retained data of a client, each as samples and labels."""
    (whole, labels), (x, y) = data(simulation, node, 0), data(simulation, node, 1)
    kept = {tuple(row) for row in x.tolist()}
    gone = np.array([tuple(row) not in kept for row in whole.tolist()])
    pairs = ((whole[gone], labels[gone]), (x, y))
    return tuple((torch.from_numpy(a), torch.from_numpy(b)) for a, b in pairs)  # type: ignore[return-value]


def order(simulation: Simulation, address: int, count: int, context: str, node: int = 0) -> Tensor:
    generator = rng_at(simulation.addresses[0].seed, Stream.BATCH, address, node, context=context)
    return torch.from_numpy(generator.permutation(count))


def by_torch(letter: str, theta: Tensor, size: float) -> torch.optim.Optimizer:
    return torch.optim.Adam([theta], lr=size) if letter == "a" else torch.optim.SGD([theta], lr=size, momentum=0.9)


def alternated(simulation: Simulation, name: str, pairing: str, theta: Tensor, epochs: int = 3) -> Tensor:
    """What torch makes of a model by the same samples in the same order, at one client."""
    (gone, truth), (x, y) = sets(simulation)
    theta, T = theta.clone().requires_grad_(True), ALONE.rounds
    letters = pairing[-2:] if pairing.startswith("dual") else pairing[7] * 2
    forget = by_torch(letters[0], theta, 0.03)
    retain = by_torch(letters[1], theta, 0.1) if pairing.startswith("dual") else forget

    def loss(samples: Tensor, labels: Tensor) -> Tensor:
        return cross_entropy(samples @ theta.view(3, -1).T, labels)

    labels, mask, sign = truth, torch.ones_like(theta), -1.0
    if name == "salun":
        drawn = rng_at(simulation.addresses[0].seed, Stream.BATCH, T, 0, context="SalUnEpochs labels")
        labels, sign = (truth + torch.from_numpy(drawn.integers(1, 3, len(truth)))) % 3, 1.0
        (slope,) = torch.autograd.grad(loss(gone, truth), theta)
        mask = (slope.abs() >= slope.abs().sort(descending=True).values[len(slope) // 2 - 1]).to(theta)
        assert mask.sum() == len(slope) // 2
        assert not bool((labels == truth).any())
    if name == "idk":
        labels, sign = torch.full_like(truth, 2), 1.0

    def step(optimizer: torch.optim.Optimizer, objective: Tensor, size: float) -> None:
        optimizer.zero_grad()
        objective.backward()
        assert theta.grad is not None
        theta.grad.mul_(mask)
        theta.grad.mul_(min(1.0, 0.4 / float(theta.grad.norm())))
        optimizer.param_groups[0]["lr"] = size
        optimizer.step()

    for epoch in range(epochs):
        context = {"neggrad": "NegGradEpochs", "salun": "SalUnEpochs", "idk": "IDKEpochs"}[name]
        for batch in order(simulation, T + epoch, len(truth), f"{context} forget").split(3):
            step(forget, sign * loss(gone[batch], labels[batch]), 0.03)
        for batch in order(simulation, T + epoch, len(y), f"{context} retain").split(4):
            step(retain, loss(x[batch], y[batch]) + ALONE.l2 / 2 * (theta**2).sum(), 0.1)
    return theta.detach()


@pytest.mark.parametrize("pairing", PAIRINGS)
@pytest.mark.parametrize("name", ["neggrad", "salun", "idk"])
def test_it_is_what_torch_makes_of_one_client(name: str, pairing: str) -> None:
    for way in ("local", "gossip", "server"):
        method = METHODS[name](**SETTINGS, optimizers=pairing, clip=0.4, way=way)
        simulation, learned, outcome = unlearned(method, ALONE)
        wanted = alternated(simulation, name, pairing, learned.at(ALONE.rounds)[0])
        torch.testing.assert_close(outcome.released[0], wanted, rtol=1e-9, atol=1e-11)
        (gone, _), (x, _) = sets(simulation)
        rounds = 1 if way == "local" else 3
        masks = rounds * len(gone) * (name == "salun")
        assert (outcome.cost.rounds, outcome.cost.gradients) == (rounds, 3 * (len(gone) + len(x)) + masks)


def test_samples_with_an_unusual_loss_are_left_out_and_not_forgotten() -> None:
    whole, filtered = (METHODS["neggrad"](**SETTINGS, loss_filter=share) for share in (0.0, 0.3))
    simulation, learned, outcome = unlearned(filtered, ALONE)
    (gone, truth), (x, _) = sets(simulation)
    start = learned.at(ALONE.rounds)[0]
    losses = cross_entropy(gone @ start.view(3, -1).T, truth, reduction="none")
    out = losses.argsort(descending=True)[: round(0.3 * len(truth))]
    kept = [at for at in range(len(truth)) if at not in out.tolist()]
    assert 0 < len(out) < len(truth)
    assert outcome.cost.gradients == 3 * (len(kept) + len(x))
    # It is what it would have been, had the request not named them: losses on these fall again.
    step = whole._epochs(simulation.addresses[0], "learned", range(3), 1)  # type: ignore[attr-defined]
    worker = simulation.network.worker  # type: ignore[attr-defined]
    block = replace(worker.blocks[1], before_erasure=worker.full, recalled_checkpoints=(start[None],))
    assert torch.equal(replace(step, loss_filter=0.3).forget_set(block, 0).x, gone[kept])
    assert torch.equal(step.forget_set(block, 0).x, gone)
    assert "30 % left out" in filtered.variant


@pytest.mark.parametrize("way", ["local", "gossip", "token"])
def test_the_network_learns_on_after_it(way: str) -> None:
    """Rounds of learning on retained data follow: what they make of what the method alone released."""
    settings: dict[str, Any] = {**SETTINGS, "way": way}
    _, _, alone = unlearned(METHODS["neggrad"](**settings), CASE)
    simulation, _, outcome = unlearned(METHODS["neggrad"](**settings, continued_rounds=2), CASE)
    worker, mixing = simulation.network.worker, simulation.training_run.mixing  # type: ignore[attr-defined]
    theta, T = alone.released, CASE.rounds + alone.cost.rounds
    for round in (T, T + 1):
        for _ in range(CASE.local_steps):
            theta = theta - worker.full.step_size * worker.blocks[1].gradient(theta)
        theta = torch.from_numpy(mixing.matrix(round) @ theta.numpy())
    torch.testing.assert_close(outcome.released, theta, rtol=1e-9, atol=1e-11)
    assert outcome.cost.rounds == alone.cost.rounds + 2


def test_with_constant_gradients_momentum_adds_up_as_the_theory_has_it() -> None:
    """θ moves by −η·Σ A_k·g, A_k = 1 + … + a^k, with two buffers; with one, gradients enter the other's momentum."""
    a, size, rounds = 0.9, 0.1, 5
    forget, retain = torch.tensor([[1.0, 0.0]], dtype=torch.float64), torch.tensor([[0.3, 2.0]], dtype=torch.float64)
    sums = np.cumsum(a ** np.arange(2 * rounds))
    weights = {
        "dual-ss": (sum(sums[:rounds]), sum(sums[:rounds])),
        "shared-sgd": (sum(sums[1 : 2 * rounds : 2]), sum(sums[: 2 * rounds : 2])),
    }
    for pairing, (of_forget, of_retain) in weights.items():
        pair = OptimizerPair(pairing, a)  # type: ignore[arg-type]
        theta = torch.zeros(1, 2, dtype=torch.float64)
        state = torch.zeros(1, pair.state_size(2), dtype=torch.float64)
        for _ in range(rounds):
            pair.step("forget", theta, forget.clone(), state, size)
            pair.step("retain", theta, retain.clone(), state, size)
        torch.testing.assert_close(theta, -size * (of_forget * forget + of_retain * retain))


def test_sfron_is_what_torch_makes_of_one_client() -> None:
    """Huang et al. (2024): weights 1/loss^λ, the parameters that matter to the forget set, α by a cosine."""
    asked: dict[str, Any] = {**SETTINGS, "clip": 0.4, "alpha": 2.0, "exponent": 0.5, "retain_steps": 2}
    method = METHODS["sfron"](**asked, optimizers="dual-as")
    simulation, learned, outcome = unlearned(method, ALONE)
    (gone, truth), (x, y) = sets(simulation)
    theta, T = learned.at(ALONE.rounds)[0].clone().requires_grad_(True), ALONE.rounds

    def losses(samples: Tensor, labels: Tensor) -> Tensor:
        return cross_entropy(samples @ theta.view(3, -1).T, labels, reduction="none")

    def information(samples: Tensor, labels: Tensor) -> Tensor:
        slopes = [torch.autograd.grad(of, theta, retain_graph=True)[0] for of in losses(samples, labels)]
        return torch.stack(slopes).square().mean(dim=0)

    mask = (information(gone, truth) / information(x, y) >= 1).double()
    assert 0 < mask.sum() < len(mask)
    forget, retain = by_torch("a", theta, 0.03), by_torch("s", theta, 0.1)
    for epoch in range(3):
        of_gone = order(simulation, T + epoch, len(truth), "SFRonEpochs forget").split(3)
        of_kept = order(simulation, T + epoch, len(y), "SFRonEpochs retain").split(4)
        ascents = -(-len(of_kept) // 2)
        for at in range(ascents):
            batch = of_gone[(epoch * ascents + at) % len(of_gone)]
            each = losses(gone[batch], truth[batch])
            weight = each.detach() ** -0.5
            alpha = 2.0 * (1 + np.cos(np.pi * (epoch + at / ascents) / 3)) / 2
            forget.zero_grad()
            (-alpha * (weight / weight.sum() * each).sum()).backward()
            assert theta.grad is not None
            theta.grad.mul_(mask)
            theta.grad.mul_(min(1.0, 0.4 / float(theta.grad.norm())))
            forget.step()
            for some in of_kept[2 * at : 2 * at + 2]:
                retain.zero_grad()
                (losses(x[some], y[some]).mean() + ALONE.l2 / 2 * (theta**2).sum()).backward()
                theta.grad.mul_(min(1.0, 0.4 / float(theta.grad.norm())))
                retain.step()
    torch.testing.assert_close(outcome.released[0], theta.detach(), rtol=1e-9, atol=1e-11)
    ascended = sum(
        len(part)
        for epoch in range(3)
        for at, part in enumerate(order(simulation, T + epoch, len(truth), "SFRonEpochs forget").split(3) * ascents)
        if epoch * ascents <= at < (epoch + 1) * ascents
    )
    assert outcome.cost.gradients == 3 * len(x) + ascended + len(gone) + len(x)


def test_sfron_takes_no_step_on_a_forget_set_that_is_learned_by_heart() -> None:
    """The samples with the smallest loss have all the weight, and no gradient; equal weights forget."""
    model, theta = (
        MODELS["logistic"](2, 3, l2=0.0, bias=0),
        torch.tensor([[40.0, 0, 0, 0, 0, 1.0]], dtype=torch.float64),
    )
    samples = Samples(torch.tensor([[1.0, 0.0], [0.0, 1.0]], dtype=torch.float64), torch.tensor([0, 2]))
    sizes = []
    for exponent in (0.5, 0.0):
        step = METHODS["sfron"](exponent=exponent)._epochs(address_at(3), "learned", range(1), 1)
        sizes.append(float(step.forget_gradient(model, theta, theta, samples).norm()))
    assert sizes[0] < 1e-6 < 0.1 < sizes[1]


def messages_of(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[tuple[Tensor, Tensor]]]:
    """For each kind of step, the messages of every round and the states that they were made from, as they are sent."""
    seen: dict[str, list[tuple[Tensor, Tensor]]] = defaultdict(list)
    send = AlternatingEpochs.message

    def watched(self: AlternatingEpochs, block: Any, theta: Tensor, round: int, probe: Any) -> Tensor:
        sent = send(self, block, theta, round, probe)
        seen[type(self).__name__].append((sent.clone(), theta.clone()))
        return sent

    monkeypatch.setattr(AlternatingEpochs, "message", watched)
    return seen


def test_a_client_alone_changes_and_all_others_add_what_it_changed() -> None:
    _, learned, outcome = unlearned(METHODS["neggrad"](**SETTINGS), CASE)
    before = learned.at(CASE.rounds)
    change = outcome.released - before
    assert float(change[CASE.client].norm()) > 0.01
    torch.testing.assert_close(change, change[CASE.client].expand_as(change), rtol=0, atol=1e-15)
    # Two hops to the other side of the ring, and a message to each of the four others.
    assert (outcome.cost.rounds, outcome.cost.messages) == (3, 4)
    apart = replace(CASE, others=(CASE.client - 1,))
    _, learned, outcome = unlearned(METHODS["neggrad"](**SETTINGS), apart)
    change = outcome.released - learned.at(CASE.rounds)
    assert not torch.allclose(change[CASE.client], change[CASE.client - 1])
    torch.testing.assert_close(change[CASE.client], change[CASE.client + 1], rtol=0, atol=1e-15)


def test_with_gossip_others_learn_on_and_forgetting_is_diluted() -> None:
    """What one client of five changes comes to the average as a fifth of it, and others work against it."""
    (_, before, alone), (_, _, mixed) = (
        unlearned(METHODS["neggrad"](**SETTINGS, way=way), replace(CASE, precision="fast"))
        for way in ("local", "server")
    )
    torch.testing.assert_close(mixed.released, mixed.released[:1].expand_as(mixed.released))
    start = before.at(CASE.rounds)
    assert float((mixed.released - start).norm()) < float((alone.released - start).norm())
    assert mixed.cost.rounds == 3


@pytest.mark.parametrize("pairing", ["dual-as", "dual-aa"])
@pytest.mark.parametrize("momentum", ["local", "carried"])
def test_what_the_forget_set_s_optimizer_carries_never_leaves(
    pairing: str, momentum: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = messages_of(monkeypatch)
    asked: dict[str, Any] = {**SETTINGS, "way": "token", "hops": 6, "visit_probability": 0.5, "optimizers": pairing}
    method = METHODS["neggrad"](**asked, retain_momentum=momentum)
    _, _, outcome = unlearned(method, CASE)
    d = outcome.released.shape[1]
    f, own = 2 * d + 1, 0
    parts = {"local": 0, "carried": 3 if pairing == "dual-aa" else 1}[momentum]
    for at, (sent, states) in enumerate(seen["NegGradEpochs"]):
        part = at % (1 + parts)
        wanted = states[:, :d] if not part else states[:, d + f + (part - 1) * d : d + f + part * d]
        assert torch.equal(sent[:, : wanted.shape[1]], wanted)
        assert not sent[:, wanted.shape[1] :].any()
        others = [node for node in range(CASE.nodes) if node != CASE.client]
        assert not states[others, d : d + f].any()
        own += bool(states[CASE.client, d : d + f].any())
    assert own > 0
    torch.testing.assert_close(outcome.released, outcome.released[:1].expand_as(outcome.released))


def test_momentum_that_is_carried_is_that_of_the_holder_before(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {**SETTINGS, "way": "token", "hops": 5, "visit_probability": 0.0}
    found = [
        unlearned(METHODS["salun"](**asked, retain_momentum=momentum), CASE)[2] for momentum in ("local", "carried")
    ]
    assert not torch.equal(found[0].released, found[1].released)
    spread = found[1].cost.rounds - 2 * (found[1].cost.rounds - found[0].cost.rounds)
    assert 0 < spread < CASE.nodes
    assert found[0].cost.gradients == found[1].cost.gradients
    # Without momentum there is nothing to carry.
    none = [
        unlearned(METHODS["salun"](**asked, retain_momentum=momentum, momentum=0.0, optimizers="dual-ss"), CASE)[2]
        for momentum in ("local", "carried")
    ]
    assert torch.equal(none[0].released, none[1].released)


@pytest.mark.parametrize("model", ["logistic", "sigmoid", "mlp"])
@pytest.mark.parametrize("name", ["neggrad", "salun", "sfron"])
def test_it_gets_no_number_and_says_why(name: str, model: str) -> None:
    method = METHODS[name](**SETTINGS)
    simulation, learned, outcome = unlearned(method, replace(CASE, model=model))
    assert bool(torch.isfinite(outcome.released).all())
    certificate = certify(simulation.requests[-1], outcome.plan.release, outcome.plan.claim)
    assert certificate.epsilon is None
    assert str(certificate.reason).startswith("no certificate is known: ")
    program = method.program(outcome.plan.release, simulation.requests[-1], address_at(3), learned.checkpoint_names)
    assert [from_record(to_record(step)) for step in program.approach] == list(program.approach)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"optimizers": "dual-xs"}, "optimizers of neggrad is one of shared-sgd"),
        ({"way": "mail"}, "way of neggrad is one of local"),
        ({"forget_step_size": 0.0}, "forget_step_size of neggrad"),
        ({"momentum": 1.0}, "momentum of neggrad"),
        ({"loss_filter": 1.0}, r"loss_filter of neggrad is a share in \[0, 1\)"),
        ({"continued_rounds": -1}, "continued_rounds of neggrad must not be negative"),
        ({"hops": 3}, "hops of neggrad is a setting of way: token"),
        ({"way": "token", "hops": 0}, "hops of neggrad is a number of at least 1"),
        ({"way": "token", "visit_probability": 2.0}, "between 0 and 1"),
        ({"retain_momentum": "carried"}, "takes way: token"),
        ({"way": "token", "retain_momentum": "carried", "optimizers": "shared-sgd"}, "not shared"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(MethodError, match=words):
        METHODS["neggrad"](**settings)
    with pytest.raises(MethodError, match="share of salun"):
        METHODS["salun"](share=0.0)


def test_who_has_left_cannot_work_and_a_token_has_one_home() -> None:
    gone = replace(CASE, departure="leave", deleted="all").simulation().requests[-1]
    for way in ("local", "token"):
        with pytest.raises(MethodError, match=r"use deletion\.departure=relay, or way: gossip"):
            METHODS["neggrad"](way=way).plan(gone)
    both = replace(CASE, others=(0,)).simulation().requests[-1]
    with pytest.raises(MethodError, match="2 of 5 delete"):
        METHODS["neggrad"](way="token").plan(both)
