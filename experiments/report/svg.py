"""Draw figures as inline SVG, in one style and with colours that follow the theme of the page."""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from typing import Any, NamedTuple

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

#: The colours of a figure; in the SVG, variables of the style sheet of the page replace them.
INK, MUTED, GRID, PAGE, ALARM = "#17212b", "#66717c", "#e2e6ea", "#fefefe", "#d1390b"
#: The colours of lines, after Okabe and Ito, which colour-blind readers can distinguish.
SERIES = ("#0b6fb3", "#d98c00", "#08966d", "#b8629a", "#4aa3d6", "#7a6a00")
#: The dashes of lines; they distinguish overlapping lines, and lines of the same colour.
DASHES = ("solid", (0, (5, 2)), (0, (1.5, 1.5)), (0, (6, 2, 1.5, 2)))
_VARIABLES = {INK: "--ink", MUTED: "--muted", GRID: "--rule", PAGE: "--page", ALARM: "--alarm"} | {
    colour: f"--series-{index}" for index, colour in enumerate(SERIES)
}
#: The most characters of a label.
_LONGEST = 60
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "pdf.fonttype": 42,
    "svg.hashsalt": "rewindnet",
    "text.parse_math": False,
    "font.size": 9.0,
    "axes.titlesize": 9.0,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelcolor": INK,
    "axes.edgecolor": MUTED,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "lines.linewidth": 1.6,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
}


@contextmanager
def style() -> Iterator[None]:
    """Apply the style of the report to figures made in this context, instead of the settings of the caller."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)
        yield


class Picture(NamedTuple):
    """A drawn figure.

    Attributes:
        name: a name that is unique on its page, and that of its files.
        figure: the figure.
        description: the label for screen readers.
        tight: fit the picture to the content of the figure.
    """

    name: str
    figure: Figure
    description: str
    tight: bool = False

    def svg(self) -> str:
        """Return the figure as an <svg> element for an HTML page."""
        with style():
            return inline(self.figure, self.name, self.description, self.tight)

    def files(self) -> dict[str, bytes]:
        """Return the figure as the content of a file for each ending: PNG, and PDF with text as text."""
        found = {}
        with style():
            for ending, metadata in ((".png", {"Software": None}), (".pdf", {"CreationDate": None, "Producer": None})):
                buffer = io.BytesIO()
                box = "tight" if self.tight else None
                self.figure.savefig(
                    buffer, format=ending[1:], dpi=200, bbox_inches=box, facecolor="white", metadata=metadata
                )
                found[ending] = buffer.getvalue()
        return found


def figure(width: float, height: float) -> tuple[Figure, Axes]:
    """Make a figure with one pair of axes, inside the context `style`.

    Args:
        width: in inches.
        height: in inches.
    """
    drawn = Figure((width, height), layout="constrained")
    drawn.patch.set_visible(False)
    axes = drawn.add_subplot()
    axes.patch.set_visible(False)
    return drawn, axes


def line_look(index: int) -> dict[str, Any]:
    """Return the colour and the dashes of a line by its number."""
    return {"color": SERIES[index % len(SERIES)], "linestyle": DASHES[index % len(DASHES)]}


def log_axis(axes: Axes) -> None:
    """Make the y axis logarithmic, with plain numbers as labels."""
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    if high / low < 30:
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: plain(value)))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.tick_params(axis="y", which="minor", length=0)


def short(text: str) -> str:
    """Return text for a label: as it is, or its beginning if it would take most of a picture."""
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def plain(value: float) -> str:
    """Format a number like 0.01; as a power of ten below 0.001 and from 100,000 on."""
    if value == 0 or 1e-3 <= abs(value) < 1e5:
        return f"{value:g}"
    mantissa, exponent = f"{value:.0e}".split("e")
    power = "10" + str(int(exponent)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return power if mantissa == "1" else f"{mantissa}·{power}"


def inline(drawn: Figure, name: str, description: str, tight: bool = False) -> str:
    """Return a figure as an <svg> element for an HTML page.

    Args:
        drawn: the figure.
        name: a name that is unique on the page; every id in the element begins with it.
        description: the label for screen readers.
        tight: fit the element to the content of the figure.
    """
    buffer = io.StringIO()
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
