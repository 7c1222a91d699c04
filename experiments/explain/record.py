"""Write the evidence about a graph network: JSON, Markdown and a page."""

from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path

from rewindnet.experiments.explain import tables
from rewindnet.experiments.explain.run import Json
from rewindnet.experiments.explain.scenario import GraphScenario
from rewindnet.experiments.folder.files import check_writable, read_json, write, write_json
from rewindnet.experiments.report.html import page, paragraphs, raw_rows, scrolled, section
from rewindnet.experiments.scenario.errors import ScenarioError
from rewindnet.version import __version__

EVIDENCE, UNFINISHED = "evidence.json", "unfinished.json"
_NO_CERTIFICATE = "Nothing here is certified: these are measurements of one model each, and no method has an ε."
_VERSIONS: Json = {"format": 1, "rewindnet": __version__}


def check_target(folder: Path, scenario: GraphScenario, force: bool) -> list[Json]:
    """Check that evidence may be written into a folder; return what was found there with the first seeds.

    Args:
        folder: the folder.
        scenario: the scenario.
        force: whether to overwrite what is there.

    Raises:
        UserError: if it holds something else, or evidence that is not to be overwritten, or cannot be written.
    """
    check_writable(folder / EVIDENCE)
    unfinished = folder / UNFINISHED
    if not folder.exists() or not any(folder.iterdir()):
        return []
    if not (folder / EVIDENCE).is_file() and not unfinished.is_file():
        raise ScenarioError(f"{folder} exists and holds no evidence of rewindnet explain; choose another with --out")
    if force:
        return []
    if not unfinished.is_file():
        raise ScenarioError(f"{folder} already holds evidence; choose another with --out, or overwrite it with --force")
    kept = read_json(unfinished)
    if {key: kept.get(key) for key in ("scenario", *_VERSIONS)} != {"scenario": scenario.plain(), **_VERSIONS}:
        raise ScenarioError(
            f"{folder} holds unfinished evidence of another scenario, or of another version of rewindnet; choose "
            "another with --out, or overwrite it with --force"
        )
    runs: list[Json] = kept["runs"]
    return runs


def write_unfinished(scenario: GraphScenario, runs: Sequence[Json], folder: Path) -> None:
    """Keep what was found with the first seeds, until all evidence is written."""
    write_json(folder / UNFINISHED, {**_VERSIONS, "scenario": scenario.plain(), "runs": list(runs)})


def write_evidence(scenario: GraphScenario, runs: Sequence[Json], folder: Path) -> None:
    """Write scenario.yaml, evidence.md, evidence.html and, last, evidence.json.

    Args:
        scenario: the scenario.
        runs: what was found with each seed.
        folder: the folder.
    """
    write(folder / "scenario.yaml", scenario.to_yaml())
    write(folder / "evidence.md", markdown(scenario, runs))
    write(folder / "evidence.html", page(f"{scenario.name}: evidence of unlearning", list(_sections(scenario, runs))))
    record = {**_VERSIONS, "name": scenario.name, "certified": False}
    write_json(folder / EVIDENCE, {**record, "scenario": scenario.plain(), "runs": list(runs)})
    (folder / UNFINISHED).unlink(missing_ok=True)


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
    for heading, columns in _tables(runs):
        headings = [name for name, _ in columns]
        rows = zip(*(cells for _, cells in columns), strict=True)
        lines += ["", f"## {heading}", "", _line(headings), _line(["---"] * len(headings)), *map(_line, rows)]
    return "\n".join(lines) + "\n"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _tables(runs: Sequence[Json]) -> Iterator[tuple[str, tables.Columns]]:
    """Return every table with its heading."""
    verifiers = [evidence["verifier"] for evidence in runs[0]["methods"][0]["evidence"]]
    for at, verifier in enumerate(verifiers):
        yield verifier, tables.figures(runs, at)
        for measure in tables.measures(runs, at):
            said = measure.replace("_", " ")
            yield f"{verifier}: {said} by distance from the deleted nodes", tables.grouped(runs, at, measure, "hops")
            yield f"{verifier}: {said} by client", tables.grouped(runs, at, measure, "client")


def evidence_tables(runs: Sequence[Json]) -> str:
    """Return the tables of all figures as HTML."""
    verifiers = [evidence["verifier"] for evidence in runs[0]["methods"][0]["evidence"]]
    return "".join(f"<h4>{escape(name)}</h4>{_table(tables.figures(runs, at))}" for at, name in enumerate(verifiers))


def _sections(scenario: GraphScenario, runs: Sequence[Json]) -> Iterator[str]:
    """Return the sections of the page, as HTML."""
    yield section(
        "about", f"{scenario.name}: evidence of unlearning", paragraphs([about(scenario, runs), *notes(runs)])
    )
    for at, (heading, columns) in enumerate(_tables(runs)):
        yield section(f"table-{at}", heading, scrolled(heading, _table(columns)))
    caption = "A row for each seed, method, verifier, client and distance"
    yield section(
        "groups", "All groups of nodes", raw_rows(tables.flat_rows(runs), caption, f"{scenario.name}-groups.csv")
    )


def _table(columns: tables.Columns) -> str:
    """Return a table as HTML."""
    (first, titles), *numbers = columns
    head = f'<th scope="col" class="text">{escape(first)}</th>'
    head += "".join(f'<th scope="col">{escape(name)}</th>' for name, _ in numbers)
    rows = zip(titles, zip(*(cells for _, cells in numbers), strict=True), strict=True)
    body = "".join(
        f'<tr><td class="text">{escape(title)}</td>{"".join(f"<td>{escape(cell)}</td>" for cell in row)}</tr>'
        for title, row in rows
    )
    return f'<table class="results"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
