"""Prompts: rows of tokens, of which 0 is padding on the right, and the templates that wrap them."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rewindnet.clients.data.dataset import Floats
from rewindnet.errors import UserError

#: Where the prompt goes in a template.
PLACE = "{q}"
#: Polite forms of a question, none of which changes the answer: Ren et al. 2025, those for questions and answers.
TEMPLATES = (
    "please tell me {q}",
    "can you please explain {q}",
    "could you please tell me {q}",
    "{q} , please ?",
)

Template = tuple[tuple[int, ...], tuple[int, ...]]


class PromptError(UserError):
    """A template or a prompt that cannot be used; the message says why."""


def coded_templates(templates: Sequence[str], vocabulary: Sequence[str]) -> tuple[Template, ...]:
    """Return the tokens of templates before and after the place of the prompt.

    Args:
        templates: words with a space between them, and `{q}` once in each.
        vocabulary: the word of each token.

    Raises:
        PromptError: if there is no template, one has no place for a prompt, or a word that is no token.
    """
    if not templates:
        raise PromptError("a list of templates has at least one, such as 'please tell me {q}'")
    numbers = {word: token for token, word in enumerate(vocabulary)}
    coded = []
    for template in templates:
        words = template.split()
        unknown = [word for word in words if word != PLACE and word not in numbers]
        if words.count(PLACE) != 1 or unknown:
            fault = f"has the word {unknown[0]!r}, which is no token" if unknown else f"does not have {PLACE} once"
            raise PromptError(f"the template {template!r} {fault}; templates are words of the data around {PLACE}")
        at = words.index(PLACE)
        before, after = (tuple(numbers[word] for word in part) for part in (words[:at], words[at + 1 :]))
        coded.append((before, after))
    return tuple(coded)


def lengths(prompts: Floats) -> NDArray[np.int64]:
    """Return the number of tokens [n] of prompts [n, L]."""
    return np.asarray((prompts > 0).sum(axis=-1), dtype=np.int64)


def wrapped(prompts: Floats, templates: Sequence[Template], which: NDArray[np.int64]) -> Floats:
    """Return a copy of prompts in templates.

    Args:
        prompts: [n, L].
        templates: the tokens before and after a prompt.
        which: [n], the template of each; −1 for none.

    Raises:
        PromptError: if a prompt in its template has more than L tokens.
    """
    found, most = prompts.copy(), prompts.shape[1]
    for at in np.flatnonzero(which >= 0):
        before, after = templates[which[at]]
        tokens = [*before, *prompts[at][: lengths(prompts[at])], *after]
        if len(tokens) > most:
            raise PromptError(
                f"a prompt in its template has {len(tokens)} tokens, and there is room for {most}; use shorter "
                "templates, or data with longer rows (data.length)"
            )
        found[at] = 0
        found[at, : len(tokens)] = tokens
    return found
