"""The parts that pages are made of."""

from base64 import b64encode
from collections.abc import Sequence
from hashlib import sha256
from html import escape
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup

from rewindnet.experiments.report.charts.chart import Chart

_HERE = Path(__file__).parent
#: The scripts of a page with charts, in their order: the charting libraries, what all charts share, each chart, what is
#: chosen, the table of rows, and the drawing of all.
SCRIPTS = (
    *("vendor/d3.min.js", "vendor/plot.umd.min.js", "scripts/base.js", "scripts/claims.js", "scripts/cost.js"),
    *("scripts/pareto.js", "scripts/against.js", "scripts/audit.js", "scripts/curves.js", "scripts/hardness.js"),
    *("scripts/network.js", "scripts/requests.js", "scripts/rows.js", "scripts/page.js"),
)
#: The scripts of a page without charts.
PLAIN_SCRIPTS = ("scripts/rows.js",)


def page(title: str, sections: Sequence[str]) -> str:
    """Insert the sections into the page's skeleton, which escapes what is not marked as HTML.

    Browsers run the scripts of this folder and no others: the page's policy has their hashes. A page without a chart
    goes without the charting libraries, which are most of what a page weighs.
    """
    drawn = any("data-chart=" in text for text in sections)
    names = SCRIPTS if drawn else PLAIN_SCRIPTS
    scripts = [(_HERE / name).read_text(encoding="utf-8") for name in names]
    hashes = [b64encode(sha256(script.encode()).digest()).decode() for script in scripts]
    return rendered(
        "report.html",
        title=title,
        sections=list(map(Markup, sections)),
        scripts=list(map(Markup, scripts)),
        allowed=Markup(" ".join(f"'sha256-{each}'" for each in hashes)),
        licences=(_HERE / "vendor" / "LICENSES.txt").read_text(encoding="utf-8") if drawn else "",
    )


def rendered(template: str, **content: Any) -> str:
    """Return a template of this folder with its content, which is escaped."""
    pages = Environment(
        loader=PackageLoader("rewindnet.experiments.report", ""), autoescape=True, undefined=StrictUndefined
    )
    return pages.get_template(template).render(**content)


def section(name: str, heading: str, content: str) -> str:
    """Return a section with its heading; the content is HTML."""
    return f'<section id="{name}"><h2>{escape(heading)}</h2>{content}</section>'


def figure(charts: Sequence[Chart], caption: Sequence[str], layout: str = "single") -> str:
    """Return charts with their caption, in one of the layouts of the style sheet."""
    drawn = "".join(map(_box, charts))
    return f'<figure class="{layout}">{drawn}<figcaption>{paragraphs(caption)}</figcaption></figure>'


def _box(chart: Chart) -> str:
    """Return the box that a chart is drawn in, and its content; arrow keys go from mark to mark."""
    place = f"chart-{chart.name}"
    return (
        f'<div class="chart" id="{place}" data-chart="{chart.kind}" data-source="{place}-data" tabindex="0" '
        f'role="group" aria-label="{escape(chart.description)}"></div>{json_script(f"{place}-data", chart.data)}'
    )


def json_script(name: str, content: dict[str, Any]) -> str:
    """Return plain JSON as an element of a page, from which no text can break out."""
    text = htmlsafe_json_dumps(content, separators=(",", ":"), allow_nan=False, ensure_ascii=False)
    return f'<script type="application/json" id="{name}">{text}</script>'


def paragraphs(sentences: Sequence[str]) -> str:
    """Return sentences as paragraphs."""
    return "".join(f"<p>{escape(sentence)}</p>" for sentence in sentences)


def facts(listed: Sequence[tuple[str, str]]) -> str:
    """Return names and values as a list."""
    return "<dl>" + "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in listed) + "</dl>"


def scrolled(name: str, content: str) -> str:
    """Return a box that scrolls where its content is wider than the page, with the keyboard, too."""
    return f'<div class="wide" tabindex="0" role="region" aria-label="{escape(name)}">{content}</div>'


def raw_rows(rows: Sequence[dict[str, Any]], caption: str, file: str) -> str:
    """Return flat rows as a table to sort, filter and download; without the columns that never vary.

    Args:
        rows: the rows.
        caption: what a row is.
        file: the name of the CSV file that is downloaded.
    """
    every = list(dict.fromkeys(name for row in rows for name in row))
    names = [name for name in every if len(rows) < 2 or len({str(row.get(name)) for row in rows}) > 1] or every
    table = {"columns": names, "rows": [[row.get(name) for name in names] for row in rows]}
    left = len(every) - len(names)
    note = f'<p class="note">{left} columns that are the same in all rows are left out.</p>' if left else ""
    return rendered("rows.html", table=table, caption=caption, file=file) + note
