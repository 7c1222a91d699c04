"""Say what the evidence about a graph network is: in sentences, in tables, and as Markdown."""

from collections.abc import Iterator, Sequence

from rewindnet.experiments.explain import tables
from rewindnet.experiments.explain.run import Json
from rewindnet.experiments.explain.scenario import GraphScenario

_NO_CERTIFICATE = "Nothing here is certified: these are measurements of one model each, and no method has an ε."


def about(scenario: GraphScenario, runs: Sequence[Json]) -> str:
    """Return a sentence about what was learned and deleted."""
    graph, deletion = runs[0]["graph"], scenario.deletion
    whose = "all clients" if deletion.client == "any" else f"client {deletion.client}"
    wrong = ", learned with wrong labels," if deletion.flipped_labels else ""
    seeds = f" Means over {len(runs)} seeds, ± the standard deviation." if len(runs) > 1 else ""
    return (
        f"{scenario.model.kind} on {graph['name']}: {graph['clients']} clients hold {graph['nodes']} nodes and "
        f"{graph['edges']} edges, {graph['edges_between_clients']} of them between clients. {deletion.nodes} training "
        f"nodes of {whose}{wrong} are deleted.{seeds}"
    )


def notes(runs: Sequence[Json]) -> list[str]:
    """Return what the numbers must not be read without."""
    said = [note for evidence in runs[0]["methods"][0]["evidence"] for note in evidence["notes"]]
    return [_NO_CERTIFICATE, *dict.fromkeys(said)]


def markdown(scenario: GraphScenario, runs: Sequence[Json]) -> str:
    """Return the evidence as a Markdown document."""
    lines = [f"# {scenario.name}: evidence of unlearning", "", about(scenario, runs), ""]
    lines += [f"- {note}" for note in notes(runs)]
    for heading, columns in headed_tables(runs):
        headings = [name for name, _ in columns]
        rows = zip(*(cells for _, cells in columns), strict=True)
        lines += ["", f"## {heading}", "", _line(headings), _line(["---"] * len(headings)), *map(_line, rows)]
    return "\n".join(lines) + "\n"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def headed_tables(runs: Sequence[Json]) -> Iterator[tuple[str, tables.Columns]]:
    """Return every table with its heading."""
    verifiers = [evidence["verifier"] for evidence in runs[0]["methods"][0]["evidence"]]
    for at, verifier in enumerate(verifiers):
        yield verifier, tables.figures(runs, at)
        for measure in tables.measures(runs, at):
            said = measure.replace("_", " ")
            yield f"{verifier}: {said} by distance from the deleted nodes", tables.grouped(runs, at, measure, "hops")
            yield f"{verifier}: {said} by client", tables.grouped(runs, at, measure, "client")
