"""What reads a finished run refuses one whose files are not those that it wrote."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from runs import SharedRuns
from safetensors.numpy import load_file, save_file
from typer.testing import CliRunner

from rewindnet.experiments.cli import app

SCENARIO: dict[str, Any] = {
    "data": {"source": "digits", "limit": 100},
    "partition": {"clients": 4},
    "topology": "ring",
    "learning": {"rounds": 6},
    "unlearning": [{"method": "r2d", "rewind": 0.5, "sigma": 0.1}],
}
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
