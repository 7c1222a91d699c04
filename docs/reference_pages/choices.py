"""The pages about what a scenario can choose, from the registries."""

from collections.abc import Iterator, Mapping
from typing import Any

from reference_pages.commands import escaped
from rewindnet.experiments.choices import choices_of, settings_of, summaries
from rewindnet.experiments.scenario.registries import GRAPH_LISTS, LISTS

#: Where a scenario makes the choice of each kind.
PLACES = {
    "topologies": "topology.kind",
    "mixing": "topology.mixing",
    "schedules": "topology.schedule",
    "models": "model.kind",
    "methods": "unlearning[].method",
    "data": "data.source",
    "features": "data.features",
    "partitions": "partition.kind",
    "networks": "network.kind",
    "learning": "learning.kind",
    "samplings": "learning.sampling",
    "optimizers": "learning.optimizer",
    "step-sizes": "learning.step_sizes",
    "transports": "backend.kind",
    "attacks": "deletion.attack",
    "objectives": "unlearning[].objective",
    "graphs": "data.source",
    "graph-models": "model.kind",
    "graph-methods": "unlearning[].method",
    "verifiers": "verifiers[].verifier",
}


def choice_pages() -> dict[str, str]:
    """Return a page for each kind of choice, by the name of the kind."""
    return {what: "\n".join(_page(what)) for what in LISTS}


def _page(what: str) -> Iterator[str]:
    """Return the lines of the page of one kind: a list of the choices, then each with its settings."""
    yield from (f"# {what.capitalize().replace('-', ' ')}", "")
    whose = " of a graph network" if what in GRAPH_LISTS else ""
    yield from (f"The key `{PLACES[what]}` of a scenario{whose}. `rewindnet list {what}` prints this list.", "")
    yield from ("| choice | what it is |", "| --- | --- |")
    for name, summary in summaries(what).items():
        yield f"| [`{name}`](#{name}) | {escaped(summary)} |"
    for name in choices_of(what):
        about = settings_of(what, name)
        yield from ("", f"## {name}", "", escaped(about["summary"]), "")
        yield from settings_table(about["settings"]) if about["settings"] else ["It has no settings."]


def settings_table(settings: Mapping[str, Mapping[str, Any]], heading: str = "setting") -> Iterator[str]:
    """Return a table of settings: name, type, default and meaning of each."""
    yield from (f"| {heading} | type | default | meaning |", "| --- | --- | --- | --- |")
    for setting, about in settings.items():
        default = "required" if about["required"] else f"`{plain(about['default'])}`"
        yield f"| `{setting}` | {escaped(about['type'])} | {default} | {escaped(about['meaning'])} |"


def plain(value: Any) -> str:
    """Return a default as it is written in YAML."""
    return "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value) or "''"
