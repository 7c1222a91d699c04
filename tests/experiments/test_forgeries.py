"""Run folders that were edited by a competent forger: each edit is found, or what it changed is said to be unproven."""

import shutil
from pathlib import Path
from typing import Any

import forgeries
import numpy as np
import pytest
from forgeries import Forge
from forging import Forger
from runs import SharedRuns, run_through

from rewindnet.experiments.verify.verify import verify_folder

#: One request: noise before and after the descent, noise in every round, and a bound by measurements.
SCENARIO: dict[str, Any] = {
    "name": "forged",
    "seed": 4,
    "data": {"source": "synthetic", "samples": 100, "dimensions": 9, "classes": 4},
    "partition": {"clients": 5},
    "topology": "ring",
    "learning": {"rounds": 12},
    "deletion": {"client": 2, "samples": 5},
    "unlearning": [
        {"method": "r2d", "rewind": 0.5, "sigma": 1.0, "gossip_rounds": 2},
        {"method": "r2d", "rewind": 0.5, "bound": "instance"},
        {"method": "gossip-dp"},
        {"method": "retrain"},
        {"method": "do-nothing"},
    ],
    "audit": {"draws": 200},
    "measures": {"membership": True, "nodes": 1, "folds": 2, "repeats": 1},
}
#: Two requests, on links that fail.
REQUESTS: dict[str, Any] = {
    **SCENARIO,
    "topology": {"kind": "ring", "schedule": {"kind": "link-failures", "probability": 0.2}},
    "deletion": {"requests": [{"client": 0, "samples": 2, "round": 6}, {"client": 2, "samples": "all"}]},
    "unlearning": [{"method": "r2d", "rewind": 0.5}],
    "measures": {"membership": False},
}


@pytest.fixture(scope="module")
def one_request(run_once: SharedRuns) -> Path:
    return run_once(SCENARIO).path


@pytest.fixture(scope="module")
def two_requests(run_once: SharedRuns) -> Path:
    return run_once(REQUESTS).path


def copied(made: Path, folder: Path) -> Forger:
    return Forger(Path(shutil.copytree(made, folder / "run")))


def found(forger: Forger, data: bool = True) -> dict[str, tuple[str, str]]:
    return {finding.what: (finding.status, finding.sentence) for finding in verify_folder(forger.path, data)}


def test_runs_as_they_were_written_hold(one_request: Path, two_requests: Path) -> None:
    for made in (one_request, two_requests):
        wrong = {what: sentence for what, (status, sentence) in found(Forger(made)).items() if status == "FAILS"}
        assert wrong == {}


def test_a_forger_who_changes_nothing_is_not_found(one_request: Path, two_requests: Path, tmp_path: Path) -> None:
    """What the forger derives again is what the run wrote, so that each forgery is found for what it changes."""
    for at, made in enumerate((one_request, two_requests)):
        forger = copied(made, tmp_path / str(at))
        before = found(forger)
        forger.follow()
        assert found(forger) == before


#: Each edit of the run with one request: the finding that is about it, its status, and words of its sentence.
ONE: dict[str, tuple[Forge, str, str, str]] = {
    # The four that the verifier of the first version did not find.
    "noise times 0": (forgeries.no_noise_anywhere, "0 r2d, noise audit", "FAILS", "is not the certified Gaussian"),
    "ring to complete": (forgeries.other_topology(kind="complete"), "network", "FAILS", "5 edges too many, 0 missing"),
    "n times 8.5": (
        forgeries.more_samples,
        "data",
        "FAILS",
        "136 samples are recorded of node 0, and the data give it 16",
    ),
    "unforgotten": (forgeries.the_unforgotten_model(), "1 r2d, released models", "FAILS", "have forgotten nothing"),
    # scenario.yaml
    "complete by the scenario too": (
        forgeries.complete_by_the_scenario_too,
        "checkpoints",
        "recorded",
        "what the rounds made",
    ),
    "smaller steps": (forgeries.smaller_steps, "checkpoints", "recorded", "is on the record's word"),
    "smaller request": (forgeries.smaller_request, "checkpoints", "recorded", "is on the record's word"),
    "another seed": (forgeries.another_seed, "data", "FAILS", "the data give"),
    "half the data": (
        lambda forger: forger.scenario(lambda scenario: scenario["data"].update(samples=50)),
        "data",
        "FAILS",
        "16 samples are recorded of node 0, and the data give it 8",
    ),
    "fewer draws": (
        lambda forger: forger.scenario(lambda scenario: scenario["audit"].update(draws=100)),
        "0 r2d, Monte-Carlo audit",
        "FAILS",
        "not what the scenario asked for",
    ),
    "a default left out": (
        lambda forger: forger.scenario(lambda scenario: scenario["measures"].pop("negatives")),
        "scenario",
        "FAILS",
        "measures.negatives is None in scenario.yaml; written in full it is test",
    ),
    # topology.json
    "lazy weights": (
        forgeries.other_topology(kind="ring", mixing="lazy-metropolis-hastings"),
        "network",
        "FAILS",
        "by the scenario and the seed",
    ),
    "another schedule": (
        forgeries.other_topology(kind="ring", schedule={"kind": "link-failures", "probability": 0.1}),
        "network",
        "FAILS",
        "schedule.kind is link-failures",
    ),
    "one more edge": (forgeries.one_more_edge, "network", "FAILS", "such as (0, 2)"),
    "names of nodes": (forgeries.of_topology(names=list("abcde")), "network", "FAILS", "names is ['a'"),
    # learning.json
    "other samples forgotten": (
        forgeries.other_samples_forgotten,
        "data",
        "FAILS",
        "forget.2.0 of request 0 is recorded as 0",
    ),
    "fewer parameters": (
        forgeries.of_learning(lambda request: request["arithmetic"].update(parameters=10)),
        "learning",
        "FAILS",
        "a model is recorded to have 10 parameters and has 40",
    ),
    "size of a score": (
        forgeries.of_learning(lambda request: request["arithmetic"].update(inputs=1)),
        "data",
        "FAILS",
        "arithmetic.inputs of request 0 is recorded as 1",
    ),
    "goes on": (
        forgeries.of_learning(lambda request: request.update(continued=True)),
        "learning",
        "FAILS",
        "from which models learning went on after round 12",
    ),
    "smaller disturbances": (
        forgeries.smaller_disturbances,
        "measured disturbances",
        "recorded",
        "of releases 1 rest on it",
    ),
    # record.json
    "another name": (
        lambda forger: forger.json("record", lambda record: record.update(name="other")),
        "scenario",
        "FAILS",
        "and other in record.json",
    ),
    "other versions": (
        lambda forger: forger.json("record", lambda record: record["versions"].update(numpy="9")),
        "scenario",
        "recorded",
        "the versions, the platform and the times are on the record's word",
    ),
    # metrics.jsonl
    "fewer messages": (
        forgeries.at_line("learn", 5, messages=2),
        "rounds",
        "FAILS",
        "round 5 of learn takes 10 messages, not 2",
    ),
    "a round less": (forgeries.without_rounds, "rounds", "FAILS", "learn took 12 rounds; 11 are recorded"),
    "accuracy at a checkpoint": (
        forgeries.at_line("learn", 12, test_accuracy_of_average_model=1.0),
        "rounds",
        "FAILS",
        "the test accuracy after round 12 of learn is recorded as 1.0000",
    ),
    "accuracy elsewhere": (
        forgeries.at_line("learn", 11, test_accuracy_of_average_model=1.0),
        "rounds",
        "recorded",
        "the other measures are on the record's word",
    ),
    "a phase that is none": (forgeries.at_line("learn", 12, phase="more"), "rounds", "FAILS", "11 are recorded"),
    # traffic.json
    "another route": (
        forgeries.of_traffic("learned", forgeries.another_route),
        "traffic",
        "FAILS",
        "messages of learned are not",
    ),
    "another route of a release": (
        forgeries.of_traffic("0-r2d", forgeries.another_route),
        "traffic",
        "recorded",
        "others are on the record's word",
    ),
    "smaller messages": (forgeries.smaller_messages, "traffic", "FAILS", "a message is 320 bytes, not 4"),
    # certificate.json
    "more noise than there was": (
        forgeries.more_noise_than_there_was,
        "1 r2d, noise",
        "FAILS",
        "are not centre + noise",
    ),
    "an epsilon that none claims": (
        forgeries.of_record(
            1, "certificate", lambda c: c.update(claimed_epsilon=0.1, claimed_by="a paper"), certificates=True
        ),
        "1 r2d, certificate",
        "FAILS",
        "claimed_epsilon of r2d follows as",
    ),
    "a larger delta": (
        forgeries.of_record(1, "certificate", lambda c: c.update(delta=1e-3), certificates=True),
        "1 r2d, certificate",
        "FAILS",
        "delta was asked to be 1e-05",
    ),
    # audit.json
    "half the divergence": (forgeries.half_the_divergence, "1 r2d, audit", "FAILS", "and measures"),
    "smaller statistic": (forgeries.smaller_statistic, "2 gossip-dp, noise audit", "recorded", "which are as recorded"),
    "smaller shifts": (
        forgeries.of_record(2, "audit", lambda a: a.update(shifts=[0.5 * s for s in a["shifts"]]), certificates=True),
        "2 gossip-dp, audit",
        "recorded",
        "the shifts are as recorded",
    ),
    # metrics.json
    "accuracy": (
        forgeries.of_record(1, "metrics", lambda m: m["accuracy"]["test"].update(nodes=[1.0] * 5)),
        "1 r2d, accuracy and distances",
        "FAILS",
        "the accuracy on test is recorded as 1.0000 where it measures",
    ),
    "fewer samples tested": (
        forgeries.of_record(1, "metrics", lambda m: m["accuracy"]["forget"].update(samples=4)),
        "1 r2d, accuracy and distances",
        "FAILS",
        "forget has 5 samples, not 4",
    ),
    "distance": (
        forgeries.of_record(1, "metrics", lambda m: m.update(distance_to_retrained=[0.0] * 5)),
        "1 r2d, accuracy and distances",
        "FAILS",
        "the distance to the retrained models is recorded as up to 0 and measures",
    ),
    "attack": (
        forgeries.of_record(1, "metrics", lambda m: forgeries.no_success(m["membership"])),
        "1 r2d, cost and attacks",
        "recorded",
        "the membership attacks are on the record's word",
    ),
    "fewer gradients": (
        forgeries.of_record(
            1, "metrics", lambda m: (m["cost"].update(gradients=1), m["cost_share"].update(gradients=1 / 900))
        ),
        "1 r2d, certificate",
        "FAILS",
        "1 gradients were counted",
    ),
    "less time": (
        forgeries.of_record(1, "metrics", lambda m: m["cost"].update(seconds=0.0)),
        "1 r2d, cost and attacks",
        "recorded",
        "seconds, and the membership attacks are on the record's word",
    ),
    # summary.json
    "epsilon of the table": (
        forgeries.of_table(lambda rows: rows[1].update(epsilon_certified=0.1)),
        "table",
        "FAILS",
        "row 1",
    ),
    "sigma of the table": (
        forgeries.of_table(lambda rows: rows[1].update(sigma=9.0)),
        "table",
        "FAILS",
        "row 1 says sigma",
    ),
    "a row less": (
        forgeries.of_table(lambda rows: rows.pop()),
        "table",
        "FAILS",
        "the scenario makes 5 releases; the table has 4",
    ),
    # Stored arrays
    "half the noise": (forgeries.noise_of(0, 0.5), "0 r2d, noise", "FAILS", "are not centre + noise"),
    "released without its gossip": (
        forgeries.released_without_gossip,
        "0 r2d, released models",
        "FAILS",
        "after the gossip",
    ),
    "unforgotten, but for a hair": (forgeries.the_unforgotten_model(1e-6), "1 r2d, audit", "FAILS", "diverged by"),
    "unforgotten, noise and all": (
        forgeries.the_unforgotten_model_with_another_centre,
        "1 r2d, released models",
        "FAILS",
        "have forgotten nothing",
    ),
    "retraining is what was released": (
        forgeries.retraining_is_what_was_released,
        "checkpoints",
        "recorded",
        "is on the record's word",
    ),
    "retraining is another": (
        forgeries.retraining_is_another,
        "3 retrain, released models",
        "FAILS",
        "is not what retraining",
    ),
    "another start": (forgeries.another_start, "checkpoints", "FAILS", "is not the initial model of this seed"),
    "single precision": (forgeries.single_precision, "stored weights", "FAILS", "is stored as float32"),
    "one array more": (forgeries.another_array, "stored weights", "FAILS", "checkpoints/learned-000003"),
    "another gossip-dp": (
        forgeries.other_result_of(2),
        "2 gossip-dp, released models",
        "recorded",
        "need the data, so its models are on the record's word",
    ),
}

#: The same of the run with two requests.
TWO: dict[str, tuple[Forge, str, str, str]] = {
    "composition": (forgeries.other_composition, "table", "FAILS", "does not follow from them"),
    "accuracy before the request": (
        forgeries.of_record(3, "metrics", lambda m: m.update(accuracy_at_request=[1.0] * 5)),
        "3 r2d, accuracy and distances",
        "FAILS",
        "the accuracy that the request found is recorded as 1.0000 where it measures",
    ),
    "earlier forget set": (
        lambda forger: forger.json("learning", forgeries.first_forgets_another),
        "data",
        "FAILS",
        "forget.0.",
    ),
    "one request less": (forgeries.one_request_less, "learning", "FAILS", ""),
    "fewer failures": (
        forgeries.other_topology(kind="ring", schedule={"kind": "link-failures", "probability": 0.1}),
        "network",
        "FAILS",
        "schedule.probability is 0.1",
    ),
    "fewer failures by the scenario too": (
        forgeries.fewer_failures_by_the_scenario_too,
        "rounds",
        "FAILS",
        "messages, not",
    ),
}


def check(forger: Forger, forge: Forge, what: str, status: str, words: str) -> None:
    forge(forger)
    forger.rehash()
    findings = found(forger)
    assert what in findings, findings
    assert findings[what][0] == status, findings[what]
    assert words in findings[what][1]
    if status == "recorded":
        # Nothing else is wrong, and the run itself was taken at its word there, too.
        assert {name for name, (of, _) in findings.items() if of == "FAILS"} == set()


@pytest.mark.parametrize("name", ONE)
def test_an_edit_is_found_or_said_to_be_unproven(one_request: Path, tmp_path: Path, name: str) -> None:
    check(copied(one_request, tmp_path), *ONE[name])


@pytest.mark.parametrize("name", TWO)
def test_an_edit_of_several_requests_is_found(two_requests: Path, tmp_path: Path, name: str) -> None:
    check(copied(two_requests, tmp_path), *TWO[name])


def test_what_is_said_to_be_unproven_is_said_of_the_run_as_it_was(one_request: Path) -> None:
    honest = found(Forger(one_request))
    assert {honest[what][0] for _, what, status, _ in ONE.values() if status == "recorded"} == {"recorded"}


@pytest.mark.parametrize("forge", [forgeries.more_samples, forgeries.other_samples_forgotten])
def test_without_the_data_it_is_said_that_they_were_not_loaded(one_request: Path, tmp_path: Path, forge: Forge) -> None:
    forger = copied(one_request, tmp_path)
    forge(forger)
    findings = found(forger, data=False)
    # What was measured of this release is more than so many samples would have allowed.
    assert {what for what, (status, _) in findings.items() if status == "FAILS"} <= {"1 r2d, audit"}
    assert findings["data"][0] == "recorded"
    assert "the numbers of samples, the forget sets" in findings["data"][1]
    assert "--no-data" in findings["data"][1]
    assert findings["0 r2d, accuracy and distances"][0] == "recorded"
    assert "--no-data" in findings["0 r2d, accuracy and distances"][1]


@pytest.fixture
def of_files(tmp_path: Path) -> Forger:
    """A run on a graph and data of files, in the folder with them."""
    generator = np.random.default_rng(0)
    x, y = generator.standard_normal((60, 3)), np.arange(60) % 3
    np.savez(tmp_path / "data.npz", x=x, y=y, client=np.arange(60) % 4, test=np.arange(60) % 5 == 4)
    (tmp_path / "graph.txt").write_text("a b\nb c\nc d\nd a\n")
    scenario = {
        "data": {"source": "npz", "path": str(tmp_path / "data.npz")},
        "partition": "natural",
        "topology": {"kind": "file", "path": str(tmp_path / "graph.txt")},
        "learning": {"rounds": 6},
        "deletion": {"client": 1, "samples": 2},
        "unlearning": [{"method": "r2d", "rewind": 0.5}],
        "audit": {"draws": 0},
    }
    run_through(scenario, tmp_path / "run")
    return Forger(tmp_path / "run")


def test_what_files_gave_is_on_the_record_once_they_are_gone(of_files: Forger, tmp_path: Path) -> None:
    findings = found(of_files)
    assert [findings[what][0] for what in ("network", "data")] == ["holds", "holds"]
    (tmp_path / "data.npz").unlink()
    findings = found(of_files)
    assert [findings[what][0] for what in ("network", "data")] == ["recorded", "recorded"]
    assert "their number is on the record's word: the data cannot be loaded here" in findings["network"][1]
    assert "data.npz" in findings["data"][1]
    (tmp_path / "graph.txt").unlink()
    findings = found(of_files)
    assert findings["network"][0] == "recorded"
    assert "the topology is on the record's word" in findings["network"][1]
    assert "graph.txt" in findings["network"][1]
    assert {status for status, _ in findings.values()} == {"holds", "recorded"}


def test_files_that_give_something_else_are_found(of_files: Forger, tmp_path: Path) -> None:
    (tmp_path / "graph.txt").unlink()
    assert found(of_files)["data"][0] == "holds"
    (tmp_path / "graph.txt").write_text("a b\nb c\nc d\n")
    status, sentence = found(of_files)["network"]
    assert (status, "1 edges too many" in sentence) == ("FAILS", True)
    (tmp_path / "graph.txt").write_text("a b\nc d\n")
    status, sentence = found(of_files)["network"]
    assert (status, "is not connected" in sentence) == ("FAILS", True)


def test_an_interruption_may_have_lost_lines(one_request: Path, tmp_path: Path) -> None:
    forger = copied(one_request, tmp_path)
    forgeries.without_rounds(forger)
    assert found(forger)["rounds"][0] == "FAILS"
    forger.json("record", lambda record: record.update(resumed=["2026-01-01T00:00:00+00:00"]))
    assert found(forger)["rounds"][0] == "recorded"
    forger.lines(lambda line: line.update(round=13) if (line["phase"], line["round"]) == ("learn", 11) else None)
    assert "has lines of others" in found(forger)["rounds"][1]


def test_a_scenario_that_cannot_be_read_here_is_unchecked(one_request: Path, tmp_path: Path) -> None:
    forger = copied(one_request, tmp_path)
    forger.scenario(lambda scenario: scenario["data"].update(source="unknown"))
    forger.follow(planned=True)
    findings = found(forger)
    assert findings["scenario"][0] == "unchecked"
    assert "unknown data source 'unknown'" in findings["scenario"][1].replace("data: ", "")
    assert [findings[what][0] for what in ("network", "data", "checkpoints")] == ["recorded"] * 3
    assert {what for what, (status, _) in findings.items() if status == "FAILS"} == set()
