"""The figures of a study as files, for papers and slides: `rewindnet figures`."""

from pathlib import Path

from rewindnet.experiments.report.drawing import Picture
from rewindnet.experiments.report.figures import pictures_of_run, write_pictures
from rewindnet.experiments.report.trade_offs import costs, pareto
from rewindnet.experiments.studies.hardness import hardness
from rewindnet.experiments.studies.picture import (
    accuracy_against_depth,
    against_depth,
    against_settings,
    hardness_picture,
    learning_curves,
)
from rewindnet.experiments.studies.results import load_study
from rewindnet.experiments.studies.study_folder import is_study


def write_figures(folder: Path, out: Path | None = None) -> list[Path]:
    """Write the figures of a run or of a study as PNG and PDF.

    Args:
        folder: the folder of the run or of the study.
        out: the folder to write; `figures` in that folder by default.

    Returns:
        The files.

    Raises:
        UserError: if there is neither a finished run nor a study, a file is damaged, or one cannot be written.
    """
    pictures = pictures_of_study(folder) if is_study(folder) else pictures_of_run(folder)
    return write_pictures(pictures, folder / "figures" if out is None else out)


def pictures_of_study(folder: Path) -> list[Picture]:
    """Draw every figure of the page about a study.

    Raises:
        UserError: if no run of the study is finished, or a run folder is damaged.
    """
    results = load_study(folder)
    rows = results.rows()
    drawn = [
        *(hardness_picture(found, f"hardness-{at}") for at, found in enumerate(hardness(rows))),
        pareto(rows),
        against_depth(rows),
        accuracy_against_depth(rows),
        *against_settings(rows, results.keys),
        costs(rows),
        *learning_curves(results.curves(), results.topology_of_runs),
    ]
    return [picture for picture in drawn if picture is not None]
