"""Check that the methods of a scenario can forget in a network that learned elsewhere."""

from rewindnet.clients.methods import Method, MethodError
from rewindnet.experiments.scenario.errors import ScenarioError
from rewindnet.experiments.scenario.network_setup import NetworkSetup
from rewindnet.experiments.scenario.obstacles import Obstacles


def check_elsewhere(network: NetworkSetup, obstacles: Obstacles) -> None:
    """Note requests that a network that learned elsewhere cannot meet.

    Args:
        network: the network.
        obstacles: gathers them.
    """
    if network.checkpoints is None:
        return
    if len(network.arrivals) > 1:
        obstacles.note(
            ScenarioError(
                "a network that learned elsewhere meets the requests that arrive when learning ends, no earlier"
            )
        )
    if network.training_run.departed and network.training_run.radius is None:
        obstacles.note(
            ScenarioError(
                "what a departure changes was not measured where the network learned: set learning.radius if its "
                "models were projected onto a ball, or use departure relay"
            )
        )


def check_method_elsewhere(method: Method, network: NetworkSetup) -> None:
    """Check that the checkpoints of a network that learned elsewhere are all that a method needs.

    Args:
        method: the method.
        network: the network.

    Raises:
        MethodError: if the method takes part in learning, needs measurements of it, or needs other checkpoints.
    """
    checkpoints = network.checkpoints
    if checkpoints is None:
        return
    if not method.needs_checkpoints_alone:
        raise MethodError(
            f"{type(method).__name__} takes more from learning than checkpoints; use r2d or another descent"
        )
    if getattr(method, "bound", None) == "instance":
        raise MethodError("an instance bound needs what clients measure while they learn; use bound: worst-case")
    missing = sorted({*method.checkpoints(network.training_run.rounds)} - {*checkpoints.rounds})
    if missing:
        nearest = [max(t for t in checkpoints.rounds if t <= round) for round in missing]
        raise MethodError(
            f"the models after round {', '.join(map(str, missing))} are needed, and {checkpoints.folder} does not hold "
            f"them; the last before are those after round {', '.join(map(str, nearest))}"
        )
