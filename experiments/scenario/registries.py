"""Look up registry entries that a scenario can name, and the settings of each entry.

A registry entry is a function or class; its keyword-only parameters are the settings that a scenario may give.
"""

import inspect
from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any, get_type_hints

from pydantic import BaseModel, ConfigDict, create_model

from rewindnet.experiments.scenario.errors import ScenarioError
from rewindnet.registry import Registry, did_you_mean

#: The lists of `rewindnet list`, and the kind of registry of each.
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
    "optimizers": "optimizer",
    "step-sizes": "step sizes",
    "transports": "transport",
    "attacks": "attack",
    "objectives": "objective",
    "graphs": "graph",
    "graph-models": "graph model",
    "graph-methods": "graph method",
    "verifiers": "verifier",
}

#: Those of the lists that are for scenarios of graph networks.
GRAPH_LISTS = ("graphs", "graph-models", "graph-methods", "verifiers")

#: The registry of each kind, as `module:name`; it is imported on first use.
_REGISTRIES = {
    "topology": "rewindnet.topologies:FAMILIES",
    "mixing": "rewindnet.topologies:MIXING",
    "schedule": "rewindnet.topologies:SCHEDULES",
    "learning": "rewindnet.topologies:LEARNING",
    "data": "rewindnet.clients.data:SOURCES",
    "features": "rewindnet.clients.data.encoders:ENCODERS",
    "partition": "rewindnet.clients.data.partitions:PARTITIONS",
    "model": "rewindnet.clients.models:MODELS",
    "sampling": "rewindnet.clients.training.sampling:SAMPLINGS",
    "optimizer": "rewindnet.clients.training.optimizers:OPTIMIZERS",
    "step sizes": "rewindnet.clients.training.step_sizes:STEP_SIZES",
    "method": "rewindnet.clients.methods:METHODS",
    "network": "rewindnet.simulator.cost.network_model:NETWORK_MODELS",
    "attack": "rewindnet.clients.data.request_attacks:ATTACKS",
    "objective": "rewindnet.clients.steps.objectives:OBJECTIVES",
    "transport": "rewindnet.simulator.transports.registry:TRANSPORTS",
    "graph": "rewindnet.clients.graphs.data:GRAPHS",
    "graph model": "rewindnet.clients.graphs.models:GRAPH_MODELS",
    "graph method": "rewindnet.clients.graphs.methods:GRAPH_METHODS",
    "verifier": "rewindnet.clients.graphs.verifiers:VERIFIERS",
}


def registry(what: str) -> Registry[Any]:
    """Return the registry of a kind.

    Args:
        what: one of the values of `LISTS`.
    """
    module, _, name = _REGISTRIES[what].partition(":")
    choices: Registry[Any] = getattr(import_module(module), name)
    return choices


def settings_model(what: str, name: object) -> type[BaseModel]:
    """Return the settings of an entry as a pydantic model that refuses all other keys.

    Args:
        what: the kind of the registry.
        name: the name of the entry.

    Raises:
        ScenarioError: if there is no such entry; the message lists all entries.
    """
    choices = registry(what)
    if not isinstance(name, str) or name not in choices:
        known = ", ".join(choices)
        raise ScenarioError(f"unknown {choices.kind} {name!r}{did_you_mean(name, choices)}; there are: {known}")
    return _settings_model(f"{what} {name}", choices[name])


@cache
def _settings_model(title: str, chosen: Callable[..., Any]) -> type[BaseModel]:
    """Make the model of the settings of an entry: its keyword-only parameters with their types and defaults."""
    hints = type_hints(chosen)
    fields: dict[str, Any] = {}
    for parameter in inspect.signature(chosen).parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY:
            default = ... if parameter.default is parameter.empty else parameter.default
            fields[parameter.name] = (hints[parameter.name], default)
    return create_model(title, __config__=ConfigDict(extra="forbid", frozen=True, strict=True), **fields)


def type_hints(chosen: Callable[..., Any]) -> dict[str, Any]:
    """Return the types of the parameters of an entry, by name."""
    return get_type_hints(chosen.__init__ if _plain_class(chosen) else chosen)


def _plain_class(chosen: Callable[..., Any]) -> bool:
    """Return whether an entry is a class that is not a dataclass, so that its constructor has the type hints."""
    return inspect.isclass(chosen) and not hasattr(chosen, "__dataclass_fields__")
