"""NPO against torch at one client, and the objectives that are added to steps on the forget set."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from federated import data, unlearned
from networks import SMALL
from torch.nn.functional import cross_entropy, log_softmax, logsigmoid

from rewindnet.clients.data.facts import facts
from rewindnet.clients.methods import METHODS
from rewindnet.clients.models.deep.gpt import GPT
from rewindnet.clients.step_records import from_record, to_record
from rewindnet.clients.steps.epochs import Samples
from rewindnet.clients.steps.objectives import described
from rewindnet.clients.steps.objectives.scope_aware import ScopeAware, joined
from rewindnet.errors import UserError
from rewindnet.topologies.rng import Stream, rng_at

ALONE = replace(SMALL, family="path", nodes=1, client=0, sizes=(23,), l2=0.05, model="logistic")
SETTINGS: dict[str, Any] = {"epochs": 3, "step_size": 0.1, "forget_step_size": 0.03, "batch": 4, "forget_batch": 3}


def test_it_is_what_torch_makes_of_one_client() -> None:
    simulation, learned, outcome = unlearned(METHODS["npo"](**SETTINGS, beta=0.7), ALONE)
    (whole, labels), (x, y) = (tuple(map(torch.from_numpy, data(simulation, 0, request))) for request in (0, 1))
    kept = {tuple(row) for row in x.tolist()}
    gone = [tuple(row) not in kept for row in whole.tolist()]
    forgotten, truth = whole[gone], labels[gone]
    start = learned.at(ALONE.rounds)[0]
    theta = start.clone().requires_grad_(True)
    forget, retain = torch.optim.Adam([theta], lr=0.03), torch.optim.Adam([theta], lr=0.1)

    def odds(at: torch.Tensor, rows: torch.Tensor, of: torch.Tensor) -> torch.Tensor:
        return log_softmax(rows @ at.view(3, -1).T, dim=1)[torch.arange(len(of)), of]

    def order(epoch: int, count: int, phase: str) -> torch.Tensor:
        seed = simulation.addresses[0].seed
        generator = rng_at(seed, Stream.BATCH, ALONE.rounds + epoch, 0, context=f"NPOEpochs {phase}")
        return torch.from_numpy(generator.permutation(count))

    for epoch in range(3):
        for some in order(epoch, len(truth), "forget").split(3):
            ratio = odds(theta, forgotten[some], truth[some]) - odds(start, forgotten[some], truth[some])
            forget.zero_grad()
            (-(2 / 0.7) * logsigmoid(-0.7 * ratio)).mean().backward()
            forget.step()
        for some in order(epoch, len(y), "retain").split(4):
            retain.zero_grad()
            (cross_entropy(x[some] @ theta.view(3, -1).T, y[some]) + ALONE.l2 / 2 * (theta**2).sum()).backward()
            retain.step()
    torch.testing.assert_close(outcome.released[0], theta.detach(), rtol=1e-9, atol=1e-11)
    assert outcome.plan.release.mechanism.kind == "uncertified"


@pytest.mark.parametrize(
    ("method", "settings", "words"),
    [
        ("npo", {"beta": 0.0}, "beta of npo must be a positive number"),
        ("npo", {"objective": "scoped"}, "unknown objective 'scoped'.*there are: scope-aware"),
        ("npo", {"objective": {"kind": "scope-aware", "eta": -1.0}}, "eta of scope-aware must be a positive"),
        (
            "npo",
            {"objective": {"kind": "scope-aware", "eta": None}},
            "eta of scope-aware must be a positive number, not",
        ),
        ("npo", {"objective": {"kind": "scope-aware", "weight": 1.0}}, "no setting 'weight'"),
        ("manif-smc", {"objective": "scope-aware"}, "manif-smc takes no objective"),
    ],
)
def test_settings_without_a_meaning_are_refused(method: str, settings: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        METHODS[method](**settings)


def test_an_objective_has_its_defaults_and_goes_over_a_wire() -> None:
    method = METHODS["npo"](objective="scope-aware")
    assert method.objective == {"kind": "scope-aware", "eta": 5.0}  # type: ignore[attr-defined]
    assert "scope-aware" in method.variant
    step = method._epochs(type("Address", (), {"seed": 3})(), "learned", range(4, 5), 2)  # type: ignore[attr-defined]
    assert step.objective == described({"kind": "scope-aware", "eta": 5.0}) == ("scope-aware", (("eta", 5.0),))
    assert from_record(to_record(step)) == step


def test_prompts_are_joined_and_the_last_tokens_stay() -> None:
    first, second = (
        torch.tensor([[1.0, 2, 0, 0, 0], [1, 2, 3, 4, 0]]),
        torch.tensor([[7.0, 8, 0, 0, 0], [7, 8, 9, 0, 0]]),
    )
    assert joined(first, second).tolist() == [[1, 2, 7, 8, 0], [3, 4, 7, 8, 9]]
    # An erased prompt is none.
    assert joined(torch.zeros(1, 5), second[:1]).tolist() == [[7, 8, 0, 0, 0]]


def test_scope_aware_is_the_loss_of_the_answers_behind_what_is_forgotten() -> None:
    known = facts(None, 0, peers=2, authors=4, own=1, countries=5)
    model = GPT(18, known.classes, layers=1, width=8, heads=2, l2=0.3)
    x, y = torch.from_numpy(known.x).double(), torch.from_numpy(known.y)
    theta = torch.from_numpy(model.initial(np.random.default_rng(2)))[None]
    forget, retained = Samples(x[:3], y[:3]), Samples(x[4:11], y[4:11])
    found = ScopeAware(eta=2.5).gradient(model, theta, forget, retained, np.random.default_rng(5))
    drawn = np.random.default_rng(5).integers(0, 7, 3)
    rows = []
    for one, at in zip(forget.x, drawn.tolist(), strict=True):
        tokens = [*one[one > 0].tolist(), *retained.x[at][retained.x[at] > 0].tolist()]
        rows.append([*tokens, *[0.0] * (18 - len(tokens))])
    point = theta.clone().requires_grad_(True)
    loss = cross_entropy(model.scores(point, torch.tensor(rows, dtype=torch.float64))[0], retained.y[drawn])
    (wanted,) = torch.autograd.grad(2.5 * loss, point)
    torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-12)
