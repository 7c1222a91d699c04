"""Write one self-contained HTML page about a study."""

from collections.abc import Sequence
from html import escape
from pathlib import Path

from rewindnet.experiments.folder.files import check_writable, write
from rewindnet.experiments.folder.format import read_record
from rewindnet.experiments.folder.reader import read_folder
from rewindnet.experiments.report.charts.trade_offs import cost_chart, pareto_chart
from rewindnet.experiments.report.columns import marks
from rewindnet.experiments.report.html import facts, figure, page, paragraphs, raw_rows, scrolled, section
from rewindnet.experiments.studies.against import accuracy_chart, depth_chart, setting_charts
from rewindnet.experiments.studies.charts import hardness_chart, learning_charts
from rewindnet.experiments.studies.hardness import Hardness, graph_sentences, hardest, hardness, named, reason_sentences
from rewindnet.experiments.studies.introduction import introduction, releases
from rewindnet.experiments.studies.pivot import Pivot
from rewindnet.experiments.studies.results import StudyResults, load_study
from rewindnet.experiments.studies.spread import number
from rewindnet.experiments.studies.tidy import Row

#: The values that are shown for every method: the column, and its heading.
_VALUES = (
    ("epsilon_certified", "ε certified"),
    ("epsilon_empirical", "ε empirical"),
    ("accuracy_test_mean", "test accuracy, mean over nodes, as a share"),
    ("cost_share_gradients", "gradients, share of retraining"),
)
_STYLE = """<style>
.heat td { text-align: right; background: color-mix(in srgb, var(--series-1) calc(var(--hard) * 55%), transparent); }
.heat td.most { font-weight: 700; }
.heat th[scope=row] { text-align: left; color: var(--ink); }
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
    # One client on one graph is not harder than another.
    compared = [found for found in measured if len(found.values) > 1]
    sections = [
        _title(results),
        _verdict(results, rows),
        _introduction(results, rows),
        *([_found(compared)] if compared or not measured else []),
        *(_release(found, number) for number, found in enumerate(compared)),
        _methods(results),
        _pareto(rows),
        *_depth(rows),
        *_settings(rows, results.keys),
        _cost(rows),
        _curves(results),
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
        else f"No audit found a violated certificate in {len(rows)} releases of {runs} runs; {len(certified)} of them "
        "have a certified ε.",
        f"{seeds} seeds: numbers are means ± half of the 95 % t-interval of the mean."
        if seeds > 1
        else "One seed: differences between numbers may be those of a single draw of data, graph and noise.",
    ]
    for mark, why in (
        ("†", "per-instance: computed from measurements of this data and this request"),
        ("*", "conditional: they hold if the estimated or declared constants do"),
    ):
        marked = sum(mark in marks([row]) for row in certified)
        said += [f"{mark} {marked} of {len(certified)} certified ε are {why}."] if marked else []
    if results.unfinished:
        count = len(results.unfinished)
        said.append(f"Not in this page: {count} run{'s' * (count > 1)} of the study, unfinished. Give its sweep again.")
    state = " violated" if violated else ""
    return f'<div class="verdict{state}" id="verdict">{paragraphs(said)}</div>'


def _introduction(results: StudyResults, rows: Sequence[Row]) -> str:
    """Say what was run: the setting, what varies, the releases, and the observers of their certificates."""
    first = read_folder(results.finished[0])
    said = introduction(first, results.keys, rows)
    items = "".join(f"<li>{escape(sentence)}</li>" for sentence in releases(first))
    names = "<p>Each run makes these releases; the noise is that of the first run:</p>"
    return section("introduction", "What was run", f"{paragraphs(said)}{names}<ul>{items}</ul>")


def _found(measured: Sequence[Hardness]) -> str:
    """Say which client is hardest to forget over all graphs."""
    if not measured:
        return section("found", "Which client is hardest to forget", "<p>No release with noise has a certified ε.</p>")
    said = []
    for found in measured:
        graph, client = hardest(found)
        value = found.values[graph, client]
        who = named(found.hardest_of(graph)) if found.hardest_of(graph) else "all clients"
        easiest = found.values[graph, found.ranked(graph)[-1]].mean
        times = (
            f", {number(value.mean / easiest)} times that of the easiest client there" if easiest < value.mean else ""
        )
        said.append(f"By {found.release}: {who} on {graph}, {found.meaning}: {found.text(value)}{times}.")
    intro = (
        "<p>The harder a client is to forget, the more noise its deletion takes for the same ε, or the larger is the ε "
        "of the same noise.</p>"
    )
    return section("found", "Which client is hardest to forget", f"{intro}{paragraphs(said)}")


def _release(found: Hardness, at: int) -> str:
    """Show the hardness of every client on every graph by one release, and what goes together with it."""
    items = "".join(f"<li>{escape(sentence)}</li>" for sentence in graph_sentences(found))
    caption = [
        "Each dot is a client, from the hardest of a graph on the left to the easiest. The hardest, and those that are "
        "as hard, are larger; the first is named. Where all are alike, none is.",
        *(
            ["Bars: the 95 % t-interval of the mean."]
            if any(value.half_width for value in found.values.values())
            else []
        ),
    ]
    content = (
        f"<h3>Hardest client of each graph</h3><ul>{items}</ul>"
        f"<h3>Why</h3>{paragraphs(reason_sentences(found))}"
        f"{figure([hardness_chart(found, f'hardness-{at}')], caption)}"
        f"{_heat(found)}"
    )
    return section(f"hardness-by-{at}", f"{found.release}: {found.meaning}", content)


def _heat(found: Hardness) -> str:
    """Return the hardness as a table of graphs and clients, darker where it is harder."""
    most = max(value.mean for value in found.values.values()) or 1.0
    heads = "".join(f'<th scope="col">client {escape(client)}</th>' for client in found.clients)
    lines = []
    for graph in found.graphs:
        first = found.hardest_of(graph)
        cells = ""
        for client in found.clients:
            value = found.values.get((graph, client))
            if value is None:
                cells += "<td></td>"
                continue
            mark = ' class="most"' if client in first else ""
            cells += f'<td{mark} style="--hard:{value.mean / most:.3f}">{escape(found.text(value))}</td>'
        lines.append(f'<tr><th scope="row">{escape(graph)}</th>{cells}</tr>')
    caption = f"{found.meaning}; bold: the hardest client of a graph, with those that are as hard"
    return scrolled(
        caption,
        f'<table class="results narrow heat"><caption>{escape(caption)}</caption>'
        f"<thead><tr><td></td>{heads}</tr></thead>"
        f"<tbody>{''.join(lines)}</tbody></table>",
    )


def _methods(results: StudyResults) -> str:
    """Show ε, accuracy and cost of every method on every graph."""
    tables = [(results.table(["topology"], ["release", "view"], value), heading) for value, heading in _VALUES]
    notes = dict.fromkeys(note for table, _ in tables for note in table.notes)
    parts = [_pivot(table, heading) for table, heading in tables]
    return section(
        "methods", "Methods on each graph", f'{"".join(parts)}<div class="note">{paragraphs(list(notes))}</div>'
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
    drawn = f'<table class="results narrow"><thead><tr>{heads}</tr></thead><tbody>{lines}</tbody></table>'
    return f"<h3>{escape(heading)}</h3>{scrolled(heading, drawn)}"


def _pareto(rows: Sequence[Row]) -> str:
    """Show accuracy against ε for every release of every run."""
    drawn = pareto_chart(rows)
    if drawn is None:
        return section("pareto", "Accuracy against ε", "<p>No release has a certified ε.</p>")
    caption = [
        "Each mark is a release of a run. Higher is more accurate, further left is harder to distinguish from "
        "retraining, which itself has ε = 0. No release lies above the line. Releases with different views promise "
        "different things at the same ε. Releases without a certified ε are not here."
    ]
    return section("pareto", "Accuracy against ε", figure([drawn], caption))


def _depth(rows: Sequence[Row]) -> list[str]:
    """Show ε, or the noise for it, and the accuracy against rewind depth, where there are several depths."""
    drawn = [chart for chart in (depth_chart(rows), accuracy_chart(rows)) if chart is not None]
    caption = [
        "Lines join means over runs of one graph, method, view and bound; marks are single runs. Dashed: retraining."
    ]
    return [section("depth", "What rewinding buys", figure(drawn, caption, "pair"))] if drawn else []


def _settings(rows: Sequence[Row], keys: Sequence[str]) -> list[str]:
    """Show ε, or the noise for it, and the accuracy against each setting that has several numbers as values."""
    caption = [
        "Lines join means over runs of one graph, release, view and bound; marks are single runs. Dashed: retraining."
    ]
    return [
        section(f"setting-{number}", f"What {key} changes", figure(charts, caption, "pair"))
        for number, (key, charts) in enumerate(setting_charts(rows, keys))
    ]


def _cost(rows: Sequence[Row]) -> str:
    caption = ["What each release took after the request, as a share of learning again: the mean over runs."]
    return section("cost", "Cost", figure([cost_chart(rows)], caption))


def _curves(results: StudyResults) -> str:
    """Show how learning went on each graph."""
    drawn = learning_charts(results.curves(), results.topology_of_runs)
    caption = ["Learning before the request, one line for each run, in the colour of its topology."]
    said = "<p>Not recorded: the noise of these runs is a secret.</p>"
    return section("curves", "How learning went", figure(drawn, caption, "pair") if drawn else said)


def _rows(rows: Sequence[Row]) -> str:
    # The name of a run is long, and repeats the values that the next columns have.
    shown = [{**{name: value for name, value in row.items() if name != "run"}, "run": row["run"]} for row in rows]
    table = raw_rows(shown, "One row for each run, request, method and view.", "results.csv")
    return section("rows", "All results", table)


def _provenance(results: StudyResults) -> str:
    """Say how the study is made again."""
    runs = results.finished
    record = read_record(runs[0])
    versions = ", ".join(f"{name} {version}" for name, version in record["versions"].items())
    listed = [
        ("command", " ".join(map(str, record["command"]))),
        ("one run", f"rewindnet run {runs[0].name}/scenario.yaml"),
        ("versions", versions),
        ("code, sha256", str(record.get("code_sha256", ""))),
    ]
    return f'<footer id="provenance"><h2>How to reproduce</h2>{facts(listed)}</footer>'
