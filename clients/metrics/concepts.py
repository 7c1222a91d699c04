"""What is left of a person in answers about images and in text, and what of others: the measures of MMUBench, as a toy.

Li et al. (2024), "Single image unlearning", arXiv 2405.12523. Reconstructed: an answer is right if it is so word by
word, where the paper asks a judge or public benchmarks, and the learned model's answer is the right one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from rewindnet.clients.models import Model

#: Words of an answer that are generated at most.
WORDS = 8
#: The smallest probability that is told from 0.
_LEAST = 1e-10


@dataclass(frozen=True, eq=False)
class Answers:
    """Rows of the answers to some questions, one for each word.

    Attributes:
        x: [r, q], the design.
        y: [r], the word that follows.
        of: [r], the number of the question.
    """

    x: Tensor
    y: Tensor
    of: Tensor

    @property
    def questions(self) -> int:
        """How many questions there are."""
        return len({*self.of.tolist()})


@dataclass(frozen=True, eq=False)
class ConceptSets:
    """The questions by which it is measured what is left of a person.

    Attributes:
        name: the words of the name.
        end: the word that ends an answer.
        trained: [1, q], the question for the name with the first image that is forgotten.
        unseen: [m, q], those with images that no client has.
        named: the answers to the latter, as learned.
        right: answers that are right, by the measure that counts them: about images of others (`specificity`), in text
            about the person (`own_facts`) and about others (`other_facts`), and about images of the person what is also
            told in text (`multihop_leak`).
    """

    name: tuple[int, ...]
    end: int
    trained: Tensor
    unseen: Tensor
    named: Answers
    right: Mapping[str, Answers]


def concept_measures(model: Model, theta: Tensor, learned: Tensor, sets: ConceptSets) -> dict[str, list[float]]:
    """Measure what models say of a person who is to be forgotten, and of all else.

    Args:
        model: the model, which reads images with prompts.
        theta: [b, d], the models.
        learned: [b, d], the models that the request found.
        sets: the questions.

    Returns:
        For each model: `efficacy` and `generality`, the share of answers without any word of the name, to the image
        that is forgotten and to unseen ones; `specificity`, `own_facts`, `other_facts` and `multihop_leak`, shares of
        right answers; `fluency`, the perplexity of the learned answer to the question for the name, its words left out;
        `diversity`, the share of different words in generated answers; and `c_dis`, the mean of |p·log(p/q)| over words
        of the name, with p the learned probability of each and q that now.
    """
    found: dict[str, list[float]] = {}
    for point, before in zip(torch.split(theta, 1), torch.split(learned, 1), strict=True):
        said = generated(model, point, sets.unseen, sets.end)
        first = generated(model, point, sets.trained, sets.end)
        named = torch.isin(sets.named.y, sets.named.y.new_tensor(sets.name))
        p, q = (_log_odds(model, of, sets.named) for of in (before, point))
        away = p[named].exp() * (p[named] - q[named].clamp(min=torch.tensor(_LEAST).log().item()))
        one = {
            "efficacy": _absent(first, sets.name),
            "generality": _absent(said, sets.name),
            **{name: exactly_right(model, point, answers) for name, answers in sets.right.items()},
            "fluency": float((-q[~named].mean()).exp()),
            "diversity": sum(map(diversity, said)) / len(said),
            "c_dis": float(away.abs().mean()),
        }
        for name, value in one.items():
            found.setdefault(name, []).append(value)
    return found


def generated(model: Model, theta: Tensor, asked: Tensor, end: int) -> list[list[int]]:
    """Return the most likely answer of a model [1, d] to each question [m, q], word by word, without its end."""
    rows, said = asked.clone(), []
    for _ in range(WORDS):
        words = model.predict(theta, rows)[0]
        said.append(words)
        free = model.pixels + (rows[:, model.pixels :] > 0).sum(dim=1)
        rows = torch.where(one_hot(free, rows.shape[1]).bool(), words[:, None].to(rows), rows)
    answers = torch.stack(said, dim=1).tolist()
    return [answer[: answer.index(end)] if end in answer else answer for answer in answers]


def exactly_right(model: Model, theta: Tensor, answers: Answers) -> float:
    """Return the share of questions to each word of whose answers a model [1, d] gives the highest probability."""
    wrong = model.predict(theta, answers.x)[0] != answers.y
    return 1 - len({*answers.of[wrong].tolist()}) / answers.questions


def diversity(answer: Sequence[int]) -> float:
    """Return the share of different words in an answer; 0 of one without words."""
    return len(set(answer)) / max(1, len(answer))


def _absent(answers: Sequence[Sequence[int]], name: Sequence[int]) -> float:
    return sum(not {*answer} & {*name} for answer in answers) / len(answers)


def _log_odds(model: Model, theta: Tensor, answers: Answers) -> Tensor:
    """Compute log p [r] of the words of some answers by a model [1, d]."""
    found = torch.log_softmax(model.scores(theta, answers.x)[0], dim=1)
    return found.gather(1, answers.y[:, None])[:, 0]
