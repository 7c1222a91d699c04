"""Say whether promises are kept and what would keep them: sentences, a table, and plain data for plan.json."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from rewindnet.certificates.digits import rounded_up
from rewindnet.experiments.fitting import print_fitting, print_sentences
from rewindnet.experiments.plan.changes import Change, Tried
from rewindnet.experiments.plan.record import number
from rewindnet.experiments.plan.repair import Repair, added_links
from rewindnet.experiments.plan.repaired import pasted_row, pasted_topology
from rewindnet.experiments.scenario.network_setup import NetworkSetup

#: The largest number of links that are named.
_NAMED = 4
#: What settings of a row are called, with their new value.
_CALLED = {
    "placement": "placement {}",
    "allocation": "allocation {}",
    "settle_first": "gossip rounds before the descent: {}",
    "gossip_rounds": "gossip rounds at the end: {}",
}


def print_repairs(network: NetworkSetup, repairs: Sequence[Repair], links: Path, console: Console) -> None:
    """Print for each row whether it keeps its promise, the changes that were looked at, and what to paste.

    Args:
        network: the network that is planned.
        repairs: from `find_repairs`.
        links: the file of the graph with the links that are added.
        console: the console to print on.
    """
    for repair in repairs:
        if repair.tried:
            _print_tried(network, repair, console)
        print_sentences(console, repair_sentences(network, repair, links))


def _print_tried(network: NetworkSetup, repair: Repair, console: Console) -> None:
    """Print the changes that were looked at, and the row as it is."""
    tried = repair.tried
    now = ["as it is", _noise(repair.now.worst), _epsilon(repair.now.epsilon), "no", "", ""]
    rows = [now, *([*_cells(network, one), _kept(one, repair), *_costs(one)] for one in tried)]
    headings = ("change", "noise of a score", "ε", "keeps it", "gradients", "bytes")
    columns = [(heading, [row[at] for row in rows]) for at, heading in enumerate(headings)]
    title = f"row {repair.row}: changes, and the noise at the node where it is largest (at most {repair.most:g})"
    print_fitting(console, title, columns, last=("ε", "gradients", "bytes"), words=("change",))


def _cells(network: NetworkSetup, tried: Tried) -> list[str]:
    return [change_words(network, tried.change), _noise(tried.outlook.worst), _epsilon(tried.outlook.epsilon)]


def _kept(tried: Tried, repair: Repair) -> str:
    return "yes" if tried.outlook.keeps(repair.most) else "no"


def _costs(tried: Tried) -> list[str]:
    return [f"{100 * tried.gradients:.3g} %", f"{100 * tried.bytes:.3g} %"]


def _noise(worst: float) -> str:
    return "—" if worst == float("inf") else f"{worst:.3g}"


def _epsilon(epsilon: float | None) -> str:
    return "—" if epsilon is None else rounded_up(epsilon)


def change_words(network: NetworkSetup, change: Change) -> str:
    """Return a change in a few words.

    Args:
        network: the network that is planned.
        change: the change.
    """
    said = [_CALLED[name].format(value) for name, value in change.settings.items() if name in _CALLED]
    if "rewind" in change.settings:
        said.append(f"rewind {100 * change.settings['rewind']:.3g} %")
    if change.links:
        pairs = ", ".join(f"{network.client(one)} to {network.client(other)}" for one, other in change.links[:_NAMED])
        others = " …" if len(change.links) > _NAMED else ""
        said.append(f"{len(change.links)} more link{'s' * (len(change.links) > 1)}: {pairs}{others}")
    return ", ".join(said)


def repair_sentences(network: NetworkSetup, repair: Repair, links: Path) -> list[str]:
    """Say whether a row keeps its promise, and if not, the cheapest change with which it does and what to paste.

    Args:
        network: the network that is planned.
        repair: of the row.
        links: the file of the graph with the links that are added.
    """
    row, worst = repair.row, network.client(repair.now.worst_node)
    if repair.kept:
        return [
            f"Row {row} keeps its promise: no score of a released model keeps noise above {repair.most:g}; the most, "
            f"{repair.now.worst:.3g}, is at client {worst}."
        ]
    if repair.now.noise is None:
        fault = f"Row {row} cannot keep its promise, for it has no ε: {repair.now.reason}."
    else:
        fault = (
            f"Row {row} does not keep its promise: a score at client {worst} keeps noise of {repair.now.worst:.3g}, "
            f"more than {repair.most:g} (--noise)."
        )
    if repair.cheapest is None:
        return [
            fault,
            "No change that was looked at keeps it: more clients, fewer deleted samples, a smaller step size or "
            "client_clip, or a larger ε would.",
        ]
    change = repair.cheapest.change
    pasted = pasted_topology(network, links) if change.links else pasted_row(network, row, change)
    return [fault, f"Cheapest change that keeps it: {change_words(network, change)}. To paste: {pasted}"]


def repair_record(network: NetworkSetup, repairs: Sequence[Repair]) -> list[dict[str, Any]]:
    """Describe repairs as plain data, for plan.json."""
    return [
        {
            "row": repair.row,
            "most_noise": repair.most,
            "kept": repair.kept,
            "noise": number(repair.now.worst),
            "client": None if repair.now.noise is None else repair.now.worst_node,
            "epsilon": repair.now.epsilon,
            "reason": repair.now.reason or None,
            "cheapest": None if repair.cheapest is None else _tried(network, repair, repair.cheapest),
            "tried": [_tried(network, repair, one) for one in repair.tried],
        }
        for repair in repairs
    ]


def _tried(network: NetworkSetup, repair: Repair, tried: Tried) -> dict[str, Any]:
    return {
        "change": change_words(network, tried.change),
        "settings": dict(tried.change.settings),
        "links": [list(link) for link in tried.change.links],
        "keeps": tried.outlook.keeps(repair.most),
        "noise": number(tried.outlook.worst),
        "epsilon": tried.outlook.epsilon,
        "gradients": number(tried.gradients),
        "bytes": number(tried.bytes),
        "reason": tried.outlook.reason or None,
    }


def combined_sentence(repairs: Sequence[Repair], file: Path | None) -> list[str]:
    """Say where the scenario with all changes is; or that the changes of several rows do not go together.

    Args:
        repairs: from `find_repairs`.
        file: the scenario; None where none was written.
    """
    if all(repair.cheapest is None for repair in repairs):
        return []
    if file is None:
        return ["The changes of the rows do not keep all promises together, so no repaired scenario is written."]
    graph = ", which reads links.json beside it" if added_links(repairs) else ""
    return [f"repaired scenario: {file}{graph}"]
