"""Find the cheapest change with which a promise can be kept at every node: `rewindnet plan --repair`.

A row of a scenario keeps its promise if it has an ε, and if no score of any node's released model keeps noise of a
standard deviation above a limit. The released models are then of use at every node, the lowest one included. Every
change is planned again, and nothing is learned.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, get_args

from rewindnet.certificates.claim import Allocation
from rewindnet.certificates.release import Placement
from rewindnet.clients.methods import rewinds
from rewindnet.experiments.plan.changes import Change, Trials, Tried, linked_run
from rewindnet.experiments.plan.links import Link, least_links, links_of
from rewindnet.experiments.plan.outlook import Outlook, check_forecast, outlook
from rewindnet.experiments.scenario.errors import ScenarioError
from rewindnet.experiments.scenario.network_setup import NetworkSetup
from rewindnet.experiments.scenario.views import with_node
from rewindnet.topologies.graphs.edges import edge_array

#: The largest standard deviation of the noise of a score, unless the user says otherwise. Scores are log-odds: noise of
#: 0.25 changes odds by a quarter, and costs the lowest node a few points of accuracy at most (docs/planning.md).
MOST_NOISE = 0.25

#: The depths that are tried, as shares of learning.
_DEPTHS = tuple(twentieth / 20 for twentieth in range(1, 21))
#: The depths that are tried together with gossip rounds.
_FEW_DEPTHS = (0.25, 0.5, 0.75)
#: The largest number of gossip rounds that is tried, and the number of multiplications that they may take.
_GOSSIP, _PRODUCTS = 1_000, 4_000_000_000
#: From this number of gossip rounds on, twice as many that leave more than this share of the noise have nothing to do.
_STALLED, _SPREAD = 0.999, 16
#: The largest number of links that are added, and the multiplications that looking for them may take.
_LINKS, _LINK_PRODUCTS = 16, 40_000_000_000
#: The largest number of nodes for which all links together are tried first: where they are not enough, none are.
_SMALL = 64


@dataclass(frozen=True, eq=False)
class Repair:
    """Whether a row keeps its promise, and what would keep it.

    Attributes:
        row: the number of the row in the scenario.
        most: the largest standard deviation of the noise of a score.
        now: what the row comes to as it is.
        tried: the changes that were looked at, those that keep the promise first, the cheapest of them at the head;
            empty where the promise is kept already.
    """

    row: int
    most: float
    now: Outlook
    tried: tuple[Tried, ...]

    @property
    def kept(self) -> bool:
        """Whether the promise is kept as it is."""
        return self.now.keeps(self.most)

    @property
    def cheapest(self) -> Tried | None:
        """The cheapest change that keeps the promise; None if none of those that were tried does, or none is needed."""
        return self.tried[0] if self.tried and self.tried[0].outlook.keeps(self.most) else None


def find_repairs(network: NetworkSetup, most: float = MOST_NOISE) -> list[Repair]:
    """Say of every r2d row of a scenario whether it keeps its promise, and find the cheapest change with which it does.

    Args:
        network: the network that is planned.
        most: the largest standard deviation of the noise of a score.

    Raises:
        ScenarioError: if the noise cannot be forecast, the limit is not positive, or the scenario has no r2d row.
    """
    if not 0 < most < float("inf"):
        raise ScenarioError(f"--noise is the largest standard deviation of a score's noise, above 0, not {most:g}")
    check_forecast(network)
    rows = [(at, method) for at, method in enumerate(network.scenario.unlearning) if rewinds(method.name)]
    if not rows:
        raise ScenarioError("--repair looks at r2d rows, and the scenario lists none")
    return [_repair(Trials(network, at, method.settings), at, most) for at, method in rows]


def _repair(trials: Trials, index: int, most: float) -> Repair:
    """Look for the cheapest change of one row."""
    if trials.now.keeps(most):
        return Repair(index, most, trials.now, ())
    single = [
        tried for tried in chain(_single(trials, most), _more_links(trials, most)) if tried.outlook.noise is not None
    ]
    best = min((tried.cost for tried in single if tried.outlook.keeps(most)), default=float("inf"))
    joint = [tried for tried in _joint(trials, most) if tried.outlook.keeps(most) and tried.cost < best]
    found = [*single, *sorted(joint, key=lambda tried: tried.cost)[:1]]
    ranked = sorted(found, key=lambda tried: (0, tried.cost) if tried.outlook.keeps(most) else (1, tried.outlook.worst))
    return Repair(index, most, trials.now, tuple(ranked))


def _variants(row: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the other placements and allocations of the noise, as settings that change."""
    for placement in get_args(Placement):
        for allocation in get_args(Allocation):
            changed = {"placement": placement, "allocation": allocation}
            changed = {name: value for name, value in changed.items() if row[name] != value}
            if changed:
                yield changed


def _single(trials: Trials, most: float) -> Iterator[Tried]:
    """Yield the changes of one kind: where the noise goes, gossip rounds, and a deeper rewind."""
    yield from (trials.look(variant) for variant in _variants(trials.row))
    yield from _more_gossip(trials, most, {})
    yield from _deeper(trials, most, {})


def _joint(trials: Trials, most: float) -> Iterator[Tried]:
    """Yield changes of two kinds together."""
    for variant in _variants(trials.row):
        yield from _more_gossip(trials, most, variant)
        yield from _deeper(trials, most, variant)
    if trials.row["rewind"] is not None:
        for depth in _FEW_DEPTHS:
            if depth > trials.row["rewind"]:
                yield from _more_gossip(trials, most, {"rewind": depth})


def _more_gossip(trials: Trials, most: float, settings: Mapping[str, Any]) -> Iterator[Tried]:
    """Yield the least number of gossip rounds after the noise that is enough, or the largest that was tried."""
    row = Change(settings).applied(trials.row)
    if trials.network.nodes == 1 or (row["view"] == "average" and row["placement"] == "output"):
        return
    # Noise on the checkpoint is averaged before the descent, which then learns from the averages.
    name = "settle_first" if row["placement"] == "rewind" else "gossip_rounds"
    work = trials.network.nodes * (trials.network.mixing.matrix(0).nnz + trials.network.nodes)
    largest = max(1, min(_GOSSIP, _PRODUCTS // work))
    # A number that the row leaves to a forecast is tried from none on.
    given = 0 if row[name] == "auto" else row[name]
    yield _least(lambda more: trials.look({**settings, name: given + more}), largest, most)


def _deeper(trials: Trials, most: float, settings: Mapping[str, Any]) -> Iterator[Tried]:
    """Yield the shallowest deeper rewind that is enough, or the deepest."""
    row = Change(settings).applied(trials.row)
    if row["rewind"] is None or row["epsilon"] is None:
        return
    depths = [depth for depth in _DEPTHS if depth > row["rewind"]]
    if depths:
        yield _least(lambda at: trials.look({**settings, "rewind": depths[at - 1]}), len(depths), most)


def _least(look: Callable[[int], Tried], largest: int, most: float) -> Tried:
    """Return what the smallest number comes to that keeps the promise, between 1 and the largest; else the largest.

    More is taken to be no worse, as it is for what averages noise or rewinds deeper.
    """
    low, high = 0, 1
    found = look(high)
    while not found.outlook.keeps(most):
        if high == largest or found.outlook.noise is None:
            return found
        low, high, before = high, min(2 * high, largest), found.outlook.worst
        found = look(high)
        if high > _SPREAD and found.outlook.worst > _STALLED * before:
            return found
    while high - low > 1:
        middle = (low + high) // 2
        between = look(middle)
        low, high, found = (low, middle, between) if between.outlook.keeps(most) else (middle, high, found)
    return found


def _more_links(trials: Trials, most: float) -> Iterator[Tried]:
    """Yield the few links that are enough, or as many as were tried; none where links cannot be added."""
    network = trials.network
    topology, nodes = network.scenario.topology, network.nodes
    fixed = topology.mixing.kind == "file" or topology.schedule.kind == "graphs" or network.training_run.departed
    if fixed or nodes < 3 or trials.now.noise is None:
        return
    if nodes <= _SMALL:
        present = links_of(edge_array(network.graph))
        missing = [(i, j) for i in range(nodes) for j in range(i + 1, nodes) if (i, j) not in present]
        if not missing or not trials.look({}, missing).outlook.keeps(most):
            return
    rounds = network.training_run.rounds
    work = network.mixing.matrix(0).nnz * (nodes * rounds + rounds)
    count = max(12, min(200, _LINK_PRODUCTS // work))
    links = least_links(network.graph, lambda added: trials.look({}, added).outlook.noise, most, _LINKS, count)
    if links:
        yield trials.look({}, links)


def repaired(network: NetworkSetup, repairs: Sequence[Repair]) -> dict[str, Any] | None:
    """Return the scenario with the cheapest change of every row, as plain data and without the links that are added.

    Args:
        network: the network that was planned.
        repairs: from `find_repairs`.

    Returns:
        None if no row has a change that keeps its promise, or a row no longer keeps its promise where the changes of
        all rows come together.
    """
    found = {repair.row: repair.cheapest.change for repair in repairs if repair.cheapest is not None}
    if not found:
        return None
    plain = network.scenario.plain()
    for row, change in found.items():
        own = network.scenario.unlearning[row]
        plain["unlearning"][row] = {own.key: own.name, **change.applied(own.settings)}
    training, names = linked_run(network, added_links(repairs)), network.topology.names
    for repair in repairs:
        entry = plain["unlearning"][repair.row]
        settings = with_node({name: entry[name] for name in entry if name != "method"}, names, network.nodes, "")
        promised = repair.kept or repair.cheapest is not None
        if promised and not outlook(network, training, settings).keeps(repair.most):
            return None
    return plain


def added_links(repairs: Sequence[Repair]) -> tuple[Link, ...]:
    """Return the links that the cheapest changes of all rows add, each once."""
    changes = [repair.cheapest.change for repair in repairs if repair.cheapest is not None]
    return tuple(sorted({link for change in changes for link in change.links}))
