"""Attacks by deletion requests: what a client puts into the samples that it will ask to have forgotten."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from math import isfinite

import numpy as np

from rewindnet.clients.data.dataset import Dataset, Floats
from rewindnet.clients.data.prompts import TEMPLATES, coded_templates, wrapped
from rewindnet.errors import UserError
from rewindnet.registry import Registry


class AttackError(UserError):
    """The attack has no meaning with these settings or data; the message says what is allowed."""


class RequestAttack(ABC):
    """What becomes of the samples of a request; its settings are the keyword-only parameters of its constructor.

    Attributes:
        templates: those whose use the attack makes costly for others, for what is measured.
    """

    templates: tuple[str, ...] = TEMPLATES

    @abstractmethod
    def submitted(self, dataset: Dataset, x: Floats, generator: np.random.Generator) -> Floats:
        """Return the samples [n, *shape] that the client holds, and will ask to have forgotten, in place of its own.

        Args:
            dataset: the data.
            x: [n, *shape], its own.
            generator: draws what is drawn.

        Raises:
            UserError: if the data cannot carry the attack.
        """


class Stealthy(RequestAttack):
    """Put harmless words around prompts that will be forgotten, so that others lose the use of these words.

    Ren et al. (2025), "Keeping an eye on LLM unlearning: the hidden risk and remedy". What unlearns a prompt in a
    template also unlearns to answer in the presence of the words of the template. The client holds its prompts in this
    form from the beginning: it asks for nothing but its own samples.

    Args:
        probability: p, with which a prompt of the request gets a template.
        templates: words of the data around {q}; by default four polite forms of a question.

    Raises:
        AttackError: if the probability does not lie in (0, 1].
    """

    def __init__(self, *, probability: float = 0.33, templates: list[str] | None = None) -> None:
        if not (isfinite(probability) and 0 < probability <= 1):
            raise AttackError(f"probability of stealthy lies in (0, 1], not {probability}")
        self._probability = probability
        self.templates = TEMPLATES if templates is None else tuple(templates)

    def submitted(self, dataset: Dataset, x: Floats, generator: np.random.Generator) -> Floats:
        """Return the prompts, each by chance in one of the templates."""
        if dataset.layout != "prompt":
            raise AttackError(
                f"deletion.attack stealthy puts words around prompts, and an example of {dataset.name} is a "
                f"{dataset.layout}; use data of prompts, such as facts, or leave deletion.attack out"
            )
        forms = coded_templates(self.templates, dataset.class_names or ())
        chosen, form = generator.random(len(x)) < self._probability, generator.integers(len(forms), size=len(x))
        return wrapped(x, forms, np.where(chosen, form, -1))


#: Built as `ATTACKS[kind](*, settings)`.
ATTACKS: Registry[Callable[..., RequestAttack]] = Registry("attack", {"stealthy": Stealthy}, AttackError)
