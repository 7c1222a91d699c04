"""Draw figures for files, in one style."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from rewindnet.experiments.report.labels import plain

#: The colours of a figure.
INK, MUTED, GRID, PAGE, ALARM = "#17212b", "#66717c", "#e2e6ea", "#fefefe", "#d1390b"
#: The colours of lines, after Okabe and Ito, which colour-blind readers can distinguish.
SERIES = ("#0b6fb3", "#d98c00", "#08966d", "#b8629a", "#4aa3d6", "#7a6a00")
#: The dashes of lines; they distinguish overlapping lines, and lines of the same colour.
DASHES = ("solid", (0, (5, 2)), (0, (1.5, 1.5)), (0, (6, 2, 1.5, 2)))
_STYLE: dict[Any, Any] = {
    "pdf.fonttype": 42,
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
        name: the name of its files.
        figure: the figure.
        tight: fit the picture to the content of the figure.
    """

    name: str
    figure: Figure
    tight: bool = False

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
