"""The rules of a small decision tree that stands for a model."""

from typing import Any

from sklearn.tree import DecisionTreeClassifier
from torch import Tensor

#: A rule: the conditions on the way from the root to a leaf, as feature, threshold and side; and the class of the leaf.
Rule = tuple[tuple[tuple[int, float, str], ...], int]


def rules_of(x: Tensor, predicted: Tensor, depth: int) -> set[Rule]:
    """Return the rules of a decision tree that is fitted to a model's predictions.

    Args:
        x: features [m, p].
        predicted: the model's classes [m].
        depth: of the tree.
    """
    tree = DecisionTreeClassifier(max_depth=depth, random_state=0).fit(x.numpy(), predicted.numpy())
    return set(_rules_below(tree, 0, ()))


def _rules_below(tree: Any, at: int, way: tuple[tuple[int, float, str], ...]) -> list[Rule]:
    """Return the rules of the leaves below a node of a tree."""
    inner = tree.tree_
    if inner.children_left[at] == inner.children_right[at]:
        return [(way, int(tree.classes_[inner.value[at][0].argmax()]))]
    feature, threshold = int(inner.feature[at]), round(float(inner.threshold[at]), 6)
    left = _rules_below(tree, inner.children_left[at], (*way, (feature, threshold, "at most")))
    return left + _rules_below(tree, inner.children_right[at], (*way, (feature, threshold, "above")))
