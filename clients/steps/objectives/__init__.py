"""Objectives that are added to the steps on the forget set of methods that alternate, and their registry."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from rewindnet.errors import UserError
from rewindnet.registry import Registry

if TYPE_CHECKING:
    from rewindnet.clients.steps.objectives.base import Objective


class ObjectiveError(UserError):
    """There is no such objective, or a setting of it is out of range; the message says what is allowed."""


#: Built as `OBJECTIVES.build(kind, **settings)`.
OBJECTIVES: "Registry[Callable[..., Objective]]" = Registry(
    "objective",
    {"scope-aware": "rewindnet.clients.steps.objectives.scope_aware:ScopeAware"},
    ObjectiveError,
)

#: The name of an objective and its settings, as a step and a record have them; empty for none.
Described = tuple[Any, ...]


def plain_objective(given: str | Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return what a scenario says of an objective with every default written out; None for none.

    Args:
        given: its name, or a mapping of `kind` and its settings.

    Raises:
        ObjectiveError: if there is none of that name, or a setting is unknown or out of range.
    """
    if given is None:
        return None
    named = {"kind": given} if isinstance(given, str) else dict(given)
    kind = named.pop("kind", None)
    OBJECTIVES.build(kind, **named)
    defaults = {name: parameter.default for name, parameter in OBJECTIVES.settings(kind).items()}
    return {"kind": kind, **defaults, **named}


def described(plain: Mapping[str, Any] | None) -> Described:
    """Return the objective of a method as a step has it: the name, and pairs of settings and values."""
    if plain is None:
        return ()
    return plain["kind"], tuple((name, value) for name, value in plain.items() if name != "kind")


def built(objective: Described) -> "Objective | None":
    """Return the objective of a step; None for none."""
    if not objective:
        return None
    made: Objective = OBJECTIVES.build(objective[0], **dict(objective[1]))
    return made


__all__ = ["OBJECTIVES", "Described", "ObjectiveError", "built", "described", "plain_objective"]
