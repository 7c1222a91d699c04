"""A method with steps and a mechanism of its own, a topology, a model and a transport, added as CONTRIBUTING says.

Each is one file of `tests/support/additions` and one line: the entry of a registry. Nothing else knows of them.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from additions.transport import PostalWire

import rewindnet
from rewindnet.clients.methods import METHODS
from rewindnet.clients.models import MODELS
from rewindnet.experiments.cli import app
from rewindnet.registry import Registry
from rewindnet.simulator.transports.registry import TRANSPORTS
from rewindnet.topologies import FAMILIES

ROOT = Path(__file__).parents[2]
#: The lines: where each entry goes, and what it is.
LINES: dict[str, tuple[Registry[Any], str, str]] = {
    "methods": (METHODS, "slow-start", "additions.method:SlowStart"),
    "topologies": (FAMILIES, "wheel", "additions.topology:wheel"),
    "models": (MODELS, "least-squares", "additions.model:LeastSquares"),
    "transports": (TRANSPORTS, "post", "additions.transport:Post"),
}
SCENARIO: dict[str, Any] = {
    "name": "added",
    "data": {"source": "synthetic", "samples": 100, "dimensions": 3},
    "partition": {"clients": 6},
    "topology": {"kind": "wheel", "spokes": 3},
    "model": {"kind": "least-squares", "l2": 0.2},
    "learning": {"rounds": 8, "step_size": 0.5},
    "deletion": {"client": 1, "samples": 2},
    "unlearning": [{"method": "slow-start", "rounds": 2, "epsilon": 2.0}, {"method": "r2d", "rewind": 0.5}],
    "backend": {"kind": "post", "precision": "exact", "most": 6},
}


@pytest.fixture(scope="module", autouse=True)
def added() -> Iterator[None]:
    """Add the line of each registry, and take it away again."""
    for registry, name, entry in LINES.values():
        registry.register(name, entry)
    yield
    for registry, name, _ in LINES.values():
        del registry.entries[name]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the scenario by the command line."""
    home = tmp_path_factory.mktemp("added")
    (home / "scenario.yaml").write_text(yaml.safe_dump(SCENARIO), encoding="utf-8")
    before = PostalWire.posted
    command("run", home / "scenario.yaml", "--out", home / "run")
    # Learning and retraining take 8 rounds each, the releases 2 and 4, and all 6 nodes send in each of them.
    assert PostalWire.posted - before >= 6 * (8 + 8 + 2 + 4)
    return home / "run"


def command(*words: object) -> None:
    """Give a command that must end with exit code 0."""
    with pytest.raises(SystemExit) as end:
        app([str(word) for word in words])
    assert end.value.code == 0


def test_a_run_with_all_of_them_is_certified_and_audited(folder: Path) -> None:
    result = rewindnet.run(SCENARIO)
    assert result.holds
    assert result.record["sha256"] == json.loads((folder / "record.json").read_text(encoding="utf-8"))["sha256"]
    row = result.rows()[0]
    assert (row["method"], row["variant"], row["noise"]) == ("slow-start", "2 parts", "in parts")
    assert row["epsilon_certified"] == pytest.approx(2.0)
    # G is declared, so everything is claimed on a condition.
    assert row["conditional"]
    assert 0 < row["epsilon_empirical"] < 2.0


@pytest.mark.slow
def test_the_transport_changes_no_bit(folder: Path) -> None:
    here = rewindnet.run({**SCENARIO, "backend": {"precision": "exact"}})
    assert here.record["sha256"] == json.loads((folder / "record.json").read_text(encoding="utf-8"))["sha256"]


@pytest.mark.slow
def test_flower_carries_the_steps(folder: Path) -> None:
    there = rewindnet.run({**SCENARIO, "backend": {"kind": "flower", "runtime": "in-process", "precision": "exact"}})
    assert there.record["sha256"] == json.loads((folder / "record.json").read_text(encoding="utf-8"))["sha256"]


def test_it_is_verified_reported_compared_and_planned(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert rewindnet.verify(folder).holds
    command("verify", folder)
    command("report", folder)
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "added noise in 2 parts and took 2 half steps" in page
    command("compare", folder, "--out", folder.parent / "table.md")
    assert "slow-start, 2 parts" in (folder.parent / "table.md").read_text(encoding="utf-8")
    capsys.readouterr()
    assert rewindnet.plan({**SCENARIO, "unlearning": ["r2d"]}, clients=2).hardest in range(6)


@pytest.mark.parametrize("kind", LINES)
def test_it_is_listed_with_its_documentation(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    command("list", kind)
    (line,) = [line for line in capsys.readouterr().out.splitlines() if LINES[kind][1] in line]
    assert "of a test" in line


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"topology": {"kind": "wheel", "spoke": 3}}, "unknown key 'spoke' for the topology wheel"),
        ({"partition": {"clients": 4}}, "a wheel has at least 5 nodes"),
        ({"backend": {"kind": "post", "most": 5}}, "the post serves 5 nodes, not 6"),
        ({"unlearning": ["slow-strat"]}, "did you mean 'slow-start'"),
    ],
)
def test_mistakes_in_its_settings_are_sentences(change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(rewindnet.UserError, match=sentence):
        rewindnet.run({**SCENARIO, **change})


@pytest.mark.slow
def test_a_process_that_knows_the_lines_alone_verifies_the_run(folder: Path) -> None:
    """The mechanism of a certificate is found where its method is: nobody has imported it."""
    code = f"""
import sys
from rewindnet.clients.methods import METHODS
METHODS.register("slow-start", "additions.method:SlowStart")
from rewindnet.experiments.cli import app
assert "additions.method" not in sys.modules
app(["verify", {str(folder)!r}])
"""
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests" / "support")])
    done = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": path, "PATH": ""}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "slow-start" in done.stdout


MECHANISM = """
from dataclasses import dataclass

from rewindnet.certificates.mechanisms.uncertified import Uncertified


@dataclass(frozen=True)
class Dropped(Uncertified):
    kind = "dropped"
"""


def test_a_mechanism_is_a_file_in_its_folder_and_nothing_else(tmp_path: Path) -> None:
    for folder in ("rewindnet", "topologies", "certificates"):
        shutil.copytree(ROOT / folder, tmp_path / folder, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "certificates" / "mechanisms" / "dropped.py").write_text(MECHANISM, encoding="utf-8")
    code = (
        "from rewindnet.certificates import Mechanism\n"
        "print(Mechanism.from_record({'kind': 'dropped', 'reason': 'a', 'deed': 'b'}))"
    )
    environment = {"PYTHONPATH": str(tmp_path), "PATH": ""}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.stdout.strip() == "Dropped(reason='a', deed='b')", done.stderr
