"""Load the data of a scenario, and divide them among its clients."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from rewindnet.clients.data import Dataset, load
from rewindnet.clients.data.backdoor import BackdoorError, Trigger, plant, with_triggered
from rewindnet.clients.data.dataset import Floats
from rewindnet.clients.data.names import listed
from rewindnet.clients.data.partitions import PartitionError, declared_sizes, has_own_clients, partition
from rewindnet.clients.data.prompts import TEMPLATES, coded_templates, wrapped
from rewindnet.clients.data.public_rows import set_apart
from rewindnet.clients.data.request_attacks import RequestAttack
from rewindnet.errors import notice
from rewindnet.experiments.scenario.errors import ScenarioError
from rewindnet.experiments.scenario.names import class_number, client_title, names_of_clients, node_named
from rewindnet.experiments.scenario.scenario import Scenario
from rewindnet.topologies import Stream, own_nodes
from rewindnet.topologies.rng import rng_at

Integers = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class ClientData:
    """The data of the clients of a scenario.

    Attributes:
        dataset: the data of all clients, with poisoned and triggered samples once a backdoor was added.
        rows: for each client, its training rows; empty if only numbers of samples are declared.
        samples: [N], the number of samples of each client.
        poisoned: the positions of the poisoned samples of the client with the backdoor; None without one.
        names: the ids that the clients have in the data; None if they have none.
        volunteers: the clients whose samples are public.
    """

    dataset: Dataset
    rows: Sequence[Integers]
    samples: Integers
    poisoned: Integers | None
    names: tuple[str, ...] | None = None
    volunteers: tuple[int, ...] = ()

    def in_order_of(self, nodes: tuple[str, ...] | None) -> "ClientData":
        """Return the data with the clients in the order of the nodes of a graph that have the same names.

        Args:
            nodes: the names of the nodes.

        Raises:
            ScenarioError: if some of the clients have a node of their name, and others have none.
        """
        if nodes is None or self.names is None or nodes == self.names:
            return self
        lost = tuple(name for name in self.names if name not in nodes)
        if lost and len(lost) < len(self.names):
            raise ScenarioError(
                f"the clients of the data and the nodes of the graph do not have the same names: {listed(lost)} "
                f"of the data is not one of {listed(nodes)}"
            )
        if lost and self.names != tuple(map(str, range(len(self.names)))):
            notice(
                f"the nodes of the graph are named {listed(nodes)} and the clients of the data {listed(self.names)}; "
                "the first node holds the data of the first client, and so on"
            )
        if lost:
            return self
        order = [self.names.index(name) for name in nodes]
        return replace(self, rows=[self.rows[at] for at in order], samples=self.samples[order], names=nodes)


def load_dataset(scenario: Scenario) -> Dataset:
    """Load the data of a scenario from their source, and set the classes apart that are public.

    Raises:
        UserError: if the source has no such data, or no such classes.
    """
    data = scenario.data
    found = load(data.source, data.root, scenario.seed, data.limit, data.test_limit, **data.settings)
    return _without_public_classes(scenario, found)


def _without_public_classes(scenario: Scenario, dataset: Dataset) -> Dataset:
    """Return the data without the classes that are public, if any are.

    Raises:
        UserError: if there are no such classes, or too few others.
    """
    public = scenario.data.public
    if public is None or public.classes is None:
        return dataset
    numbers = [class_number(given, dataset.class_names, "data.public.classes") for given in public.classes]
    absent = [number for number in numbers if not 0 <= number < dataset.classes]
    if absent:
        raise ScenarioError(
            f"data.public.classes names the class {absent[0]}, and {dataset.name} has 0 to {dataset.classes - 1}"
        )
    return set_apart(dataset, set(numbers))


def clients_given(scenario: Scenario) -> int | None:
    """Return the number of clients that a scenario gives; without one, a graph file has it.

    None where neither has: the data, or the default of the partition, then decide.

    Raises:
        TopologyError: if the graph file cannot be read.
    """
    given, topology = scenario.partition, scenario.topology
    if given.clients is None and not has_own_clients(given.kind, given.settings):
        return own_nodes(topology.kind, topology.settings)
    return given.clients


def divide_data(scenario: Scenario, dataset: Dataset, clients: int | None, *, planning: bool = False) -> ClientData:
    """Divide the data of a scenario among its clients; the samples of a backdoor are not poisoned yet.

    Args:
        scenario: the scenario.
        dataset: its data.
        clients: their number, as of `clients_given`.
        planning: accept clients that are declared by their numbers of samples, without data.

    Raises:
        UserError: if there is no such partition of the data.
    """
    if not (planning or len(dataset.x)):
        raise ScenarioError(
            f"the data source {dataset.name} holds no samples to learn from; it can be planned with rewindnet plan, "
            "but not run"
        )
    rows, samples = _partition(scenario, dataset, clients, planning)
    return ClientData(dataset, rows, samples, None, names_of_clients(dataset, rows))


def _partition(
    scenario: Scenario, dataset: Dataset, clients: int | None, planning: bool
) -> tuple[list[Integers], Integers]:
    """Divide the training rows among the clients.

    Returns:
        The rows of each client, empty if only numbers of samples are declared; and the numbers of samples, [N].
    """
    settings = scenario.partition
    if planning and settings.kind == "declared":
        return [], declared_sizes(clients, **settings.settings)
    if not len(dataset.y):
        raise PartitionError(
            f"the data source {dataset.name} has no samples to deal out to clients by {settings.kind}; use "
            "partition: {kind: declared, clients: 1000, samples: 100} to say how many each client holds"
        )
    generator = rng_at(scenario.seed, Stream.PARTITION)
    rows = partition(settings.kind, dataset.y, dataset.client, clients, generator, **settings.settings)
    return rows, np.array([len(of_client) for of_client in rows], dtype=np.int64)


def with_backdoor(scenario: Scenario, data: ClientData, names: tuple[str, ...] | None) -> ClientData:
    """Add the backdoor of the scenario to the data: poisoned training rows, and a triggered copy of every test row.

    Args:
        scenario: the scenario.
        data: the data of its clients, in the order of the nodes.
        names: the names of the nodes; None if they have none.

    Raises:
        UserError: if the data cannot carry the trigger, or there is no such client.
    """
    backdoor = scenario.data.backdoor
    if backdoor is None:
        return data
    trigger = Trigger(backdoor.target, backdoor.size, backdoor.value, backdoor.corner)
    trigger.check(data.dataset)
    node = node_named("data.backdoor.client", backdoor.client, names, len(data.samples), BackdoorError)
    dataset, poisoned = plant(
        data.dataset, data.rows, trigger, node, backdoor.samples, scenario.seed, client_title(node, names)
    )
    return replace(data, dataset=with_triggered(dataset, trigger), poisoned=poisoned)


def with_attack(scenario: Scenario, data: ClientData, forget: Mapping[int, Integers]) -> ClientData:
    """Return the data with what clients have put into the samples of their requests, if they attack.

    Args:
        scenario: the scenario.
        data: the data of its clients.
        forget: for each client that deletes, the positions of the samples that it will have asked to forget.

    Raises:
        UserError: if the data cannot carry the attack.
    """
    given = scenario.deletion.attack
    if given is None or not data.rows:
        return data
    attack: RequestAttack = given.build()
    x = data.dataset.x.copy()
    for node, positions in forget.items():
        rows = data.rows[node][positions]
        generator = rng_at(scenario.seed, Stream.REQUEST_ATTACK, node=node)
        x[rows] = attack.submitted(data.dataset, x[rows], generator)
    return replace(data, dataset=replace(data.dataset, x=x))


def in_templates(scenario: Scenario, dataset: Dataset) -> Floats | None:
    """Return the test prompts, each in a template: those of the attack, or of polite questions; None of other data.

    Args:
        scenario: the scenario.
        dataset: its data.

    Raises:
        UserError: if a template has no room, or words that the data do not have.
    """
    if dataset.layout != "prompt":
        return None
    given = scenario.deletion.attack
    templates = TEMPLATES if given is None else given.build().templates
    forms = coded_templates(templates, dataset.class_names or ())
    return wrapped(dataset.test_x, forms, np.arange(len(dataset.test_x)) % len(forms))
