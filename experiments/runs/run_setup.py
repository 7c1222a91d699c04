"""Build a run from a scenario: its network, its methods and the samples to measure on."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from math import inf

import numpy as np
import torch

from rewindnet.certificates import TrainingRun
from rewindnet.clients.kept_states import memory_for_states
from rewindnet.clients.methods import Method, MethodError
from rewindnet.clients.training.client_block import ClientBlock
from rewindnet.clients.training.envelope import envelope_of
from rewindnet.clients.training.local_training import LocalTraining
from rewindnet.clients.training.make_block import make_block
from rewindnet.clients.training.parallel import one_torch_thread, use_threads
from rewindnet.clients.worker import ClientWorker
from rewindnet.experiments.runs.branches import check_requests
from rewindnet.experiments.runs.elsewhere import check_elsewhere, check_method_elsewhere
from rewindnet.experiments.runs.evaluation import Evaluation, build_evaluation
from rewindnet.experiments.runs.replays import kept_rounds
from rewindnet.experiments.scenario.computation import noise_address
from rewindnet.experiments.scenario.devices import careful_gpus, device_of
from rewindnet.experiments.scenario.inputs import hashes
from rewindnet.experiments.scenario.kept_rounds import rounds_in_half_precision
from rewindnet.experiments.scenario.network_setup import NetworkSetup, build_network
from rewindnet.experiments.scenario.obstacles import Obstacles
from rewindnet.experiments.scenario.scenario import Scenario
from rewindnet.experiments.scenario.views import build_methods
from rewindnet.simulator.cost.network_model import NetworkModel
from rewindnet.simulator.from_releases import FromReleases
from rewindnet.simulator.simulation import Simulation
from rewindnet.simulator.trained_elsewhere import TrainedElsewhere
from rewindnet.simulator.transports.base import Transport
from rewindnet.simulator.transports.network import Network


@dataclass(frozen=True, eq=False)
class RunSetup:
    """Everything that a run needs except the clients, which each process makes for its nodes with `worker`.

    Attributes:
        network: the network of the scenario.
        local_training: how clients take their local steps.
        network_model: how long messages take.
        evaluations: for each request, the samples on which its releases are measured.
        methods: the unlearning methods, each of which answers each request.
        kept_rounds: the rounds of learning whose checkpoints are kept.
        halved_rounds: those of them whose checkpoints are kept in half precision.
        shared_rounds: the rounds of learning and of retraining whose checkpoints other runs need.
    """

    network: NetworkSetup
    local_training: LocalTraining
    network_model: NetworkModel
    evaluations: tuple[Evaluation, ...]
    methods: tuple[Method, ...]
    kept_rounds: Collection[int]
    halved_rounds: frozenset[int] = frozenset()
    shared_rounds: Collection[int] = ()

    @property
    def scenario(self) -> Scenario:
        """The scenario that is run."""
        return self.network.scenario

    def worker(self, nodes: Sequence[int], device: torch.device | None = None) -> ClientWorker:
        """Make the clients at some nodes.

        Args:
            nodes: the nodes, increasing.
            device: the device to compute on; that of the scenario by default.
        """
        network, learning, backend = self.network, self.scenario.learning, self.scenario.backend
        rows = np.concatenate([network.partition[node] for node in nodes])
        ends = np.cumsum([len(network.partition[node]) for node in nodes])
        block = make_block(
            network.model,
            torch.from_numpy(network.features.x[rows]).to(device or device_of(backend.device), network.dtype),
            network.labels[rows],
            np.split(np.arange(len(rows)), ends[:-1]),
            step_size=learning.step_size,
            local_steps=learning.local_steps,
            nodes=nodes,
            node_by_node=backend.precision == "exact",
            local_training=self.local_training,
        )
        block = replace(block, public=self._public_rows(block))
        forget_sets = (arrival.forget for arrival in network.arrivals)
        # Models without noise must not be written where the noise is secret.
        memory = inf if self.scenario.noise_is_secret else memory_for_states(len(nodes) / network.nodes)
        return ClientWorker(block, *forget_sets, departed=network.training_run.departed, memory=memory)

    def _public_rows(self, block: ClientBlock) -> ClientBlock | None:
        """Return one client that holds the samples of all volunteers, and learns as every client does."""
        network = self.network
        if not network.volunteers or not any(method.learns_public_rows for method in self.methods):
            return None
        rows = np.concatenate([network.partition[node] for node in network.volunteers])
        x = torch.from_numpy(network.features.x[rows]).to(block.buckets[0].x.device, network.dtype)
        return make_block(
            network.model,
            x,
            network.labels[rows],
            [np.arange(len(rows))],
            step_size=block.step_size,
            local_steps=block.local_steps,
            node_by_node=self.scenario.backend.precision == "exact",
            local_training=replace(self.local_training, participating=lambda round: None),
        )

    def simulation(self, network: Network) -> Simulation:
        """Make the simulation of the run on a network.

        Args:
            network: the clients, as a transport reaches them.
        """
        setup, plain = self.network, self.scenario.plain()
        contents = hashes(setup.inputs)
        addresses = tuple(noise_address(plain, arrival.forget, contents) for arrival in setup.arrivals)
        facts = network, setup.training_runs, setup.message_bytes, self.network_model, self.scenario.seed, addresses
        if setup.checkpoints is not None:
            return TrainedElsewhere(*facts, stored=setup.checkpoints)
        made = FromReleases if setup.training_runs[0].from_release else Simulation
        return made(*facts, halved=self.halved_rounds)


def build_run(scenario: Scenario) -> RunSetup:
    """Build the network, the methods and the samples to measure on, and check that they fit together.

    Raises:
        UserError: about everything in the scenario that keeps it from running, so far as it can be checked: data,
            partition, topology, model, deletion, transport, methods and measures.
    """
    one_torch_thread()
    careful_gpus()
    use_threads(scenario.backend.threads)
    obstacles = Obstacles()
    network = build_network(scenario, obstacles=obstacles)
    transport: Transport = scenario.backend.build()
    with obstacles.gathered():
        transport.check(network.nodes)
    methods = _methods(network)
    for method in methods:
        with obstacles.gathered():
            method.check_premises(network.training_run)
        with obstacles.gathered():
            check_requests(method, network.training_runs)
        with obstacles.gathered():
            _check_shared_noise(method, transport)
        with obstacles.gathered():
            check_method_elsewhere(method, network)
        with obstacles.gathered():
            _check_clip(method, network.training_run)
    check_elsewhere(network, obstacles)
    kept = kept_rounds(network, methods, obstacles)
    with obstacles.last_straw():
        evaluations = tuple(build_evaluation(network, request) for request in range(len(network.arrivals)))
    obstacles.refuse()
    training = network.training
    return RunSetup(
        network=network,
        local_training=LocalTraining(
            training.sampling,
            network.mixing.participating,
            training.radius,
            training.optimizer,
            training.step_sizes,
            training.gradient_clip,
            envelope_of(network.training_run),
            training.augmentation,
            training.mixed_precision,
        ),
        network_model=scenario.network.build(network.graph, scenario.seed),
        evaluations=evaluations,
        methods=methods,
        kept_rounds=kept,
        halved_rounds=rounds_in_half_precision(scenario.learning.checkpoints, methods, scenario.learning.rounds),
    )


def _methods(network: NetworkSetup) -> tuple[Method, ...]:
    """Build the methods of the scenario; a view may name its node as the data or the graph do.

    Raises:
        UserError: if a view names no node.
    """
    given = [(method.name, method.settings) for method in network.scenario.unlearning]
    built: list[Method] = build_methods(given, network.topology.names, network.nodes)
    return tuple(method.seeded(network.scenario.seed) for method in built)


def _check_clip(method: Method, learning: TrainingRun) -> None:
    """Check that a method takes no gradients of its own where clients clip theirs.

    Raises:
        MethodError: if it does: they would not be clipped.
    """
    if learning.client_clip is not None and not method.needs_checkpoints_alone:
        raise MethodError(
            f"{type(method).__name__} takes gradients that learning.client_clip does not clip; use r2d or another "
            "descent, or leave out client_clip"
        )


def _check_shared_noise(method: Method, transport: Transport) -> None:
    """Check that several processes do not have to share one secret noise vector.

    Raises:
        MethodError: if the method adds one noise vector for all clients, drawn from the operating system, and the
            transport runs several processes.
    """
    if method.shares_secret_noise and not transport.one_process:
        raise MethodError(
            "the view average adds the same noise vector at all clients, which several processes cannot share with "
            "noise_source os; use backend.kind=in-process"
        )
