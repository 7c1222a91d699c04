"""People in images and text, the model that reads both, and what is measured of their answers."""

from typing import Any

import numpy as np
import pytest
import torch

from rewindnet.clients.data import load
from rewindnet.clients.data.encoders import encode
from rewindnet.clients.data.questions import MARK, Question, question_rows, read_questions
from rewindnet.clients.metrics.concepts import concept_measures, diversity, generated
from rewindnet.clients.models import supplied
from rewindnet.clients.models.deep.vlm import VLM
from rewindnet.errors import UserError
from rewindnet.experiments.runs.concepts import concept_sets

SMALL: dict[str, Any] = {"peers": 2, "people": 5, "own": 1, "images": 2, "test_images": 3}


def spoken(data: Any, x: Any, y: Any) -> list[tuple[Question, str, str]]:
    words = data.class_names
    found = read_questions(x, y, 144, words.index(MARK))
    return [(one, *(" ".join(words[token] for token in part) for part in (one.asked, one.answer))) for one in found]


def names_in(questions: list[tuple[Question, str, str]]) -> set[str]:
    return {answer[8:-2] for _, _, answer in questions if answer.startswith("this is")}


def test_each_peer_has_images_of_people_of_its_own_and_all_have_the_texts() -> None:
    data = load("concepts", seed=3, **SMALL)
    held = [spoken(data, data.x[data.client == peer], data.y[data.client == peer]) for peer in range(2)]
    tested = spoken(data, data.test_x, data.test_y)
    assert [len(names_in(of)) for of in held] == [4, 4]
    assert len(names_in(held[0]) & names_in(held[1])) == 3
    assert len(names_in(tested)) == 5
    # The rows of an image of a person that a peer alone knows come first: 15 of each.
    own = spoken(data, data.x[:30], data.y[:30])
    (name,) = names_in(own)
    assert len(own) == 2 * 5
    assert name not in names_in(held[1])
    texts = [{(asked, answer) for one, asked, answer in of if not one.pictured} for of in (*held, tested)]
    assert texts[0] == texts[1] == texts[2]
    assert len(texts[0]) == 5 * 5
    told = dict(texts[0])
    for one, asked, answer in own:
        if asked == "what is the job of this person ?":
            assert answer == told[f"what is the job of {name} ?"]
        if asked.endswith("in the picture ?") and asked.startswith("is"):
            assert answer == ("yes ." if name in asked else "no .")
        assert one.pictured
    assert data.class_names == load("concepts", seed=4, peers=1, people=9).class_names
    again = load("concepts", seed=3, **SMALL)
    np.testing.assert_array_equal(data.x, again.x)
    assert not np.array_equal(data.x[:1], load("concepts", seed=4, **SMALL).x[:1])


def test_questions_are_read_from_their_rows_and_written_as_them() -> None:
    data = load("concepts", seed=3, **SMALL)
    found = [one for one, _, _ in spoken(data, data.x, data.y)]
    x, y = question_rows(read_questions(data.test_x, data.test_y, 144, data.class_names.index(MARK)), 14)
    np.testing.assert_array_equal(x, data.test_x)
    np.testing.assert_array_equal(y, data.test_y)
    # Of an answer whose second word is missing the first one is read.
    (one,) = read_questions(data.x[[0, 2, 3]], data.y[[0, 2, 3]], 144, data.class_names.index(MARK))
    assert (one.asked, one.answer) == (found[0].asked, found[0].answer[:1])


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"peers": 0}, "peers, images, test_images and copies of at least 1"),
        ({"people": 21}, "2 to 20"),
        ({"own": 3}, "6 people, and concepts has 5"),
        ({"noise": -1.0}, "must not be negative"),
        ({"shift": 12}, r"lies in 0 … 11"),
        ({"length": 12}, "at least 13"),
    ],
)
def test_settings_that_make_no_people_are_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        load("concepts", **{**SMALL, **settings})


def test_images_with_prompts_are_no_quantities() -> None:
    data = load("concepts", **SMALL)
    with pytest.raises(UserError, match="no quantities"):
        encode("unit-norm", data, 0, {})
    np.testing.assert_array_equal(encode("raw", data, 0, {}).x, data.x)


def tiny(words: tuple[str, ...] = (), length: int = 14, classes: int = 9) -> VLM:
    return VLM(4 + length, classes, (4 + length,), words, side=2, seeing=3, prefix=2, layers=1, width=4, heads=2)


def test_an_image_becomes_states_in_front_of_the_prompt() -> None:
    """Against the same transformer, without padding, on the states that the layers of the image give."""
    model, generator = tiny(length=5), np.random.default_rng(0)
    theta = torch.from_numpy(model.initial(generator) + 0.3 * generator.standard_normal(model.parameters))
    at = model.layout.views(theta)
    image, prompt = torch.from_numpy(generator.standard_normal(4)), [3, 8, 1]
    states = image
    for layer in ("eye.0", "eye.2"):
        states = torch.nn.functional.gelu(at[f"{layer}.weight"] @ states + at[f"{layer}.bias"])
    before = (at["project.weight"] @ states + at["project.bias"]).view(2, 4)
    reader = model._module.reader  # type: ignore[union-attr]
    entered = torch.cat([before, at["reader.words.weight"][prompt]]) + at["reader.places.weight"][:5]
    values = {name.removeprefix("reader.blocks.0."): of for name, of in at.items() if "blocks" in name}
    after = torch.func.functional_call(reader.blocks[0], values, (entered[None],))[0, -1]  # type: ignore[operator,index]
    read = torch.nn.functional.layer_norm(after, (4,), at["reader.norm.weight"], at["reader.norm.bias"])
    x = torch.tensor([[*image.tolist(), *prompt, 0, 0]], dtype=torch.float64)
    torch.testing.assert_close(model.scores(theta[None], x)[0, 0], at["reader.words.weight"] @ read)
    assert not any(name.startswith("eye.") for name in model.matrices)
    assert "project.weight" in model.matrices
    assert supplied("vlm", 158, 9, (158,), ("", "a")) == (158, 9, (158,), ("", "a"))
    for settings, words in (({"width": 10, "heads": 3}, "a divisor of width"), ({"side": 20}, "20 × 20 pixels")):
        with pytest.raises(UserError, match=words):
            VLM(158, 9, **settings)  # type: ignore[arg-type]


class Scripted(VLM):
    """A model that says what a table has for the last word of a prompt, whose probability is its one parameter."""

    def __init__(self, words: tuple[str, ...], after: dict[str, str]) -> None:
        self.words, self.pixels, self.after = words, 144, after

    def scores(self, theta: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        last = (x[:, 144:] > 0).sum(dim=1) - 1
        words = [self.words[int(row[144 + at])] for row, at in zip(x, last.tolist(), strict=True)]
        chosen = torch.tensor([self.words.index(self.after.get(word, word)) for word in words])
        odds = torch.full((1, len(x), len(self.words)), 0.0, dtype=torch.float64)
        odds[0, torch.arange(len(x)), chosen] = theta[0, 0]
        return odds


def test_what_is_measured_of_answers() -> None:
    data = load("concepts", seed=3, **{**SMALL, "peers": 1})
    words = data.class_names or ()
    name = [words[token] for token in data.y[2:4]]
    learned = {"?": "this", "this": "is", "is": name[0], name[0]: name[1], name[1]: "."}
    model = Scripted(words, learned)
    sets = concept_sets(model, (data.x[:30], data.y[:30]), (data.test_x, data.test_y), torch.empty(0).double())
    assert sets is not None
    theta = torch.full((1, 1), 30.0, dtype=torch.float64)
    (said, *_) = generated(model, theta, sets.trained, sets.end)
    assert [words[token] for token in said] == ["this", "is", *name]
    found = concept_measures(model, theta, theta, sets)
    assert {key: found[key] for key in ("efficacy", "generality", "c_dis")} == {
        "efficacy": [0.0],
        "generality": [0.0],
        "c_dis": [0.0],
    }
    assert found["fluency"][0] == pytest.approx(1)
    assert found["diversity"] == [1.0]
    assert found["specificity"] == found["own_facts"] == found["multihop_leak"] == [0.0]
    # A weaker model says the same, and p of the name is no longer 1: log p = 1 − log(e + C − 1) at a score of 1.
    weak = torch.full((1, 1), 1.0, dtype=torch.float64)
    away = float(np.log(np.e + len(words) - 1) - 1)
    found = concept_measures(model, weak, theta, sets)
    assert found["c_dis"][0] == pytest.approx(away)
    assert found["fluency"][0] == pytest.approx(np.exp(away))
    # Another name, then the same word for ever; all facts are wine.
    model.after = {**learned, "is": "Jacob", "Jacob": "Jacob", "?": "wine", "wine": "."}
    found = concept_measures(model, theta, theta, sets)
    assert (found["generality"], found["diversity"]) == ([1.0], [1.0])
    told = [(asked, answer) for one, asked, answer in spoken(data, data.test_x, data.test_y) if not one.pictured]
    for measure, own in (("own_facts", True), ("other_facts", False)):
        right = [answer == "wine ." for asked, answer in told if (name[0] in asked) == own]
        assert found[measure] == [pytest.approx(np.mean(right))]
    assert diversity([4, 4, 4, 5]) == 0.5
    assert diversity([]) == 0
    assert concept_sets(model, (data.x[-30:], data.y[-30:]), (data.test_x, data.test_y), torch.empty(0)) is None
