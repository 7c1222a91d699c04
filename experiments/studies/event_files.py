"""The learning curves of runs and studies as TensorBoard event files: `rewindnet events`."""

import io
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from rewindnet.experiments.folder.errors import FolderError
from rewindnet.experiments.folder.files import check_writable, write
from rewindnet.experiments.folder.format import is_complete
from rewindnet.experiments.folder.reader import read_folder
from rewindnet.experiments.studies.study_folder import is_study, read_study
from rewindnet.extras import missing_extras_named

#: The measurements of a line of metrics.jsonl that are curves; the tags have the same names.
TAGS = ("test_accuracy_of_average_model", "consensus_distance")
#: The name of each file: always the same, so that writing again replaces the file. TensorBoard looks for `tfevents`.
FILE = "events.out.tfevents.0.rewindnet"
#: What the first event of a file says about its format.
_VERSION = "brain.Event:2"


class _Point(NamedTuple):
    """One value of a curve: its round, counted from 1 in its phase, its tag, and the value."""

    round: int
    tag: str
    value: float


def write_events(folder: Path, out: Path | None = None) -> list[Path]:
    """Write the learning curves of a run, or of every finished run of a study, as event files.

    Each phase (`learn`, `retrain`, or the number and name of a release) is a run of TensorBoard, with the round as its
    step. Rounds have no times of their own: every event has the time at which its run was finished.

    Args:
        folder: the folder of the run or of the study.
        out: the folder to write; `events` in that folder by default.

    Returns:
        The files: `PHASE/FILE`, of a study `RUN/PHASE/FILE`.

    Raises:
        UserError: if TensorBoard is not installed, there is no finished run, nothing was recorded because its noise is
            secret, or a file is damaged or cannot be written.
    """
    out = folder / "events" if out is None else out
    curves = {(place, phase): curve for place, run in _runs(folder) for phase, curve in _curves(run).items()}
    if not curves:
        raise FolderError(f"{folder} has no learning curves: no run is finished, or the noise of its runs is secret")
    contents = {
        out / place / phase / FILE: _event_file(curve, finished) for (place, phase), (curve, finished) in curves.items()
    }
    for file in contents:
        check_writable(file)
    for file, content in contents.items():
        write(file, content)
    return list(contents)


def _runs(folder: Path) -> Iterator[tuple[str, Path]]:
    """Return the folder of every finished run, and where its files go: in a folder of its name, if it is of a study."""
    if not is_study(folder):
        yield "", folder
        return
    yield from ((run.folder.name, run.folder) for run in read_study(folder).runs if is_complete(run.folder))


def _curves(folder: Path) -> dict[str, tuple[list[_Point], float]]:
    """Return the points of each phase of a run, and when it was finished, in seconds since 1970.

    Raises:
        FolderError: if there is no complete run in the folder, or a file of it is damaged.
    """
    points: dict[str, list[_Point]] = defaultdict(list)
    for line in read_folder(folder).metrics_lines():
        for tag in TAGS:
            if line.get(tag) is not None:
                points[line["phase"]].append(_Point(int(line["round"]), tag, float(line[tag])))
    finished = (folder / "summary.json").stat().st_mtime
    return {phase: (curve, finished) for phase, curve in points.items()}


def _event_file(curve: list[_Point], time: float) -> bytes:
    """Return an event file with these points.

    Raises:
        MissingExtraError: if TensorBoard is not installed.
    """
    with missing_extras_named():
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.summary.writer.record_writer import RecordWriter
    buffer = io.BytesIO()
    writer = RecordWriter(buffer)
    writer.write(Event(wall_time=time, file_version=_VERSION).SerializeToString())
    for point in curve:
        summary = Summary(value=[Summary.Value(tag=point.tag, simple_value=point.value)])
        writer.write(Event(wall_time=time, step=point.round, summary=summary).SerializeToString())
    return buffer.getvalue()
