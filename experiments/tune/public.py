"""The network of a scenario with other data: synthetic ones of the same shape, or a source that the user calls public.

Settings that are chosen on data tell of these data, and that is not undone when some of them are deleted. So of the
data of the scenario nothing is used but what a certificate tells anyway: how many samples each client has, how many
numbers a sample has, and how many classes there are.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rewindnet.clients.models.multinomial import Multinomial
from rewindnet.clients.models.sigmoid import Sigmoid
from rewindnet.experiments.scenario.client_data import load_dataset
from rewindnet.experiments.scenario.errors import ScenarioError
from rewindnet.experiments.scenario.network_setup import NetworkSetup, build_network
from rewindnet.experiments.scenario.requests import node_of_request
from rewindnet.experiments.scenario.scenario import Scenario
from rewindnet.experiments.scenario.topology_setup import build_topology
from rewindnet.experiments.scenario.yaml_files import resolve

#: How far apart the classes of synthetic data are: the distance of each centre from the origin, in standard deviations.
SEPARATION = 3.0


@dataclass(frozen=True, eq=False)
class PublicNetwork:
    """The network of a scenario with public data.

    Attributes:
        scenario: to be run, with public data.
        planned: the same without data, to be planned.
        radius: R, the largest norm of features.
        looked_at: a sentence about what data the search looks at.
        left_alone: a sentence about what it reads of the scenario's own data.
    """

    scenario: Scenario
    planned: Scenario
    radius: float
    looked_at: str
    left_alone: str


def public_network(scenario: Scenario, data: str | Mapping[str, Any] | None) -> PublicNetwork:
    """Put public data in the place of a scenario's own.

    Args:
        scenario: the scenario.
        data: a section `data` of a public source, or its name; None for synthetic data.

    Raises:
        UserError: if the scenario is not valid, its data would have to be looked at, or the public source is its own.
    """
    _check(scenario)
    own = build_network(scenario, planning=True)
    sizes = own.samples.tolist()
    plain = {**scenario.plain(), "deletion": _deletion(own)}
    plain["partition"] = {"kind": "size", "clients": len(sizes), "partition_sizes": sizes}
    plain["backend"] = {**plain["backend"], "kind": "in-process"}
    if data is None:
        plain["data"] = _synthetic(own)
        source = f"synthetic data drawn from the seed {scenario.seed}: a Gaussian mixture of {_classes(own)} classes"
        public = resolve(plain)
    else:
        public, source = (
            _declared_public(scenario, plain, data, sizes),
            f"the source that --data declares public: {data}",
        )
    build_network(public)
    declared = {"source": "declared", "shape": _shape(own), "classes": _classes(own), "features": _plain_features(own)}
    sized = {"kind": "declared", "samples": sizes}
    planned = resolve({**public.plain(), "data": declared, "partition": sized})
    return PublicNetwork(
        public, planned, own.features.radius, f"looked at {source}", _left_alone(own, data is not None)
    )


def _check(scenario: Scenario) -> None:
    """Refuse scenarios whose settings cannot be chosen without their data."""
    features = scenario.data.features
    if features.kind == "raw" and features.settings.get("radius") is None:
        raise ScenarioError(
            "raw features without a radius read it off the data, which may have to be deleted: set "
            "data.features.radius, or use unit-norm"
        )
    if scenario.learning.checkpoints_from is not None:
        raise ScenarioError("what learned elsewhere cannot be tuned: learning.checkpoints_from is set")
    if scenario.data.backdoor is not None or any(request.samples == "poisoned" for request in scenario.deletion.each):
        raise ScenarioError("a backdoor is in the data of the scenario, and tuning does not look at those")


def _deletion(own: NetworkSetup) -> dict[str, Any]:
    """Return the requests, with clients by number where the data named them, and samples by their number."""
    named_by_graph = build_topology(own.scenario, own.nodes).names is not None
    plain = own.scenario.deletion.plain()
    counts = {node: len(rows) for node, rows in own.arrivals[-1].forget.items()}
    entries = plain.get("requests", [plain])
    for entry, request in zip(entries, own.scenario.deletion.each, strict=True):
        node = node_of_request(request, own.topology.names, own.nodes)
        if not named_by_graph:
            entry["client"] = node
        if not isinstance(request.plain_samples, int | float | str):
            entry["samples"] = counts[node]
    return plain


def _synthetic(own: NetworkSetup) -> dict[str, Any]:
    """Return the section `data` of synthetic data of the same shape, every fifth row of which is a test row."""
    rows = -(-5 * (int(own.samples.sum()) + 1) // 4) + 5
    mixture = {"samples": max(rows, 5 * _classes(own)), "classes": _classes(own), "separation": SEPARATION}
    shape = _shape(own)
    if len(shape) == 3 and shape[1] == shape[2]:
        sized = {"source": "synthetic-images", "channels": shape[0], "side": shape[1]}
    else:
        sized = {"source": "synthetic", "dimensions": int(np.prod(shape))}
    return {**sized, **mixture, "features": _plain_features(own)}


def _shape(own: NetworkSetup) -> list[int]:
    """Return the shape of the features: for linear models their number, for others their sides."""
    linear = isinstance(own.model, Multinomial | Sigmoid)
    return [own.features.x.shape[1]] if linear else list(own.features.shape)


def _classes(own: NetworkSetup) -> int:
    """Return the number of classes; a model of two sides does not know that of the data."""
    return load_dataset(own.scenario).classes if isinstance(own.model, Sigmoid) else own.model.outputs


def _plain_features(own: NetworkSetup) -> dict[str, Any]:
    """Return features of the same norm: synthetic data have the shape of features already."""
    features = own.scenario.data.features
    return features.plain() if features.kind == "raw" else {"kind": "unit-norm"}


def _declared_public(
    scenario: Scenario, plain: Mapping[str, Any], data: str | Mapping[str, Any], sizes: list[int]
) -> Scenario:
    """Return the scenario with a source that the user calls public, which must not be its own."""
    section = {"source": data} if isinstance(data, str) else dict(data)
    section = {"root": scenario.data.root, "features": scenario.data.features.plain(), **section}
    public = resolve({**plain, "data": section, "partition": {"kind": "iid", "clients": len(sizes)}})
    if _place(public) == _place(scenario):
        raise ScenarioError(
            f"--data {section['source']} is the data of the scenario, which may have to be deleted; give a public "
            "source, or leave --data out for synthetic data"
        )
    try:
        return _with_sizes(public, plain)
    except ScenarioError:
        return public


def _place(scenario: Scenario) -> tuple[str, Path | None]:
    """Return where the data of a scenario are: their source, and their file where they have one of their own."""
    path = scenario.data.settings.get("path")
    return scenario.data.source, None if path is None else Path(path).resolve()


def _with_sizes(public: Scenario, plain: Mapping[str, Any]) -> Scenario:
    """Return the scenario with clients of their own sizes, if the public source has as many samples."""
    sized = resolve({**public.plain(), "partition": plain["partition"]})
    build_network(sized)
    return sized


def _left_alone(own: NetworkSetup, known: bool) -> str:
    if own.scenario.data.source == "declared":
        return "the scenario declares the shape of its data, and none of them is here"
    return (
        "of the scenario's own data it used the number of samples of each client, the numbers of a sample and the "
        "number of classes, which certificates tell anyway, and nothing else"
    )
