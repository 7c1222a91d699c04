"""Write one self-contained HTML page about a study."""

from collections.abc import Sequence
from html import escape
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from rewindnet.experiments.folder.files import check_writable, write
from rewindnet.experiments.folder.format import read_record
from rewindnet.experiments.report.page import page
from rewindnet.experiments.studies.hardness import Hardness, graph_sentences, hardest, hardness, reason_sentences
from rewindnet.experiments.studies.picture import hardness_picture
from rewindnet.experiments.studies.pivot import Pivot
from rewindnet.experiments.studies.results import StudyResults, load_study
from rewindnet.experiments.studies.study_folder import read_study
from rewindnet.experiments.studies.tidy import Row

#: The values that are shown for every method: the column, and its heading.
_VALUES = (
    ("epsilon_certified", "ε certified"),
    ("epsilon_empirical", "ε empirical"),
    ("accuracy_test_mean", "test accuracy, mean over nodes"),
    ("cost_share_gradients", "gradients, share of retraining"),
)
_STYLE = """<style>
.heat td { text-align: right; background: color-mix(in srgb, var(--series-1) calc(var(--hard) * 55%), transparent); }
.heat td.most { font-weight: 700; }
.heat th[scope=row] { text-align: left; color: var(--ink); }
.tools { display: flex; flex-wrap: wrap; gap: .6rem 1.2rem; align-items: center; margin: .6rem 0; font-size: .9rem; }
.tools input, .tools button { font: inherit; color: inherit; background: var(--card); border: 1px solid var(--muted);
  border-radius: 4px; padding: .25rem .5rem; }
#rows-table thead button { font: inherit; color: inherit; background: none; border: 0; padding: 0; cursor: pointer; }
#rows-table td { max-width: 24rem; overflow: hidden; text-overflow: ellipsis; }
.wide { max-height: 34rem; overflow: auto; }
caption { text-align: left; color: var(--muted); padding-bottom: .3rem; }
:focus-visible { outline: 2px solid var(--series-0); outline-offset: 2px; }
</style>"""


def write_study_report(folder: Path) -> Path:
    """Write `report.html` into the folder of a study.

    Returns:
        The path of the page.

    Raises:
        UserError: if no run of the study is finished, a run folder is damaged, or the page cannot be written.
    """
    results, path = load_study(folder), folder / "report.html"
    check_writable(path)
    rows = results.rows()
    measured = hardness(rows)
    sections = [
        _title(results),
        _verdict(results, rows),
        _found(measured),
        *(_release(found, number) for number, found in enumerate(measured)),
        _methods(results),
        _rows(rows),
        _provenance(results),
    ]
    write(path, page(f"{results.name}: study", sections))
    return path


def _title(results: StudyResults) -> str:
    varies = ", ".join(results.keys)
    return (
        f'{_STYLE}<h1>{escape(results.name)}</h1><p class="subtitle">Study by rewindnet; it varies {escape(varies)}</p>'
    )


def _verdict(results: StudyResults, rows: Sequence[Row]) -> str:
    """Say how many certificates there are, and what they rest on."""
    violated = [row for row in rows if not row["holds"]]
    certified = [row for row in rows if row["epsilon_certified"] is not None]
    runs, seeds = len({row["run"] for row in rows}), len({row["seed"] for row in rows})
    said = [
        f"{len(violated)} of {len(rows)} releases violate their certificate."
        if violated
        else f"No audit found a violated certificate in {len(rows)} releases of {runs} runs.",
        f"{seeds} seeds: numbers are means ± half of the 95 % t-interval of the mean."
        if seeds > 1
        else "One seed: differences between numbers may be those of a single draw of data, graph and noise.",
    ]
    counts = (
        ("data_dependent_noise", "†", "per-instance: computed from measurements of this data and this request"),
        ("conditional", "*", "conditional: they hold if the estimated or declared constants do"),
    )
    for column, mark, why in counts:
        marked = sum(bool(row[column]) for row in certified)
        said += [f"{mark} {marked} of {len(certified)} certified ε are {why}."] if marked else []
    if results.unfinished:
        said.append(f"Not in this page: {len(results.unfinished)} runs that are not finished.")
    state = " violated" if violated else ""
    return f'<div class="verdict{state}" id="verdict">{_paragraphs(said)}</div>'


def _found(measured: Sequence[Hardness]) -> str:
    """Say which client is hardest to forget over all graphs."""
    if not measured:
        return _section("found", "Which client is hardest to forget", "<p>No release with noise has a certified ε.</p>")
    said = []
    for found in measured:
        graph, client = hardest(found)
        value = found.values[graph, client]
        said.append(f"By {found.release}: client {client} on {graph}, {found.meaning}: {value}{found.marks}.")
    intro = (
        "<p>The harder a client is to forget, the more noise its deletion takes for the same ε, or the larger is the ε "
        "of the same noise.</p>"
    )
    return _section("found", "Which client is hardest to forget", f"{intro}{_paragraphs(said)}")


def _release(found: Hardness, at: int) -> str:
    """Show the hardness of every client on every graph by one release, and what goes together with it."""
    items = "".join(f"<li>{escape(sentence)}</li>" for sentence in graph_sentences(found))
    content = (
        f"<h3>Hardest client of each graph</h3><ul>{items}</ul>"
        f"<h3>Why</h3>{_paragraphs(reason_sentences(found))}"
        f'<figure class="single">{hardness_picture(found, f"hardness-{at}")}<figcaption>'
        f"{_paragraphs(['Each dot is a client; the hardest of a graph is orange and named.'])}</figcaption></figure>"
        f"{_heat(found)}"
    )
    return _section(f"hardness-by-{at}", f"{found.release}: {found.meaning}", content)


def _heat(found: Hardness) -> str:
    """Return the hardness as a table of graphs and clients, darker where it is harder."""
    most = max(value.mean for value in found.values.values()) or 1.0
    heads = "".join(f'<th scope="col">client {escape(client)}</th>' for client in found.clients)
    lines = []
    for graph in found.graphs:
        first = found.ranked(graph)[0]
        cells = ""
        for client in found.clients:
            value = found.values.get((graph, client))
            if value is None:
                cells += "<td></td>"
                continue
            mark = ' class="most"' if client == first else ""
            cells += f'<td{mark} style="--hard:{value.mean / most:.3f}">{escape(f"{value}{found.marks}")}</td>'
        lines.append(f'<tr><th scope="row">{escape(graph)}</th>{cells}</tr>')
    caption = f"{found.meaning}; bold: the hardest client of a graph"
    return (
        f'<div class="wide" tabindex="0" role="region" aria-label="{escape(caption)}"><table class="results heat">'
        f"<caption>{escape(caption)}</caption><thead><tr><td></td>{heads}</tr></thead><tbody>{''.join(lines)}</tbody>"
        "</table></div>"
    )


def _methods(results: StudyResults) -> str:
    """Show ε, accuracy and cost of every method on every graph."""
    tables = [(results.table(["topology"], ["release"], value), heading) for value, heading in _VALUES]
    notes = dict.fromkeys(note for table, _ in tables for note in table.notes)
    parts = [_pivot(table, heading) for table, heading in tables]
    return _section(
        "methods", "Methods on each graph", f'{"".join(parts)}<div class="note">{_paragraphs(list(notes))}</div>'
    )


def _pivot(table: Pivot, heading: str) -> str:
    """Return a pivoted table as HTML."""
    heads = "".join(
        f'<th scope="col"{" class=text" if at < table.labels else ""}>{escape(head)}</th>'
        for at, head in enumerate(table.heads)
    )
    lines = "".join(
        "<tr>"
        + "".join(
            f'<th scope="row" class="text">{escape(cell)}</th>' if at < table.labels else f"<td>{escape(cell)}</td>"
            for at, cell in enumerate(cells)
        )
        + "</tr>"
        for cells in table.cells
    )
    return (
        f'<h3>{escape(heading)}</h3><div class="wide" tabindex="0" role="region" aria-label="{escape(heading)}">'
        f'<table class="results"><thead><tr>{heads}</tr></thead><tbody>{lines}</tbody></table></div>'
    )


def _rows(rows: Sequence[Row]) -> str:
    """Return the tidy table, which can be sorted, filtered and downloaded; without the columns that never vary."""
    names = [name for name in rows[0] if len({str(row[name]) for row in rows}) > 1] or list(rows[0])
    pages = Environment(
        loader=PackageLoader("rewindnet.experiments.studies", ""), autoescape=True, undefined=StrictUndefined
    )
    table = {"columns": names, "rows": [[row[name] for name in names] for row in rows]}
    left = len(rows[0]) - len(names)
    note = f'<p class="note">{left} columns that are the same in all rows are left out; results.csv has them.</p>'
    content = pages.get_template("rows.html").render(table=table)
    return _section("rows", "All results", content + (note if left else ""))


def _provenance(results: StudyResults) -> str:
    """Say how the study is made again."""
    runs = [run.folder for run in read_study(results.folder).runs if run.folder.name not in results.unfinished]
    record = read_record(runs[0])
    versions = ", ".join(f"{name} {version}" for name, version in record["versions"].items())
    facts = [
        ("command", " ".join(map(str, record["command"]))),
        ("one run", f"rewindnet run {runs[0].name}/scenario.yaml"),
        ("versions", versions),
        ("code, sha256", str(record.get("code_sha256", ""))),
    ]
    listed = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in facts)
    return f'<footer id="provenance"><h2>How to reproduce</h2><dl>{listed}</dl></footer>'


def _section(name: str, heading: str, content: str) -> str:
    return f'<section id="{name}"><h2>{escape(heading)}</h2>{content}</section>'


def _paragraphs(sentences: Sequence[str]) -> str:
    return "".join(f"<p>{escape(sentence)}</p>" for sentence in sentences)
