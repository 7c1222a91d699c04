"""The package as a user of Python meets it."""

import gc
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pandas as pd
import pytest
import torch
from nbclient import NotebookClient
from runs import rehash

import rewindnet
from rewindnet.clients.models.logistic import Logistic
from rewindnet.experiments.runs.progress import Progress

ROOT = Path(__file__).parents[2]
TINY = {
    "name": "tiny",
    "data": {"source": "synthetic", "samples": 100, "dimensions": 3},
    "partition": {"clients": 4},
    "topology": "ring",
    "learning": {"rounds": 10},
    "deletion": {"samples": 2},
    "unlearning": ["r2d"],
    "measures": {"membership": False},
}


@pytest.fixture(scope="module")
def result() -> Any:
    return rewindnet.run(TINY)


# -- load ------------------------------------------------------------------------------------------------------------


def test_a_scenario_comes_from_a_file_a_mapping_a_scenario_or_nothing(tmp_path: Path) -> None:
    file = tmp_path / "s.yaml"
    file.write_text("name: mine\ntopology: star\nlearning: {rounds: 7}\n")
    for source in (file, str(file), {"name": "mine", "topology": "star", "learning": {"rounds": 7}}):
        found = rewindnet.load(source, seed=3, **{"deletion.client": 2})
        assert (found.name, found.topology.kind, found.learning.rounds) == ("mine", "star", 7)
        assert (found.seed, found.deletion.client) == (3, 2)
        assert rewindnet.load(found) == found
        assert rewindnet.load(found, topology="ring").topology.kind == "ring"
    assert rewindnet.load() == rewindnet.Scenario()
    assert rewindnet.load(**{"unlearning.0.rewind": 0.25}).unlearning[0].settings["rewind"] == 0.25


def test_overrides_are_values_not_texts() -> None:
    found = rewindnet.load(TINY, **{"deletion.samples": {"indices": np.array([0, 2]).tolist()}, "seed": np.int64(4)})
    assert found.plain()["deletion"]["samples"] == {"indices": [0, 2]}
    assert found.seed == 4


@pytest.mark.parametrize(
    ("source", "overrides", "sentence"),
    [
        ("nowhere.yaml", {}, "cannot read the scenario nowhere.yaml: No such file"),
        (7, {}, "a scenario is a mapping of keys, not int"),
        (None, {"topology": "rong"}, "unknown topology 'rong' .*did you mean 'ring'"),
        (None, {"learning.": 3}, "settings are written key=value"),
        (None, {"seed": [1]}, r"seed: must be a valid integer, not \[1\]"),
    ],
)
def test_what_is_wrong_is_a_sentence(source: Any, overrides: dict[str, Any], sentence: str) -> None:
    with pytest.raises(rewindnet.UserError, match=sentence):
        rewindnet.load(source, **overrides)


# -- run -------------------------------------------------------------------------------------------------------------


def test_a_result_has_everything_at_hand(result: Any) -> None:
    assert result.holds
    assert result.violations == []
    assert [certificate.method for certificate in result.certificates] == ["r2d", "retrain", "do-nothing"]
    assert all(isinstance(certificate, rewindnet.Certificate) for certificate in result.certificates)
    assert result.scenario == rewindnet.load(TINY)
    assert result.record["state"] == "complete"
    assert result.record["command"] == ["rewindnet.run"]
    assert (result.folder / "summary.json").is_file()
    assert repr(result).endswith("3 releases, holds)")


def test_the_table_is_a_data_frame_of_numbers(result: Any) -> None:
    table = result.table()
    assert isinstance(table, pd.DataFrame)
    assert table["method"].tolist() == ["r2d", "retrain", "do-nothing"]
    assert table["accuracy_test_mean"].between(0, 1).all()
    assert not any(isinstance(value, dict | list) for value in table.to_numpy().ravel())
    assert table.loc[1, "cost_share_gradients"] == 1.0


def test_without_pandas_the_table_is_a_list_of_mappings(result: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    rows = result.table()
    assert [row["method"] for row in rows] == ["r2d", "retrain", "do-nothing"]
    assert rows == result.rows()


def test_weights_are_arrays_by_name(result: Any) -> None:
    weights = result.weights()
    assert "methods/0-r2d" not in weights
    assert weights.get("methods/0-r2d") is None
    assert {"methods/0-r2d/released", "checkpoints/learned-000010"} <= set(weights)
    assert len(weights) == len(result.record["weights_sha256"])
    assert weights["methods/0-r2d/released"].shape == (4, 8)
    assert np.array_equal(result.weights("methods/1-retrain/released"), weights["methods/1-retrain/centre"])
    with pytest.raises(rewindnet.UserError, match="keeps no weights 'methods/0-r2d'; it keeps: checkpoints/"):
        result.weights("methods/0-r2d")
    bare = rewindnet.run({**TINY, "record": {"weights": False}})
    assert len(bare.weights()) == 0
    with pytest.raises(rewindnet.UserError, match=r"it keeps: none; run it with record\.weights=true"):
        bare.weights("methods/0-r2d/released")


def test_a_result_shows_in_a_notebook(result: Any) -> None:
    shown = result._repr_html_()
    assert shown.count("<tr>") == 4
    assert all(text in shown for text in ('<th scope="col">method</th>', "<td>r2d 50 %</td>", "do-nothing"))
    report = result.report()
    assert str(report) == str(result.folder / "report.html")
    assert Path(report).is_file()
    assert report._repr_html_().startswith('<iframe srcdoc="&lt;!DOCTYPE html&gt;')


def test_a_run_without_a_folder_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    found = rewindnet.run(TINY)
    assert found.folder.is_relative_to(tmp_path)
    assert found.folder.name == "tiny"
    del found
    gc.collect()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(rewindnet.UserError, match="client 9 does not exist"):
        rewindnet.run(rewindnet.load(TINY, **{"deletion.client": 9}))
    gc.collect()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_kept_and_never_overwritten_unasked(tmp_path: Path, result: Any) -> None:
    found = rewindnet.run(TINY, tmp_path / "kept")
    assert found.record["sha256"] == result.record["sha256"]
    with pytest.raises(rewindnet.UserError, match="already holds a run"):
        rewindnet.run(TINY, tmp_path / "kept")
    assert rewindnet.run(rewindnet.load(TINY, seed=1), tmp_path / "kept", force=True).record["seed"] == 1
    again = type(found)(tmp_path / "kept")
    assert again.scenario.seed == 1
    with pytest.raises(rewindnet.UserError, match="there is no folder"):
        type(found)(tmp_path / "other")


def test_an_unfinished_run_goes_on(tmp_path: Path, result: Any) -> None:
    class Stop(Progress):
        def phase(self, name: str, rounds: int | None) -> None:
            if name == "0-r2d":
                raise KeyboardInterrupt

    class Watch(Progress):
        def __init__(self) -> None:
            self.phases: list[str] = []

        def resumed(self, folder: Path) -> None:
            self.phases.append(f"resumed {folder.name}")

        def phase(self, name: str, rounds: int | None) -> None:
            self.phases.append(name)

    with pytest.raises(KeyboardInterrupt):
        rewindnet.run(TINY, tmp_path / "out", progress=Stop())
    watch = Watch()
    found = rewindnet.run(TINY, tmp_path / "out", progress=watch)
    assert watch.phases == ["resumed out", "learn", "retrain", "0-r2d", "1-retrain", "2-do-nothing"]
    assert found.record["sha256"] == result.record["sha256"]


def test_a_violated_certificate_shows_and_does_not_raise(monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    honest = Logistic.constants

    def small(self: Logistic, radius: Any) -> Any:
        constants = honest(self, radius)
        return replace(constants, G=replace(constants.G, value=constants.G.value / 1000))

    monkeypatch.setattr(Logistic, "constants", small)
    found = rewindnet.run(TINY)
    assert not found.holds
    assert "the certificate of r2d is violated" in found.violations[0]
    assert "VIOLATED" in found._repr_html_()
    assert repr(found).endswith("VIOLATED)")


def test_a_run_takes_no_threads_away_from_the_rest_of_the_program() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        rewindnet.run(TINY)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


# -- sweep, plan, verify ---------------------------------------------------------------------------------------------


def test_a_sweep_runs_every_combination_once(tmp_path: Path) -> None:
    grid = {"topology.kind": ["ring", "star"], "deletion.client": range(2)}
    study = rewindnet.sweep(TINY, grid, seeds=[5], out=tmp_path)
    assert study.points == [
        {"topology.kind": kind, "deletion.client": client, "seed": 5} for kind in ("ring", "star") for client in (0, 1)
    ]
    assert sorted(path.name.rpartition("-")[0] for path in tmp_path.iterdir() if path.is_dir()) == sorted(
        f"topology.kind={kind},deletion.client={client},seed=5" for kind in ("ring", "star") for client in (0, 1)
    )
    table = study.table()
    assert len(table) == 4 * 3
    assert table.columns[:3].tolist() == ["topology.kind", "deletion.client", "seed"]
    assert study.holds
    assert study._repr_html_().count("<tr>") == 13
    written = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("record.json")}
    again = rewindnet.sweep(TINY, grid, seeds=[5], out=tmp_path)
    assert [one.record for one in again] == [one.record for one in study]
    assert written == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("record.json")}


def test_a_result_outlives_the_study_that_it_comes_from() -> None:
    study = rewindnet.sweep(TINY, {}, seeds=2)
    assert [one.scenario.seed for one in study] == [0, 1]
    one, folder = study.results[1], study.folder
    del study
    gc.collect()
    assert one.weights("methods/0-r2d/released").shape == (4, 8)
    del one
    gc.collect()
    assert not folder.exists()


@pytest.mark.parametrize(
    ("grid", "seeds", "sentence"),
    [
        ({"topology.kind": "ring"}, None, "topology.kind takes a list of values, not 'ring'"),
        ({"topology.kind": []}, None, "topology.kind has no values"),
        ({"seed": [1]}, 2, "seed is given twice"),
        ({"seed": [1, 1]}, None, "give each value once"),
        ({"deletion.client": [0, 9]}, None, "deletion.client 9 does not exist"),
    ],
)
def test_bad_grids_are_found_before_the_first_run(
    tmp_path: Path, grid: dict[str, Any], seeds: int | None, sentence: str
) -> None:
    with pytest.raises(rewindnet.UserError, match=sentence):
        rewindnet.sweep(TINY, grid, seeds, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_plan_is_a_table_and_a_hardest_client(tmp_path: Path) -> None:
    (tmp_path / "hospitals.csv").write_text("Aachen,Bonn\nBonn,Celle\nBonn,Dachau\n")
    scenario = {**TINY, "topology": {"kind": "file", "path": str(tmp_path / "hospitals.csv")}}
    planned = rewindnet.plan(scenario)
    table = planned.table()
    assert planned.hardest in range(4)
    assert set(table["name"]) == {"Aachen", "Bonn", "Celle", "Dachau"}
    assert table.set_index("name")["degree"]["Bonn"] == 3
    assert (table["sigma"] > 0).all()
    assert table["sigma"].idxmax() == table.index[table["client"] == planned.hardest][0]
    assert planned.sentences[0] in planned._repr_html_()
    declared = {"data": "declared", "partition": {"kind": "declared", "clients": 30}, "deletion": {"samples": 1}}
    assert len(rewindnet.plan(declared, clients=3).table()) == 3 * 3
    with pytest.raises(rewindnet.UserError, match="at least 1"):
        rewindnet.plan(TINY, clients=0)


def test_verification_is_a_list_of_findings(result: Any, tmp_path: Path) -> None:
    findings = rewindnet.verify(result)
    assert findings.holds
    assert all(finding.holds for finding in findings)
    assert len(rewindnet.verify(result.folder)) == len(findings)
    assert findings._repr_html_().count("<tr>") == len(findings) + 1
    broken = rewindnet.run(TINY, tmp_path / "run")
    file = tmp_path / "run" / "methods" / "0-r2d" / "certificate.json"
    file.write_text(re.sub(r'"delta": [^,]+', '"delta": 1e-9', file.read_text("utf-8")), encoding="utf-8")
    rehash(file)
    assert not rewindnet.verify(broken).holds
    with pytest.raises(rewindnet.UserError, match="there is no folder"):
        rewindnet.verify(tmp_path / "none")


# -- imports ---------------------------------------------------------------------------------------------------------

CALCULUS = """
import sys
for name in ("torch", "matplotlib", "flwr", "pydantic", "typer", "rich", "yaml", "sklearn", "safetensors", "pandas",
             "filelock", "jinja2", "mpi4py", "cryptography", "dp_accounting"):
    sys.modules[name] = None
import numpy as np
import rewindnet
graph = rewindnet.build("ring", 8, seed=0)
weights = rewindnet.mixing_matrix("metropolis-hastings", graph)
from rewindnet.certificates import Constant, derive
from rewindnet.topologies import Static
run = rewindnet.TrainingRun(
    mixing=Static(graph, weights), rounds=20, step_size=1.0, local_steps=1, order="adapt-then-combine",
    constants=derive("logistic", Constant(1.0, "proven"), l2=1e-4),
    samples=np.full(8, 50), deleted=np.where(np.arange(8) == 0, 5, 0),
)
release = rewindnet.Release("r2d", 10, 10, "output", np.full(8, 3.0))
certificate = rewindnet.certify(run, release, rewindnet.Claim("node", 1e-5))
assert isinstance(certificate, rewindnet.Certificate)
assert rewindnet.calibrate(run, release, rewindnet.Claim("node", 1e-5), 1.0).shape == (8,)
try:
    rewindnet.run
except rewindnet.UserError as problem:
    print(problem)
"""


def test_the_calculus_of_certificates_needs_numpy_scipy_and_networkx_alone() -> None:
    done = subprocess.run([sys.executable, "-c", CALCULUS], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert re.match(
        r"this needs \w+, which is not installed; install it with: pip install 'rewindnet\[sim\]'", done.stdout
    )


def test_the_import_is_quick_and_the_names_are_there() -> None:
    script = (
        "import sys, rewindnet\n"
        "assert not {'torch', 'numpy', 'pydantic', 'matplotlib', 'flwr'} & set(sys.modules)\n"
        "assert set(rewindnet.__all__) <= set(dir(rewindnet))\n"
        "assert all(getattr(rewindnet, name) is not None for name in rewindnet.__all__)\n"
        "assert not {'matplotlib', 'flwr', 'jinja2'} & set(sys.modules)\n"
        "assert not hasattr(rewindnet, 'nothing')\n"
        "from rewindnet import *\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_run_in_one_process_needs_the_extra_sim_alone() -> None:
    script = (
        "import sys\n"
        "absent = {'flwr', 'cryptography', 'grpc', 'ray', 'mpi4py', 'matplotlib', 'jinja2', 'pandas', 'pyarrow',\n"
        "          'dp_accounting'}\n"
        "class Absent:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] in absent:\n"
        "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
        "sys.meta_path.insert(0, Absent())\n"
        "import rewindnet\n"
        f"result = rewindnet.run({TINY!r})\n"
        "assert isinstance(result.table(), list) and rewindnet.verify(result).holds\n"
        f"assert rewindnet.plan({TINY!r}).hardest is not None\n"
        "try:\n    result.report()\nexcept rewindnet.UserError as problem:\n    print(problem)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "pip install 'rewindnet[plots]'" in done.stdout


# -- documents -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_page_for_python_does_what_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    page = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    names: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL):
        exec(block, names)
    said = capsys.readouterr().out
    assert said.startswith("True\n")
    assert "accuracy_test_mean" in said


@pytest.mark.slow
def test_examples_in_the_docstrings_run() -> None:
    import doctest

    from rewindnet.experiments import api, results
    from rewindnet.experiments.handover import export

    for module in (api, results, export):
        found = doctest.testmod(module)
        assert found.attempted > 2
        assert found.failed == 0


@pytest.mark.slow
def test_a_notebook_shows_the_table_and_the_report(tmp_path: Path) -> None:
    cells = [
        f"import rewindnet\nresult = rewindnet.run({TINY!r})",
        "result",
        "result.report()",
        "result.table().head()",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    NotebookClient(
        notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    table, report, frame = (cell.outputs[-1]["data"]["text/html"] for cell in notebook.cells[1:])
    assert "<td>r2d 50 %</td>" in table
    assert report.startswith("<iframe")
    assert 'class="dataframe"' in frame
    assert "do-nothing" in frame
    assert list(tmp_path.iterdir()) == []
