"""The figures of a run as files, for papers and slides."""

from collections.abc import Sequence
from pathlib import Path

from rewindnet.experiments.folder.files import check_writable, write
from rewindnet.experiments.folder.whole import read_whole
from rewindnet.experiments.report.charts.layout import layout
from rewindnet.experiments.report.charts.trade_offs import releases_of
from rewindnet.experiments.report.compare_picture import claims
from rewindnet.experiments.report.drawing import Picture
from rewindnet.experiments.report.network import network
from rewindnet.experiments.report.pictures import audits, curves, depth
from rewindnet.experiments.report.trade_offs import costs, pareto


def pictures_of_run(folder: Path) -> list[Picture]:
    """Draw every figure of the page about a run.

    Raises:
        FolderError: if there is no complete run in the folder, or a file of it is damaged.
    """
    run = read_whole(folder)
    rows = releases_of(run)
    drawn = [
        claims(run.summary),
        network(run, layout(run.network[0], run.scenario["topology"]["kind"])),
        pareto(rows, numbered=True),
        depth(run),
        costs(rows),
        *audits(run),
        *curves(run),
    ]
    return [picture for picture in drawn if picture is not None]


def write_pictures(pictures: Sequence[Picture], out: Path) -> list[Path]:
    """Write each picture as PNG, and as PDF in which text is text.

    Args:
        pictures: the pictures.
        out: the folder.

    Returns:
        The files.

    Raises:
        FolderError: if a file cannot be written.
    """
    check_writable(out / f"{pictures[0].name}.png")
    written = []
    for picture in pictures:
        for ending, content in picture.files().items():
            written.append(out / f"{picture.name}{ending}")
            write(written[-1], content)
    return written
