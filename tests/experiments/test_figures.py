"""The figures of runs and studies as files: PNG, and PDF in which text is text."""

import re
import shutil
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread
from runs import TOLD
from typer.testing import CliRunner

from rewindnet.experiments.cli import app
from rewindnet.experiments.report.charts.audit import NODES, closest
from rewindnet.experiments.report.charts.trade_offs import front
from rewindnet.experiments.report.trade_offs import pareto
from rewindnet.experiments.studies.picture import accuracy_against_depth, against_depth, learning_curves
from rewindnet.experiments.studies.study_folder import StudyRun, write_study


def release(name: str, epsilon: float | None, accuracy: float, **more: object) -> dict[str, object]:
    return {"release": name, "index": 0, "epsilon_certified": epsilon, "accuracy_test_mean": accuracy, **more}


def test_no_release_lies_above_the_front() -> None:
    points = [(0.1, 0.5), (1.0, 0.4), (1.0, 0.8), (2.0, 0.8), (3.0, 0.9)]
    assert front(points) == [(0.1, 0.5), (1.0, 0.8), (3.0, 0.9)]


def test_releases_without_an_epsilon_are_not_on_the_picture() -> None:
    assert pareto([release("do-nothing", None, 0.9)]) is None
    drawn = pareto([release("r2d", 1.0, 0.7), release("retrain", 0.0, 0.9), release("do-nothing", None, 0.9)])
    assert drawn is not None
    marks = {line.get_label(): line.get_xydata().tolist() for line in drawn.figure.axes[0].lines[:2]}
    assert marks == {"r2d": [[1.0, 0.7]], "retrain": [[pytest.approx(0.1), 0.9]]}


def test_epsilon_is_drawn_against_depth_and_noise_where_epsilon_is_given() -> None:
    common = {"method": "r2d", "view": "node", "bound": "instance", "placement": "output"}
    rows = [{**common, "rewind_share": share, "sigma": 1 - share, "epsilon_certified": 1.0} for share in (0.2, 0.6)]
    given = against_depth(rows)
    assert given is not None
    assert given.figure.axes[0].lines[0].get_ydata().tolist() == [0.8, 0.4]
    found = against_depth([{**row, "sigma": 0.5, "epsilon_certified": 2 - row["rewind_share"]} for row in rows])
    assert found is not None
    assert found.figure.axes[0].lines[0].get_ydata().tolist() == [1.8, 1.4]
    assert against_depth(rows[:1]) is None


def test_accuracy_is_drawn_against_depth_for_each_graph_beside_retraining() -> None:
    common = {"method": "r2d", "view": "node", "bound": "instance", "placement": "output", "sigma": 1.0}
    rows = [
        {**common, "topology": graph, "rewind_share": share, "epsilon_certified": 1.0, "accuracy_test_mean": at * share}
        for graph, at in (("ring", 1.0), ("star", 0.5))
        for share in (0.2, 0.6)
    ]
    retrained = {**common, "method": "retrain", "rewind_share": None, "accuracy_test_mean": 0.9}
    drawn = accuracy_against_depth([*rows, retrained])
    assert drawn is not None
    lines = drawn.figure.axes[0].lines
    assert [list(line.get_ydata()) for line in lines[::2]] == [[0.2, 0.6], [0.1, 0.3], [0.9, 0.9]]
    assert [line.get_label().partition(":")[0] for line in lines[1::2]] == ["ring", "star"]
    assert accuracy_against_depth(rows[:1]) is None


def test_learning_has_a_line_for_each_run_in_the_colour_of_its_topology() -> None:
    rows = [
        {"run": run, "phase": phase, "round": at, "accuracy_test_average_model": at / 9, "consensus_distance": None}
        for run in ("a", "b", "c")
        for phase in ("learn", "retrain")
        for at in (1, 2)
    ]
    accuracy, _ = learning_curves(rows, {"a": "ring", "b": "star", "c": "ring"})
    lines = accuracy.figure.axes[0].lines
    assert [line.get_ydata().tolist() for line in lines] == [[1 / 9, 2 / 9]] * 3
    assert lines[0].get_color() == lines[2].get_color() != lines[1].get_color()
    assert learning_curves([], {}) == []


def test_of_a_large_network_the_nodes_closest_to_their_bounds_are_drawn() -> None:
    generator = np.random.default_rng(0)
    bound, measured = np.ones(5 * NODES), generator.uniform(size=5 * NODES)
    kept = closest(np.arange(5 * NODES), bound, measured)
    np.testing.assert_array_equal(measured[kept], measured.reshape(NODES, 5).max(axis=1))
    np.testing.assert_array_equal(closest(np.arange(7), bound[:7], measured[:7]), np.arange(7))


@pytest.mark.slow
def test_figures_are_written_as_pictures_and_as_text(run_once: Callable[..., object], tmp_path: Path) -> None:
    run = run_once(TOLD).path  # type: ignore[attr-defined]
    names = ["claims", "network", "pareto", "depth", "cost", "audit0", "audit2", "accuracy", "consensus"]
    done = CliRunner().invoke(app, ["figures", str(run)])
    assert done.exit_code == 0, done.stderr
    found = sorted((run / "figures").iterdir())
    assert [file.name for file in found] == sorted(f"{name}{end}" for name in names for end in (".pdf", ".png"))
    assert set(done.stdout.split()) == set(map(str, found))
    for file in found:
        if file.suffix == ".png":
            assert min(imread(file).shape[:2]) > 200
            continue
        streams = re.findall(rb"stream\r?\n(.*?)endstream", file.read_bytes(), re.DOTALL)
        text = b"".join(zlib.decompressobj().decompress(stream) for stream in streams if stream[:1] == b"x")
        assert b"BT" in text
        assert b"/FontFile2" in file.read_bytes()
    study = tmp_path / "study"
    shutil.copytree(run, study / "one")
    write_study(study, "drawn", ["seed"], [StudyRun(study / "one", {"seed": 0})])
    done = CliRunner().invoke(app, ["figures", str(study), "--out", str(tmp_path / "out")])
    assert done.exit_code == 0, done.stderr
    drawn = {file.stem for file in (tmp_path / "out").iterdir()}
    assert drawn == {"hardness-0", "pareto", "cost", "accuracy", "consensus"}
