"""Learning curves as TensorBoard event files, read back with TensorBoard's own reader."""

import shutil
import sys
from collections import defaultdict
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from runs import TOLD
from typer.testing import CliRunner

from rewindnet.experiments.cli import app
from rewindnet.experiments.folder.errors import FolderError
from rewindnet.experiments.folder.reader import read_folder
from rewindnet.experiments.studies.event_files import FILE, TAGS, write_events
from rewindnet.experiments.studies.study_folder import StudyRun, write_study

installed = pytest.mark.skipif(find_spec("tensorboard") is None, reason="TensorBoard is not installed")

#: Of each phase and tag, the value at each round.
Curves = dict[str, dict[str, list[tuple[int, float]]]]


@pytest.fixture
def run(run_once: Callable[[Mapping[str, Any]], Any]) -> Path:
    return run_once(TOLD).path


def recorded(run: Path) -> Curves:
    """The curves in metrics.jsonl, as single precision has them."""
    curves: Curves = defaultdict(lambda: defaultdict(list))
    for line in read_folder(run).metrics_lines():
        for tag in TAGS:
            if tag in line:
                curves[line["phase"]][tag].append((line["round"], pytest.approx(line[tag], rel=1e-6)))
    return curves


def told(events: Path) -> Curves:
    """The curves that TensorBoard reads."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    curves: Curves = {}
    for folder in events.iterdir():
        reader = EventAccumulator(str(folder)).Reload()
        tags = reader.Tags()["scalars"]
        curves[folder.name] = {tag: [(at.step, at.value) for at in reader.Scalars(tag)] for tag in tags}
    return curves


@installed
def test_tensorboard_reads_the_curves_of_a_run(run: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["events", str(run), "--out", str(tmp_path / "events")])
    assert done.exit_code == 0, done.stderr
    expected = recorded(run)
    assert {"learn", "retrain"} < set(expected)
    assert told(tmp_path / "events") == expected
    assert done.stdout.split() == [str(tmp_path / "events" / phase / FILE) for phase in expected]


@installed
def test_files_of_a_study_lie_in_a_folder_of_each_run_and_are_replaced(run: Path, tmp_path: Path) -> None:
    study = tmp_path / "study"
    shutil.copytree(run, study / "ring", ignore=shutil.ignore_patterns("*.safetensors"))
    (study / "star").mkdir()
    write_study(study, "told", ["topology"], [StudyRun(study / name, {"topology": name}) for name in ("ring", "star")])
    files = write_events(study)
    first = [file.read_bytes() for file in files]
    assert told(study / "events" / "ring") == recorded(run)
    assert [file.read_bytes() for file in write_events(study)] == first
    assert sorted(path for path in (study / "events").rglob("*") if path.is_file()) == sorted(files)


@installed
def test_a_folder_without_curves_is_refused_and_nothing_is_written(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "run")
    (tmp_path / "run" / "metrics.jsonl").write_text("")
    with pytest.raises(FolderError, match="has no learning curves: no run is finished, or the noise"):
        write_events(tmp_path / "run")
    with pytest.raises(FolderError, match="there is no folder"):
        write_events(tmp_path / "nothing")
    assert not (tmp_path / "run" / "events").exists()


def test_where_tensorboard_is_absent_a_sentence_says_how_to_install_it(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ["tensorboard", *sys.modules]:
        if name.partition(".")[0] == "tensorboard":
            monkeypatch.setitem(sys.modules, name, None)
    done = CliRunner().invoke(app, ["events", str(run), "--out", str(tmp_path / "events")])
    assert done.exit_code == 2
    assert " ".join(done.stderr.split()).endswith("install it with: pip install 'rewindnet[tensorboard]'")
    assert not (tmp_path / "events").exists()
