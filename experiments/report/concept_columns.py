"""The columns of the table about what is left of a person in images, and the sentence that explains them."""

from collections.abc import Mapping
from typing import Any

#: What the columns say, for the legend.
SENTENCE = (
    "Name gone: answers without any word of the deleted person's name, to the image that is deleted first / to images "
    "that no client has. Others: right answers about images of others. Facts: right answers in text about the "
    "person / about others. Multi-hop: images of the person whose question for what is also told in text is answered "
    "right. Perplexity: of the learned answer to the question for the name, without the name. Diversity: different "
    "words of an answer. C-Dis: how far the probability of the name has moved. Means over nodes."
)


def name_gone(row: Mapping[str, Any]) -> str:
    """Format efficacy and generality, in percent."""
    return _percent(row, "efficacy", "generality")


def others(row: Mapping[str, Any]) -> str:
    """Format specificity, in percent."""
    return _percent(row, "specificity")


def facts(row: Mapping[str, Any]) -> str:
    """Format the facts that are left of the person and of others, in percent."""
    return _percent(row, "own_facts", "other_facts")


def multihop(row: Mapping[str, Any]) -> str:
    """Format what is told of an image by way of the name, in percent."""
    return _percent(row, "multihop_leak")


def diversity(row: Mapping[str, Any]) -> str:
    """Format the share of different words, in percent."""
    return _percent(row, "diversity")


def perplexity(row: Mapping[str, Any]) -> str:
    """Format the perplexity."""
    return _number(row, "fluency")


def moved(row: Mapping[str, Any]) -> str:
    """Format C-Dis, how far the probability of the name has moved."""
    return _number(row, "c_dis")


def _percent(row: Mapping[str, Any], *names: str) -> str:
    found = row.get("concepts")
    return " / ".join(f"{100 * found[name]['mean']:.1f}" for name in names) if found else ""


def _number(row: Mapping[str, Any], name: str) -> str:
    found = row.get("concepts")
    return f"{found[name]['mean']:.3g}" if found else ""


#: Heading and content of each column.
COLUMNS = (
    ("name gone %", name_gone),
    ("others %", others),
    ("facts %", facts),
    ("multi-hop %", multihop),
    ("perplexity", perplexity),
    ("diversity %", diversity),
    ("C-Dis", moved),
)
