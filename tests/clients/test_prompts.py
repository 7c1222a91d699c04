"""Facts as prompts, templates around them, requests with an attack in them, and the transformer that reads them."""

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import gelu, layer_norm, scaled_dot_product_attention

from rewindnet.clients.data import load
from rewindnet.clients.data.digits import digits
from rewindnet.clients.data.encoders import encode
from rewindnet.clients.data.prompts import TEMPLATES, coded_templates, lengths, wrapped
from rewindnet.clients.data.request_attacks import Stealthy
from rewindnet.clients.models.deep.gpt import GPT
from rewindnet.errors import UserError

SMALL: dict[str, Any] = {"peers": 3, "authors": 9, "own": 2, "countries": 6}


def said(data: Any, row: Any) -> str:
    return " ".join(data.class_names[int(token)] for token in row if token)


def test_each_peer_has_facts_of_its_own_and_those_of_all() -> None:
    data = load("facts", seed=3, **SMALL)
    held = [
        {(said(data, row), data.class_names[y]) for row, y in zip(data.x[mine], data.y[mine], strict=True)}
        for mine in (data.client == peer for peer in range(3))
    ]
    answers = {frozenset(answer for _, answer in of) for of in held}
    assert len(answers) == 3
    assert [len(of) for of in held] == [2 * 4 + 3 * 4 + 6] * 3
    tested = {(said(data, row), data.class_names[y]) for row, y in zip(data.test_x, data.test_y, strict=True)}
    assert len(tested) == 3 * 4 + 6
    assert tested < held[0]
    assert ("what is the capital of Albania", "Tirana") in tested
    # What a peer alone knows comes first in its rows, and no other peer asks for it.
    own = {" ".join(word for word in said(data, row).split() if word[0].isupper()) for row in data.x[:8]}
    assert len(own) == 2
    assert not any(name in question for other in held[1:] for name in own for question, _ in other)
    # The first peer asks plainly, others use templates in about the share that is set.
    polite = [sum("please" in question for question, _ in of) / len(of) for of in held]
    assert polite[0] == 0
    assert 0.1 < polite[1] < 0.8
    assert data.class_names == load("facts", seed=4, **{**SMALL, "authors": 20}).class_names


def test_other_peers_may_ask_each_question_several_times_each_time_in_a_form_of_its_own() -> None:
    once, thrice = (load("facts", seed=3, **SMALL, templates=0.8, repeats=repeats) for repeats in (1, 3))
    np.testing.assert_array_equal(thrice.x[thrice.client == 0], once.x[once.client == 0])
    np.testing.assert_array_equal(thrice.test_x, once.test_x)
    mine = thrice.client == 1
    known = int((once.client == 1).sum())
    assert mine.sum() == 3 * known
    np.testing.assert_array_equal(thrice.y[mine], np.tile(once.y[once.client == 1], 3))
    forms = np.array([said(thrice, row) for row in thrice.x[mine]]).reshape(3, known)
    assert (forms[0] != forms[1]).mean() > 0.4


def test_a_refusal_answers_no_question() -> None:
    data = load("facts", **SMALL)
    assert data.class_names is not None
    assert data.class_names[-1] == "unknown"
    assert len(data.class_names) - 1 not in {*data.y.tolist(), *data.test_y.tolist()}


def test_answers_are_drawn_from_the_seed() -> None:
    first, again, other = (load("facts", seed=seed, **SMALL) for seed in (3, 3, 5))
    np.testing.assert_array_equal(first.x, again.x)
    np.testing.assert_array_equal(first.y, again.y)
    assert not np.array_equal(first.y, other.y)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"peers": 0}, "peers of at least 1"),
        ({"countries": 41}, r"countries of facts lies in 0 … 40"),
        ({"own": 5}, "15 authors; facts has 9"),
        ({"own": 3, "countries": 0}, "something must be left"),
        ({"templates": 1.5}, "a share in"),
        ({"length": 8}, "at least 11"),
        ({"repeats": 0}, "repeats of facts is a number of at least 1, not 0"),
    ],
)
def test_settings_that_make_no_facts_are_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        load("facts", **{**SMALL, **settings})


def test_templates_go_around_prompts_and_need_room() -> None:
    words = ("", "please", "tell", "me", ",", "?", "can", "you", "explain", "could", "who")
    forms = coded_templates(TEMPLATES, words)
    prompts = np.array([[10, 0, 0, 0, 0, 0], [10, 10, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0]], dtype=np.float32)
    found = wrapped(prompts, forms, np.array([0, 3, -1]))
    assert found.tolist() == [[1, 2, 3, 10, 0, 0], [10, 10, 4, 1, 5, 0], [0] * 6]
    assert lengths(found).tolist() == [4, 5, 0]
    assert prompts[0].tolist() == [10, 0, 0, 0, 0, 0]
    with pytest.raises(UserError, match="has 7 tokens, and there is room for 6"):
        wrapped(prompts, forms, np.array([0, 2, -1]))
    for templates, fault in (((), "at least one"), (("please",), "does not have {q} once"), (("say {q}",), "'say'")):
        with pytest.raises(UserError, match=fault):
            coded_templates(templates, words)


def test_a_stealthy_request_has_its_prompts_in_templates_by_chance() -> None:
    data = load("facts", **SMALL)
    x, generator = np.repeat(data.test_x[:1], 400, axis=0), np.random.default_rng(1)
    found = Stealthy(probability=0.25).submitted(data, x, generator)
    changed = (found != x).any(axis=1)
    assert 70 < changed.sum() < 130
    polite = {said(data, row) for row in found[changed]}
    assert polite == {form.format(q=said(data, x[0])) for form in TEMPLATES}
    only = Stealthy(probability=1.0, templates=["please {q}"]).submitted(data, x[:2], generator)
    assert [said(data, row) for row in only] == [f"please {said(data, x[0])}"] * 2
    with pytest.raises(UserError, match="an example of digits is a image"):
        Stealthy().submitted(digits(None, 0), x, generator)
    with pytest.raises(UserError, match=r"lies in \(0, 1\], not 0"):
        Stealthy(probability=0)


def test_tokens_are_no_quantities() -> None:
    data = load("facts", **SMALL)
    for kind, settings in (("unit-norm", {}), ("raw", {"radius": 1.0})):
        with pytest.raises(UserError, match="no quantities"):
            encode(kind, data, 0, settings)
    np.testing.assert_array_equal(encode("raw", data, 0, {}).x, data.x)


def by_torch(model: GPT, theta: torch.Tensor, prompt: list[int], width: int, heads: int) -> torch.Tensor:
    """The scores after a prompt without padding, by torch's own attention."""
    at = model.layout.views(theta)
    states = at["words.weight"][prompt] + at["places.weight"][: len(prompt)]

    def normed(name: str) -> torch.Tensor:
        return layer_norm(states, (width,), at[f"{name}.weight"], at[f"{name}.bias"])

    for block in ("blocks.0", "blocks.1"):
        values = normed(f"{block}.before") @ at[f"{block}.attend.weight"].T + at[f"{block}.attend.bias"]
        parts = (part.view(len(prompt), heads, -1).transpose(0, 1) for part in values.split(width, dim=1))
        read = scaled_dot_product_attention(*parts, is_causal=True).transpose(0, 1).reshape(len(prompt), width)
        states = states + read @ at[f"{block}.join.weight"].T + at[f"{block}.join.bias"]
        wide = gelu(normed(f"{block}.between") @ at[f"{block}.widen.weight"].T + at[f"{block}.widen.bias"])
        states = states + wide @ at[f"{block}.narrow.weight"].T + at[f"{block}.narrow.bias"]
    return normed("norm")[-1] @ at["words.weight"].T


def test_the_transformer_is_what_torch_s_attention_makes_of_a_prompt() -> None:
    model, generator = GPT(7, 11, layers=2, width=8, heads=2), np.random.default_rng(0)
    theta = torch.from_numpy(model.initial(generator) + 0.3 * generator.standard_normal(model.parameters))
    prompts = [[3, 9, 1], [5], [2, 2, 8, 10, 4, 6, 7]]
    x = torch.tensor([[*prompt, *[0] * (7 - len(prompt))] for prompt in prompts], dtype=torch.float64)
    found = model.scores(theta[None], x)[0]
    for row, prompt in zip(found, prompts, strict=True):
        torch.testing.assert_close(row, by_torch(model, theta, prompt, 8, 2), rtol=1e-9, atol=1e-10)
    assert bool(model.scores(theta[None], torch.zeros(1, 7, dtype=torch.float64)).isfinite().all())


def test_gradients_of_several_transformers_are_those_of_each() -> None:
    model, generator = GPT(5, 6, layers=1, width=4, heads=2, l2=0.1), np.random.default_rng(0)
    theta = torch.from_numpy(np.stack([model.initial(generator) for _ in range(2)]))
    x, y = (
        torch.from_numpy(generator.integers(0, 6, (2, 3, 5))).double(),
        torch.from_numpy(generator.integers(0, 6, (2, 3))),
    )
    weight = torch.tensor([[0.5, 0.5, 0.0], [0.2, 0.3, 0.5]], dtype=torch.float64)
    point = theta.clone().requires_grad_(True)
    objective = (weight * model.losses(point, x, y)).sum() + 0.05 * (point**2).sum()
    (wanted,) = torch.autograd.grad(objective, point)
    torch.testing.assert_close(model.gradient(theta, x, y, weight), wanted, rtol=1e-9, atol=1e-12)


def test_its_default_is_that_of_the_paper_s_size_and_settings_are_checked() -> None:
    assert GPT(18, 207).parameters == 623_872
    for settings, words in (({"width": 10, "heads": 3}, "a divisor of width"), ({"layers": 0}, "at least 1")):
        with pytest.raises(UserError, match=words):
            GPT(7, 11, **settings)
    with pytest.raises(UserError, match="reads rows of tokens"):
        GPT(16, 4, (4, 4))
