import json
import os
import re
import signal
import subprocess
import sys
import time
import tomllib
from contextlib import chdir
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from rewindnet.clients.models.logistic import Logistic
from rewindnet.experiments.cli import app
from rewindnet.experiments.folder.unfinished import check_target
from rewindnet.experiments.scenario.errors import ScenarioError
from rewindnet.experiments.scenario.registries import LISTS, registry
from rewindnet.experiments.scenario.scenario import Scenario
from rewindnet.extras import EXTRAS

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "rewindnet"]
TINY = """
data: {source: synthetic, samples: 100, dimensions: 3}
partition: {clients: 4}
topology: ring
learning: {rounds: 10}
deletion: {samples: 2}
unlearning: [r2d, retrain, do-nothing]
measures: {membership: false}
"""


def rewindnet(*arguments, folder):
    """The command, in a folder of its own."""
    return subprocess.run(
        [*COMMAND, *map(str, arguments)], cwd=folder, capture_output=True, text=True, timeout=120, env=environment()
    )


def here(*arguments, folder):
    """The same in this process, which saves the seconds that it takes to import torch."""
    with chdir(folder):
        done = CliRunner().invoke(app, list(map(str, arguments)), env={"COLUMNS": "250"})
    return SimpleNamespace(returncode=done.exit_code, stdout=done.stdout, stderr=done.stderr)


def environment():
    return {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "250"}


def everything(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.fixture
def tiny(tmp_path):
    (tmp_path / "tiny.yaml").write_text(TINY)
    return tmp_path


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run of the tiny scenario, and what it said."""
    folder = tmp_path_factory.mktemp("finished")
    (folder / "tiny.yaml").write_text(TINY)
    return folder, rewindnet("run", "tiny.yaml", "name=tiny", folder=folder)


def refused(done, *words):
    """Exit code 2, one sentence on stderr, and nothing else."""
    assert done.returncode == 2
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("rewindnet: ")
    assert all(word in lines[0] for word in words)


def test_a_run_says_what_it_found_and_where(finished):
    folder, done = finished
    assert done.returncode == 0
    assert done.stderr == ""
    assert all(word in done.stdout for word in ("r2d", "retrain", "do-nothing", "ε certified", "run folder: runs/tiny"))
    assert json.loads((folder / "runs" / "tiny" / "record.json").read_text())["state"] == "complete"
    assert not [name for name in everything(folder) if name.endswith(".part")]


def test_a_run_folder_is_never_overwritten_unasked(finished):
    folder, _ = finished
    record = folder / "runs" / "tiny" / "record.json"
    before = record.read_text()
    refused(
        here("run", "tiny.yaml", "name=tiny", folder=folder),
        "runs/tiny already holds a run",
        "--out",
        "--force",
    )
    assert record.read_text() == before
    (folder / "runs" / "tiny" / "left.txt").write_text("from before")
    again = here("run", "tiny.yaml", "name=tiny", "seed=1", "--force", folder=folder)
    assert again.returncode == 0
    assert json.loads(record.read_text())["seed"] == 1
    assert (folder / "runs" / "tiny" / "left.txt").read_text() == "from before"
    assert here("verify", "runs/tiny", folder=folder).returncode == 0


def test_what_is_no_run_folder_is_never_overwritten(tiny):
    (tiny / "thesis").mkdir()
    (tiny / "thesis" / "chapter.txt").write_text("years of work")
    refused(here("run", "tiny.yaml", "--out", "thesis", "--force", folder=tiny), "not a run folder", "--out")
    with pytest.raises(ScenarioError, match=r"chapter.txt exists and is not a run folder; choose another with --out"):
        check_target(tiny / "thesis" / "chapter.txt", Scenario(), force=True)
    with pytest.raises(ScenarioError, match=r"run cannot be made: .*chapter.txt is not a folder; choose another"):
        check_target(tiny / "thesis" / "chapter.txt" / "deep" / "run", Scenario(), force=True)
    check_target(tiny / "new" / "run", Scenario(), force=False)
    assert everything(tiny) == ["thesis", "thesis/chapter.txt", "tiny.yaml"]
    assert (tiny / "thesis" / "chapter.txt").read_text() == "years of work"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["lerning.rounds=3"], ["unknown key 'lerning'", "allowed: name, seed, data"]),
        (["audit.draws=7"], ["audit.draws: a Monte-Carlo audit takes 0 draws, or 100 to 10,000,000, not 7"]),
        (["deletion.client=4"], ["deletion.client 4 does not exist; clients are 0 to 3"]),
    ],
)
def test_bad_input_is_a_sentence_and_nothing_is_written(tiny, settings, words):
    refused(here("run", "tiny.yaml", *settings, folder=tiny), *words)
    assert everything(tiny) == ["tiny.yaml"]


@pytest.mark.slow
def test_an_empty_file_runs_the_demo(tmp_path):
    (tmp_path / "empty.yaml").write_text("")
    done = here("run", "empty.yaml", "learning.rounds=10", folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "run folder: runs/demo" in done.stdout
    rows = json.loads((tmp_path / "runs" / "demo" / "summary.json").read_text())["rows"]
    assert [row["method"] for row in rows] == ["r2d", "r2d", "r2d", "warm-start", "retrain", "do-nothing"]
    assert all(row["holds"] for row in rows)


def test_a_run_that_fails_after_it_began_says_so(tiny):
    # With an instance bound, whether this ε is within reach is known only after learning.
    method = "unlearning=[{method: warm-start, bound: instance, epsilon: 0.001, sigma: 0.001}]"
    done = here("run", "tiny.yaml", method, "name=far", folder=tiny)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("rewindnet: the run in runs/far failed: no depth from 0 to 10 rounds reaches epsilon 0.001")
    assert json.loads((tiny / "runs" / "far" / "record.json").read_text())["state"] == "incomplete"


def test_a_violated_certificate_is_said_and_fails(tiny, monkeypatch):
    # Rounding is charged from the run, disturbances from the constants: a G that is too small is caught.
    honest = Logistic.constants

    def small(self, radius):
        constants = honest(self, radius)
        return replace(constants, G=replace(constants.G, value=constants.G.value / 1000))

    monkeypatch.setattr(Logistic, "constants", small)
    done = here("run", "tiny.yaml", folder=tiny)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "VIOLATED" in done.stdout
    assert done.stderr.startswith("rewindnet: the certificate of r2d is violated: node ")


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="there is no SIGKILL here")
def test_a_run_that_is_killed_is_left_incomplete(tiny):
    folder = tiny / "runs" / "slow"
    command = [*COMMAND, "run", "tiny.yaml", "name=slow", "learning.rounds=3000", "learning.local_steps=20"]
    process = subprocess.Popen(
        command, cwd=tiny, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment()
    )
    try:
        deadline = time.monotonic() + 60
        while not ((folder / "metrics.jsonl").exists() and (folder / "metrics.jsonl").stat().st_size):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert json.loads((folder / "record.json").read_text())["state"] == "incomplete"
    refused(here("verify", folder, folder=tiny), "the run in", "is incomplete")
    refused(here("run", "tiny.yaml", "name=slow", folder=tiny), "incomplete run of another scenario", "--force")
    assert here("run", "tiny.yaml", "name=slow", "--force", folder=tiny).returncode == 0
    assert json.loads((folder / "record.json").read_text())["state"] == "complete"


def test_help_names_the_commands_and_loads_nothing_heavy(tmp_path):
    script = (
        "import sys\n"
        "from rewindnet.experiments.cli import main\n"
        "try:\n    main()\n"
        "except SystemExit:\n    print(sorted({'torch', 'numpy', 'scipy', 'pydantic'} & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, "--help"], cwd=tmp_path, capture_output=True, text=True, env=environment()
    )
    assert all(command in done.stdout for command in ("run", "sweep", "verify", "report", "list"))
    assert done.stdout.splitlines()[-1] == "[]"


def test_every_list_names_every_entry_with_one_line(tmp_path):
    for what, kind in LISTS.items():
        done = here("list", what, folder=tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
        assert [line.split()[0] for line in done.stdout.splitlines()] == list(registry(kind))
        assert all(len(line.split()) > 2 for line in done.stdout.splitlines())


def test_a_list_that_is_not_there(tmp_path):
    refused(here("list", "wishes", folder=tmp_path), "there is no list of 'wishes'; there are: topologies, mixing")


@pytest.mark.parametrize("arguments", [["fly"], ["run"], ["run", "tiny.yaml", "--fast"]])
def test_a_command_that_is_not_there_is_bad_input(tiny, arguments):
    done = here(*arguments, folder=tiny)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert done.stderr
    assert everything(tiny) == ["tiny.yaml"]


def test_a_notice_is_said_once_and_the_run_goes_on(tiny):
    settings = ["topology={kind: watts-strogatz, neighbours: 2, rewiring: 0.1}", "learning.rounds=3", "--out", "noted"]
    done = here("run", "tiny.yaml", *settings, folder=tiny)
    assert done.returncode == 0
    assert done.stderr.splitlines() == [
        "rewindnet: note: the setting 'neighbours' of the topology 'watts-strogatz' is called 'k' now",
        "rewindnet: note: the setting 'rewiring' of the topology 'watts-strogatz' is called 'p' now",
    ]
    again = CliRunner().invoke(app, ["plan", str(tiny / "tiny.yaml"), settings[0], "--out", str(tiny / "planned")])
    assert again.exit_code == 0
    assert again.stderr == done.stderr


def test_the_command_has_one_name(tmp_path):
    usage = {rewindnet("--help", folder=tmp_path).stdout.splitlines()[1].strip()}
    script = "import sys; sys.argv = ['anything', '--help']; from rewindnet.__main__ import main; main()"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment())
    usage.add(done.stdout.splitlines()[1].strip())
    assert usage == {"Usage: rewindnet [OPTIONS] COMMAND [ARGS]..."}


@pytest.mark.parametrize(
    ("library", "extra", "command"),
    [
        ("typer", "sim", ["list", "topologies"]),
        ("pydantic", "sim", ["list", "topologies"]),
        ("torch", "sim", ["run", "tiny.yaml"]),
        ("filelock", "sim", ["run", "tiny.yaml"]),
        ("matplotlib", "plots", ["plan", "tiny.yaml"]),
        ("jinja2", "plots", ["report", "x"]),
    ],
)
def test_a_library_that_is_missing_is_named_with_the_extra_that_brings_it(tiny, library, extra, command):
    script = (
        "import sys\n"
        f"sys.modules[{library!r}] = None\n"
        "sys.argv = ['rewindnet', *sys.argv[1:]]\n"
        "from rewindnet.__main__ import main\n"
        "main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *command], cwd=tiny, capture_output=True, text=True, env=environment()
    )
    refused(done, f"this needs {library}, which is not installed", f"pip install 'rewindnet[{extra}]'")
    assert everything(tiny) == ["tiny.yaml"]


def test_every_library_of_an_extra_is_one_of_the_packages(tmp_path):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    packages = {"click": "typer", "sklearn": "scikit-learn", "yaml": "pyyaml", "grpc": "flwr", "ray": "flwr"}
    for extra, modules in EXTRAS.items():
        listed = {re.match(r"[\w-]+", line)[0].lower() for line in project["optional-dependencies"][extra]}
        for module in modules:
            assert packages.get(module, module.replace("_", "-")) in listed | {"rewindnet"}, (extra, module)
