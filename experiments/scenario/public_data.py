"""Declare the rows public that the section `data.public` of a scenario names, and say so for certificates."""

from dataclasses import replace

from rewindnet.certificates.public_facts import PublicFacts
from rewindnet.clients.data import Dataset, load
from rewindnet.clients.data.encoders import Features
from rewindnet.clients.data.public_rows import from_elsewhere, volunteered
from rewindnet.experiments.scenario.client_data import ClientData
from rewindnet.experiments.scenario.errors import ScenarioError
from rewindnet.experiments.scenario.names import client_title, node_of
from rewindnet.experiments.scenario.public_settings import PublicSettings
from rewindnet.experiments.scenario.scenario import Scenario


def with_public_rows(scenario: Scenario, data: ClientData, names: tuple[str, ...] | None) -> ClientData:
    """Return the data of the clients, with what volunteers or another data set give declared public.

    Args:
        scenario: the scenario.
        data: the data of its clients, in the order of the nodes.
        names: the names of the nodes; None if they have none.

    Raises:
        UserError: if there are no such clients or data, or all clients are to volunteer.
    """
    public = scenario.data.public
    if public is None or public.classes is not None:
        return data
    if public.other is not None:
        other = public.other
        found = load(other.source, scenario.data.root, scenario.seed, other.limit, **other.settings)
        return replace(data, dataset=from_elsewhere(data.dataset, found))
    if not data.rows:
        raise ScenarioError("data.public.clients takes clients with data, and these are declared by numbers of samples")
    nodes = _volunteers(public, names, len(data.rows))
    poisoned = scenario.data.backdoor
    if poisoned is not None and node_of(poisoned.client, names, len(data.rows))[0] in nodes:
        raise ScenarioError(
            "the client of data.backdoor volunteers its samples as public; let another have the backdoor"
        )
    called = tuple(client_title(node, names) for node in nodes)
    dataset = volunteered(data.dataset, [data.rows[node] for node in nodes], called)
    return replace(data, dataset=dataset, volunteers=nodes)


def public_facts(dataset: Dataset, features: Features) -> PublicFacts | None:
    """Return what certificates say of public rows and of what the features were made from.

    Args:
        dataset: the data.
        features: their features.
    """
    rows = dataset.public
    if rows is None:
        return PublicFacts(0, False, "", features.origin, features.weights_sha256) if features.origin else None
    return PublicFacts(len(rows.y), rows.labelled, rows.origin, features.origin, features.weights_sha256)


def _volunteers(public: PublicSettings, names: tuple[str, ...] | None, clients: int) -> tuple[int, ...]:
    """Return the nodes of the clients who volunteer: those that are named, or the last so many, or such a share."""
    given = public.clients
    if isinstance(given, list):
        nodes = sorted({node_of(name, names, clients, "data.public.clients", ScenarioError)[0] for name in given})
    else:
        assert given is not None
        count = given if isinstance(given, int) else max(1, round(given * clients))
        nodes = list(range(max(0, clients - count), clients))
    if len(nodes) == clients:
        raise ScenarioError(
            f"data.public.clients makes the data of all {clients} clients public, and then none is left to delete any"
        )
    return tuple(nodes)
