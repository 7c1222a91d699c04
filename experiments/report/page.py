"""Write one self-contained HTML page about a run, from its folder alone."""

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from rewindnet.certificates import CertificateError
from rewindnet.experiments.folder.files import check_writable, write
from rewindnet.experiments.folder.reader import FolderError, RunFolder
from rewindnet.experiments.folder.whole import read_whole
from rewindnet.experiments.report import table, words
from rewindnet.experiments.report.best import best, no_other
from rewindnet.experiments.report.boxes import certificate_box
from rewindnet.experiments.report.charts.audit import NODES, audit_charts
from rewindnet.experiments.report.charts.claims import claims_chart
from rewindnet.experiments.report.charts.curves import curve_charts
from rewindnet.experiments.report.charts.depth import depth_chart, rises
from rewindnet.experiments.report.charts.layout import layout
from rewindnet.experiments.report.charts.network import drawn_graph, is_even, network_chart, subject
from rewindnet.experiments.report.charts.trade_offs import cost_chart, pareto_chart, releases_of
from rewindnet.experiments.report.columns import Column, columns_of, marks
from rewindnet.experiments.report.html import (
    facts,
    figure,
    json_script,
    page,
    paragraphs,
    raw_rows,
    scrolled,
    section,
)
from rewindnet.experiments.report.promise import promise
from rewindnet.experiments.report.requests_section import requests_section
from rewindnet.experiments.scenario.inputs import recorded_inputs

#: The first columns of the table, which a phone shows without scrolling.
_FIRST = ("method", "view", "ε certified", "ε claimed", "ε empirical", "ε lower bound")


def write_report(folder: Path) -> Path:
    """Write `report.html` into a run folder.

    Returns:
        The path of the page.

    Raises:
        FolderError: if there is no complete run in the folder, a file of it is damaged, or the page cannot be written.
    """
    run = read_whole(folder)
    path = folder / "report.html"
    check_writable(path)
    try:
        sections = _sections(run)
    except (LookupError, TypeError, CertificateError) as problem:
        raise FolderError(f"{folder} is damaged: a record of it lacks what the report needs ({problem})") from problem
    write(path, page(f"{run.record['name']}: unlearning report", sections))
    return path


def _sections(run: RunFolder) -> Sequence[str]:
    """Make every section of the page, as HTML, in its order."""
    graph = drawn_graph(run, layout(run.network[0], run.scenario["topology"]["kind"]))
    return (
        _title(run),
        _verdict(run),
        _promise(run),
        _scenario(run),
        _table(run),
        _claims(run),
        _network(run, graph),
        requests_section(run),
        _pareto(run),
        _depth(run),
        _cost(run),
        _audits(run),
        _curves(run),
        _certificates(run),
        _rows(run),
        _provenance(run),
    )


def _title(run: RunFolder) -> str:
    name, version = escape(str(run.record["name"])), escape(str(run.record["versions"]["rewindnet"]))
    started, seed = escape(str(run.record["started"])[:10]), escape(str(run.record["seed"]))
    by = f"Unlearning report by rewindnet {version}; run of {started}, seed {seed}"
    return f'<h1>{name}</h1><p class="subtitle">{by}</p>'


def _verdict(run: RunFolder) -> str:
    state = "" if words.certified_rows(run) else " uncertified"
    if not all(found.holds for _, found in run.certified):
        state = " violated"
    said = [*words.verdict(run), *words.reservations(run)]
    return f'<div class="verdict{state}" id="verdict">{paragraphs(said)}</div>'


def _promise(run: RunFolder) -> str:
    """Say for a reader who is no expert what the best release promises, and what it does not cover."""
    heading, row = "What may be said", best(run)
    if row is None or run.violations:
        none = no_other(run)
        why = "a certificate is violated" if run.violations else f"{none[0].lower()}{none[1:]} reaches the ε asked for"
        return section("promise", heading, paragraphs([f"Nothing is promised: {why}."]))
    index = run.summary.index(dict(row))
    note = f"Of method {index} ({row['method']}), the most accurate that reaches the ε asked for."
    content = f'{paragraphs(promise(run, index))}<p class="note">{escape(note)} Each certificate below has its own.</p>'
    return section("promise", heading, content)


def _scenario(run: RunFolder) -> str:
    actions = "".join(
        f"<li><strong>{index} {escape(certificate.method)}</strong> {escape(words.account(certificate))}.</li>"
        for index, (certificate, _) in enumerate(run.certified)
    )
    description = paragraphs([words.setting(run), words.request(run)])
    return section(
        "scenario", "What happened", f"{description}<p>Each method answered in its way:</p><ul>{actions}</ul>"
    )


def _table(run: RunFolder) -> str:
    places = {heading: at for at, heading in enumerate(_FIRST)}
    columns = sorted(columns_of(run.summary), key=lambda column: places.get(column[0], len(places)))
    heads = "".join(f'<th scope="col"{_text_class(heading)}>{escape(heading)}</th>' for heading, _ in columns)
    rows = "".join(_row(row, columns) for row in run.summary)
    lines = [
        *table.legend(run.summary),
        *table.views_named(run.summary, run.names),
        *table.composition_sentences(run.compositions, run.summary),
    ]
    legend = "".join(f"<p>{escape(line)}</p>" for line in lines)
    drawn = f'<table class="results"><thead><tr><th scope="col">#</th>{heads}</tr></thead><tbody>{rows}</tbody></table>'
    return section("table", "Results", f'{scrolled("Results", drawn)}<div class="note">{legend}</div>')


def _row(row: dict[str, Any], columns: Sequence[Column]) -> str:
    cells = "".join(f"<td{_text_class(heading)}>{escape(show(row))}</td>" for heading, show in columns)
    number = escape(str(row["index"]))
    state = "" if row["holds"] else ' class="violated"'
    return f'<tr{state}><td><a href="#certificate-{number}">{number}</a></td>{cells}</tr>'


def _text_class(heading: str) -> str:
    """Return the CSS class of a column: words are aligned to the left, numbers to the right."""
    if heading == "method":
        return ' class="text name"'
    if heading == "noise":
        return ' class="text wrap long"'
    return ' class="text wrap"' if heading in ("view", "bound") else ""


def _claims(run: RunFolder) -> str:
    shown = marks([row for row in run.summary if row["epsilon_certified"] is not None])
    caption = [
        "Circles: the ε that a method's own formula claims for its noise. Squares: the certified ε. Crosses: the "
        "empirical ε of this pair of runs. Triangles: what samples of the noise prove it to be at least. A square to "
        "the right of its circle means that the claim is too small; a cross to the right of its square means that the "
        "certificate is violated.",
        "Beyond the line stands what has no finite ε: no certificate, or two runs that can be told apart for sure.",
        "†: per-instance, computed from measurements of this data and this request.",
        *(["*: conditional on estimated or declared constants."] if "*" in shown else []),
    ]
    return section("claims", "Claimed, certified and empirical ε", figure([claims_chart(run.summary)], caption, "full"))


def _network(run: RunFolder, graph: dict[str, Any]) -> str:
    """Show the network with the sensitivity of each node; the next section draws the same network."""
    heading, chosen, drawn = "How far the deletion reached", subject(run), network_chart(run)
    if chosen is None or drawn is None:
        none = paragraphs(["No method has any sensitivity to show."])
        return section("network", heading, none + json_script("graph-data", graph))
    index, certificate = chosen
    e = np.array(certificate.sensitivity)
    caption = [
        "Each dot is a client, each line a link. The ringed client deleted; the colour is a node's sensitivity, the "
        f"most by which its model may differ from the retrained one, under method {index} ({certificate.method}).",
        f"The influence has mixed: every node carries about the same, {e.max():.3g}."
        if is_even(e)
        else f"Sensitivity falls from {e.max():.3g} at the most exposed node to {e[e > 0].min():.3g} at the least.",
    ]
    if not e.all():
        hollow = int(np.sum(e == 0))
        caption.append(
            f"The influence cannot have reached the {f'{hollow} hollow nodes' if hollow > 1 else 'hollow node'}."
        )
    if len(graph["links"]) < graph["all_links"]:
        caption.append(f"{len(graph['links']):,} of {graph['all_links']:,} links are drawn.")
    return section("network", heading, figure([drawn], caption) + json_script("graph-data", graph))


def _pareto(run: RunFolder) -> str:
    drawn = pareto_chart(releases_of(run), numbered=True)
    if drawn is None:
        return section("pareto", "Accuracy against ε", "<p>No release has a certified ε.</p>")
    caption = [
        "Each mark is a release with its number. Higher is more accurate, further left is harder to distinguish from "
        "retraining, which itself has ε = 0. No release lies above the line.",
        "Releases with different views promise different things at the same ε: the table says which.",
    ]
    return section("pareto", "Accuracy against ε", figure([drawn], caption))


#: Why more rewinding may take more noise.
_RISING = (
    "Where ε rises with the depth, rewinding further gains less than it loses: at an earlier checkpoint fewer rounds "
    "of averaging and of contraction have made the difference small."
)


def _depth(run: RunFolder) -> str:
    drawn = depth_chart(run)
    if drawn is None:
        return section(
            "depth", "What rewinding buys", "<p>No rewinding method of this run has noise and a finite ε.</p>"
        )
    caption = [
        "The further a method rewinds, the fewer rounds the deletion has acted before the checkpoint. What is left of "
        "it there takes noise: the line is the ε that the noise of this run certifies at each depth.",
        *([_RISING] if rises(drawn) else []),
        "The dot is what was run; the dotted line is its ε.",
        "Everything but the depth is as in the run. At 100 % the method is retraining and ε is 0, which a logarithmic "
        "axis cannot show.",
    ]
    return section("depth", "What rewinding buys", figure([drawn], caption))


def _cost(run: RunFolder) -> str:
    caption = ["What each release took after the request, as a share of learning again from the start."]
    return section("cost", "Cost", figure([cost_chart(releases_of(run))], caption))


def _audits(run: RunFolder) -> str:
    panels = audit_charts(run)
    caption = [
        "The step line is each node's sensitivity (what the certificate allows), the dots are the divergence measured "
        "by actually retraining. No dot may lie above the line; one that does is a red cross. "
        "A dot on the lower edge did not diverge at all. The axes are logarithmic.",
        *(["Of every few nodes, the one closest to its line is drawn."] if len(run.network[0]) > NODES else []),
    ]
    drawn = figure(panels, caption, "panels") if panels else "<p>No method has a sensitivity to audit.</p>"
    return section("audits", "Measured against promised", drawn)


def _curves(run: RunFolder) -> str:
    caption = [
        "Unlearning begins at the round that a method goes back to. Noise added to a checkpoint shows at once and then "
        "heals; noise added to the result comes after the descent, and shows here only if gossip rounds follow. "
        "The axis of distances is logarithmic."
    ]
    drawn = curve_charts(run)
    if not drawn:
        return section("curves", "How learning went", "<p>Not recorded: the noise of this run is a secret.</p>")
    return section("curves", "How learning went", figure(drawn, caption, "pair"))


def _rows(run: RunFolder) -> str:
    rows = [{key: value for key, value in row.items() if key != "premises"} for row in releases_of(run)]
    return section("rows", "All numbers", raw_rows(rows, "One row for each release.", "results.csv"))


def _certificates(run: RunFolder) -> str:
    each = "".join(
        certificate_box(index, certificate, found, run) for index, (certificate, found) in enumerate(run.certified)
    )
    return section("certificates", "Certificates", each)


def _provenance(run: RunFolder) -> str:
    record = run.record
    took = ", ".join(f"{phase} {seconds:g} s" for phase, seconds in record["seconds"].items())
    listed = [
        ("command", " ".join(map(str, record["command"]))),
        ("seed", str(record["seed"])),
        ("versions", ", ".join(f"{name} {version}" for name, version in record["versions"].items())),
        ("transport", _settings(run.scenario["backend"])),
        *((f"{key}, sha256", f"{file.sha256} of {file.path}") for key, file in recorded_inputs(record).items()),
        ("weights, sha256", record["sha256"]),
        ("platform", ", ".join(f"{name} {value}" for name, value in record["platform"].items())),
        ("started, gone on, finished", ", ".join([record["started"], *record["resumed"], record["finished"]])),
        ("time", took),
        (
            "mixing schedule, sha256",
            ", ".join(sorted({certificate.training.mixing_sha256 for certificate, _ in run.certified})),
        ),
    ]
    return f'<footer id="provenance"><h2>How to reproduce</h2>{facts(listed)}</footer>'


def _settings(section: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in section.items() if value is not None)
