"""Networks that learned elsewhere: their checkpoints are unlearned here as if they had been learned here."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from runs import WITHOUT_ATTACKS, refused_here, rehash, run_through
from safetensors.numpy import load_file, save_file
from typer.testing import CliRunner

from rewindnet.experiments.cli import app
from rewindnet.experiments.report.page import write_report
from rewindnet.experiments.verify.verify import verify_folder
from rewindnet.simulator.errors import RunError

ROWS = [
    {"method": "r2d", "rewind": 0.25},
    {"method": "r2d", "rewind": 0.5, "view": "transcript:all", "placement": "rewind", "allocation": "optimal"},
    {"method": "warm-start", "rounds": 3},
    {"method": "noise-only"},
    {"method": "retrain"},
    {"method": "do-nothing"},
]
HERE = {
    "name": "elsewhere",
    "data": {"source": "synthetic", "samples": 150, "dimensions": 4, "classes": 3},
    "partition": {"clients": 5},
    "topology": {"kind": "star"},
    "learning": {"rounds": 12, "step_size": 0.5},
    "deletion": {"client": 2, "samples": 4},
    "unlearning": ROWS,
    "audit": {"draws": 0},
}


def exported(run, place, dtype=np.float64, **changes):
    """The folder that a network learned here would have left, had it learned elsewhere."""
    place.mkdir()
    learning = run.learning["requests"][0]
    for file in (run.path / "checkpoints").glob("learned-*.safetensors"):
        theta = load_file(file)["theta"].astype(dtype)
        save_file({"theta": theta}, place / f"round-{file.stem[-6:]}.safetensors")
    described = {
        "rounds": learning["rounds"],
        "step_size": learning["step_size"],
        "local_steps": learning["local_steps"],
        "order": learning["order"],
        "samples": learning["samples"],
        "constants": {name: learning["constants"][name]["value"] for name in ("G", "L", "l2")},
    }
    (place / "training.json").write_text(json.dumps({**described, **changes}))
    N = run.topology["nodes"]
    weights = np.zeros((N, N))
    for i, j, value in run.topology["weights"]:
        weights[i, j] = value
    np.save(place / "mixing.npy", weights)
    return place


def from_folder(place, **changes):
    return {**HERE, "learning": {**HERE["learning"], "checkpoints_from": str(place)}, **changes}


def contents(place):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in place.iterdir()}


@pytest.fixture(scope="module")
def direct(tmp_path_factory):
    return run_through(HERE, tmp_path_factory.mktemp("direct") / "run")


@pytest.fixture(scope="module")
def elsewhere(direct, tmp_path_factory):
    folder = tmp_path_factory.mktemp("elsewhere")
    place = exported(direct, folder / "trained")
    return place, run_through(from_folder(place), folder / "run")


def test_the_releases_are_those_of_the_direct_run(direct, elsewhere):
    _, run = elsewhere
    assert run.record["sha256"] == direct.record["sha256"]
    for one, other in zip(run.methods, direct.methods, strict=True):
        ours, theirs = one.certificate, other.certificate
        assert one.audit == other.audit
        kept = [premise for premise in ours["premises"] if "learned elsewhere" not in premise]
        assert {**ours, "premises": kept} == theirs


def test_the_certificate_names_the_folder_and_on_whose_word_it_rests(elsewhere):
    _, run = elsewhere
    hashes = {request["checkpoints_sha256"] for request in run.learning["requests"]}
    (sha256,) = hashes
    for method in run.methods:
        (premise,) = method.certificate["premises"]
        assert sha256 in premise
        assert "rests on the word of its trainer" in premise


def test_the_run_verifies_is_reported_and_leaves_the_folder_alone(elsewhere, tmp_path):
    place, run = elsewhere
    before = contents(place)
    findings = {finding.what: finding for finding in verify_folder(run.path)}
    assert all(finding.holds for finding in findings.values()), findings
    assert findings["learning elsewhere"].status == "recorded"
    write_report(run.path)
    assert contents(place) == before
    run_through(from_folder(place), tmp_path / "again")
    assert contents(place) == before


def test_the_verifier_finds_other_checkpoints(direct, tmp_path):
    place = exported(direct, tmp_path / "trained")
    run = run_through(from_folder(place), tmp_path / "run")
    record = json.loads((run.path / "learning.json").read_text())
    record["requests"][0]["checkpoints_sha256"] = "0" * 64
    (run.path / "learning.json").write_text(json.dumps(record))
    rehash(run.path / "learning.json")
    found = [finding.what for finding in verify_folder(run.path) if not finding.holds]
    assert "learning elsewhere" in found
    assert "0 r2d, certificate" in found
    moved = place.rename(tmp_path / "moved")
    findings = {finding.what: finding for finding in verify_folder(run.path)}
    assert findings["learning elsewhere"].status == "recorded"
    assert moved.is_dir()


def test_single_precision_agrees_to_its_rounding(direct, tmp_path):
    run = run_through(from_folder(exported(direct, tmp_path / "trained", np.float32)), tmp_path / "run")
    for one, other in zip(run.methods, direct.methods, strict=True):
        assert one.certificate["sigma"] == other.certificate["sigma"]
    assert run.record["sha256"] != direct.record["sha256"]


def changed(place, round, change):
    file = place / f"round-{round:06d}.safetensors"
    theta = load_file(file)["theta"]
    save_file({"theta": np.ascontiguousarray(change(theta))}, file)


def described_otherwise(place, **changes):
    file = place / "training.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda place: (place / "training.json").unlink(), "is no folder with the file training.json"),
        (lambda place: (place / "training.json").write_text("[]"), "is a mapping of the keys rounds"),
        (lambda place: (place / "training.json").write_text("{"), "cannot be read"),
        (lambda place: described_otherwise(place, step_size=0.25), "learned with step_size 0.25; learning.step_size"),
        (lambda place: described_otherwise(place, samples=[1] * 5), "have other numbers of samples"),
        (lambda place: described_otherwise(place, constants={"G": 9.0}), "the constant G of"),
        (lambda place: described_otherwise(place, constants={"G": "x"}), "the constant G of"),
        (lambda place: described_otherwise(place, batch=3), "optionally"),
        (lambda place: (place / "round-000000.safetensors").unlink(), "it must hold those after round 0"),
        (lambda place: (place / "round-000012.safetensors").unlink(), "and after the last round, 12"),
        (lambda place: (place / "round-000009.safetensors").unlink(), "the models after round 9 are needed"),
        (lambda place: (place / "round-000009.safetensors").write_bytes(b"x"), "is not a safetensors file"),
        (lambda place: changed(place, 9, lambda theta: theta[:4]), "this network has [5, 15]"),
        (lambda place: changed(place, 9, lambda theta: theta * np.nan), "not finite"),
        (lambda place: changed(place, 0, lambda theta: theta + 1), "not the initial model"),
        (lambda place: np.save(place / "mixing.npy", np.eye(5)), "the mixing matrix of round 0"),
        (lambda place: np.save(place / "mixing.npy", np.eye(4)), "has the shape [4, 4]"),
    ],
)
def test_what_does_not_fit_is_a_sentence_and_nothing_is_written(direct, tmp_path, capsys, spoil, words):
    place = exported(direct, tmp_path / "trained")
    spoil(place)
    here = tmp_path / "here"
    here.mkdir()
    refused_here(from_folder(place), here, capsys, words)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"unlearning": [{"method": "r2d", "bound": "instance"}]}, "use bound: worst-case"),
        ({"unlearning": [{"method": "gossip-dp"}]}, "takes more from learning than checkpoints"),
        ({"deletion": {"requests": [{"samples": 2, "round": 3}, {"client": 1, "samples": 2}]}}, "no earlier"),
    ],
)
def test_what_takes_more_than_checkpoints_is_refused(direct, tmp_path, capsys, changes, words):
    place = exported(direct, tmp_path / "trained")
    here = tmp_path / "here"
    here.mkdir()
    refused_here(from_folder(place, **changes), here, capsys, words)


@pytest.mark.parametrize(
    "backend", [pytest.param({"kind": "mpi", "ranks": 2}, marks=pytest.mark.slow), {"kind": "flower"}]
)
def test_other_transports_release_the_same(direct, elsewhere, tmp_path, backend):
    place, run = elsewhere
    exact = {**backend, "precision": "exact"}
    (tmp_path / "scratch").mkdir()
    other = run_through(from_folder(place, backend=exact), tmp_path / "run")
    alone = run_through(from_folder(place, backend={"precision": "exact"}), tmp_path / "alone")
    assert other.record["sha256"] == alone.record["sha256"]
    assert len(other.record["weights_sha256"]) == len(run.record["weights_sha256"])


def test_every_command_names_a_checkpoint_that_has_changed(direct, tmp_path):
    place, file = exported(direct, tmp_path / "trained"), tmp_path / "s.yaml"
    scenario = {**WITHOUT_ATTACKS, **from_folder(place)}
    file.write_text(yaml.safe_dump(scenario))
    done = run_through(scenario, tmp_path / "done").path
    killed = Path(shutil.copytree(done, tmp_path / "killed"))
    record = json.loads((done / "record.json").read_text())
    assert {f"learning.checkpoints_from/{name}" for name in contents(place)} == record["inputs"].keys()
    (killed / "record.json").write_text(json.dumps({**record, "state": "incomplete"}))
    before = contents(place)
    changed(place, 9, lambda theta: theta + 1)
    name, both = "round-000009.safetensors", (before, contents(place))
    key = f"learning.checkpoints_from/{name}"
    for code, words in (
        (2, ("run", file, "--out", killed)),
        (2, ("klom", done, "--draws", 2)),
        (1, ("verify", done)),
        (0, ("compare", done)),
    ):
        ended = CliRunner().invoke(app, [str(word) for word in words], env={"COLUMNS": "400"})
        assert ended.exit_code == code, ended.output
        # compare does not know what the file was.
        named = (
            ("trained/round-000009.safetensors",) if words[0] == "compare" else (key, *(each[name] for each in both))
        )
        assert [text for text in named if text not in ended.output] == []


def test_models_of_other_data_are_found_by_computing_rounds_again(direct, tmp_path):
    place = exported(direct, tmp_path / "trained")
    with pytest.raises(RunError, match="after round 12 do not follow from those after round 9"):
        run_through(from_folder(place, seed=1), tmp_path / "run")
