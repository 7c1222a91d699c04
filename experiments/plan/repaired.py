"""Write what a repair changes: the line to paste into a scenario, the graph with more links, the whole scenario."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from rewindnet.experiments.folder.files import write
from rewindnet.experiments.plan.changes import Change
from rewindnet.experiments.plan.repair import Repair, added_links, repaired
from rewindnet.experiments.scenario.network_setup import NetworkSetup
from rewindnet.experiments.scenario.registries import registry
from rewindnet.topologies.graphs.edges import edge_array, node_names

#: The files of a repair in the folder of a plan.
LINKS, SCENARIO = "links.json", "repaired.yaml"


def pasted_row(network: NetworkSetup, row: int, change: Change) -> str:
    """Return a row after a change as a line of the list `unlearning`, without the settings that are defaults.

    Args:
        network: the network that is planned.
        row: the number of the row.
        change: the change.
    """
    method = network.scenario.unlearning[row]
    defaults = {name: known.default for name, known in registry(method.what).settings(method.name).items()}
    changed = change.applied(method.settings)
    told = {name: value for name, value in changed.items() if value != defaults[name]}
    return f"- {_on_one_line({method.key: method.name, **told})}"


def pasted_topology(network: NetworkSetup, links: Path) -> str:
    """Return the section `topology` that reads the graph with more links, as a line of a scenario.

    Args:
        network: the network that is planned.
        links: the file of the graph.
    """
    return f"topology: {_on_one_line(_topology(network, links))}"


def _on_one_line(content: Mapping[str, Any]) -> str:
    return yaml.safe_dump(
        dict(content), default_flow_style=True, sort_keys=False, allow_unicode=True, width=10**6
    ).strip()


def _topology(network: NetworkSetup, links: Path) -> dict[str, Any]:
    topology = network.scenario.topology
    told = {"kind": "file", "path": links.as_posix(), "mixing": topology.mixing.plain()}
    return told if topology.schedule.kind == "static" else {**told, "schedule": topology.schedule.plain()}


def write_repaired(network: NetworkSetup, repairs: Sequence[Repair], folder: Path) -> Path | None:
    """Write the scenario with the cheapest change of every row, and the graph with the links that these add.

    Args:
        network: the network that was planned.
        repairs: from `find_repairs`.
        folder: the folder of the plan.

    Returns:
        The scenario; None where there is none, because no change keeps a promise, or they do not go together.
    """
    added = added_links(repairs)
    if added:
        write(folder / LINKS, json.dumps(_graph(network, added), ensure_ascii=False, indent=1) + "\n")
    plain = repaired(network, repairs)
    if plain is None:
        return None
    if added:
        # Paths are looked for beside the scenario first.
        plain["topology"] = _topology(network, Path(LINKS))
    write(folder / SCENARIO, yaml.safe_dump(plain, sort_keys=False, allow_unicode=True))
    return folder / SCENARIO


def _graph(network: NetworkSetup, added: Sequence[tuple[int, int]]) -> Mapping[str, Any]:
    """Return the graph with more links as node-link JSON, with the names that it has itself."""
    names = node_names(network.graph) if network.scenario.topology.kind in ("file", "largest-part") else None
    ids = [str(node) for node in range(network.nodes)] if names is None else list(names)
    pairs = [*edge_array(network.graph).tolist(), *added]
    return {"nodes": [{"id": name} for name in ids], "links": [{"source": ids[i], "target": ids[j]} for i, j in pairs]}
