"""SIU against torch at one client; its lessons about an image; what it makes of a small vision-language model."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from federated import data, unlearned
from networks import SMALL
from torch.nn.functional import cross_entropy, log_softmax

from rewindnet.clients.data import load
from rewindnet.clients.methods import METHODS, MethodError
from rewindnet.clients.models.deep.vlm import VLM
from rewindnet.clients.steps.epochs import Samples
from rewindnet.clients.steps.siu_lessons import Curriculum, LessonError, Lessons
from rewindnet.topologies.rng import Stream, rng_at

ALONE = replace(SMALL, family="path", nodes=1, client=0, sizes=(23,), l2=0.05, model="logistic")
#: More words than there are in a step: each step sees all lessons.
SETTINGS: dict[str, Any] = {"rank": 1, "adapter_alpha": 3.0, "others": 4, "steps": 3, "batch": 99, "step_size": 0.05}


@pytest.mark.parametrize(
    "own",
    [
        {},
        {"token_mask": False},
        {"token_mask": False, "vocab_mask": False},
        {"goal": "ascent"},
        {"goal": "refusal", "beta": 0.0},
    ],
)
def test_it_is_what_torch_makes_of_one_client(own: dict[str, Any]) -> None:
    method = METHODS["siu"](**SETTINGS, **own, alpha=0.8)
    simulation, learned, outcome = unlearned(method, ALONE)
    (whole, labels), (x, y) = (tuple(map(torch.from_numpy, data(simulation, 0, request))) for request in (0, 1))
    kept_rows = {tuple(row) for row in x.tolist()}
    first = next(at for at, row in enumerate(whole.tolist()) if tuple(row) not in kept_rows)
    start, truth = learned.at(ALONE.rounds)[0].view(3, -1), int(labels[first])

    def drawn(what: str) -> np.random.Generator:
        return rng_at(simulation.addresses[0].seed, Stream.BATCH, ALONE.rounds, 0, context=f"SIURounds {what}")

    q, goal, beta, lessons = start.shape[1], own.get("goal", "name"), own.get("beta", 0.75), drawn("lessons")
    label = truth if goal == "ascent" else (truth + int(lessons.integers(1, 3))) % 3
    others = lessons.permutation(len(y))[: 4 if beta else 0]
    rows, targets = torch.cat([whole[first : first + 1], x[others]]), torch.cat([torch.tensor([label]), y[others]])
    divided = torch.tensor([float(goal == "name" and not own.get("token_mask", True)), *[1.0] * len(others)])
    words = torch.ones(3, dtype=torch.float64)
    words[truth] = float(not own.get("vocab_mask", True))
    A = torch.from_numpy(drawn("adapter").standard_normal((1, q)) / np.sqrt(q)).requires_grad_(True)
    B = torch.zeros(3, 1, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([A, B], lr=0.05)
    for _ in range(3):
        optimizer.zero_grad()
        before, now = (log_softmax(rows @ theta.T, dim=1) for theta in (start, start + 3 * B @ A))
        away = (words * before.exp() * (before - now)).sum(dim=1)
        counted = slice(None) if goal == "name" else slice(1)
        entropy = cross_entropy(rows[counted] @ (start + 3 * B @ A).T, targets[counted])
        loss = 0.8 * entropy * (-1 if goal == "ascent" else 1) + beta * (divided * away).sum() / max(1, divided.sum())
        loss.backward()
        optimizer.step()
    wanted = (start + 3 * B @ A).detach().flatten()
    torch.testing.assert_close(outcome.released[0], wanted, rtol=1e-9, atol=1e-11)
    assert outcome.cost.gradients == 3 * len(rows)
    assert outcome.plan.release.mechanism.kind == "uncertified"


def known() -> tuple[Any, VLM, Samples, Samples, str]:
    """Two images of the first person that are forgotten, all else that a client holds, and the person's name."""
    found = load("concepts", seed=2, peers=1, people=4, images=2, test_images=1)
    model = VLM(158, found.classes, (158,), found.class_names or (), layers=1, width=8, heads=2, seeing=4)
    x, y = torch.from_numpy(found.x).double(), torch.from_numpy(found.y)
    words = found.class_names or ()
    name = " ".join(words[token] for token in found.y[2:4])
    return found, model, Samples(x[:30], y[:30]), Samples(x[30:], y[30:]), name


def said(model: VLM, lessons: Lessons) -> list[tuple[bool, str, str, float, float]]:
    """Each lesson: whether there is an image, the prompt, the word, and what it counts in both parts of the loss."""
    rows = zip(lessons.x, lessons.y.tolist(), lessons.sign.tolist(), lessons.kept.tolist(), strict=True)
    return [
        (
            bool(row[:144].any()),
            " ".join(model.words[int(token)] for token in row[144:] if token),
            model.words[label],
            sign,
            kept,
        )
        for row, label, sign, kept in rows
    ]


def test_the_lessons_are_four_kinds_of_rows_about_one_image() -> None:
    found, model, gone, retained, name = known()
    lessons = Curriculum("name", "Jacob Campbell", True, True, 3).lessons(
        model, gone, retained, np.random.default_rng(0)
    )
    rows = said(model, lessons)
    assert lessons.name == tuple(sorted(model.words.index(word) for word in name.split()))
    pictured = [row for row in rows if row[0]]
    images = {tuple(row.tolist()) for row in lessons.x[:, :144] if row.any()}
    assert images == {tuple(found.x[0, :144].astype(float).tolist())}
    forms = {row[1] for row in pictured if row[1].endswith("?") and row[2] == "this"}
    assert forms
    for form in forms:
        new = [row[2:] for row in pictured if row[1].startswith(form)]
        assert new == [("this", 1, 1), ("is", 1, 1), ("Jacob", 1, 0), ("Campbell", 1, 0), (".", 1, 1)]
    denied = [row[1:] for row in pictured if row[1].startswith(f"is {name}")]
    there = f"is {name} in the picture ?"
    assert denied == [(there, "no", 1, 0), (f"{there} no", ".", 1, 0)]
    assert len(pictured) == 5 * len(forms) + 2
    texts = [row for row in rows if not row[0]]
    assert all(row[3:] == (1, 1) for row in texts)
    asked = {row[1] for row in texts if row[1].endswith("?")}
    own = {form for form in asked if name in form}
    assert len(own) == 5
    assert len(asked) == 5 + 3


@pytest.mark.parametrize(
    ("goal", "keeps", "words", "sign"),
    [("refusal", False, "i do not know .", 1), ("ascent", True, "this is {name} .", -1)],
)
def test_a_baseline_has_one_kind_of_row_but_for_the_kl(goal: str, keeps: bool, words: str, sign: int) -> None:
    _, model, gone, retained, name = known()
    generator = np.random.default_rng(0)
    rows = said(model, Curriculum(goal, "Jacob Campbell", True, keeps, 3).lessons(model, gone, retained, generator))
    pictured, texts = ([row for row in rows if row[0] is seen] for seen in (True, False))
    forms = {row[1] for row in pictured if row[1].endswith("?")}
    answers = {" ".join(row[2] for row in pictured if row[1].startswith(form)) for form in forms}
    assert answers == {words.format(name=name)}
    assert {row[3:] for row in pictured} == {(sign, 0)}
    assert {row[3:] for row in texts} == ({(0, 1)} if keeps else set())


def test_without_an_image_of_a_person_there_is_no_lesson() -> None:
    _, model, _, retained, _ = known()
    texts = Samples(retained.x[-30:], retained.y[-30:])
    with pytest.raises(LessonError, match="takes one image of a person"):
        Curriculum("name", "Jacob Campbell", True, True, 3).lessons(model, texts, retained, np.random.default_rng(0))


@pytest.mark.parametrize(
    "settings",
    [{"rank": 0}, {"alpha": 0.0}, {"beta": -1.0}, {"steps": 0}, {"goal": "silence"}, {"new_name": "Jacob"}],
)
def test_settings_without_a_meaning_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(MethodError, match=f"{next(iter(settings))} of siu"):
        METHODS["siu"](**settings)
