"""Runs of deep models: what is not known is null with its reason, and a module's file is part of the run."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from rewindnet.experiments.cli import app
from rewindnet.experiments.runs.run_setup import build_run
from rewindnet.experiments.scenario.computation import computation_digest
from rewindnet.experiments.scenario.inputs import hashes, input_files
from rewindnet.experiments.scenario.network_setup import build_network
from rewindnet.experiments.scenario.yaml_files import load
from rewindnet.user_code import load_code, source_of

UNKNOWN = (
    "no bounds are known on the gradients (G) and the curvature (L) of the model mlp, from which a sensitivity would "
    "follow"
)
#: What runs on a deep model, and is certified of nothing but for the last two.
METHODS: list[Any] = [
    {"method": "r2d", "rewind": 0.5, "sigma": 0.01},
    {"method": "warm-start", "rounds": 2, "sigma": 0.01, "placement": "rewind", "view": "transcript:all"},
    {"method": "noise-only", "sigma": 0.01, "view": "average"},
    "do-nothing",
    {"method": "noisy-finetune", "rounds": 2, "start_radius": 1.0, "gradient_radius": 0.3, "step_size": 0.1},
    {"method": "gossip-dp", "clip": 0.3},
    "retrain",
]
DEEP: dict[str, Any] = {
    "data": {"source": "synthetic", "samples": 80, "dimensions": 4, "classes": 3},
    "partition": {"clients": 4},
    "model": {"kind": "mlp", "widths": [4], "l2": 0.01},
    "topology": "ring",
    "learning": {"rounds": 4, "step_size": 0.1},
    "deletion": {"samples": 3},
    "unlearning": METHODS,
}

NET = """
from torch import nn

class Net(nn.Sequential):
    def __init__(self, shape, classes):
        super().__init__(nn.Linear(shape[0], 3), nn.Tanh(), nn.Linear(3, classes))
"""


def command(*words: object) -> tuple[int, str]:
    """The exit code and the output; a traceback fails."""
    done = CliRunner().invoke(app, [str(word) for word in words], env={"COLUMNS": "200"})
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exc_info
    return done.exit_code, done.output


def test_what_nobody_knows_is_null_with_the_reason_and_everything_is_measured(run_once: Any) -> None:
    run = run_once(DEEP)
    for index, (certificate, audit) in enumerate(run.certified):
        written = json.loads(next(run.path.glob(f"methods/{index}-*/certificate.json")).read_text("utf-8"))
        constants = written["constants"]
        assert {constants[name]["value"] for name in ("G", "L", "strong_convexity")} == {None}
        assert constants["l2"] == {"value": 0.01, "provenance": "proven"}
        assert audit.holds
        assert all(value >= 0 for value in audit.divergence)
        if index < 4:
            assert (certificate.epsilon, certificate.sensitivity, certificate.reason) == (None, (), UNKNOWN)
            assert not certificate.conditional
        else:
            assert certificate.epsilon is not None
            assert certificate.reason is None
            assert not certificate.conditional
    assert command("verify", run.path)[0] == 0


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A scenario whose model is a module in a file beside it."""
    (tmp_path / "net.py").write_text(NET)
    model = {"kind": "module", "path": str(tmp_path / "net.py") + ":Net"}
    scenario = {**DEEP, "model": model, "unlearning": [METHODS[0], "retrain"], "measures": {"membership": False}}
    (tmp_path / "s.yaml").write_text(yaml.safe_dump({"name": "own", **scenario}))
    return tmp_path


def test_the_module_of_the_documentation_is_one_that_a_network_can_learn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (Path(__file__).parents[2] / "docs/deep-models.md").read_text("utf-8")
    code, described = (
        re.findall(rf"```{language}\n(.*?)```", page, flags=re.DOTALL) for language in ("python", "yaml")
    )
    (tmp_path / "nets.py").write_text(code[0])
    (tmp_path / "s.yaml").write_text(described[0])
    monkeypatch.chdir(tmp_path)
    run = build_run(load(tmp_path / "s.yaml"))
    assert run.network.model.parameters == 64 * 32 + 32 + 32 * 10 + 10
    assert len(run.methods) == 3 + len(["retrain", "do-nothing"])


def test_the_file_of_a_module_is_an_input_of_the_run(own: Path) -> None:
    """Other code is another run: another computation with other noise, which does not stand for the first."""
    out, net = own / "out", own / "net.py"
    assert command("run", own / "s.yaml", "--out", out)[0] == 0
    before = hashes(input_files(load(own / "s.yaml")))
    assert json.loads((out / "record.json").read_text())["inputs"]["model.path"]["sha256"] == before["model.path"]
    assert command("verify", out, "--run-code")[0] == 0
    plain = load(own / "s.yaml").plain()
    net.write_text(NET.replace("3), nn.Tanh(), nn.Linear(3", "5), nn.Tanh(), nn.Linear(5"))
    now = hashes(input_files(load(own / "s.yaml")))
    assert computation_digest(plain, now) != computation_digest(plain, before)
    assert build_network(load(own / "s.yaml")).model.parameters == 4 * 5 + 5 + 5 * 3 + 3
    code, said = command("verify", out, "--run-code")
    assert code == 1
    assert before["model.path"] in said
    assert now["model.path"] in said
    assert "the code of the run is not what it was (model.path), so it is not run" in said
    code, said = command("run", own / "s.yaml", "--out", out)
    assert code == 2
    assert "model.path" in said


def test_learning_that_diverges_is_named(tmp_path: Path) -> None:
    scenario = {**DEEP, "learning": {"rounds": 12, "step_size": 1e30}, "unlearning": ["do-nothing"]}
    (tmp_path / "steep.yaml").write_text(yaml.safe_dump(scenario), "utf-8")
    code, output = command("run", tmp_path / "steep.yaml", "--out", tmp_path / "run")
    assert code == 2
    assert re.search(
        r"learning diverged: after round \d+ parameters are not finite; a smaller\s+learning\.step", output
    )


def test_a_method_that_diverges_is_named(tmp_path: Path) -> None:
    methods = ["do-nothing", {"method": "r2d", "rewind": 0.5, "sigma": 1e200}]
    (tmp_path / "loud.yaml").write_text(yaml.safe_dump({**DEEP, "unlearning": methods}), "utf-8")
    code, output = command("run", tmp_path / "loud.yaml", "--out", tmp_path / "run")
    assert code == 2
    assert "method 1 of the list, r2d, diverged: the models that it releases are too large" in " ".join(output.split())


MARK = """
from pathlib import Path
Path(__file__).with_name("was run").touch()
"""


def test_verifying_a_folder_runs_no_code_that_it_names_unless_asked(own: Path) -> None:
    """Code of a stranger could make every check hold."""
    out, net, mark = own / "out", own / "net.py", own / "was run"
    net.write_text(NET + MARK)
    assert command("run", own / "s.yaml", "--out", out)[0] == 0
    mark.unlink()
    code, said = command("verify", out)
    assert code == 0
    assert re.search(r"recorded +data: .*the scenario names code \(model.path=.*net.py:Net\), which is run with", said)
    # Code is imported once for each state of its file.
    net.write_text(NET + MARK + "# touched")
    assert not mark.exists()
    code, said = command("verify", out, "--run-code")
    assert (code, mark.exists()) == (1, False)
    assert "so it is not run" in said


def test_looking_for_the_file_of_named_code_imports_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "strangers"
    package.mkdir()
    (package / "__init__.py").write_text(MARK)
    (package / "nets.py").write_text(NET)
    monkeypatch.syspath_prepend(tmp_path)
    assert source_of("strangers.nets:Net") == package / "nets.py"
    assert source_of("strangers.none:Net") is None
    assert source_of("nobody.nets:Net") is None
    assert not (package / "was run").exists()
    load_code("strangers.nets:Net", "model.path")
    assert (package / "was run").exists()
    assert source_of("rewindnet.experiments.bench.modules:mlp") is not None
