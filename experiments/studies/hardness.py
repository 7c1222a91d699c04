"""Which client of a study is hardest to forget, on which graph, and what it has in common with others that are."""

from collections.abc import Sequence
from dataclasses import dataclass

from scipy.stats import spearmanr

from rewindnet.certificates.digits import rounded_up
from rewindnet.experiments.report.columns import marks
from rewindnet.experiments.studies.spread import Spread, certified_text, number, spread
from rewindnet.experiments.studies.tidy import Row

#: The relative difference below which the ε of a study is the one that was asked for.
_SAME = 0.01
#: The rank correlation from which a property goes together with the hardness.
_CLEAR = 0.6
#: What may make a client hard to forget: the column; which clients are hard if more of it is harder, and why; and which
#: are if less of it is.
_REASONS = (
    (
        "client_own_weight",
        (
            "with a larger weight of their own model in each averaging",
            "a model that keeps more of itself keeps more of what was deleted",
        ),
        (
            "with a smaller weight of their own model in each averaging",
            "a model that keeps less of itself passes on more of what was deleted",
        ),
    ),
    (
        "client_links",
        ("with more links", "what was deleted reaches more models at once"),
        (
            "with fewer links",
            "what was deleted is averaged with fewer models in a round, so more of it stays at one node",
        ),
    ),
    (
        "client_mean_hops",
        (
            "further from the others",
            "what was deleted takes longer to spread, and stands out near the client until then",
        ),
        ("closer to the others", "what was deleted is sooner everywhere"),
    ),
    (
        "client_samples",
        ("with more samples", "with the same share deleted, more is deleted"),
        ("with fewer samples", "each deleted sample has a larger share in the steps of the client"),
    ),
)
#: The columns that are the place of a client in its network.
_PLACE = ("client_links", "client_mean_hops", "client_own_weight")


@dataclass(frozen=True)
class Hardness:
    """How hard each client is to forget on each graph, by one release.

    Attributes:
        release: the label of the release, with its view.
        measure: the column that measures the hardness.
        meaning: the measure in words.
        values: for each graph and client, the measure with its spread over seeds.
        facts: for each graph and client, a row of the tidy table.
        marks: the marks of ε and of noise that was computed from the data.
    """

    release: str
    measure: str
    meaning: str
    values: dict[tuple[str, str], Spread]
    facts: dict[tuple[str, str], Row]
    marks: str

    def text(self, values: Spread) -> str:
        """Return the measure of a client with its marks."""
        return (certified_text(values) if self.measure == "epsilon_certified" else str(values)) + self.marks

    @property
    def graphs(self) -> list[str]:
        """The graphs, in the order of the study."""
        return list(dict.fromkeys(graph for graph, _ in self.values))

    @property
    def clients(self) -> list[str]:
        """The clients, in the order of the study."""
        return list(dict.fromkeys(client for _, client in self.values))

    def hardest_of(self, graph: str) -> list[str]:
        """Return the hardest client of a graph and those that are as hard; nothing if all of several are alike."""
        ranked = self.ranked(graph)
        most = self.values[graph, ranked[0]].mean
        alike = [client for client in ranked if most <= (1 + _SAME) * self.values[graph, client].mean]
        return [] if len(ranked) == len(alike) > 1 else alike

    def ranked(self, graph: str) -> list[str]:
        """Return the clients of a graph, the hardest first."""
        found = [(spread.mean, client) for (own, client), spread in self.values.items() if own == graph]
        return [client for _, client in sorted(found, key=lambda pair: -pair[0])]


def hardness(rows: Sequence[Row]) -> list[Hardness]:
    """Measure, for each release that adds noise, how hard clients are to forget.

    Where every ε is the one that was asked for, the measure is the noise that this takes; else it is the certified ε.

    Args:
        rows: the tidy table of a study.
    """
    labels = dict.fromkeys((row["release"], row["view"].partition(":")[0]) for row in rows if row["sigma"])
    found = [_of_release(label, [row for row in rows if _is_of(row, label)]) for label in labels]
    return [each for each in found if each is not None]


def _is_of(row: Row, label: tuple[str, str]) -> bool:
    return bool(row["sigma"]) and (row["release"], row["view"].partition(":")[0]) == label


def _of_release(label: tuple[str, str], rows: Sequence[Row]) -> Hardness | None:
    """Measure the hardness by one release; None if it certifies nothing, or the client is not one."""
    rows = [row for row in rows if row["epsilon_certified"] is not None and row.get("client") is not None]
    if not rows:
        return None
    epsilons = [row["epsilon_certified"] for row in rows]
    asked = max(epsilons) - min(epsilons) <= _SAME * max(epsilons)
    measure = "sigma" if asked else "epsilon_certified"
    meaning = f"noise σ for ε = {rounded_up(max(epsilons))}" if asked else "certified ε of the same noise"
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((str(row["topology"]), str(row["client"])), []).append(row)
    values = {at: spread([float(row[measure]) for row in group]) for at, group in groups.items()}
    facts = {at: group[0] for at, group in groups.items()}
    return Hardness(", ".join(label), measure, meaning, values, facts, marks(rows))


def graph_sentences(found: Hardness) -> list[str]:
    """Return a sentence about the hardest client of each graph, with its place in the network."""
    said = []
    for graph in found.graphs:
        ranked = found.ranked(graph)
        hardest, easiest = ranked[0], ranked[-1]
        most, least = found.values[graph, hardest], found.values[graph, easiest]
        if len(ranked) < 2 or not found.hardest_of(graph):
            alike = f"all {len(ranked)} clients alike" if len(ranked) > 1 else f"client {hardest} alone"
            said.append(f"{graph}: {alike}, {found.meaning}: {found.text(most)}.")
            continue
        times = number(most.mean / least.mean) if least.mean else "∞"
        said.append(
            f"{graph}: {named(found.hardest_of(graph))}, {found.meaning}: {found.text(most)}, {times} times that of "
            f"client {easiest} "
            f"({found.text(least)}){_doubt(most, least)}: {_place(found.facts[graph, hardest], hardest)}; "
            f"{_place(found.facts[graph, easiest], easiest)}."
        )
    return said


def reason_sentences(found: Hardness) -> list[str]:
    """Return what goes together with the hardness over all graphs and clients, the clearest first."""
    said: list[tuple[float, str]] = []
    for column, more, less in _REASONS:
        pairs = [(row[column], found.values[at].mean) for at, row in found.facts.items() if row.get(column) is not None]
        if len(pairs) < 4 or len({fact for fact, _ in pairs}) < 2 or len({value for _, value in pairs}) < 2:
            continue
        correlation = float(spearmanr(*zip(*pairs, strict=True)).statistic)
        if abs(correlation) >= _CLEAR:
            who, why = more if correlation > 0 else less
            sentence = (
                f"Clients {who} are harder to forget (rank correlation with the {found.meaning}: "
                f"{_signed(correlation)}, over {len(pairs)} pairs of graph and client): {why}."
            )
            said.append((-abs(correlation), sentence))
    clear = [sentence for _, sentence in sorted(said, key=lambda pair: round(pair[0], 2))] or [
        "None of its links, its distance to the others, the weight of its own model and its samples goes together with "
        f"the hardness of a client clearly (no rank correlation of {_CLEAR:g} or more)."
    ]
    together = "These properties go together themselves, so that correlations do not tell which of them matters."
    return [*clear, *([together] if len(said) > 1 else []), *_of_data(found)]


def _of_data(found: Hardness) -> list[str]:
    """Say how far clients in the same place of their network are apart, which is the work of what they deleted."""
    most = 1.0
    for graph in found.graphs:
        alike: dict[tuple[object, ...], list[float]] = {}
        for client in found.ranked(graph):
            row = found.facts[graph, client]
            alike.setdefault(tuple(row.get(name) for name in _PLACE), []).append(found.values[graph, client].mean)
        most = max([most, *(max(means) / min(means) for means in alike.values() if min(means) > 0)])
    if most <= 1 + _SAME:
        return []
    cause = (
        "their data, which this noise was computed from"
        if "†" in found.marks
        else "their data, or their number of samples"
    )
    return [
        "Clients with as many links, the same mean distance and the same weight, on one graph, are up to "
        f"{number(most)} times apart: that is {cause}."
    ]


def hardest(found: Hardness) -> tuple[str, str]:
    """Return the graph and the client with the largest measure."""
    return max(found.values, key=lambda at: found.values[at].mean)


def named(clients: Sequence[str]) -> str:
    """Return the names of clients that are alike, in words."""
    if len(clients) == 1:
        return f"client {clients[0]}"
    return f"clients {', '.join(clients[:-1])} and {clients[-1]}, alike"


def _place(row: Row, client: str) -> str:
    """Describe the place of a client in its network."""
    links, hops, weight = row.get("client_links"), row.get("client_mean_hops"), row.get("client_own_weight")
    parts = [f"{links} link{'' if links == 1 else 's'}"]
    parts += [] if hops is None else [f"a mean distance of {hops:.2g} to the others"]
    parts += [] if weight is None else [f"{100 * float(weight):.0f} % of its own model in each averaging"]
    return f"client {client} has {', '.join(parts)}"


def _doubt(most: Spread, least: Spread) -> str:
    """Say that the intervals of two means overlap; nothing where they do not, or there is a single seed."""
    widths = [each.half_width for each in (most, least) if each.half_width is not None]
    return "; their intervals overlap" if len(widths) == 2 and most.mean - least.mean < sum(widths) else ""


def _signed(value: float) -> str:
    return f"{value:.2f}".replace("-", "−")
