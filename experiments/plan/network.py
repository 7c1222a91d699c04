"""What a plan needs of a scenario's network beside the network itself."""

import numpy as np
from numpy.typing import NDArray

from rewindnet.clients.data.deletion import DeletionError, deletable
from rewindnet.experiments.scenario.errors import ScenarioError
from rewindnet.experiments.scenario.network_setup import NetworkSetup, build_network
from rewindnet.experiments.scenario.scenario import Scenario


def build_planned_network(scenario: Scenario) -> NetworkSetup:
    """Build the network of a scenario that is to be planned; data are read only as far as there are any.

    Raises:
        UserError: if the scenario asks for what cannot be planned, or makes no sense.
    """
    learning = scenario.learning
    if (
        learning.sampling.build(scenario.seed, learning.local_steps) is not None
        or scenario.deletion.departure == "leave"
    ):
        raise ScenarioError(
            "what is read in minibatches, or after a client leaves, depends on which client asks, and is not planned: "
            "use learning.sampling=full and deletion.departure=relay"
        )
    if len(scenario.deletion.each) > 1:
        raise DeletionError("a plan is of one request at a time; give deletion.client and deletion.samples")
    return build_network(scenario, planning=True)


def deleted_by_each(network: NetworkSetup) -> NDArray[np.int64]:
    """Count the samples that each client would delete if the scenario's request were its own: [N].

    Raises:
        DeletionError: if the request names a class and there are no labels.
    """
    samples = network.samples_deleted(network.scenario.deletion.each[0])
    labels = [network.labels[rows] for rows in network.partition] or None
    return deletable(samples, labels, network.samples)
