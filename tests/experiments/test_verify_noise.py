"""The verifier on audits of noise: it measures again what is stored, and says what rests on the record's word."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from runs import run_through
from typer.testing import CliRunner

from rewindnet.certificates.audits.noise.statistics import p_value
from rewindnet.certificates.findings import Finding
from rewindnet.experiments.api import verify
from rewindnet.experiments.cli import app
from rewindnet.experiments.folder import files, journal, recorder, unfinished
from rewindnet.experiments.folder.reader import read_folder
from rewindnet.experiments.report.words import noise_found
from rewindnet.experiments.verify.verify import verify_folder

SCENARIO: dict[str, Any] = {
    "name": "noise",
    "seed": 4,
    "data": {"source": "synthetic", "samples": 100, "dimensions": 9, "classes": 4},
    "partition": {"clients": 5},
    "topology": "ring",
    "learning": {"rounds": 12},
    "deletion": {"client": 2, "samples": 5},
    "unlearning": [
        {"method": "r2d", "rewind": 0.5},
        {"method": "gossip-dp"},
        {"method": "warm-start", "view": "average"},
        {"method": "retrain"},
        {"method": "do-nothing"},
    ],
    "audit": {"draws": 200},
    "measures": {"membership": False},
}


def a_run(folder: Path, **changes: Any) -> Path:
    run_through(json.loads(json.dumps({**SCENARIO, **changes})), folder)
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return a_run(tmp_path_factory.mktemp("runs") / "run")


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "run"))


def found_in(folder: Path) -> dict[str, Finding]:
    return {finding.what: finding for finding in verify_folder(folder)}


def edit(release: str, change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    """Change the audit of the noise of a release."""

    def tamper(folder: Path) -> None:
        file = folder / "methods" / release / "audit.json"
        content = json.loads(file.read_text())
        change(content["noise_audit"])
        file.write_text(json.dumps(content))

    return tamper


def of_test(name: str, **changes: Any) -> Callable[[dict[str, Any]], None]:
    """Change the record of a statistic."""
    return lambda audit: next(test for test in audit["tests"] if test["name"] == name).update(changes)


def forge(audit: dict[str, Any]) -> None:
    """Another norm, with the p-value that follows from it."""
    test = next(test for test in audit["tests"] if test["name"] == "all norms")
    test["statistic"] = float(np.sqrt(test["degrees"]))
    follow(audit)


def fewer_norms(audit: dict[str, Any]) -> None:
    """As if some norms had not been looked at."""
    next(test for test in audit["tests"] if test["name"] == "norm")["tests"] -= 20
    follow(audit)


def follow(audit: dict[str, Any]) -> None:
    """Have everything follow from the statistics."""
    for test in audit["tests"]:
        test["p_value"] = float(p_value(test["law"], test["degrees"], test["statistic"], test["allowance"]))
    adjusted = {t["name"]: min(1.0, t["p_value"] * t["tests"] * len(audit["tests"])) for t in audit["tests"]}
    worst = min(audit["tests"], key=lambda t: adjusted[t["name"]])
    audit["p_value"] = adjusted[worst["name"]]
    many = sum(test["tests"] for test in audit["tests"])
    audit["sentence"] = audit["sentence"].split("σ: ")[0] + (
        f"σ: {many:,} tests, smallest adjusted p-value {audit['p_value']:.3g} ({worst['name']}, {worst['where']})"
    )


@pytest.mark.parametrize(
    ("tamper", "found_by", "says"),
    [
        (edit("0-r2d", of_test("norm", statistic=5.0)), "0 r2d", "the p-value of 'norm' is recorded as"),
        (edit("0-r2d", of_test("all norms", p_value=0.5)), "0 r2d", "the p-value of 'all norms' is recorded as 0.5"),
        (edit("0-r2d", lambda a: a.update(p_value=0.5)), "0 r2d", "does not follow from its own tests"),
        (edit("0-r2d", lambda a: a.update(level=0.1)), "0 r2d", "does not follow from its own tests"),
        (edit("0-r2d", lambda a: a.update(measured=4)), "0 r2d", "5 additions of noise are claimed; 5 were expected"),
        (
            edit("1-gossip-dp", lambda a: a.update(expected=1, measured=1)),
            "1 gossip-dp",
            "60 additions of noise are cl",
        ),
        (edit("1-gossip-dp", of_test("successive", tests=1)), "1 gossip-dp", "does not follow from its own tests"),
        (edit("1-gossip-dp", fewer_norms), "1 gossip-dp", "the statistic 'norm' has 60 tests"),
        (edit("1-gossip-dp", of_test("norm", degrees=41)), "1 gossip-dp", "the p-value of 'norm' is recorded as"),
        (edit("0-r2d", forge), "0 r2d", "the statistic 'all norms' is recorded as"),
        (edit("3-retrain", lambda a: a.update(measured=0)), "3 retrain", "noise was measured where none is claimed"),
        (edit("0-r2d", lambda a: a.update(status="violated")), "0 r2d", "agree with the certified"),
    ],
)
def test_a_changed_audit_of_noise_is_found(
    folder: Path, tamper: Callable[[Path], None], found_by: str, says: str
) -> None:
    assert [finding for finding in found_in(folder).values() if not finding.holds] == []
    tamper(folder)
    found = found_in(folder)[f"{found_by}, noise audit"]
    assert (found.holds, found.status) == (False, "FAILS")
    assert says in found.sentence


def test_a_statistic_that_is_missing_is_found(folder: Path) -> None:
    def without_norm(audit: dict[str, Any]) -> None:
        audit["tests"] = [test for test in audit["tests"] if test["name"] == "successive"]

    edit("1-gossip-dp", without_norm)(folder)
    assert not found_in(folder)["1 gossip-dp, noise audit"].holds


def test_what_is_derived_what_is_on_record_and_what_is_unchecked(folder: Path) -> None:
    found = found_in(folder)
    assert {what: finding.status for what, finding in found.items() if what.endswith("noise audit")} == {
        "0 r2d, noise audit": "holds",
        "1 gossip-dp, noise audit": "recorded",
        # It is compared with the noise of gossip-dp, of which no array tells.
        "2 warm-start, noise audit": "recorded",
        "3 retrain, noise audit": "holds",
        "4 do-nothing, noise audit": "holds",
    }
    assert found["1 gossip-dp, noise"].status == "unchecked"
    assert found["0 r2d, released models"].status == "recorded"
    assert found["3 retrain, released models"].status == "holds"
    assert [finding.what for finding in verify(folder).unchecked] == ["1 gossip-dp, noise"]


@pytest.mark.parametrize(
    ("changes", "unchecked"),
    [
        ({"unlearning": ["r2d"]}, 0),
        ({"unlearning": ["gossip-dp"]}, 1),
        # The weights, the noise, and what was released; retrain and do-nothing were released, too.
        ({"unlearning": ["r2d"], "record": {"weights": False}}, 1 + 1 + 3),
        ({"unlearning": [{"method": "r2d", "noise_source": "os"}]}, 1 + 3),
    ],
)
def test_strict_fails_on_what_is_unchecked(changes: dict[str, Any], unchecked: int, tmp_path: Path) -> None:
    folder = a_run(tmp_path / "run", **changes)
    lenient, strict = (CliRunner().invoke(app, ["verify", str(folder), *words]) for words in ([], ["--strict"]))
    assert (lenient.exit_code, strict.exit_code) == (0, int(unchecked > 0))
    assert lenient.stdout == strict.stdout
    lines = strict.stdout.splitlines()
    counts = {status: sum(line.startswith(status) for line in lines[:-1]) for status in ("holds", "FAILS", "recorded")}
    assert lines[-1] == (
        f"{counts['holds']} hold, 0 fail, {counts['recorded']} rest on the record's word, {unchecked} unchecked"
    )
    assert sum(line.startswith("unchecked") for line in lines) == unchecked


def test_a_run_from_before_is_unchecked(folder: Path) -> None:
    for file in folder.glob("methods/*/audit.json"):
        content = json.loads(file.read_text())
        del content["noise_audit"]
        file.write_text(json.dumps(content))
    found = found_in(folder)["0 r2d, noise audit"]
    assert (found.status, "was not measured" in found.sentence) == ("unchecked", True)
    (_, audit), *_ = read_folder(folder).certified
    assert noise_found(audit) == "The noise is unchecked: the noise that was added was not measured."


class Killed(BaseException):
    """The end of a process."""


@pytest.mark.parametrize("write", [42, *(pytest.param(write, marks=pytest.mark.slow) for write in (34, 48, 52))])
def test_an_interrupted_run_finds_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: int) -> None:
    """What nodes have measured before the end of the process is not lost, and neither are earlier releases."""
    asked = {**SCENARIO, "unlearning": ["r2d", "langevin", "gossip-dp"], "learning": {"rounds": 40}}
    whole, done = a_run(tmp_path / "whole", **asked), 0

    def torn(path: Path, content: str | bytes) -> None:
        nonlocal done
        done += path.suffix in (".safetensors", ".npz")
        if done == 2 * write:
            raise Killed
        original(path, content)

    original = files.write
    with monkeypatch.context() as patched:
        for module in (files, journal, recorder, unfinished):
            patched.setattr(module, "write", torn)
        with pytest.raises(Killed):
            a_run(tmp_path / "run", **asked)
    again = run_resumed(asked, tmp_path / "run")
    assert [finding for finding in verify_folder(again) if not finding.holds] == []
    for place in ("0-r2d", "1-langevin", "2-gossip-dp"):
        one, other = (json.loads((run / "methods" / place / "audit.json").read_text()) for run in (whole, again))
        assert one == other
        assert one["noise_audit"]["status"] == "holds"


def run_resumed(scenario: dict[str, Any], folder: Path) -> Path:
    """Go on with an interrupted run."""
    from rewindnet.experiments.runs.launch import run_in
    from rewindnet.experiments.scenario.yaml_files import resolve

    run_in(resolve(json.loads(json.dumps(scenario))), folder)
    return folder
