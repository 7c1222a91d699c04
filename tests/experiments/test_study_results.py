"""The results of a study: the tidy table, means over seeds, pivots and their files."""

import csv
import io
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import Result
from drawn import examples
from hypothesis import given
from hypothesis import strategies as st
from runs import TOLD
from scipy import stats
from typer.testing import CliRunner

import rewindnet
from rewindnet.experiments.cli import app
from rewindnet.experiments.studies.formats import csv as as_csv
from rewindnet.experiments.studies.formats import latex, latex_text, markdown
from rewindnet.experiments.studies.pivot import Pivot, pivot
from rewindnet.experiments.studies.results import StudyResults, parquet
from rewindnet.experiments.studies.spread import certified_text, number, spread
from rewindnet.experiments.studies.study_folder import FILE, StudyRun, write_study

ROOT = Path(__file__).parents[2]
#: ε certified of r2d by topology, client and seed; None: nothing is certified.
EPSILONS = {
    ("ring", 0): [1.0, 2.0, 3.0],
    ("ring", 1): [4.0, 4.0, 4.0],
    ("star", 0): [0.5, None, 1.5],
    ("star", 1): [None, None, None],
}


@pytest.fixture
def folder(run_once: Callable[[Mapping[str, Any]], Any], tmp_path: Path) -> Path:
    """A study of twelve runs, which are one run with other numbers."""
    run, study, runs = run_once(TOLD), tmp_path / "told-sweep", []
    for (kind, client), values in EPSILONS.items():
        for seed, epsilon in enumerate(values):
            place = study / f"{kind}-{client}-{seed}"
            shutil.copytree(run.path, place, ignore=shutil.ignore_patterns("*.safetensors"))
            summary = json.loads((place / "summary.json").read_text())
            summary["rows"][0] |= {"epsilon_certified": epsilon, "doubtful_constants": client == 1}
            (place / "summary.json").write_text(json.dumps(summary))
            record = json.loads((place / "record.json").read_text())
            (place / "record.json").write_text(json.dumps(record | {"seed": seed}))
            runs.append(StudyRun(place, {"topology.kind": kind, "deletion.client": client, "seed": seed}))
    write_study(study, "told", ["topology.kind", "deletion.client", "seed"], runs)
    return study


@pytest.fixture
def results(folder: Path) -> StudyResults:
    return rewindnet.load_study(folder)


def command(*words: object) -> Result:
    return CliRunner().invoke(app, ["table", *map(str, words)], env={"COLUMNS": "200"})


# The tidy table


def test_there_is_a_row_for_each_release_of_each_run(results: StudyResults) -> None:
    table = results.to_pandas()
    assert len(table) == 4 * 3 * 3
    assert not table.duplicated(["run", "request", "release", "view"]).any()
    assert table.columns[:7].tolist() == [
        "run",
        "topology.kind",
        "deletion.client",
        "seed",
        "topology",
        "nodes",
        "client",
    ]
    assert table["seed"].tolist() == [seed for _ in range(4) for seed in range(3) for _ in range(3)]
    first = table.iloc[0]
    # The client 1 of a star of 4 nodes has one link, to the hub, and is 5/3 hops away from the others in the mean.
    assert (first["client"], first["client_links"], first["client_most_hops"]) == (1, 1, 2)
    assert first["client_mean_hops"] == pytest.approx(5 / 3)
    assert (first["client_samples"], first["client_deleted_samples"], first["links"]) == (20, 2, 3)
    assert (first["rewind_share"], first["descent_rounds"], first["cost_share_gradients"]) == (0.5, 3, 0.5)
    assert {"cost_bytes", "cost_seconds", "cost_simulated_seconds"} <= set(table)
    assert "rewind" not in table
    assert "backdoor" not in table, "a column that says nothing"


def test_the_files_hold_the_tidy_table_and_the_learning_curves(results: StudyResults, folder: Path) -> None:
    written = results.write()
    assert [path.name for path in written] == ["results.csv", "results.parquet", "curves.csv", "curves.parquet"]
    for name, rows in (("results", results.rows()), ("curves", results.curves())):
        for found in (pd.read_csv(folder / f"{name}.csv"), pd.read_parquet(folder / f"{name}.parquet")):
            assert found.columns.tolist() == list(rows[0])
            assert len(found) == len(rows)
    table = pd.read_parquet(folder / "results.parquet")
    pd.testing.assert_frame_equal(table, results.to_pandas(), check_dtype=False)
    curves = pd.read_csv(folder / "curves.csv")
    lines = [json.loads(line) for line in (folder / "ring-0-0" / "metrics.jsonl").read_text().splitlines()]
    own = curves[curves["run"] == "ring-0-0"]
    looked = [line for line in lines if "consensus_distance" in line]
    assert own["accuracy_test_average_model"].tolist() == [line["test_accuracy_of_average_model"] for line in looked]
    assert own["phase"].tolist() == [line["phase"] for line in looked]


def test_a_column_of_names_and_numbers_is_text_in_parquet() -> None:
    content = parquet([{"client": 1, "at": 0.5}, {"client": "Aachen", "at": None}])
    assert content is not None
    assert pd.read_parquet(io.BytesIO(content))["client"].tolist() == ["1", "Aachen"]


@pytest.mark.slow
def test_results_are_read_without_torch(folder: Path) -> None:
    code = f"import rewindnet, sys; print(len(rewindnet.load_study({str(folder)!r}).rows()), 'torch' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert said.stdout.split() == ["36", "False"]


# Means over seeds


@given(st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=12))
@examples(30)
def test_the_interval_is_that_of_scipy(values: list[float]) -> None:
    found = spread(values)
    assert found.half_width is not None
    scale = stats.sem(values)
    low, high = stats.t.interval(0.95, len(values) - 1, np.mean(values), scale) if scale else (found.mean,) * 2
    assert [found.mean - found.half_width, found.mean + found.half_width] == pytest.approx([low, high], abs=1e-9)


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([0.25], "0.25"),
        ([2.0, 2.0], "2 ± 0"),
        ([1.0, 1.0 + 1e-15], "1 ± 0"),
        ([1.0, 2.0, 3.0], "2.0 ± 2.5"),
        ([0.5, 0.9], "0.7 ± 2.5"),
        ([0.861, 0.863, 0.862], "0.8620 ± 0.0025"),
        ([1e7, 3e7], "20000000 ± 1.3e+08"),
    ],
)
def test_a_mean_has_the_digits_of_its_interval(values: list[float], text: str) -> None:
    assert str(spread(values)) == text


def test_whole_numbers_keep_their_digits() -> None:
    assert [number(value) for value in (123456.0, 0.123456, 1234.5)] == ["123456", "0.123", "1.23e+03"]


# Pivots


def test_a_cell_is_a_mean_over_seeds_with_its_marks(results: StudyResults) -> None:
    table = results.table(columns=["method"])
    assert table.heads[:3] == ["topology.kind", "deletion.client", "r2d"]
    assert {(line[0], line[1]): line[2] for line in table.cells} == {
        ("ring", "0"): "2.0 ± 2.5†",
        ("ring", "1"): "4 ± 0†*",
        ("star", "0"): "1.0 ± 6.4 (— in 1 of 3)†",
        ("star", "1"): "—",
    }
    said = " ".join(table.notes)
    for words in ("95 % t-interval", "per-instance", "conditional", "—: none"):
        assert words in said
    assert "lowest" not in said


def test_a_cell_whose_rows_differ_in_more_than_the_seed_says_so(results: StudyResults) -> None:
    table = results.table(["topology"], ["method"], where=["topology.kind=ring"])
    assert table.cells[0][1] == "2.0 ± 2.5 … 4 ± 0†*"
    assert any("the rows of a cell differ in deletion.client." in note for note in table.notes)
    (line,) = results.table(["topology.kind"], ["method"], where=["topology.kind=star"]).cells
    assert line[1] == "1.0 ± 6.4 (— in 1 of 3) or —†"


def test_a_violated_certificate_is_named_in_its_cell(folder: Path) -> None:
    summary = json.loads((folder / "ring-0-1" / "summary.json").read_text())
    summary["rows"][0]["holds"] = False
    (folder / "ring-0-1" / "summary.json").write_text(json.dumps(summary))
    cells = rewindnet.load_study(folder).table(columns=["method"]).cells
    assert [line[2].endswith("† VIOLATED") for line in cells] == [True, False, False, False]


def test_a_certified_epsilon_of_one_seed_is_rounded_up() -> None:
    for values, text in ([1.004], "1.01"), ([1.004, 1.004], "1.01 ± 0"), ([2.0], "2"), ([12345.0], "12345"):
        assert certified_text(spread(values)) == text
    row = {"seed": 0, "method": "r2d", "holds": True, "epsilon_certified": 1.004, "epsilon_empirical": 1.004}
    assert pivot([row], [], ["method"], [], "epsilon_certified").cells == [["r2d", "1.01"]]
    assert pivot([row], [], ["method"], [], "epsilon_empirical").cells == [["r2d", "1"]]


def test_values_without_an_epsilon_have_no_marks(results: StudyResults) -> None:
    for line in results.table(columns=["method"], value="cost_gradients").cells:
        assert not set("†*") & set("".join(line))


def test_the_command_prints_and_writes_what_python_gives(folder: Path, results: StudyResults, tmp_path: Path) -> None:
    files = [tmp_path / f"t{ending}" for ending in (".tex", ".md", ".csv")]
    outs = [word for file in files for word in ("--out", file)]
    shown = command(folder, "--rows", "topology.kind,client", "--cols", "method", "--where", "seed=0,1", *outs)
    assert shown.exit_code == 0, shown.stderr
    table = results.table(["topology.kind", "client"], ["method"], where=["seed=0,1"])
    assert table.labels == 2
    for cell in {cell for line in table.cells for cell in line}:
        assert cell in shown.stdout
    assert [file.read_text() for file in files] == [latex(table), markdown(table), as_csv(table)]
    found = list(csv.reader(io.StringIO(as_csv(table))))
    assert found == [table.heads, *table.cells]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (
            ("--rows", "topolgy"),
            "there is no column 'topolgy' (did you mean 'topology'?); there are: run, topology.kind",
        ),
        (("--value", "epsilon_certfied"), "(did you mean 'epsilon_certified'?)"),
        (("--value", "method"), "method is text; --value takes a number: "),
        (("--where", "method=scrubbed"), "no row has method scrubbed; there are: r2d, "),
        (("--where", "method"), "--where takes column=value, like method=r2d; not 'method'"),
        (("--out", "table.pdf"), "--out takes a file ending in .md, .tex, .csv, not table.pdf"),
    ],
)
def test_what_there_is_not_is_a_sentence(folder: Path, words: tuple[str, ...], says: str) -> None:
    refused = command(folder, *words)
    assert refused.exit_code == 2
    assert says in refused.stderr
    assert refused.stderr.count("\n") == 1


def test_a_folder_that_is_no_study_is_a_sentence(folder: Path, tmp_path: Path) -> None:
    assert "there is no folder" in command(tmp_path / "nowhere").stderr
    assert f"it holds no {FILE}" in command(folder / "ring-0-0").stderr
    content = json.loads((folder / FILE).read_text())
    (folder / FILE).write_text(json.dumps(content | {"format": 9}))
    assert "is a study of format 9; this version reads 1" in command(folder).stderr
    (folder / FILE).write_text(json.dumps(content | {"runs": [{}]}))
    assert "is damaged: it does not list the runs of a study" in command(folder).stderr
    (folder / FILE).write_text(json.dumps(content | {"runs": []}))
    assert "no run of the study in" in command(folder).stderr


def test_runs_that_are_not_finished_are_left_out_and_counted(folder: Path) -> None:
    shutil.rmtree(folder / "ring-0-0")
    results = rewindnet.load_study(folder)
    assert results.unfinished == ["ring-0-0"]
    assert len(results.rows()) == 33
    assert "not in the table: 1 run that is not finished." in command(folder).stdout


def test_latex_shows_what_it_would_read_as_something_else() -> None:
    assert latex_text(r"50 % & a_b\c~^{} †") == (
        r"50 \% \& a\_b\textbackslash{}c\textasciitilde{}\textasciicircum{}\{\} $^\dagger$"
    )
    table = Pivot(["a_b", "50 %"], [["x", "1 ± 2†"]], 1, ["a note"])
    assert latex(table).splitlines() == [
        "% a note",
        r"\begin{tabular}{lr}",
        r"\toprule",
        r"a\_b & 50 \% \\",
        r"\midrule",
        r"x & 1 $\pm$ 2$^\dagger$ \\",
        r"\bottomrule",
        r"\end{tabular}",
    ]


def test_two_releases_with_the_same_label_are_not_averaged() -> None:
    base = {"seed": 0, "method": "r2d", "release": "r2d", "holds": True}
    rows = [{**base, "index": at, "epsilon_certified": float(at + 1)} for at in range(2)]
    assert pivot(rows, [], ["method"], [], "epsilon_certified").cells == [["r2d", "1 … 2"]]
