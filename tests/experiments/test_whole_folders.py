"""What reads a finished run refuses one whose files are not those that it wrote."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from runs import SharedRuns, rehash
from safetensors.numpy import load_file, save_file
from typer.testing import CliRunner

from rewindnet.arrays import sha256_of
from rewindnet.experiments.cli import app
from rewindnet.experiments.folder.format import digest

SCENARIO: dict[str, Any] = {
    "data": {"source": "digits", "limit": 100},
    "partition": {"clients": 4},
    "topology": "ring",
    "learning": {"rounds": 6},
    "unlearning": [{"method": "r2d", "rewind": 0.5, "sigma": 0.1}],
}
#: Of a model: ten classes, 64 pixels and the bias.
PARAMETERS = 650
RELEASED = "methods/0-r2d/released.safetensors"


def one_bit(folder: Path) -> str:
    weights = load_file(folder / RELEASED)["theta"].copy()
    weights[0, 0] = np.nextafter(weights[0, 0], 1)
    save_file({"theta": weights}, folder / RELEASED)
    return f"{RELEASED} was changed"


def cut_off(folder: Path) -> str:
    (folder / RELEASED).write_bytes((folder / RELEASED).read_bytes()[:-9])
    return f"{RELEASED} is damaged"


def other_traffic(folder: Path) -> str:
    (folder / "traffic.json").write_text((folder / "traffic.json").read_text().replace("1", "2", 1))
    return "traffic.json was changed"


def no_readme(folder: Path) -> str:
    (folder / "README.md").unlink()
    return "README.md is missing"


def other_record(folder: Path) -> str:
    record = json.loads((folder / "record.json").read_text())
    (folder / "record.json").write_text(json.dumps(record | {"seed": record["seed"] + 1}))
    return "record.json was changed"


def forged(folder: Path, columns: int, everywhere: bool) -> None:
    """Give the models other numbers of columns, with all hashes, and a record of learning that agrees if wanted."""
    record, learning = (json.loads((folder / f"{name}.json").read_text()) for name in ("record", "learning"))
    for name in record["weights_sha256"] if everywhere else (RELEASED.removesuffix(".safetensors"),):
        theta = np.ascontiguousarray(np.resize(load_file(folder / f"{name}.safetensors")["theta"], (4, columns)))
        save_file({"theta": theta}, folder / f"{name}.safetensors")
        record["weights_sha256"][name] = sha256_of(theta)
    record["sha256"] = digest(record["weights_sha256"])
    if everywhere:
        learning["requests"][0]["arithmetic"]["parameters"] = columns
        (folder / "learning.json").write_text(json.dumps(learning))
    (folder / "record.json").write_text(json.dumps(record))
    rehash(folder)


@pytest.mark.parametrize("columns", [7, 1300])
@pytest.mark.parametrize("everywhere", [False, True])
def test_models_of_another_size_are_named(run_once: SharedRuns, columns: int, everywhere: bool) -> None:
    folder = run_once(SCENARIO).path
    assert len(load_file(folder / RELEASED)["theta"][0]) == PARAMETERS
    forged(folder, columns, everywhere)
    page = folder.parent / "certificate.json"
    one = f"{RELEASED} is damaged: its models are [4, {columns}], those of the run [4, {PARAMETERS}]"
    recorded = f"a model is recorded to have {columns:,} parameters and has {PARAMETERS}"
    for command, code, said in (
        (["verify", folder], 1, recorded if everywhere else one),
        (
            ["klom", folder, "--draws", "2"],
            2,
            f"other models than the scenario, of {PARAMETERS}" if everywhere else one,
        ),
        (["certificate", "export", folder, "r2d", "--out", page], 2, recorded if everywhere else one),
    ):
        done = CliRunner().invoke(app, list(map(str, command)), env={"COLUMNS": "500"})
        assert done.exit_code == code, (command, done.exception)
        assert said in done.output, command
    assert not page.exists()


@pytest.mark.parametrize("damage", [one_bit, cut_off, other_traffic, no_readme, other_record])
def test_report_compare_and_klom_name_what_was_changed(run_once: SharedRuns, damage: Any) -> None:
    folder = run_once(SCENARIO).path
    said = damage(folder)
    for command in (["report", folder], ["compare", folder], ["klom", folder, "--draws", "2"]):
        done = CliRunner().invoke(app, list(map(str, command)), env={"COLUMNS": "250"})
        assert (done.exit_code, done.stdout) == (2, ""), command
        assert said in done.stderr, command


def test_a_run_without_a_hash_of_its_record_and_with_files_of_others_is_read(run_once: SharedRuns) -> None:
    folder = run_once(SCENARIO).path
    record = json.loads((folder / "record.json").read_text())
    assert len(record.pop("record_sha256")) == 64
    (folder / "record.json").write_text(json.dumps(record))
    (folder / "notes.txt").write_text("mine")
    done = CliRunner().invoke(app, ["compare", str(folder)], env={"COLUMNS": "250"})
    assert done.exit_code == 0, done.stderr


def test_verify_looks_at_the_hash_of_the_record(run_once: SharedRuns) -> None:
    folder = run_once(SCENARIO).path
    record = json.loads((folder / "record.json").read_text())
    for changed, code in ((record, 0), (record | {"finished": "1999-01-01"}, 1)):
        (folder / "record.json").write_text(json.dumps(changed))
        done = CliRunner().invoke(app, ["verify", str(folder), "--no-data"], env={"COLUMNS": "250"})
        assert done.exit_code == code, done.output
        assert ("record.json was changed" in done.output) == (code == 1)
