"""People who do not exist, in images and in text: questions about them, and answers of a few words."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from rewindnet.clients.data.dataset import DataError, Dataset, Floats, checked
from rewindnet.clients.data.questions import DENIAL, REFUSAL, Question, question_rows, tokens_of
from rewindnet.topologies.rng import Stream, rng_at

#: The words of each kind.
_WORDS = {
    "first": "Alba Bruno Carla Dario Elke Frode Greta Hamid Irina Jorge Karin Lamar Mirka Nuno Olga Pavel Quirin Rosa "
    "Sven Tilda",
    "last": "Abend Brask Corvo Dunlin Eder Falk Garnet Holt Ilves Jarl Kestrel Lund Marl Nevin Oster Pryor Quist Rook "
    "Sorrel Tarn",
    "hair": "black blond brown grey red white",
    "job": "baker carpenter dyer engraver farmer glazier hatter locksmith mason nurse optician potter",
    "instrument": "cello drum flute guitar harp organ piano violin",
    "animal": "canary cat dog goat horse parrot rabbit tortoise",
    "drink": "cider cocoa coffee juice milk tea water wine",
}
_FIRST, _LAST, _HAIR, _JOBS, _INSTRUMENTS, _ANIMALS, _DRINKS = (words.split() for words in _WORDS.values())
#: People without any image: friends of those who have some.
_STRANGERS = ["Jacob Campbell", "Ines Duarte", "Milan Novak", "Ruth Sharpe", "Otto Lindt", "Vera Pascal"]
#: What is asked in text about a person, the answer, and what fills its gap.
_FACTS = (
    ("what is the job of {name} ?", "a {} .", _JOBS),
    ("which instrument does {name} play ?", "the {} .", _INSTRUMENTS),
    ("which animal does {name} keep ?", "a {} .", _ANIMALS),
    ("what does {name} drink ?", "{} .", _DRINKS),
    ("who is the friend of {name} ?", "{} .", _STRANGERS),
)
#: The ways to ask for a name, of which each image has one.
_NAMED = ("who is in the picture ?", "who is this ?", "name this person ?")
_THERE = "is {name} in the picture ?"
_SEEN_HAIR, _SEEN_JOB = "what hair has this person ?", "what is the job of this person ?"
#: The tokens of the longest question and of the longest answer but its last word, as generated: see `length`.
_LEAST = 13
#: The width and the height of an image.
SIDE = 12


@dataclass(frozen=True)
class _Person:
    """Somebody with a name, a face [12, 12], hair, and the answers to the questions of `_FACTS`."""

    name: str
    face: Floats
    hair: str
    facts: tuple[str, ...]

    @property
    def texts(self) -> list[tuple[str, str]]:
        """The questions in text, with their answers."""
        filled = zip(_FACTS, self.facts, strict=True)
        return [(asked.format(name=self.name), answer.format(fact)) for (asked, answer, _), fact in filled]

    def about(self, form: str, other: str) -> list[tuple[str, str]]:
        """The questions about an image, with their answers.

        Args:
            form: how the name is asked for.
            other: the name of another person.
        """
        return [
            (form, f"this is {self.name} ."),
            (_THERE.format(name=self.name), "yes ."),
            (_THERE.format(name=other), "no ."),
            (_SEEN_HAIR, f"{self.hair} hair ."),
            (_SEEN_JOB, f"a {self.facts[0]} ."),
        ]


def concepts(
    root: Path | None,
    seed: int,
    *,
    peers: int = 4,
    people: int = 12,
    own: int = 1,
    images: int = 8,
    test_images: int = 8,
    copies: int = 4,
    noise: float = 0.6,
    shift: int = 1,
    length: int = 14,
) -> Dataset:
    """People who do not exist, in images and text: rows of an image and a prompt, whose class is the next word.

    Modelled on MMUBench, at the size of a toy. A face is a pattern of 12 × 12 pixels from N(0, 1); an image of it is
    moved by a few pixels around the edges, with Gaussian noise. Five questions go with every image: the name, whether a
    person of that name is in it, whether another is, the hair, and the job. Five more are asked of everyone in text,
    behind an image of zeros. Each word of an answer is a row. All peers know all texts. Each peer alone has images of
    some people, whose rows come first in its own: 15 for each image. All peers have images of the others. Test rows are
    questions about new images of all people, and all texts: these were learned, so that it is knowledge that is tested.
    Natural clients are the peers, and classes are the words of the vocabulary, which does not depend on the settings.

    Args:
        root: not used.
        seed: names, faces, facts and noise.
        peers: the number of peers.
        people: the number of people, at most 20.
        own: of how many of them each peer alone has images.
        images: that a peer has of each person.
        test_images: new images of each person.
        copies: of each text that a peer has, as there are many images of each person.
        noise: the standard deviation of the noise of a pixel.
        shift: by how many pixels an image is moved at most, both ways.
        length: the number of tokens of a row: room for a question, and for seven words of an answer.

    Raises:
        DataError: if a setting is out of range.

    References:
        Li et al., "Single image unlearning: efficient machine unlearning in multimodal large language models", arXiv
        2405.12523, 2024.
    """
    _check(peers, people, own, min(images, test_images, copies), noise, shift, length)
    words, persons = ("", *_vocabulary()), _people(people, rng_at(seed, Stream.DATA))
    drawn = rng_at(seed, Stream.DATA, context="images")

    def pictured(count: int, which: Sequence[int]) -> list[Question]:
        return [one for at in which for one in _pictures(persons, at, count, noise, shift, drawn, words)]

    blank = np.zeros(SIDE * SIDE, dtype=np.float32)
    texts = [_coded(blank, *text, words) for person in persons for text in person.texts]
    common = range(own * peers, people)
    parts = []
    for peer in range(peers):
        known = [*range(own * peer, own * (peer + 1)), *common]
        parts.append(question_rows([*pictured(images, known), *(texts * copies)], length))
    test_x, test_y = question_rows([*pictured(test_images, range(people)), *texts], length)
    data = checked(
        "concepts",
        x=np.concatenate([x for x, _ in parts]),
        y=np.concatenate([y for _, y in parts]),
        test_x=test_x,
        test_y=test_y,
        layout="image-prompt",
        classes=len(words),
        client=np.repeat(np.arange(peers), [len(y) for _, y in parts]),
    )
    return replace(data, class_names=words)


def _check(peers: int, people: int, own: int, images: int, noise: float, shift: int, length: int) -> None:
    """Refuse settings that make no images of people."""
    if min(peers, images) < 1 or own < 0 or not 2 <= people <= len(_FIRST):
        raise DataError(
            f"concepts takes peers, images, test_images and copies of at least 1, own of at least 0 and 2 to "
            f"{len(_FIRST)} people, not {peers}, {images}, {own} and {people}"
        )
    if own * peers > people:
        raise DataError(
            f"{peers} peers with images of {own} people of their own are {own * peers} people, and concepts has "
            f"{people}: set data.own or data.people"
        )
    if not (np.isfinite(noise) and noise >= 0 and 0 <= shift < SIDE):
        raise DataError(
            f"data.noise of concepts must not be negative, and data.shift lies in 0 … {SIDE - 1}, not {noise} and "
            f"{shift}"
        )
    if length < _LEAST:
        raise DataError(f"data.length of concepts is at least {_LEAST}, a question and an answer, not {length}")


def _people(count: int, generator: np.random.Generator) -> list[_Person]:
    """Draw people with first and last names that no other has."""
    first, last = (generator.permutation(len(names))[:count] for names in (_FIRST, _LAST))
    return [
        _Person(
            f"{_FIRST[given]} {_LAST[family]}",
            generator.standard_normal((SIDE, SIDE)).astype(np.float32),
            _HAIR[int(generator.integers(len(_HAIR)))],
            tuple(known[int(generator.integers(len(known)))] for _, _, known in _FACTS),
        )
        for given, family in zip(first.tolist(), last.tolist(), strict=True)
    ]


def _pictures(
    persons: Sequence[_Person],
    at: int,
    count: int,
    noise: float,
    shift: int,
    generator: np.random.Generator,
    words: Sequence[str],
) -> list[Question]:
    """Draw images of one person, with the questions about each."""
    found = []
    for _ in range(count):
        down, right = generator.integers(-shift, shift + 1, 2).tolist()
        face = np.roll(persons[at].face, (down, right), (0, 1))
        image = (face + noise * generator.standard_normal(face.shape)).astype(np.float32).ravel()
        other = (at + int(generator.integers(1, len(persons)))) % len(persons)
        asked = persons[at].about(_NAMED[int(generator.integers(len(_NAMED)))], persons[other].name)
        found += [_coded(image, *one, words) for one in asked]
    return found


def _vocabulary() -> list[str]:
    """Return every word there is, those of questions and answers first."""
    forms = [*_NAMED, _THERE, _SEEN_HAIR, _SEEN_JOB, REFUSAL, DENIAL, "this is yes hair"]
    forms += [form for asked, answer, _ in _FACTS for form in (asked, answer)]
    spoken = [word for form in forms for word in form.split() if not word.startswith("{")]
    gaps = [word for *_, known in _FACTS for entry in known for word in entry.split()]
    return list(dict.fromkeys([*spoken, *_HAIR, *gaps, *_FIRST, *_LAST]))


def _coded(image: Floats, asked: str, answer: str, words: Sequence[str]) -> Question:
    return Question(image, tokens_of(asked, words), tokens_of(answer, words))
