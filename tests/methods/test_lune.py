"""LUNE against torch at one client; what is sent on a network; adapters that are stacked and revoked."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from federated import CASE, data, unlearned
from networks import SMALL
from torch.nn.functional import cross_entropy

from rewindnet.clients.data.facts import facts
from rewindnet.clients.methods import METHODS, MethodError
from rewindnet.clients.models.deep.gpt import GPT
from rewindnet.clients.steps.epochs import Samples
from rewindnet.clients.steps.lune import LuneRounds
from rewindnet.clients.training.adapters import AdapterStack, LowRank
from rewindnet.topologies.rng import Stream, rng_at

ALONE = replace(SMALL, family="path", nodes=1, client=0, sizes=(23,), l2=0.05, model="logistic")
SETTINGS: dict[str, Any] = {"rank": 1, "alpha": 3.0, "negatives": 2, "epochs": 3, "batch": 3, "step_size": 0.05}


def test_it_is_what_torch_makes_of_one_client() -> None:
    simulation, learned, outcome = unlearned(METHODS["lune"](**SETTINGS), ALONE)
    (whole, labels), (x, _) = (tuple(map(torch.from_numpy, data(simulation, 0, request))) for request in (0, 1))
    kept = {tuple(row) for row in x.tolist()}
    gone = [tuple(row) not in kept for row in whole.tolist()]
    forgotten, truth = whole[gone], labels[gone]
    start = learned.at(ALONE.rounds)[0].view(3, -1)

    def drawn(what: str) -> np.random.Generator:
        return rng_at(simulation.addresses[0].seed, Stream.BATCH, ALONE.rounds, 0, context=f"LuneRounds {what}")

    q = start.shape[1]
    A = torch.from_numpy(drawn("adapter").standard_normal((1, q)) / np.sqrt(q)).requires_grad_(True)
    B = torch.zeros(3, 1, dtype=torch.float64, requires_grad=True)
    answers = drawn("answers")
    wrong = np.concatenate([answers.choice([c for c in range(3) if c != of], 2) for of in truth.tolist()])
    assert not (wrong.reshape(-1, 2) == truth.numpy()[:, None]).any()
    rows, targets = forgotten.repeat_interleave(2, dim=0), torch.from_numpy(wrong)
    optimizer = torch.optim.Adam([A, B], lr=0.05)
    for epoch in range(3):
        for some in torch.from_numpy(drawn(f"epoch {epoch}").permutation(len(targets))).split(3):
            optimizer.zero_grad()
            cross_entropy(rows[some] @ (start + 3 * B @ A).T, targets[some]).backward()
            optimizer.step()
    wanted = (start + 3 * B @ A).detach().flatten()
    torch.testing.assert_close(outcome.released[0], wanted, rtol=1e-9, atol=1e-11)
    assert outcome.cost.gradients == 3 * 2 * len(truth)


def test_adapters_alone_are_sent_and_all_models_change_by_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[torch.Tensor] = []
    send = LuneRounds.message

    def watched(self: LuneRounds, block: Any, theta: torch.Tensor, round: int, probe: Any) -> torch.Tensor:
        sent.append(send(self, block, theta, round, probe))
        return sent[-1]

    monkeypatch.setattr(LuneRounds, "message", watched)
    _, learned, outcome = unlearned(METHODS["lune"](**SETTINGS), CASE)
    change = outcome.released - learned.at(CASE.rounds)
    assert float(change[CASE.client].norm()) > 0.01
    torch.testing.assert_close(change, change[CASE.client].expand_as(change), rtol=0, atol=1e-13)
    # Two hops to the other side of the ring, and a message to each of the four others, after a round without any.
    assert (outcome.cost.rounds, outcome.cost.messages) == (3, 4)
    size = 3 + change.shape[1] // 3
    assert all(message.shape == (CASE.nodes, size) for message in sent)
    assert bool(sent[-1][CASE.client].any())
    assert outcome.cost.bytes == 4 * 8 * size


def test_an_adapter_that_is_revoked_leaves_the_bits_of_before() -> None:
    generator = torch.Generator().manual_seed(0)
    theta = torch.randn(40, generator=generator)
    form = LowRank(40, {"a": (2, (4, 5)), "b": (24, (2, 6)), "thin": (37, (1, 3))}, 2, 4.0)
    assert form.ranks == {"a": 2, "b": 1}
    assert form.size == 2 * 9 + 8
    first, second = (torch.randn(form.size, generator=generator) for _ in range(2))
    stack = AdapterStack(theta, form)
    assert torch.equal(stack.merged(), theta)
    stack.add("second", second)
    alone = stack.merged()
    assert not torch.equal(alone, theta)
    A, B = second[:10].view(2, 5), second[10:18].view(4, 2)
    torch.testing.assert_close(alone[2:22], theta[2:22] + 2 * (B @ A).flatten())
    assert torch.equal(alone[[0, 1, 22, 23, 36, 37, 38, 39]], theta[[0, 1, 22, 23, 36, 37, 38, 39]])
    stack.add("first", first)
    assert not torch.equal(stack.merged(), alone)
    stack.revoke("first")
    assert torch.equal(stack.merged(), alone)
    stack.revoke("second")
    assert torch.equal(stack.merged(), theta)
    with pytest.raises(ValueError, match="there is no adapter 'second'; there are: none"):
        stack.revoke("second")
    stack.add("first", first)
    with pytest.raises(ValueError, match="already"):
        stack.add("first", second)


def test_a_transformer_s_linear_layers_have_adapters_and_wrong_answers_are_of_the_same_kind() -> None:
    known = facts(None, 0, peers=1, authors=5, own=1, countries=6)
    model = GPT(18, known.classes, layers=1, width=8, heads=2)
    names = ("attend", "join", "widen", "narrow")
    assert list(model.matrices) == [f"blocks.0.{name}.weight" for name in names]
    theta = torch.arange(float(model.parameters))
    at, shape = model.matrices["blocks.0.widen.weight"]
    assert shape == (32, 8)
    assert torch.equal(theta[at : at + 256].view(shape), model.layout.views(theta)["blocks.0.widen.weight"])
    step = LuneRounds(range(1), (0,), (-1,), 3, 2, 2.0, 4, 1, 2, 0.1)
    gone = Samples(torch.from_numpy(known.x), torch.from_numpy(known.y))
    wrong = step.wrong_answers(model, gone, 0)
    assert len(wrong.y) == 4 * len(gone.y)
    assert not bool((wrong.y.view(-1, 4) == gone.y[:, None]).any())
    capitals = set(known.y[-6:].tolist())
    assert set(wrong.y[-24:].tolist()) <= capitals


@pytest.mark.parametrize("settings", [{"rank": 0}, {"alpha": 0.0}, {"negatives": 0}, {"step_size": -1.0}])
def test_settings_without_a_meaning_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(MethodError, match=f"{next(iter(settings))} of lune"):
        METHODS["lune"](**settings)
