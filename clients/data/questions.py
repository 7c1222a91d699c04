"""Questions about an image or about a person, and their answers, as rows: one for each word of an answer.

A row is an image, flat, and behind it a prompt of tokens with zeros on the right: the question, which ends with its
mark, and the words of the answer so far. Its label is the word that follows; the last one of an answer is the end.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rewindnet.clients.data.dataset import Floats, Integers

#: The last word of every question, and of every answer.
MARK, END = "?", "."
#: Answers that deny a person, and that tell nothing, as sentences of the words of the data.
DENIAL, REFUSAL = "no .", "i do not know ."

Tokens = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Question:
    """A question with its answer.

    Attributes:
        image: [P], zeros of a question without an image.
        asked: its tokens, the mark last.
        answer: the tokens of the answer, the end last.
    """

    image: Floats
    asked: Tokens
    answer: Tokens

    @property
    def pictured(self) -> bool:
        """Whether there is an image."""
        return bool(self.image.any())


def read_questions(x: NDArray[np.floating], y: Integers, pixels: int, mark: int) -> list[Question]:
    """Return the questions of some rows, in the order of their first rows.

    Args:
        x: [n, P + L].
        y: [n].
        pixels: P.
        mark: the token of the mark.
    """
    found: dict[tuple[bytes, Tokens], tuple[Floats, dict[Tokens, int]]] = {}
    for row, label in zip(x, y.tolist(), strict=True):
        image = np.ascontiguousarray(row[:pixels], dtype=np.float32)
        tokens = tuple(row[pixels:][row[pixels:] > 0].astype(np.int64).tolist())
        if mark not in tokens:
            continue
        split = tokens.index(mark) + 1
        _, words = found.setdefault((image.tobytes(), tokens[:split]), (image, {}))
        words[tokens[split:]] = label
    questions = []
    for (_, asked), (image, words) in found.items():
        answer: Tokens = ()
        while answer in words:
            answer = (*answer, words[answer])
        questions.append(Question(image, asked, answer))
    return questions


def question_rows(questions: Sequence[Question], length: int) -> tuple[Floats, Integers]:
    """Return the rows [n, P + L] of questions, and the words [n] that follow.

    Args:
        questions: at least one.
        length: L, as many as the tokens of the longest row, or more.
    """
    rows, labels = [], []
    for one in questions:
        for at, word in enumerate(one.answer):
            tokens = (*one.asked, *one.answer[:at])
            rows.append(np.concatenate([one.image, tokens, np.zeros(length - len(tokens))]))
            labels.append(word)
    return np.array(rows, dtype=np.float32), np.array(labels, dtype=np.int64)


def proper_names(tokens: Iterable[int], words: Sequence[str]) -> frozenset[int]:
    """Return those of some tokens that are names: words with a capital letter."""
    return frozenset(token for token in tokens if words[token][:1].isupper())


def tokens_of(sentence: str, words: Sequence[str]) -> Tokens:
    """Return the tokens of a sentence whose words are all known, with a space between them."""
    numbers = {word: token for token, word in enumerate(words)}
    return tuple(numbers[word] for word in sentence.split())
