"""Runs side by side: one table, and files of it."""

import csv
import io
import shutil
from pathlib import Path

import pytest
from matplotlib.image import imread
from rich.console import Console
from runs import SharedRuns

from rewindnet.experiments.folder.reader import FolderError
from rewindnet.experiments.report.compare import compare
from rewindnet.experiments.scenario.errors import ScenarioError

SCENARIO = {
    "data": {"source": "synthetic", "samples": 100, "dimensions": 3},
    "partition": {"clients": 4},
    "topology": "ring",
    "learning": {"rounds": 8},
    "deletion": {"samples": 2},
    "unlearning": [{"method": "r2d", "rewind": 0.25}, {"method": "r2d", "rewind": 0.5, "view": "joint"}],
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, run_once: SharedRuns) -> list[Path]:
    folder = tmp_path_factory.mktemp("runs")
    made = [folder / "ring", folder / "star", folder / "again" / "ring"]
    for path, topology in zip(made, ("ring", "star", "path"), strict=True):
        shutil.copytree(run_once(SCENARIO, f"topology.kind={topology}").path, path)
    return made


def shown(folders: list[Path], *out: Path) -> str:
    text = io.StringIO()
    compare(folders, out, Console(file=text, width=300))
    return text.getvalue()


def test_the_rows_of_all_runs_are_in_one_table(runs):
    text = shown(runs[:2])
    assert [sum(line.startswith(f"│ {name} ") for line in text.splitlines()) for name in ("ring", "star")] == [4, 4]
    assert "do-nothing, node: node 0 carries no noise" in text


def test_a_narrow_terminal_shows_the_most_important_columns(runs):
    text = io.StringIO()
    compare(runs[:2], [], Console(file=text, width=110))
    lines = text.getvalue().splitlines()
    assert max(map(len, (line for line in lines if line.startswith(("┃", "│"))))) <= 110
    assert "ε certified" in text.getvalue()
    assert any(line.startswith("columns that do not fit: ") and "backdoor" not in line for line in lines)


def test_one_run_needs_no_column_for_its_name(runs):
    assert "┃ run" not in shown(runs[:1])
    assert "┃ run" in shown(runs[:2])


def test_runs_in_folders_of_one_name_are_told_apart(runs):
    text = shown([runs[0], runs[2]])
    assert str(runs[0]) in text
    assert str(runs[2]) in text


def test_numbers_go_into_a_csv_and_rows_into_markdown(runs, tmp_path):
    shown(runs[:2], tmp_path / "new" / "all.csv", tmp_path / "all.md")
    with (tmp_path / "new" / "all.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert [(line["run"], line["method"]) for line in lines] == [
        (run, method) for run in ("ring", "star") for method in ("r2d", "r2d", "retrain", "do-nothing")
    ]
    assert [float(line["epsilon_certified"]) for line in lines if line["method"] == "r2d"] == pytest.approx([1.0] * 4)
    assert {line["epsilon_certified"] for line in lines if line["method"] == "do-nothing"} == {""}
    assert all(0 <= float(line["accuracy_test_lowest"]) <= float(line["accuracy_test_mean"]) <= 1 for line in lines)
    assert {float(line["cost_share_gradients"]) for line in lines if line["method"] == "retrain"} == {1.0}
    assert all("{" not in cell for line in lines for cell in line.values())
    table = (tmp_path / "all.md").read_text("utf-8").splitlines()
    columns = {line.replace("\\|", "").count("|") for line in table if line.startswith("|")}
    assert len(columns) == 1
    assert sum(line.startswith("| star |") for line in table) == 4


def test_the_picture_has_a_line_for_every_row(runs, tmp_path):
    heights = []
    for count in (1, 2):
        shown(runs[:count], tmp_path / f"{count}.png")
        drawn = imread(tmp_path / f"{count}.png")
        heights.append(drawn.shape[0])
        assert len({tuple(colour) for colour in drawn[::3, ::3].reshape(-1, drawn.shape[-1]).tolist()}) > 10
    assert heights[1] - heights[0] == pytest.approx(4 * 0.31 * 150, abs=2)


@pytest.mark.parametrize(
    ("folders", "out", "words"),
    [
        ([0], "table.html", "a file ending in .png, .md, .csv, not table.html"),
        ([0, 0], "table.md", "given twice"),
    ],
)
def test_what_makes_no_sense_is_refused_and_nothing_written(runs, tmp_path, folders, out, words):
    with pytest.raises(ScenarioError, match=words):
        shown([runs[at] for at in folders], tmp_path / out)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(FolderError):
        shown([tmp_path], tmp_path / "table.md")
