"""Every choice a scenario can make, and the settings each choice takes.

A registry entry is the function or class itself: what it takes by keyword only is what a scenario may set.
"""

import inspect
from collections.abc import Callable
from functools import cache
from typing import Any, get_type_hints

from pydantic import BaseModel, ConfigDict, create_model

from rewindnet.experiments.scenario.errors import ScenarioError
from rewindnet.registry import Registry, did_you_mean

#: What `rewindnet list` can list, and the kind of choice it is.
LISTS = {
    "topologies": "topology",
    "mixing": "mixing",
    "models": "model",
    "methods": "method",
    "data": "data",
    "features": "features",
    "partitions": "partition",
    "networks": "network",
    "schedules": "schedule",
    "learning": "learning",
    "samplings": "sampling",
    "transports": "transport",
}


def registry(what: str) -> Registry[Any]:
    """The choices of one kind, one of those that `LISTS` names.

    Each is imported only when it is asked for.
    """
    match what:
        case "topology":
            from rewindnet.topologies import FAMILIES

            return FAMILIES
        case "mixing":
            from rewindnet.topologies import MIXING

            return MIXING
        case "model":
            from rewindnet.clients.models import MODELS

            return MODELS
        case "method":
            from rewindnet.clients.methods import METHODS

            return METHODS
        case "data":
            from rewindnet.clients.data import SOURCES

            return SOURCES
        case "features":
            from rewindnet.clients.data.features import TRANSFORMS

            return TRANSFORMS
        case "partition":
            from rewindnet.clients.data.partitions import PARTITIONS

            return PARTITIONS
        case "transport":
            from rewindnet.simulator.transports.registry import TRANSPORTS

            return TRANSPORTS
        case "schedule":
            from rewindnet.topologies import SCHEDULES

            return SCHEDULES
        case "learning":
            from rewindnet.topologies import LEARNING

            return LEARNING
        case "sampling":
            from rewindnet.clients.training.sampling import SAMPLINGS

            return SAMPLINGS
        case "network":
            from rewindnet.simulator.cost.network_model import NETWORK_MODELS

            return NETWORK_MODELS
    raise KeyError(what)


def settings_model(what: str, name: object) -> type[BaseModel]:
    """Return the settings of an entry as a pydantic model that knows no other keys.

    Raises:
        ScenarioError: if there is no such entry; the message lists those there are.
    """
    choices = registry(what)
    if not isinstance(name, str) or name not in choices:
        known = ", ".join(choices)
        raise ScenarioError(f"unknown {choices.kind} {name!r}{did_you_mean(name, choices)}; there are: {known}")
    return _settings_model(f"{what} {name}", choices[name])


@cache
def _settings_model(title: str, chosen: Callable[..., Any]) -> type[BaseModel]:
    """Make the model of an entry's settings: its keyword-only parameters with their types and defaults."""
    hints = get_type_hints(chosen.__init__ if _plain_class(chosen) else chosen)
    fields: dict[str, Any] = {}
    for parameter in inspect.signature(chosen).parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY:
            default = ... if parameter.default is parameter.empty else parameter.default
            fields[parameter.name] = (hints[parameter.name], default)
    return create_model(title, __config__=ConfigDict(extra="forbid", frozen=True, strict=True), **fields)


def _plain_class(chosen: Callable[..., Any]) -> bool:
    """Return whether a class has its parameters annotated on its constructor rather than, as a dataclass, on itself."""
    return inspect.isclass(chosen) and not hasattr(chosen, "__dataclass_fields__")
