"""What the verifier's checks share: findings, and the records of a run folder as certificates need them."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isclose
from typing import Any, Literal

import networkx as nx
import numpy as np
from scipy.sparse import coo_array, csr_array

from rewindnet.certificates import Certificate, CertificateError, Mixing, TrainingRun
from rewindnet.clients.methods.base import MismatchError as MismatchError
from rewindnet.clients.methods.base import demand as demand
from rewindnet.experiments.folder.reader import MethodRecords, RunFolder, recorded_learnings, recorded_schedules

#: Relative difference up to which a recorded number and one derived again are the same.
TOLERANCE = 1e-9
UNIT_ROUNDOFF = {"float64": 2.0**-53, "float32": 2.0**-24}


@dataclass(frozen=True)
class Finding:
    """One thing that was to be checked, and how it was found out.

    Attributes:
        what: was to be checked.
        holds: whether nothing wrong was found.
        sentence: what was found.
        grounds: `derived` where it was derived again from the records; `recorded` where a part of it rests on the
            record's word; `unchecked` where it could not be checked.
    """

    what: str
    holds: bool
    sentence: str
    grounds: Literal["derived", "recorded", "unchecked"] = "derived"

    @property
    def status(self) -> str:
        """Return `FAILS`, `holds`, `recorded` or `unchecked`."""
        return "FAILS" if not self.holds else "holds" if self.grounds == "derived" else self.grounds


class OnRecord(str):
    """The sentence of a check a part of which rests on the record's word."""


class Unchecked(str):
    """The sentence of a check that could not be made: why."""


@dataclass(frozen=True)
class RecordedNetwork:
    """The network of topology.json."""

    weights: csr_array

    @property
    def nodes(self) -> int:
        """N."""
        return int(self.weights.shape[0])

    def matrix(self, round: int) -> csr_array:
        """The same in every round."""
        return self.weights

    def participating(self, round: int) -> None:
        """Everyone, in every round."""


def tally(findings: Sequence[Finding]) -> str:
    """Count what holds, what fails, what rests on the record's word and what is unchecked, in a sentence."""
    counts = Counter(finding.status for finding in findings)
    return (
        f"{counts['holds']} hold, {counts['FAILS']} fail, {counts['recorded']} rest on the record's word, "
        f"{counts['unchecked']} unchecked"
    )


def finding(what: str, check: Callable[..., str], *arguments: Any) -> Finding:
    """Whether a check holds: its own sentence if it does, what it found instead if not."""
    try:
        sentence = check(*arguments)
        grounds: Literal["derived", "recorded", "unchecked"] = "derived"
        if isinstance(sentence, OnRecord):
            grounds = "recorded"
        elif isinstance(sentence, Unchecked):
            grounds = "unchecked"
        return Finding(what, True, str(sentence), grounds)
    except (MismatchError, CertificateError) as problem:
        return Finding(what, False, str(problem))
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as problem:
        return Finding(what, False, f"the records are damaged: {type(problem).__name__} {problem}")


def recorded_weights(folder: RunFolder) -> csr_array:
    """The mixing matrix of the whole graph, rebuilt from topology.json."""
    N = int(folder.topology["nodes"])
    rows, columns, values = (np.array(part) for part in zip(*folder.topology["weights"], strict=True))
    entries = coo_array((values.astype(np.float64), (rows.astype(int), columns.astype(int))), shape=(N, N))
    weights = csr_array(entries.tocsr())
    weights.sort_indices()
    return weights


def recorded_network(folder: RunFolder) -> tuple[Mixing, Mixing | None]:
    """The mixing matrices of all rounds: those weights themselves, or drawn again by their schedule.

    Those of the network that remains, and those of learning where clients have left since.
    """
    weights, topology, scenario = recorded_weights(folder), folder.topology, folder.scenario
    told, asked = topology["schedule"], scenario["topology"]["schedule"]
    demand(topology["seed"] == scenario["seed"], "its rounds are drawn from another seed than that of the scenario")
    alike = all(told.get(key) == value for key, value in asked.items() if key != "graphs")
    alike = alike and _same_graphs(asked.get("graphs", []), told.get("graphs", []))
    demand(alike and told.keys() == asked.keys(), f"the schedule {short(told)} is not that of the scenario")
    learns = {key: value for key, value in scenario["learning"].items() if key in topology["learning"]}
    demand(topology["learning"] == learns, f"learning by {topology['learning']} is not what the scenario asks for")
    leaves = scenario["deletion"]["departure"] == "leave"
    demand(
        topology["departed"] == sorted(map(int, folder.learning["requests"][-1]["forget"])) * leaves,
        "others left than were asked to",
    )
    if told["kind"] == "static" and learns["kind"] == "gossip" and not leaves:
        return RecordedNetwork(weights), None
    graph = nx.empty_graph(weights.shape[0])
    graph.add_edges_from(topology["edges"])
    return recorded_schedules(topology, graph, weights)


def _same_graphs(asked: Sequence[Any], told: Sequence[Any]) -> bool:
    """Whether the links on record are those asked for; what a file held is on record alone."""
    pairs = [isinstance(links, str) or {tuple(sorted(pair)) for pair in links} for links in asked]
    found = [{tuple(pair) for pair in links} for links in told]
    return len(pairs) == len(found) and all(
        one is True or one == other for one, other in zip(pairs, found, strict=True)
    )


def recorded_requests(folder: RunFolder) -> list[TrainingRun]:
    """How the network learned up to each request, from learning.json."""
    mixing, before = recorded_network(folder)
    return recorded_learnings(folder.scenario, folder.learning, mixing, before)


def request_of(folder: RunFolder, index: int) -> int:
    """Which request a release answers: every method answers each of them."""
    return index // len(folder.scenario["unlearning"])


def request_suffix_of(folder: RunFolder, index: int) -> str:
    """What tells the arrays of one request from those of another."""
    return f"-{request_of(folder, index)}" if len(folder.learning["requests"]) > 1 else ""


def certificate_of(method: MethodRecords) -> Certificate:
    """What is claimed."""
    return Certificate.from_record(method.certificate)


def same(one: Any, other: Any) -> bool:
    """Equal, with numbers equal to within a tolerance that certificates are insensitive to."""
    if isinstance(one, bool) or isinstance(other, bool) or one is None or other is None:
        return one is other or one == other
    if isinstance(one, int | float) and isinstance(other, int | float):
        return isclose(one, other, rel_tol=TOLERANCE, abs_tol=1e-300)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(same(a, b) for a, b in zip(one, other, strict=True))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    return bool(one == other)


def short(value: Any) -> str:
    """A value in a sentence."""
    text = f"{value:.9g}" if isinstance(value, float) else str(value)
    return text if len(text) <= 80 else text[:77] + "…"
