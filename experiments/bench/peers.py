"""Rounds of other simulators with the local work of a contest, where they are installed: gossipy and pfl.

Each takes as many local steps on as many samples as rewindnet does, at all clients, with a `torch.nn` module each; it
draws its own batches and exchanges models as it does. gossipy sends each model to one neighbour, which averages the two
and then learns; pfl averages all models at a server. Both exchange fewer models than rewindnet, which averages with
every neighbour.
"""

import logging
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from rewindnet.experiments.bench.references import Reference
from rewindnet.experiments.runs.run_setup import RunSetup


class Peer(Reference):
    """Rounds of another simulator, on a linear model with a score for each class.

    Args:
        setup: the run.
        rounds: how many rounds will be computed.

    Raises:
        ModuleNotFoundError: if the other simulator is not installed.
    """

    def __init__(self, setup: RunSetup, rounds: int) -> None:
        super().__init__(setup, rounds)
        self._batch = self.x.shape[1] // self._steps

    def round(self, round: int) -> None:
        """Run a round of the other simulator, which mixes models itself."""
        self.local_steps(round)

    def _layer(self) -> nn.Linear:
        """Return a layer with the first parameters of the model; the constant feature of a design is its bias."""
        first = self.by_class()[0]
        layer = nn.Linear(first.shape[1], first.shape[0], bias=False).to(first)
        with torch.no_grad():
            layer.weight.copy_(first)
        return layer


class Gossipy(Peer):
    """gossipy (Polato 2022), synchronous push gossip: gossipy.simul.GossipSimulator."""

    def __init__(self, setup: RunSetup, rounds: int) -> None:
        super().__init__(setup, rounds)
        from gossipy import LOG, simul
        from gossipy.core import AntiEntropyProtocol, CreateModelMode, StaticP2PNetwork
        from gossipy.data import DataDispatcher
        from gossipy.data.handler import ClassificationDataHandler
        from gossipy.model import TorchModel
        from gossipy.model.handler import TorchModelHandler
        from gossipy.node import GossipNode

        LOG.setLevel("WARNING")
        simul.track = lambda steps, **_: (step for step in steps)  # no bar of its own
        layer, clients = self._layer(), len(self.x)

        class Linear(TorchModel):  # type: ignore[misc]
            """The model of a node."""

            def __init__(self) -> None:
                super().__init__()
                self.scores = layer

            def init_weights(self) -> None:
                """Leave the layer as it is: all nodes have a copy of it."""

            def forward(self, x: Tensor) -> Any:
                """Compute the scores [n, C]."""
                return self.scores(x)

        x, y = self.x.flatten(0, 1), self.y.flatten()
        data = DataDispatcher(ClassificationDataHandler(x, y, test_size=0.0), clients, False, auto_assign=False)
        own = torch.arange(len(y)).view(clients, -1).tolist()
        data.set_assignments(own, None)
        data.has_test = lambda: False
        settings = {"lr": self._step_size, "weight_decay": self._l2}
        handler = TorchModelHandler(
            Linear(), torch.optim.SGD, settings, functional.cross_entropy, 1, self._batch, CreateModelMode.MERGE_UPDATE
        )
        linked = self._mixing.matrix(0).toarray() * (1 - torch.eye(clients).numpy())
        nodes = GossipNode.generate(data, StaticP2PNetwork(clients, linked), handler, round_len=10, sync=True)
        self._simulator = simul.GossipSimulator(nodes, data, delta=10, protocol=AntiEntropyProtocol.PUSH)
        self._simulator.init_nodes()

    def local_steps(self, round: int) -> None:
        """Let every node send once, and learn after each message."""
        self._simulator.start(n_rounds=1)


class PFL(Peer):
    """pfl-research (Granqvist et al. 2024, arXiv 2404.06430), federated averaging over all clients."""

    def __init__(self, setup: RunSetup, rounds: int) -> None:
        super().__init__(setup, rounds)
        logging.getLogger("pfl").setLevel("WARNING")
        from pfl.aggregate.simulate import SimulatedBackend
        from pfl.algorithm.base import NNAlgorithmParams
        from pfl.algorithm.federated_averaging import FederatedAveraging
        from pfl.data.dataset import Dataset
        from pfl.data.federated_dataset import FederatedDataset
        from pfl.data.sampling import get_user_sampler
        from pfl.hyperparam.base import NNTrainHyperParams
        from pfl.model.pytorch import PyTorchModel

        class Linear(nn.Module):
            """The model, with its loss as pfl asks for it."""

            def __init__(self, scores: nn.Linear) -> None:
                super().__init__()
                self.scores = scores

            def loss(self, x: Tensor, y: Tensor, is_eval: bool = False) -> Tensor:
                """Compute the mean loss of a batch."""
                return functional.cross_entropy(self.scores(x), y)

            def metrics(self, x: Tensor, y: Tensor) -> dict[str, Any]:
                """Return nothing: there is no evaluation."""
                return {}

        clients, l2 = len(self.x), self._l2

        def local(parameters: Any, lr: float) -> torch.optim.Optimizer:
            return torch.optim.SGD(parameters, lr=lr, weight_decay=l2)

        module = Linear(self._layer())
        self._model = PyTorchModel(module, local, torch.optim.SGD(module.parameters(), lr=1.0))
        data = FederatedDataset(
            lambda user: Dataset([self.x[user], self.y[user]], user_id=str(user)),
            get_user_sampler("minimize_reuse", list(range(clients))),
        )
        self._algorithm, self._backend = FederatedAveraging(), SimulatedBackend(data, data)
        self._params = NNAlgorithmParams(
            central_num_iterations=rounds + 2, evaluation_frequency=rounds + 2, train_cohort_size=clients,
            val_cohort_size=None,
        )  # fmt: skip
        self._local = NNTrainHyperParams(
            local_num_epochs=1, local_learning_rate=self._step_size, local_batch_size=self._batch
        )

    def local_steps(self, round: int) -> None:
        """Let all clients learn, and average what they found."""
        contexts, model, metrics = self._algorithm.get_next_central_contexts(
            self._model, round + 1, self._params, self._local, None
        )
        (context,) = contexts
        statistics, _ = self._backend.gather_results(
            model=model, training_algorithm=self._algorithm, central_context=context
        )
        self._algorithm.process_aggregated_statistics_from_all_contexts(((context, statistics),), metrics, model)
