"""Figures as inline SVG, with colours that follow the theme of the page."""

import io
import re
from html import escape

import matplotlib
from matplotlib.figure import Figure

from rewindnet.experiments.report.drawing import ALARM, GRID, INK, MUTED, PAGE, SERIES

_VARIABLES = {INK: "--ink", MUTED: "--muted", GRID: "--rule", PAGE: "--page", ALARM: "--alarm"} | {
    colour: f"--series-{index}" for index, colour in enumerate(SERIES)
}


def inline(drawn: Figure, name: str, description: str, tight: bool = False) -> str:
    """Return a figure as an <svg> element for an HTML page.

    Args:
        drawn: the figure.
        name: a name that is unique on the page; every id in the element begins with it.
        description: the label for screen readers.
        tight: fit the element to the content of the figure.
    """
    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "rewindnet"}):
        drawn.savefig(buffer, format="svg", bbox_inches="tight" if tight else None, pad_inches=0.03, dpi=150)
    text = re.sub(r"<metadata>.*?</metadata>", "", buffer.getvalue(), flags=re.DOTALL)
    text = text[text.index("<svg") :]
    view = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', text)
    width, height = (float(side) for side in view.groups()) if view else (0.0, 0.0)
    opening = (
        f'<svg role="img" aria-label="{escape(description)}" viewBox="0 0 {width:.5g} {height:.5g}" '
        f'style="aspect-ratio: {width:.5g} / {height:.5g}">'
    )
    text = opening + text[text.index(">") + 1 :]
    text = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", text, count=1, flags=re.DOTALL)
    text = re.sub(r'<g id="[a-z_.A-Z]+\d*">', "<g>", text)
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r'(href="#|url\(#)', rf"\g<1>{name}-", text)
    text = re.sub(r"\s*font-family: [^;\"]+;?", "", text)
    text = re.sub(r'( d|x|y)="[^"]*"', lambda found: re.sub(r"(\.\d\d)\d+", r"\1", found[0]), text)
    for colour, variable in _VARIABLES.items():
        text = text.replace(colour, f"var({variable})")
    return re.sub(r"\s*\n\s*", " ", text)
