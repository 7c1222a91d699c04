"""The way of a token, drawn again from the scenario, and what it costs to go it."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from rewindnet.certificates import Certificate, TrainingRun
from rewindnet.certificates.mechanisms.rr_du import RRDU as RRDUMechanism
from rewindnet.certificates.mechanisms.walk_dp import WalkDP as WalkDPMechanism
from rewindnet.experiments.folder.reader import MethodRecords
from rewindnet.experiments.verify.records import demand
from rewindnet.topologies.routing import Tree, adjacency_of_weights, mixing_walk, spreading_tree, token_path


def check_token(
    claimed: Certificate, asked: Mapping[str, Any], learning: TrainingRun, seed: int, method: MethodRecords
) -> None:
    """A certificate about a token against the scenario: its way, its settings and its cost.

    Raises:
        MismatchError: if they are not what the scenario asks for.
    """
    way = claimed.release.mechanism
    if isinstance(way, RRDUMechanism):
        _check_visits(way, asked, learning, seed)
        _check_cost(way, asked, learning, method)
    if isinstance(way, WalkDPMechanism):
        _check_walk(way, asked, learning, seed)


def _check_visits(way: RRDUMechanism, asked: Mapping[str, Any], learning: TrainingRun, seed: int) -> None:
    nodes, p = learning.mixing.nodes, asked["visit_probability"]
    adjacency = adjacency_of_weights(_weights(learning))
    path = token_path(
        adjacency,
        way.node,
        asked["hops"],
        seed,
        visit=1 / nodes if p is None else p,
        routing=asked["routing"],
        start=asked["start"],
        cap=asked["visits"],
    )
    again = (path.holders, path.works, spreading_tree(adjacency, path.holders[-1]).parents, learning.rounds)
    demand(
        (way.holders, way.works, way.parents, way.begin) == again, "the way of the token is not the one that is drawn"
    )
    centre = None if asked["trust_radius"] is None else asked["trust_centre"]
    settings = (way.alignment, way.clip, way.optimizer, way.centre, way.step_size)
    wanted = (asked["alignment"], asked["clip"], asked["optimizer"], centre, asked["step_size"] or learning.step_size)
    demand(settings == wanted, f"visits are described as {settings}, and were asked to be {wanted}")


def _check_walk(way: WalkDPMechanism, asked: Mapping[str, Any], learning: TrainingRun, seed: int) -> None:
    weights = _weights(learning)
    holders = mixing_walk(weights, asked["hops"] or learning.rounds, seed, asked["start"])
    again = (holders, spreading_tree(adjacency_of_weights(weights), holders[-1]).parents)
    demand((way.holders, way.parents) == again, "the walk of the token is not the one that is drawn")
    settings, wanted = (way.clip, way.step_size), (asked["clip"], asked["step_size"] or learning.step_size)
    demand(settings == wanted, f"clip and step size are {settings}, and were asked to be {wanted}")


def _check_cost(way: RRDUMechanism, asked: Mapping[str, Any], learning: TrainingRun, method: MethodRecords) -> None:
    retained = learning.samples - learning.deleted
    others = asked["minibatches"] * np.minimum(asked["batch"], retained) if asked["batch"] else retained
    own = way.forgotten if way.alignment == "lightweight" else int(retained[way.node])
    steps = [holder for holder, works in zip(way.holders, way.works, strict=True) if works]
    expected = {
        "rounds": len(way.holders) + max(Tree(way.parents).depths),
        "messages": int(np.count_nonzero(np.diff([way.node, *way.holders]))) + learning.mixing.nodes - 1,
        "gradients": sum(own if holder == way.node else int(others[holder]) for holder in steps),
    }
    for name, value in expected.items():
        counted = method.metrics["cost"][name]
        demand(counted == value, f"{counted} {name} were counted; the way of the token takes {value}")


def _weights(learning: TrainingRun) -> Any:
    weights = getattr(learning.mixing, "weights", None)
    return learning.mixing.matrix(0) if weights is None else weights
