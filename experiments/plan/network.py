"""Build the network that is planned, and count what each of its clients would delete."""

import numpy as np
from numpy.typing import NDArray

from rewindnet.clients.data.deletion import DeletionError, deletable
from rewindnet.experiments.scenario.errors import ScenarioError
from rewindnet.experiments.scenario.network_setup import NetworkSetup, build_network
from rewindnet.experiments.scenario.obstacles import Obstacles
from rewindnet.experiments.scenario.scenario import Scenario


def build_planned_network(scenario: Scenario) -> NetworkSetup:
    """Build the network of a scenario for planning; clients may be declared by their numbers of samples alone.

    Raises:
        UserError: about everything that is not valid or cannot be planned, so far as it can be checked.
    """
    obstacles, learning, deletion = Obstacles(), scenario.learning, scenario.deletion
    if learning.sampling.build(scenario.seed, learning.local_steps) is not None:
        sentence = "minibatches depend on which client asks, and are not planned: use learning.sampling=full"
        obstacles.note(ScenarioError(sentence))
    if deletion.departure == "leave" and learning.radius is None:
        sentence = (
            "a plan of departures needs a bound on the models: set learning.radius, which projects them onto a ball, "
            "or use deletion.departure=relay"
        )
        obstacles.note(ScenarioError(sentence))
    if len(deletion.each) > 1:
        sentence = (
            f"a plan covers one request, not {len(deletion.each)}; give deletion.client and deletion.samples "
            "instead of deletion.requests"
        )
        obstacles.note(DeletionError(sentence))
    network = build_network(scenario, planning=True, obstacles=obstacles)
    if network.model.estimates:
        sentence = (
            "constants that are estimated along the rounds of learning are not known before: plan with the model "
            "declared and constants that a run has found"
        )
        obstacles.note(ScenarioError(sentence))
    obstacles.refuse()
    return network


def deleted_by_each(network: NetworkSetup) -> NDArray[np.int64]:
    """Count the samples that each client would delete if it made the request of the scenario: [N].

    Raises:
        DeletionError: if the request names a class and the data have no labels.
    """
    samples = network.samples_deleted(network.scenario.deletion.each[0])
    labels = [network.labels[rows] for rows in network.partition] or None
    counts = deletable(samples, labels, network.samples).copy()
    counts[list(network.volunteers)] = 0
    return counts
