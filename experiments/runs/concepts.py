"""The questions by which it is measured what is left of a person in images, and the columns that summarise it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rewindnet.clients.data.dataset import Floats, Integers
from rewindnet.clients.data.questions import END, MARK, Question, proper_names, question_rows, read_questions
from rewindnet.clients.metrics.concepts import Answers, ConceptSets
from rewindnet.clients.models import Model

Rows = tuple[Floats, Integers]


def concept_sets(model: Model, forgotten: Rows, test: Rows, like: Tensor) -> ConceptSets | None:
    """Select the questions about a person whose images a request deletes.

    Args:
        model: the model.
        forgotten: features [n, q] and labels [n] of the forget set.
        test: those of the test rows.
        like: a tensor of the type, and on the device, of the design.

    Returns:
        The questions; None of a model that reads no images with prompts, or if the request deletes no question for a
        name, or none of the sets has a test row.
    """
    if model.reads != "image-prompt":
        return None
    words, pixels = model.words, model.pixels
    mark, end = words.index(MARK), words.index(END)
    gone, asked = (read_questions(*rows, pixels, mark) for rows in (forgotten, test))
    first = next((one for one in gone if one.pictured and proper_names(one.answer, words)), None)
    if first is None:
        return None
    name, length = proper_names(first.answer, words), forgotten[0].shape[1] - pixels
    named = [one for one in asked if one.pictured and name & {*one.answer}]
    right = _right(asked, named, name)
    if not (named and all(right.values())):
        return None

    def questions(of: Sequence[Question]) -> Tensor:
        rows = [np.concatenate([one.image, one.asked, np.zeros(length - len(one.asked))]) for one in of]
        return torch.from_numpy(np.array(rows, dtype=np.float32)).to(like)

    def answers(of: Sequence[Question]) -> Answers:
        x, y = question_rows(of, length)
        numbers: NDArray[np.int64] = np.repeat(np.arange(len(of)), [len(one.answer) for one in of])
        place = like.device
        return Answers(torch.from_numpy(x).to(like), torch.from_numpy(y).to(place), torch.from_numpy(numbers).to(place))

    sets = {what: answers(of) for what, of in right.items()}
    return ConceptSets(tuple(sorted(name)), end, questions([first]), questions(named), answers(named), sets)


def _right(asked: Sequence[Question], named: Sequence[Question], name: frozenset[int]) -> dict[str, list[Question]]:
    """Return the questions whose right answers are counted, by the measure that counts them."""
    shown = {one.image.tobytes() for one in named}
    texts = [one for one in asked if not one.pictured]
    own = [one for one in texts if name & {*one.asked}]
    of_person = [one for one in asked if one.pictured and one.image.tobytes() in shown]
    told = {one.answer for one in own}
    return {
        "specificity": [one for one in asked if one.pictured and one.image.tobytes() not in shown],
        "own_facts": own,
        "other_facts": [one for one in texts if not name & {*one.asked}],
        "multihop_leak": [one for one in of_person if one.answer in told],
    }


def concept_columns(found: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    """Summarise the measures over nodes, for a row of the table: the mean of each.

    Args:
        found: the result of `concept_measures`.
    """
    return {name: {"mean": sum(of) / len(of), "lowest": min(of), "highest": max(of)} for name, of in found.items()}
