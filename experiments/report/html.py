"""The parts that pages are made of."""

from collections.abc import Sequence
from html import escape
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from rewindnet.experiments.report.svg import Picture


def page(title: str, sections: Sequence[str]) -> str:
    """Insert the sections into the page's skeleton, which escapes what is not marked as HTML."""
    return rendered("report.html", title=title, sections=[Markup(section) for section in sections])


def rendered(template: str, **content: Any) -> str:
    """Return a template of this folder with its content, which is escaped."""
    pages = Environment(
        loader=PackageLoader("rewindnet.experiments.report", ""), autoescape=True, undefined=StrictUndefined
    )
    return pages.get_template(template).render(**content)


def section(name: str, heading: str, content: str) -> str:
    """Return a section with its heading; the content is HTML."""
    return f'<section id="{name}"><h2>{escape(heading)}</h2>{content}</section>'


def figure(pictures: Sequence[Picture], caption: Sequence[str], layout: str = "single") -> str:
    """Return pictures with their caption, in one of the layouts of the style sheet; a full one scrolls if need be."""
    drawn = "".join(
        scrolled(picture.description, picture.svg()) if layout == "full" else picture.svg() for picture in pictures
    )
    return f'<figure class="{layout}">{drawn}<figcaption>{paragraphs(caption)}</figcaption></figure>'


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
