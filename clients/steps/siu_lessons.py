"""What SIU has a client learn: rows about one image of what is forgotten, and rows whose answers must stay."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from rewindnet.clients.data.questions import (
    DENIAL,
    MARK,
    REFUSAL,
    Question,
    proper_names,
    question_rows,
    read_questions,
    tokens_of,
)
from rewindnet.clients.models import Model
from rewindnet.clients.steps.epochs import Samples
from rewindnet.errors import UserError


class LessonError(UserError):
    """What is forgotten has nothing that SIU could begin with; the message says what it needs."""


@dataclass(frozen=True, eq=False)
class Lessons:
    """The rows of the lessons.

    Attributes:
        x: [n, q], the design.
        y: [n], the words or labels.
        sign: [n], what the cross-entropy of a row counts: 1, −1 where it is to rise, 0 of rows that are only kept.
        kept: [n], whether the KL counts a row.
        name: the labels that name what is forgotten.
    """

    x: Tensor
    y: Tensor
    sign: Tensor
    kept: Tensor
    name: tuple[int, ...]


@dataclass(frozen=True)
class Curriculum:
    """What the lessons are made by.

    Attributes:
        goal: `name`, `refusal` or `ascent`.
        new_name: two words.
        token_mask: whether the KL leaves out words that contradict what was learned.
        keeps: whether there is a KL.
        others: how many retained questions about others are kept.
    """

    goal: str
    new_name: str
    token_mask: bool
    keeps: bool
    others: int

    def lessons(self, model: Model, gone: Samples, retained: Samples, generator: np.random.Generator) -> Lessons:
        """Return the lessons of one client.

        Args:
            model: its model.
            gone: what it forgets, at least one sample.
            retained: what it holds.
            generator: draws wrong labels, and which others are kept.

        Raises:
            LessonError: if no forgotten row asks for the name of a person in an image.
        """
        if model.reads == "image-prompt":
            return self._about_pictures(model, gone, retained, generator)
        return self._about_labels(model, gone, retained, generator)

    def _about_labels(self, model: Model, gone: Samples, retained: Samples, generator: np.random.Generator) -> Lessons:
        """Return the lessons of samples of any kind: one with a wrong label, and retained ones."""
        classes, truth = max(2, model.outputs), int(gone.y[0])
        label = truth if self.goal == "ascent" else (truth + int(generator.integers(1, classes))) % classes
        count = min(self.others, len(retained.y)) if self._keeps_others else 0
        drawn = torch.from_numpy(generator.permutation(len(retained.y))[:count]).to(gone.y.device)
        y = torch.cat([gone.y.new_tensor([label]), retained.y[drawn]])
        sign, kept = self._marks([[True]], count)
        return Lessons(torch.cat([gone.x[:1], retained.x[drawn]]), y, sign.to(gone.x), kept.to(gone.x), (truth,))

    def _about_pictures(
        self, model: Model, gone: Samples, retained: Samples, generator: np.random.Generator
    ) -> Lessons:
        """Return the lessons about one image, and about the person and others in text."""
        words, pixels = model.words, model.pixels
        mark = words.index(MARK)
        asked, held = (read_questions(of.x.cpu().numpy(), of.y.cpu().numpy(), pixels, mark) for of in (gone, retained))
        named = [one for one in asked if one.pictured and proper_names(one.answer, words)]
        if not named:
            raise LessonError(
                "siu takes one image of a person whose name is asked for, and what is deleted has none; delete the "
                "rows of such images"
            )
        name = proper_names(named[0].answer, words)
        about = self._about_image(named[0], [one for one in asked if one.pictured], name, words)
        texts = [one for one in held if not one.pictured]
        own = [one for one in texts if name & {*one.asked}]
        others = [one for one in texts if not name & {*one.asked, *one.answer}]
        drawn = generator.permutation(len(others))[: self.others].tolist()
        kept_ones = [*own, *(others[at] for at in drawn)] if self._keeps_others else []
        x, y = question_rows([*(one for one, _ in about), *kept_ones], gone.x.shape[1] - pixels)
        sign, kept = self._marks([marks for _, marks in about], sum(len(one.answer) for one in kept_ones))
        x_of, y_of = torch.from_numpy(x).to(gone.x), torch.from_numpy(y).to(gone.y)
        return Lessons(x_of, y_of, sign.to(gone.x), kept.to(gone.x), tuple(sorted(name)))

    def _about_image(
        self, first: Question, pictured: Sequence[Question], name: frozenset[int], words: Sequence[str]
    ) -> list[tuple[Question, list[bool]]]:
        """Return the questions about the image, and which words of each new answer contradict what was learned."""
        image, new = first.image, tokens_of(self.new_name, words)
        forms = dict.fromkeys(one.asked for one in pictured if name & {*one.answer})
        at = next(place for place, word in enumerate(first.answer) if word in name)
        answer = {
            "name": (*first.answer[:at], *new, *(word for word in first.answer[at:] if word not in name)),
            "refusal": tokens_of(REFUSAL, words),
            "ascent": first.answer,
        }[self.goal]
        found = [(Question(image, form, answer), [word in new for word in answer]) for form in forms]
        if self.goal == "name":
            there = dict.fromkeys(one.asked for one in pictured if name & {*one.asked})
            found += [(Question(image, form, tokens_of(DENIAL, words)), [True, True]) for form in there]
        return found

    @property
    def _keeps_others(self) -> bool:
        """Whether there are rows about anything but the image."""
        return self.goal == "name" or self.keeps

    def _marks(self, contradicts: Sequence[Sequence[bool]], others: int) -> tuple[Tensor, Tensor]:
        """Return what each row counts in the cross-entropy and in the KL: those about the image, then the others.

        Args:
            contradicts: for each question about the image, which words of its answer contradict what was learned.
            others: the number of other rows.
        """
        about = torch.tensor([one for marks in contradicts for one in marks])
        sign = torch.full((len(about) + others,), float(self.goal == "name"))
        sign[: len(about)] = -1.0 if self.goal == "ascent" else 1.0
        kept = torch.ones(len(about) + others)
        # What the baselines say of the image contradicts all of what was learned of it.
        kept[: len(about)] = (~about if self.token_mask else torch.ones_like(about)) if self.goal == "name" else 0.0
        return sign, kept
