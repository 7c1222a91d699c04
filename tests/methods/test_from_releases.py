"""Runs in which learning goes on, after a request, from what each method released."""

import hashlib
import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from runs import SharedRuns, refused_here
from safetensors.numpy import load_file, save_file

from rewindnet.certificates import Certificate
from rewindnet.experiments.folder.reader import RunFolder, digest
from rewindnet.experiments.report.page import write_report
from rewindnet.experiments.scenario.errors import ScenarioError
from rewindnet.experiments.scenario.yaml_files import resolve
from rewindnet.experiments.verify.verify import verify_folder

SCENARIO: dict[str, Any] = {
    "data": {"source": "synthetic", "samples": 240, "dimensions": 4, "classes": 3},
    "partition": {"clients": 5},
    "topology": "ring",
    "learning": {"rounds": 12, "step_size": 0.5, "after_request": "continue-from-release"},
    "deletion": {
        "requests": [
            {"client": 0, "samples": 5, "round": 6},
            {"client": 2, "samples": 4, "round": 9},
            {"client": 0, "samples": 4},
        ]
    },
    "unlearning": [
        {"method": "r2d", "rewind": 0.25, "view": "joint"},
        {"method": "r2d", "rewind": 0.2, "view": "transcript:all", "placement": "rewind", "allocation": "optimal"},
        {"method": "noise-only", "view": "joint", "epsilon": 4.0},
        "retrain",
        "do-nothing",
    ],
}
METHODS = 5


@pytest.fixture(scope="module")
def whole(run_once: SharedRuns) -> RunFolder:
    return run_once(SCENARIO)


def certificate(folder: RunFolder, index: int) -> Certificate:
    return Certificate.from_record(folder.methods[index].certificate)


def test_every_certificate_holds_and_follows_from_the_records(whole: RunFolder) -> None:
    assert [row["request"] for row in whole.summary] == [request for request in range(3) for _ in range(METHODS)]
    assert all(row["holds"] for row in whole.summary)
    findings = verify_folder(whole.path)
    assert all(found.holds for found in findings), [found for found in findings if not found.holds]
    assert {found.status for found in findings} <= {"holds", "recorded"}
    assert whole.compositions == []


def test_learning_goes_on_from_the_released_models(whole: RunFolder) -> None:
    for index, request, number, start in ((0, 1, 0, 6), (1, 1, 1, 6), (METHODS + 1, 2, 1, 9)):
        place = whole.methods[index].place
        begun = whole.weights(f"checkpoints/learned-{request}-{number}-{start:06d}")
        assert np.array_equal(begun, whole.weights(f"{place}/released"))  # type: ignore[arg-type]
        # They are far from what learning had come to by then.
        assert np.abs(begun - whole.weights("checkpoints/learned-000006")).max() > 0.1  # type: ignore[operator]
    # Retraining takes the same way as a method that adds no noise to it.
    for end, request in ((9, 1), (12, 2)):
        released = whole.weights(f"methods/{request * METHODS + 3}-retrain/released")
        assert np.array_equal(released, whole.weights(f"checkpoints/retrained-{request}-3-{end:06d}"))  # type: ignore[arg-type]


def test_certificates_say_what_is_within_and_what_is_outside(whole: RunFolder) -> None:
    for index, row in enumerate(whole.summary):
        last = row["request"] == 2
        assert any("within the guarantee" in sentence for sentence in row["premises"]) != last
        assert any("these releases" in sentence for sentence in row["premises"]) == (row["request"] > 0)
        noisy = row["request"] > 0 and row["method"] in ("r2d", "noise-only")
        assert ("the noise of earlier releases" in certificate(whole, index).reference) == noisy
        assert not any("carry no noise and know" in sentence for sentence in row["premises"])
    page = write_report(whole.path).read_text("utf-8")
    assert "what peers see from then on is within the guarantee" in page
    assert "arrived %" in page


def test_each_method_is_told_by_the_models_that_its_own_learning_came_to(whole: RunFolder) -> None:
    found = [row["accuracy_at_request"]["mean"] for row in whole.summary]
    assert len(set(found[:METHODS])) == 1
    assert len(set(found[METHODS : METHODS + 4])) == 4


def edit(file: Path, change: Any) -> None:
    record = json.loads(file.read_text("utf-8"))
    change(record)
    file.write_text(json.dumps(record), encoding="utf-8")


def failures(folder: RunFolder) -> str:
    return "\n".join(f"{found.what}: {found.sentence}" for found in verify_folder(folder.path) if not found.holds)


def test_an_earlier_release_that_is_forged_is_found_in_the_later_ones(run_once: SharedRuns) -> None:
    """A release is a premise of those after it, whose rounding and rewinding depend on it."""
    folder = run_once(SCENARIO)
    place = folder.path / folder.methods[0].place
    edit(
        place / "certificate.json", lambda record: record.update(checkpoint_round=3, rewound_rounds=3, descent_rounds=3)
    )
    said = failures(folder)
    assert "0 r2d, certificate" in said
    assert "5 r2d, certificate: epsilon is recorded as 1 and follows as" in said


def test_learning_that_went_on_from_other_models_is_found(run_once: SharedRuns) -> None:
    folder = run_once(SCENARIO)
    name = "checkpoints/learned-1-1-000006"
    theta = load_file(folder.path / "checkpoints/learned-000006.safetensors")["theta"]
    save_file({"theta": theta}, folder.path / f"{name}.safetensors")

    def forge(record: dict[str, Any]) -> None:
        record["weights_sha256"][name] = hashlib.sha256(theta.tobytes()).hexdigest()
        record["sha256"] = digest(record["weights_sha256"])

    edit(folder.path / "record.json", forge)
    assert "6 r2d, released models: learning did not go on from what the method released after round 6" in failures(
        folder
    )


def test_a_forged_way_to_go_on_is_found(run_once: SharedRuns) -> None:
    folder = run_once(SCENARIO)
    edit(folder.path / "learning.json", lambda record: record["requests"][0].update(from_release=False))
    assert "from which models learning went on after round 6" in failures(folder)


@pytest.mark.parametrize(
    ("method", "words"),
    [
        ({"method": "r2d", "rewind": 0.25, "view": "node"}, "use view: joint or view: transcript:all"),
        ({"method": "r2d", "rewind": 0.5, "view": "joint"}, "would rewind to round 5, past its release after round 6"),
        ({"method": "r2d", "rewind": 0.2, "view": "joint", "bound": "instance"}, "r2d has the bound instance"),
        ({"method": "r2d", "rewind": 0.2, "view": "joint", "bound": "published"}, "r2d has the bound published"),
        ({"method": "r2d", "rewind": 0.2, "view": "joint", "gossip_rounds": 3}, "adds 3 gossip rounds"),
        ({"method": "r2d", "rewind": 0.2, "view": "joint", "noise_source": "os"}, "use noise_source: seed"),
        ({"method": "warm-start", "rounds": 2, "view": "joint"}, "releases models of round 8"),
        ({"method": "langevin"}, "langevin does not add its noise once"),
        ({"method": "noisy-finetune"}, "noisy-finetune does not add its noise once"),
        ({"method": "gossip-dp"}, "gossip-dp does not add its noise once"),
        ({"method": "rr-du"}, "rr-du does not add its noise once"),
        ({"method": "federaser"}, "federaser does not add its noise once"),
        ({"method": "gradient-ascent"}, "gradient-ascent does not add its noise once"),
    ],
)
def test_what_cannot_go_on_is_refused_in_a_sentence(
    method: dict[str, Any], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    refused_here({**deepcopy(SCENARIO), "unlearning": [method]}, tmp_path, capsys, words)


def test_newton_is_refused_where_it_could_be_planned(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = {**deepcopy(SCENARIO), "unlearning": [{"method": "newton"}], "model": {"kind": "logistic", "l2": 0.1}}
    order = "learning.order=consensus-plus-gradient"
    refused_here(asked, tmp_path, capsys, "newton does not add its noise once", order)


def test_the_ways_to_go_on_are_listed() -> None:
    with pytest.raises(ScenarioError, match=r"continue-unnoised.*continue-from-release"):
        resolve({"learning": {"after_request": "stop"}})
    assert resolve({}).plain()["learning"]["after_request"] == "continue-unnoised"
