"""The commands about runs and studies that take no scenario: `rewindnet table`, `figures`, `events` and `klom`."""

from pathlib import Path
from typing import Annotated

import typer


def table(
    study: Annotated[Path, typer.Argument(metavar="STUDY", help="The folder of a study, from rewindnet sweep.")],
    rows: Annotated[str, typer.Option("--rows", help="What names a row; the keys that vary by default.")] = "",
    cols: Annotated[str, typer.Option("--cols", help="What names a column.")] = "release",
    value: Annotated[str, typer.Option("--value", help="The value in the cells.")] = "epsilon_certified",
    where: Annotated[
        list[str] | None,
        typer.Option("--where", metavar="COLUMN=VALUE", help="Which results; may be given several times."),
    ] = None,
    out: Annotated[
        list[Path] | None, typer.Option("--out", help="A file to write: .tex, .md or .csv; may be given several times.")
    ] = None,
    wide: Annotated[bool, typer.Option("--wide", help="Print all columns, however narrow the terminal is.")] = False,
) -> None:
    """Show one value of a study in rows and columns, as a mean over seeds with its 95 % interval.

    Rows and columns are columns of results.csv, several of them joined by commas: --rows topology,client --cols method.
    """
    from rewindnet.experiments.studies.show_table import show_table

    show_table(study, rows, cols, value, where or [], out or [], wide)


def figures(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder of a run or of a study.")],
    out: Annotated[
        Path | None, typer.Option("--out", help="The folder to write; figures in that folder by default.")
    ] = None,
) -> None:
    """Write the figures of the page about a run, or about a study, as PNG and as PDF with text as text."""
    from rewindnet.experiments.output import say
    from rewindnet.experiments.studies.figures import write_figures

    for path in write_figures(folder, out):
        say(path)


def events(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder of a run or of a study.")],
    out: Annotated[
        Path | None, typer.Option("--out", help="The folder to write; events in that folder by default.")
    ] = None,
) -> None:
    """Write the learning curves of a run, or of every run of a study, as event files for TensorBoard.

    Each phase of a run is a run of TensorBoard: tensorboard --logdir DIR/events. Needs the extra tensorboard.
    """
    from rewindnet.experiments.output import say
    from rewindnet.experiments.studies.event_files import write_events

    for path in write_events(folder, out):
        say(path)


def klom(
    folder: Annotated[Path, typer.Argument(metavar="DIR")],
    draws: Annotated[int, typer.Option("--draws", help="How many networks to draw on each side.")] = 100,
    points: Annotated[int, typer.Option("--points", help="The largest number of samples of each set.")] = 500,
    only: Annotated[int | None, typer.Option("--only", help="The number of one release; all by default.")] = None,
) -> None:
    """Compare the margins of many unlearned networks with those of many retrained ones, sample by sample.

    The noise of every release of a run is drawn many times; the result goes to klom.json in its folder.
    """
    from rewindnet.experiments.studies.klom_study import klom_study

    klom_study(folder, draws, points, only)
