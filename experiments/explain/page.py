"""The evidence about a graph network as a page, and its tables as HTML."""

from collections.abc import Iterator, Sequence
from html import escape

from rewindnet.experiments.explain import tables
from rewindnet.experiments.explain.run import Json
from rewindnet.experiments.explain.scenario import GraphScenario
from rewindnet.experiments.explain.words import about, headed_tables, notes
from rewindnet.experiments.report.html import page, paragraphs, raw_rows, scrolled, section


def evidence_page(scenario: GraphScenario, runs: Sequence[Json]) -> str:
    """Return the evidence as one self-contained page.

    Args:
        scenario: the scenario.
        runs: what was found with each seed.
    """
    return page(f"{scenario.name}: evidence of unlearning", list(_sections(scenario, runs)))


def evidence_tables(runs: Sequence[Json]) -> str:
    """Return the tables of all figures as HTML."""
    verifiers = [evidence["verifier"] for evidence in runs[0]["methods"][0]["evidence"]]
    return "".join(f"<h4>{escape(name)}</h4>{_table(tables.figures(runs, at))}" for at, name in enumerate(verifiers))


def _sections(scenario: GraphScenario, runs: Sequence[Json]) -> Iterator[str]:
    """Return the sections of the page, as HTML."""
    yield section(
        "about", f"{scenario.name}: evidence of unlearning", paragraphs([about(scenario, runs), *notes(runs)])
    )
    for at, (heading, columns) in enumerate(headed_tables(runs)):
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
