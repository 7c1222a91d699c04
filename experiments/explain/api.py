"""Unlearning in graph networks from Python; the package `rewindnet` exports `explain`."""

from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

from rewindnet.clients.training.parallel import torch_threads_restored
from rewindnet.experiments.explain.load import load_graph_scenario, resolve_graph_scenario
from rewindnet.experiments.explain.making import make_evidence
from rewindnet.experiments.explain.results import GraphEvidence
from rewindnet.experiments.explain.scenario import GraphScenario
from rewindnet.experiments.results import TemporaryFolder


def explain(
    source: GraphScenario | Mapping[str, Any] | str | PathLike[str] | None = None,
    /,
    out: str | PathLike[str] | None = None,
    force: bool = False,
    **overrides: Any,
) -> GraphEvidence:
    """Delete nodes of a graph network, unlearn with every listed method, and have verifiers look at the results.

    Args:
        source: the path of a YAML file or the name of a recipe, a mapping of keys, a scenario, or None for the default.
        out: the folder to write; unfinished evidence of the same scenario in it goes on. None: a temporary folder,
            which is removed together with the result.
        force: overwrite earlier evidence in the folder.
        overrides: single keys to set, by their names; keys inside of sections by `**{"deletion.nodes": 7}`.

    Returns:
        The evidence; nothing of it is certified.

    Raises:
        UserError: with one sentence, if an argument is not valid; nothing has been written then.

    Examples:
        >>> import rewindnet
        >>> small = {"data": {"source": "sbm", "nodes": 20}, "learning": {"epochs": 5}, "deletion": {"nodes": 3}}
        >>> found = rewindnet.explain(small, unlearning=["retrain", "do-nothing"])
        >>> [row["method"] for row in found.rows()]
        ['retrain', 'do-nothing']
    """
    if isinstance(source, GraphScenario):
        scenario = resolve_graph_scenario(source.plain(), overrides)
    elif isinstance(source, str | PathLike):
        scenario = load_graph_scenario(Path(source), overrides)
    else:
        scenario = resolve_graph_scenario(source, overrides)
    temporary = TemporaryFolder() if out is None else None
    folder = Path(out or "") if temporary is None else temporary.path / scenario.name
    with torch_threads_restored():
        make_evidence(scenario, folder, force)
    return GraphEvidence(folder, temporary=temporary)
