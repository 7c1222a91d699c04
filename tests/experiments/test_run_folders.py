"""What a run folder holds: every file is hashed and described, and what was changed since is named."""

import hashlib
import json
import shutil
from collections.abc import Callable
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import yaml
from runs import SharedRuns, rehash, run_through

from rewindnet.certificates import forget_commitment
from rewindnet.clients.data.deletion import forget_salt
from rewindnet.experiments.folder.contents import KINDS, differences
from rewindnet.experiments.folder.format import sealed
from rewindnet.experiments.folder.reader import read_folder
from rewindnet.experiments.report.page import write_report
from rewindnet.experiments.verify.verify import verify_folder

SCENARIO: dict[str, Any] = {
    "name": "folder",
    "seed": 4,
    "data": {"source": "synthetic", "samples": 120, "dimensions": 4, "classes": 3},
    "partition": {"clients": 4},
    "topology": "ring",
    "learning": {"rounds": 6},
    "deletion": {"requests": [{"client": 2, "samples": 5, "round": 4}, {"client": 1, "samples": 3}]},
    "unlearning": [{"method": "r2d", "rewind": 0.5, "placement": "rewind"}],
    "audit": {"draws": 0},
}
SECRET: dict[str, Any] = {"unlearning": [{"method": "r2d", "rewind": 0.5, "view": "joint", "noise_source": "os"}]}


@pytest.fixture(scope="module")
def made(run_once: SharedRuns) -> Path:
    return run_once(SCENARIO).path


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "run"))


def files_of(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def files_finding(folder: Path) -> tuple[bool, str]:
    (finding,) = [finding for finding in verify_folder(folder) if finding.what == "files"]
    return finding.holds, finding.sentence


def test_every_file_of_a_run_is_hashed(folder: Path) -> None:
    record = read_folder(folder).record
    arrays = {f"{name}.safetensors" for name in record["weights_sha256"]}
    assert files_of(folder) == {*record["files_sha256"], *arrays, "record.json"}
    assert {"scenario.yaml", "README.md", "metrics.jsonl", "methods/0-r2d/audit.json"} <= set(record["files_sha256"])
    for place, recorded in record["files_sha256"].items():
        assert hashlib.sha256((folder / place).read_bytes()).hexdigest() == recorded
    hashed = len(record["files_sha256"])
    assert files_finding(folder) == (True, f"{hashed} files have the hashes of the record, and there are no others")


def append(place: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / place).write_bytes((folder / place).read_bytes() + b" ")

    return change


@pytest.mark.parametrize(
    ("tamper", "says"),
    [
        *((append(place), f"{place} was changed") for place in ("README.md", "metrics.jsonl", "traffic.json")),
        (append("methods/1-retrain/metrics.json"), "methods/1-retrain/metrics.json was changed"),
        (lambda folder: (folder / "metrics.jsonl").unlink(), "metrics.jsonl is missing"),
        (lambda folder: (folder / "other.json").touch(), "other.json is surplus"),
        (lambda folder: (folder / "checkpoints/more.safetensors").touch(), "checkpoints/more.safetensors is surplus"),
    ],
)
def test_files_that_are_missing_changed_or_surplus_are_named(
    folder: Path, tamper: Callable[[Path], None], says: str
) -> None:
    tamper(folder)
    assert files_finding(folder) == (False, f"this folder is not as the run wrote it: {says}")


def test_all_differences_are_named() -> None:
    recorded, found = {"a": "1", "b": "2", "c": "3"}, {"b": "2", "c": "4", "d": "5"}
    assert differences(recorded, found) == ["a is missing", "c was changed", "d is surplus"]


def test_reports_and_pictures_are_not_surplus(folder: Path) -> None:
    write_report(folder)
    for name in ("picture.png", "methods/drawing.svg", "klom.json", ".hidden"):
        (folder / name).write_text("later")
    assert files_finding(folder)[0]


def test_a_readme_that_says_something_else_is_found_though_it_is_hashed_again(folder: Path) -> None:
    readme = folder / "README.md"
    readme.write_text(readme.read_text("utf-8").replace("This is a simulation", "The noise is secret"), "utf-8")
    rehash(folder)
    assert files_finding(folder) == (False, "README.md is not what follows from the records of this run")


def test_a_readme_by_other_code_is_on_the_record(folder: Path) -> None:
    (folder / "README.md").write_text("as an earlier version wrote it", "utf-8")
    record = json.loads((folder / "record.json").read_text("utf-8"))
    (folder / "record.json").write_text(json.dumps(sealed({**record, "code_sha256": "0" * 64})), "utf-8")
    rehash(folder)
    holds, sentence = files_finding(folder)
    assert holds
    assert "README.md was written by another version" in sentence


def test_a_forger_who_hashes_again_passes_this_check_alone(folder: Path) -> None:
    append("summary.json")(folder)
    rehash(folder)
    assert files_finding(folder)[0]


# -- the README ----------------------------------------------------------------------------------------------------


def described(readme: str) -> dict[str, str]:
    """For each pattern of the table, whether its files may be shared."""
    rows = [line.strip("| ").split(" | ") for line in readme.splitlines() if line.startswith("| `")]
    return {pattern.strip("`"): shared for pattern, _, shared in rows}


def test_the_readme_names_every_file_and_says_that_a_simulation_protects_nothing(folder: Path) -> None:
    readme = (folder / "README.md").read_text("utf-8")
    shared = described(readme)
    assert [path for path in files_of(folder) if not any(fnmatch(path, pattern) for pattern in shared)] == []
    assert [kind.pattern for kind in KINDS if not any(fnmatch(path, kind.pattern) for path in files_of(folder))] == []
    assert "This is a simulation" in readme
    assert {pattern for pattern, may in shared.items() if may == "yes"} == {"README.md", "traffic.json"}


def test_the_readme_of_a_run_with_secret_noise_says_what_is_released(tmp_path: Path) -> None:
    run = run_through({**SCENARIO, **SECRET}, tmp_path / "run")
    readme = (run.path / "README.md").read_text("utf-8")
    shared = described(readme)
    assert [path for path in files_of(run.path) if not any(fnmatch(path, pattern) for pattern in shared)] == []
    assert {pattern for pattern, may in shared.items() if may == "yes"} == {
        *("README.md", "metrics.jsonl", "traffic.json"),
        *("methods/0-r2d/released.safetensors", "methods/3-r2d/released.safetensors"),
    }
    assert "The noise of this run is secret" in readme
    # What may be shared holds neither the forget set nor what opens the commitment to it, nor the seed.
    public = [
        path for path in files_of(run.path) if any(fnmatch(path, p) and may == "yes" for p, may in shared.items())
    ]
    salts = [request["forget_salt"] for request in run.learning["requests"]]
    for path in public:
        content = (run.path / path).read_bytes()
        assert not any(salt.encode() in content for salt in salts)
        assert b'"forget":' not in content
        assert b'"seed"' not in content.replace(b'"noise_source": "seed"', b"")
    assert files_finding(run.path)[0]


def test_who_may_see_released_models_depends_on_their_certificate(tmp_path: Path) -> None:
    noise = {"method": "r2d", "rewind": 0.5, "noise_source": "os"}
    methods = [
        *({**noise, "view": view} for view in ("joint", "average", "node")),
        {**noise, "view": "transcript:1", "placement": "rewind"},
        {**noise, "sigma": 0, "view": "joint"},
        {**noise, "view": "average", "placement": "rewind"},
    ]
    run = run_through({**SCENARIO, "deletion": {"client": 2, "samples": 5}, "unlearning": methods}, tmp_path / "run")
    shared = described((run.path / "README.md").read_text("utf-8"))
    said = [shared[f"{method.place}/released.safetensors"] for method in run.methods[: len(methods)]]
    all_models = "no: the file holds the models of all nodes, and the certificate is for "
    assert said == [
        "yes",
        "yes",
        f"{all_models}an observer of any one released model",
        f"{all_models}node 1, with every message received during the unlearning",
        "no: nothing is certified of them",
        "yes",
    ]
    assert shared["methods/*/certificate.json"].startswith("no: ")
    assert files_finding(run.path)[0]


# -- commitments ---------------------------------------------------------------------------------------------------


def opened(request: dict[str, Any]) -> str:
    """The commitment that follows from the salt and the forget set on record, by the documented formula."""
    plain = {str(node): sorted(request["forget"][node]) for node in sorted(request["forget"], key=int)}
    return hashlib.sha256(bytes.fromhex(request["forget_salt"]) + json.dumps(plain).encode()).hexdigest()


def test_certificates_commit_to_the_forget_set_of_their_request(folder: Path) -> None:
    run = read_folder(folder)
    requests = run.learning["requests"]
    commitments = [opened(request) for request in requests]
    assert len({*commitments, *(request["forget_salt"] for request in requests)}) == 4
    assert [request["forget_commitment"] for request in requests] == commitments
    found = [method.certificate["forget_commitment"] for method in run.methods]
    assert found == [commitments[index // 3] for index in range(6)]
    assert [bytes.fromhex(request["forget_salt"]) for request in requests] == [forget_salt(4, 0), forget_salt(4, 1)]
    assert "forget_sha256" not in json.dumps([run.learning, *(method.certificate for method in run.methods)])


def test_a_secret_salt_is_another_every_time(tmp_path: Path) -> None:
    runs = [run_through({**SCENARIO, **SECRET}, tmp_path / name) for name in ("one", "two")]
    salts = [request["forget_salt"] for run in runs for request in run.learning["requests"]]
    assert len(set(salts)) == 4
    assert forget_salt(4, 0).hex() not in salts
    for run in runs:
        assert [opened(request) for request in run.learning["requests"]] == [
            run.methods[index].certificate["forget_commitment"] for index in (0, 3)
        ]
        assert [finding.sentence for finding in verify_folder(run.path) if not finding.holds] == []


def learning_finding(folder: Path) -> str:
    (finding,) = [finding for finding in verify_folder(folder) if finding.what == "learning"]
    return "" if finding.holds else finding.sentence


def change_request(folder: Path, **changes: Any) -> None:
    content = json.loads((folder / "learning.json").read_text())
    content["requests"][0].update(changes)
    (folder / "learning.json").write_text(json.dumps(content))


def test_a_commitment_that_opens_to_something_else_is_found(folder: Path) -> None:
    assert learning_finding(folder) == ""
    change_request(folder, forget_commitment="0" * 64)
    assert learning_finding(folder) == "the forget set is not the one that was certified"
    forget = {int(node): of for node, of in read_folder(folder).learning["requests"][0]["forget"].items()}
    other = bytes(32)
    change_request(folder, forget_salt=other.hex(), forget_commitment=forget_commitment(other, forget))
    assert learning_finding(folder) == "the salt of the forget set is not the one that is drawn from the seed"
    change_request(folder, forget_salt="00")
    assert "is not" in learning_finding(folder)


def test_a_scenario_that_says_less_is_found_by_its_noise(folder: Path) -> None:
    """The noise is drawn again in the context of the scenario on record."""
    scenario = yaml.safe_load((folder / "scenario.yaml").read_text())
    scenario["data"]["limit"] = 119
    (folder / "scenario.yaml").write_text(yaml.safe_dump(scenario))
    failed = [finding for finding in verify_folder(folder) if not finding.holds]
    assert {"files", "0 r2d, noise", "3 r2d, noise"} <= {finding.what for finding in failed}
