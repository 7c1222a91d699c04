"""The columns of the table about prompts in templates, and the sentence that explains them."""

from collections.abc import Mapping
from typing import Any

#: What the columns say, for the legend.
SENTENCE = (
    "In templates: test prompts in polite words that change no answer; the gap is by how much that accuracy is lower "
    "than that of the plain prompts, at clients that delete, then at those one link away, and so on."
)


def in_templates(row: Mapping[str, Any]) -> str:
    """Format the accuracy on prompts in templates: the mean over nodes, and the lowest node in brackets."""
    found = row.get("triggers")
    return f"{100 * found['mean']:.1f} ({100 * found['lowest']:.1f})" if found else ""


def gap_by_hop(row: Mapping[str, Any]) -> str:
    """Format the gap at each distance from those who delete, in percent."""
    found = row.get("triggers")
    return " / ".join(f"{100 * gap:.1f}" for gap in found["gap_by_hop"]) if found else ""
