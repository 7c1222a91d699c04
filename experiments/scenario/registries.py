"""Every choice a scenario can make, and the settings each choice takes.

A registry entry is the function or class itself: what it takes by keyword only is what a scenario may set.
"""

import inspect
from collections.abc import Callable, Mapping
from typing import Any, get_type_hints

from pydantic import BaseModel, ConfigDict, create_model

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


class ScenarioError(ValueError):
    """The scenario cannot be understood; the message says what is allowed."""


def registry(what: str) -> Mapping[str, Callable[..., Any]]:
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


def entry(what: str, name: object) -> Callable[..., Any]:
    """The entry of that name.

    Raises:
        ScenarioError: if there is none; the message lists those there are.
    """
    choices = registry(what)
    if not isinstance(name, str) or name not in choices:
        noun = "data source" if what == "data" else what
        raise ScenarioError(f"unknown {noun} {name!r}; there are: {', '.join(choices)}")
    return choices[name]


def settings_model(what: str, name: object) -> type[BaseModel]:
    """The settings of an entry as a pydantic model that knows no other keys."""
    chosen = entry(what, name)
    hints = get_type_hints(chosen.__init__ if _plain_class(chosen) else chosen)
    fields: dict[str, Any] = {}
    for parameter in inspect.signature(chosen).parameters.values():
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY:
            default = ... if parameter.default is inspect.Parameter.empty else parameter.default
            fields[parameter.name] = (hints[parameter.name], default)
    return create_model(f"{what} {name}", __config__=ConfigDict(extra="forbid", frozen=True, strict=True), **fields)


def _plain_class(chosen: Callable[..., Any]) -> bool:
    """A class whose parameters are annotated on its constructor rather than, as a dataclass's, on itself."""
    return inspect.isclass(chosen) and not hasattr(chosen, "__dataclass_fields__")


def summary(what: str, name: str) -> str:
    """The first line of an entry's documentation."""
    return (inspect.getdoc(entry(what, name)) or "").partition("\n")[0]
