"""Runs in which learning goes on, after a request, from what each method released."""

import shutil
from copy import deepcopy
from pathlib import Path
from typing import Any

import forgeries
import numpy as np
import pytest
from forgeries import Forge
from forging import Forger
from runs import SharedRuns, refused_here, run_through

import rewindnet
from rewindnet.certificates import Certificate
from rewindnet.experiments.folder.reader import RunFolder
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


def test_clipped_retraining_with_earlier_noise_evaluates_other_gradients(run_once: SharedRuns) -> None:
    learning = {"rounds": 12, "step_size": 3.0, "after_request": "continue-from-release", "client_clip": 0.1}
    r2d = {"method": "r2d", "rewind": 0.3, "view": "joint", "bound": "worst-case"}
    folder = run_once(
        {
            "seed": 3,
            "data": {"source": "synthetic", "samples": 80, "dimensions": 3},
            "partition": {"clients": 5},
            "topology": "ring",
            "measures": {"membership": False},
            "learning": learning,
            "deletion": {"requests": [{"client": 1, "samples": "all", "round": 6}, {"client": 3, "samples": "all"}]},
            "unlearning": [
                {**r2d, "placement": "rewind"},
                {**r2d, "placement": "output"},
                {"method": "noise-only", "view": "joint"},
                "retrain",
            ],
        }
    )
    assert [found.sentence for found in verify_folder(folder.path) if not found.holds] == []


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


def found(folder: Path) -> dict[str, tuple[str, str]]:
    return {finding.what: (finding.status, finding.sentence) for finding in verify_folder(folder)}


def goes_on_otherwise(forger: Forger) -> None:
    """Learning that went on from the learned models, and not from what was released."""
    forger.put("checkpoints/learned-1-1-000006", forger.array("checkpoints/learned-000006"))
    forger.rehash()


def rewound_further(forger: Forger) -> None:
    """A certificate of the first release of `r2d` that says that it has rewound further."""
    forger.json(
        f"{forger.place(0)}/certificate",
        lambda record: record.update(checkpoint_round=3, rewound_rounds=3, descent_rounds=3),
    )
    forger.rehash()


def other_checkpoint(forger: Forger) -> None:
    """What learning came to on the way of one method, and the measures of the models in which it ended."""
    forger.put("checkpoints/learned-1-0-000009", 0.5 * forger.array("checkpoints/learned-1-0-000009"))
    forger.follow()


def unforgotten(forger: Forger) -> None:
    """The models that the second request found, as the result of its descent."""
    forger.noised(5, forger.noise(5), forger.array("checkpoints/learned-1-0-000009"))
    forger.follow()


def no_checkpoint(forger: Forger) -> None:
    """A release that learning cannot have gone on from."""
    forger.json(f"{forger.place(0)}/certificate", lambda record: record.update(gossip_rounds=1))
    forger.rehash()


#: Each edit: the finding that is about it, and words of its sentence.
FORGED: dict[str, tuple[Forge, str, str]] = {
    "an earlier certificate": (rewound_further, "5 r2d, certificate", "epsilon is recorded as 1 and follows as"),
    "an impossible release": (no_checkpoint, "releases", "adds 1 gossip rounds"),
    "an unreadable release": (
        lambda forger: (
            forger.json(f"{forger.place(0)}/certificate", lambda record: record.pop("sigma")),
            forger.rehash(),
        ),
        "releases",
        "",
    ),
    "other models": (
        goes_on_otherwise,
        "6 r2d, released models",
        "learning did not go on from what the method released after round 6",
    ),
    "another way": (
        lambda forger: forger.json("learning", lambda record: record["requests"][0].update(from_release=False)),
        "learning",
        "from which models learning went on after round 6",
    ),
    "half the noise": (forgeries.noise_of(0, 0.5), "0 r2d, noise", "are not centre + noise"),
    "messages of learning": (
        forgeries.at_line("learn-1-0", 8, messages=2),
        "rounds",
        "round 8 of learn-1-0 takes 10 messages, not 2",
    ),
    "a round less": (
        lambda forger: forger.lines(
            lambda line: line.clear() if (line["phase"], line["round"]) == ("learn-2-1", 10) else None
        ),
        "rounds",
        "learn-2-1 took 3 rounds; 2 are recorded",
    ),
    "accuracy of retraining": (
        forgeries.at_line("retrain-1-0", 9, test_accuracy_of_average_model=1.0),
        "rounds",
        "the test accuracy after round 9 of retrain-1-0 is recorded as 1.0000",
    ),
    "a phase that is none": (forgeries.at_line("learn-2-1", 12, phase="learn-2-9"), "rounds", "2 are recorded"),
    "edges of learning": (
        forgeries.of_traffic("learned-2-1", forgeries.another_route),
        "traffic",
        "messages of learned-2-1 are not",
    ),
    "edges of retraining": (
        forgeries.of_traffic("retrained-2-0-before-noise-1", forgeries.another_route),
        "traffic",
        "messages of retrained-2-0-before-noise-1 are not",
    ),
    "accuracy before the request": (
        forgeries.of_record(5, "metrics", lambda metrics: metrics.update(accuracy_at_request=[1.0] * 5)),
        "5 r2d, accuracy and distances",
        "the accuracy that the request found is recorded as 1.0000 where it measures",
    ),
    "a smaller share": (
        forgeries.of_record(5, "metrics", lambda metrics: metrics["cost_share"].update(bytes=0.01)),
        "5 r2d, cost and attacks",
        "of those of retraining, not 0.01",
    ),
    "more time": (
        forgeries.of_record(5, "metrics", lambda metrics: metrics["cost_share"].update(simulated_seconds=0.9)),
        "5 r2d, cost and attacks",
        "of those of retraining, not 0.9",
    ),
    "what learning came to": (other_checkpoint, "rounds", "the consensus distance after round 9 of learn-1-0"),
    "the unforgotten models": (unforgotten, "5 r2d, released models", "have forgotten nothing"),
    "a composition": (
        lambda forger: forger.json("summary", lambda summary: summary["together"].append({"epsilon": 0.1})),
        "table",
        "does not follow from them",
    ),
}


@pytest.mark.parametrize("planned", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_forger_who_changes_nothing_is_not_found(whole: RunFolder, tmp_path: Path, planned: bool) -> None:
    forger = Forger(Path(shutil.copytree(whole.path, tmp_path / "run")))
    forger.follow(planned)
    assert found(forger.path) == found(whole.path)


@pytest.mark.parametrize("name", FORGED)
def test_an_edit_is_found(whole: RunFolder, tmp_path: Path, name: str) -> None:
    forge, what, words = FORGED[name]
    forger = Forger(Path(shutil.copytree(whole.path, tmp_path / "run")))
    forge(forger)
    forger.rehash()
    findings = found(forger.path)
    assert findings[what][0] == "FAILS", findings
    assert words in findings[what][1]
    assert findings["files"][0] == "holds"


def test_what_stays_on_the_record_is_said(whole: RunFolder) -> None:
    findings = found(whole.path)
    assert findings["rounds"][0] == findings["checkpoints"][0] == "recorded"
    assert "what the rounds made of them takes the data to follow" in findings["checkpoints"][1]
    for index, row in enumerate(whole.summary):
        assert findings[f"{index} {row['method']}, accuracy and distances"][0] == "holds"
    costs = findings["5 r2d, cost and attacks"]
    assert costs[0] == "recorded"
    assert "how much longer retraining takes with earlier noise" in costs[1]
    learned = [name for name in whole.record["weights_sha256"] if name.startswith("checkpoints/learned-1-")]
    assert learned


def test_noise_where_a_later_release_begins(tmp_path: Path) -> None:
    """There are no rounds between the noise of the first release and that of the second."""
    changes = {
        "learning": {**SCENARIO["learning"], "rounds": 6},
        "deletion": {
            "requests": [
                {"client": 0, "samples": 5, "round": 4},
                {"client": 2, "samples": 4, "round": 5},
                {"client": 1, "samples": 3},
            ]
        },
        "unlearning": [{"method": "r2d", "rewind": 0.11, "view": "joint", "placement": "rewind"}],
    }
    folder = run_through({**SCENARIO, **changes}, tmp_path / "run")
    rounds = [
        (of.release.checkpoint_round, of.release.noise_round)
        for of, _ in folder.certified[:: len(folder.scenario["unlearning"])]
    ]
    assert rounds == [(4, 4), (4, 4), (5, 5)]
    assert folder.traffic["parts"]["retrained-2-0-before-noise-1"]["messages"] == []
    assert [what for what, (status, _) in found(folder.path).items() if status == "FAILS"] == []


@pytest.mark.parametrize("index", range(METHODS, 2 * METHODS))
def test_the_certificate_of_a_later_request_is_handed_over(whole: RunFolder, index: int) -> None:
    document = rewindnet.export_certificate(whole.path, index % METHODS, request=1)
    assert rewindnet.verify_certificate(document).holds
    claimed = certificate(whole, index)
    assert (document["guarantee"]["epsilon"], document["reference"]) == (claimed.epsilon, claimed.reference)
    assert document["premises"] == list(claimed.premises)
    # Both clients have deleted by then, and the certificate is about both.
    assert document["request"]["deleted"] == [{"client": 0, "samples": 5}, {"client": 2, "samples": 4}]


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
