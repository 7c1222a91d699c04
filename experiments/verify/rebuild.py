"""Build again what a run began from: its topology by the scenario and the seed, and its data by their source."""

from dataclasses import dataclass
from typing import Any

from rewindnet import topologies
from rewindnet.certificates import CertificateError
from rewindnet.clients.data import DataError
from rewindnet.errors import UserError
from rewindnet.experiments.folder.reader import RunFolder, recorded_schedules
from rewindnet.experiments.runs.evaluation import Evaluation, build_evaluation
from rewindnet.experiments.scenario.client_data import ClientData, clients_given, divide_data, load_dataset
from rewindnet.experiments.scenario.errors import ScenarioError
from rewindnet.experiments.scenario.inputs import code_of, hashes, input_files, recorded_inputs
from rewindnet.experiments.scenario.names import node_of
from rewindnet.experiments.scenario.network_setup import NetworkSetup, join_network
from rewindnet.experiments.scenario.obstacles import Obstacles
from rewindnet.experiments.scenario.scenario import Scenario
from rewindnet.experiments.scenario.topology_setup import TopologySetup, build_topology
from rewindnet.experiments.scenario.yaml_files import resolve
from rewindnet.extras import MissingExtraError, missing_extras_named
from rewindnet.reading import located
from rewindnet.user_code import is_own

#: The largest number of values of the data, training and test, for which features are computed again.
MOST_VALUES = 300_000_000
#: What replaces the transport and the device of the run, which need not be there.
_HERE = {"backend.kind": "in-process", "backend.device": "cpu"}


@dataclass(frozen=True, eq=False)
class Rebuilt:
    """What follows from the scenario, the seed and the data.

    Attributes:
        scenario: the scenario of the run, to be computed in this process on the CPU; None if it is not valid here.
        no_scenario: why it is not: an entry of a registry is not known, or a value not allowed.
        topology: the topology as the scenario and the seed give it; None if it could not be built.
        no_topology: why there is no topology, if that is no contradiction in the records: a file is gone.
        nodes_known: whether the number of nodes follows from the scenario or the data.
        network: the network with its data; None if they were not loaded, or contradict the scenario.
        evaluations: for each request, the samples that its releases are measured on; empty without the network.
        no_data: why no data were loaded; empty if they were.
        refused: why a run of this scenario would have been refused; empty if it would not.
    """

    scenario: Scenario | None
    no_scenario: str
    topology: TopologySetup | None
    no_topology: str
    nodes_known: bool
    network: NetworkSetup | None
    evaluations: tuple[Evaluation, ...]
    no_data: str
    refused: str


def rebuild(folder: RunFolder, data: bool = True, run_code: bool = False) -> Rebuilt:
    """Build the topology and, if wanted, the data of a run again.

    Args:
        folder: the run folder.
        data: whether to load the data.
        run_code: whether to import code that the scenario names, without which data that need it are not loaded.
    """
    try:
        scenario = resolve(folder.scenario, _HERE)
    except ScenarioError as problem:
        why = f"the scenario cannot be read here ({problem})"
        return Rebuilt(None, str(problem), None, why, False, None, (), why, "")
    given = _clients_given(folder, scenario)
    no_data = "" if data else "--no-data was given"
    no_data = no_data or why_not_run(folder, scenario, run_code)
    clients, no_data, refused = (None, no_data, "") if no_data else _clients(scenario, given)
    nodes = given if clients is None else len(clients.samples)
    names = tuple(folder.topology.get("names") or ()) or None
    if clients is not None:
        names = clients.names
    at_least = int(folder.topology["nodes"]) if nodes is None else nodes
    topology, no_topology, wrong = _topology(scenario, at_least, names)
    network: NetworkSetup | None = None
    evaluations: tuple[Evaluation, ...] = ()
    if clients is not None and not wrong:
        try:
            obstacles = Obstacles()
            there = topology or _recorded_topology(folder, scenario)
            # Features that lie on a disk are not taken on its word.
            joined = join_network(scenario, clients, there, obstacles, from_disk=False)
            obstacles.refuse()
            evaluations = tuple(build_evaluation(joined, request) for request in range(len(joined.arrivals)))
            network = joined
        except DataError as problem:
            no_data = f"the data that are declared public cannot be loaded here ({problem})"
        except (UserError, CertificateError) as contradiction:
            refused = str(contradiction)
    known = nodes is not None
    return Rebuilt(scenario, "", topology, no_topology, known, network, evaluations, no_data, refused or wrong)


def why_not_run(folder: RunFolder, scenario: Scenario, run_code: bool) -> str:
    """Return why code that the scenario names is not imported; empty if it names none, or it may be.

    Verifying a folder would otherwise run code that came with it, and that code could make every check hold.

    Args:
        folder: the run folder.
        scenario: its scenario.
        run_code: whether such code was asked to be run.
    """
    named = {key: text for key, text in code_of(scenario.plain()).items() if not is_own(text)}
    if not named:
        return ""
    said = ", ".join(f"{key}={text}" for key, text in named.items())
    if not run_code:
        return f"the scenario names code ({said}), which is run with --run-code alone: trust it before you give that"
    recorded, found = hashes(recorded_inputs(folder.record)), hashes(input_files(scenario))
    changed = [key for key in named if key not in found or recorded.get(key) != found[key]]
    return f"the code of the run is not what it was ({', '.join(changed)}), so it is not run" if changed else ""


def _clients_given(folder: RunFolder, scenario: Scenario) -> int | None:
    """Return the number of clients by the scenario; by topology.json if the graph file that has it cannot be read."""
    try:
        return clients_given(scenario)
    except UserError:
        return int(folder.topology["nodes"])


def _clients(scenario: Scenario, given: int | None) -> tuple[ClientData | None, str, str]:
    """Load the data and divide them; return them, or why they could not be loaded, or why they would be refused."""
    try:
        with missing_extras_named():
            dataset = load_dataset(scenario)
    except (DataError, MissingExtraError, OSError) as problem:
        return None, f"the data cannot be loaded here ({problem})", ""
    except UserError as problem:
        return None, "", str(problem)
    values = dataset.x.size + dataset.test_x.size
    if values > MOST_VALUES:
        return None, f"the data are too large to be read again here ({values:,} values)", ""
    try:
        return divide_data(scenario, dataset, given), "", ""
    except UserError as problem:
        return None, "", str(problem)


def _topology(scenario: Scenario, nodes: int, names: tuple[str, ...] | None) -> tuple[TopologySetup | None, str, str]:
    """Build the topology; return it, or which file is gone, or why it would be refused."""
    gone = [path for path in _files(scenario) if not located(path).is_file()]
    if gone:
        return None, f"{gone[0]}, which it was read from, is not there", ""
    try:
        topology = build_topology(scenario, nodes).named(names)
        departed = {node_of(request.client, topology.names, nodes)[0] for request in scenario.deletion.each}
        return topology.without(departed if scenario.deletion.departure == "leave" else ()), "", ""
    except UserError as problem:
        return None, "", str(problem)


def _files(scenario: Scenario) -> list[str]:
    """Return the files that the topology of a scenario is read from."""
    topology = scenario.topology
    named: list[Any] = [choice.settings.get("path") for choice in (topology, topology.mixing, topology.schedule)]
    named += topology.schedule.settings.get("graphs") or []
    return [path for path in named if isinstance(path, str)]


def _recorded_topology(folder: RunFolder, scenario: Scenario) -> TopologySetup:
    """Return the topology of topology.json, for data of a run whose topology cannot be built again.

    Raises:
        TopologyError: if topology.json is damaged.
    """
    graph, weights = topologies.from_record(folder.topology)
    remaining, before = recorded_schedules(folder.topology, graph, weights)
    departed = tuple(int(node) for node in folder.topology["departed"])
    return TopologySetup(scenario, graph, before or remaining, departed, remaining)
