"""Build the network that is planned, and count what each of its clients would delete."""

import numpy as np
from numpy.typing import NDArray

from rewindnet.clients.data.deletion import DeletionError, deletable
from rewindnet.experiments.scenario.errors import ScenarioError
from rewindnet.experiments.scenario.network_setup import NetworkSetup, build_network
from rewindnet.experiments.scenario.scenario import Scenario


def build_planned_network(scenario: Scenario) -> NetworkSetup:
    """Build the network of a scenario for planning; clients may be declared by their numbers of samples alone.

    Raises:
        UserError: if the scenario is not valid, or uses a setting that cannot be planned.
    """
    learning = scenario.learning
    if learning.sampling.build(scenario.seed, learning.local_steps) is not None:
        raise ScenarioError("minibatches depend on which client asks, and are not planned: use learning.sampling=full")
    if scenario.deletion.departure == "leave" and learning.radius is None:
        raise ScenarioError(
            "a plan of departures needs a bound on the models: set learning.radius, which projects them onto a ball, "
            "or use deletion.departure=relay"
        )
    if len(scenario.deletion.each) > 1:
        raise DeletionError(
            f"a plan covers one request, not {len(scenario.deletion.each)}; give deletion.client and deletion.samples "
            "instead of deletion.requests"
        )
    return build_network(scenario, planning=True)


def deleted_by_each(network: NetworkSetup) -> NDArray[np.int64]:
    """Count the samples that each client would delete if it made the request of the scenario: [N].

    Raises:
        DeletionError: if the request names a class and the data have no labels.
    """
    samples = network.samples_deleted(network.scenario.deletion.each[0])
    labels = [network.labels[rows] for rows in network.partition] or None
    return deletable(samples, labels, network.samples)
