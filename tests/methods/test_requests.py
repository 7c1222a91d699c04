"""Requests one after the other, and several at once: what is forgotten when, and what a reader of all may know."""

import json
from dataclasses import replace

import numpy as np
import pytest
from drawn import examples
from hypothesis import given
from networks import Network, as_planned, networks
from runs import rehash, run_through

from rewindnet.certificates import Certificate, compose, propagate
from rewindnet.certificates.digits import rounded_up
from rewindnet.clients.data.deletion import DeletionError, DeletionRequest, arrivals
from rewindnet.clients.methods.r2d import R2D
from rewindnet.experiments.cli import app
from rewindnet.experiments.folder.reader import read_folder
from rewindnet.experiments.report.page import write_report
from rewindnet.experiments.report.table import composition_sentences
from rewindnet.experiments.runs.run_setup import build_run
from rewindnet.experiments.scenario.errors import ScenarioError
from rewindnet.experiments.scenario.yaml_files import resolve
from rewindnet.experiments.verify.verify import verify_folder
from rewindnet.simulator.outcome import divergence
from rewindnet.simulator.transports.in_process import WorkerNetwork

LABELS = [np.arange(20) % 4, np.arange(6) % 3, np.zeros(1, dtype=np.int64)]

SCENARIO = {
    "data": {"source": "synthetic", "samples": 240, "dimensions": 4, "classes": 3},
    "partition": {"clients": 5},
    "topology": "ring",
    "learning": {"rounds": 12, "step_size": 0.5},
    "deletion": {
        "requests": [
            {"client": 0, "samples": 5, "round": 6},
            {"client": 2, "samples": "all", "round": 6},
            {"client": 0, "samples": 4},
        ]
    },
    "unlearning": [
        {"method": "r2d", "rewind": 0.5, "bound": "instance"},
        {"method": "r2d", "rewind": 0.25, "view": "transcript:all", "placement": "rewind"},
        {"method": "warm-start", "rounds": 2},
        "retrain",
        "do-nothing",
    ],
}


def test_what_arrives_in_one_round_arrives_together():
    found = arrivals([DeletionRequest(0, 3, 4), DeletionRequest(1, "all", 4), DeletionRequest(0, 2, 9)], LABELS, 9, 0)
    assert [one.round for one in found] == [4, 9]
    first, last = (one.forget for one in found)
    assert {node: len(gone) for node, gone in first.items()} == {0: 3, 1: 6}
    assert {node: len(gone) for node, gone in last.items()} == {0: 5, 1: 6}
    assert set(first[0]) < set(last[0])
    # The first request of a client deletes what it would delete alone.
    assert np.array_equal(arrivals([DeletionRequest(0, 3, 9)], LABELS, 9, 0)[0].forget[0], first[0])


def test_all_of_what_is_left_can_be_deleted_later():
    found = arrivals(
        [DeletionRequest(0, {"indices": [3, 5]}, 2), DeletionRequest(0, {"class": 1}, 5), DeletionRequest(0, "all", 9)],
        LABELS,
        9,
        0,
    )
    assert found[0].forget[0].tolist() == [3, 5]
    assert found[1].forget[0].tolist() == sorted({3, 5, *range(1, 20, 4)})
    assert found[2].forget[0].tolist() == list(range(20))


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        (
            [DeletionRequest(0, 1, 5), DeletionRequest(1, 1, 4)],
            "deletion.requests.1 arrives at round 4, which has passed .* at round 5",
        ),
        ([DeletionRequest(0, 1, 10)], "a request arrives at round 10, but learning ends after 9"),
        ([DeletionRequest(0, 1, 5)], "the last request arrives at round 5, .* let it arrive when learning ends"),
        ([DeletionRequest(3, 1, 9)], "deletion.client 3 does not exist; clients are 0 to 2"),
        (
            [DeletionRequest(1, "all", 3), DeletionRequest(1, 2, 9)],
            "client 1 deletes twice: all of its samples are",
        ),
        (
            [DeletionRequest(0, {"indices": [7]}, 3), DeletionRequest(0, {"indices": [2, 7]}, 9)],
            "client 0 deletes twice: its sample 7 is",
        ),
        ([DeletionRequest(1, 4, 3), DeletionRequest(1, 3, 9)], "client 1 has 2 samples; deletion.samples asks for 3"),
    ],
)
def test_what_cannot_be_asked_is_refused_in_a_sentence(asked, sentence):
    with pytest.raises(DeletionError, match=sentence):
        arrivals(asked, LABELS, 9, 0)


@pytest.mark.parametrize(
    ("deletion", "sentence"),
    [
        ({"client": 1, "requests": [{"client": 0}]}, "give client in each request"),
        ({"requests": [{"client": 0, "when": 3}]}, "unknown key 'when'"),
    ],
)
def test_requests_that_make_no_sense_are_refused_before_anything_is_assembled(deletion, sentence):
    with pytest.raises(ScenarioError, match=sentence):
        resolve({"deletion": deletion})


def test_the_command_line_refuses_them_and_writes_nothing(tmp_path, capsys):
    file = tmp_path / "scenario.yaml"
    file.write_text(json.dumps(SCENARIO), encoding="utf-8")
    out = tmp_path / "out"
    with pytest.raises(SystemExit) as ended:
        app(["run", str(file), "deletion.requests.1.round=2", "--out", str(out)])
    assert ended.value.code == 2
    assert "has passed" in capsys.readouterr().err
    assert not out.exists()


def test_a_run_certifies_each_request_and_all_of_them_together(tmp_path):
    folder = run_through(SCENARIO, tmp_path / "run")
    findings = verify_folder(tmp_path / "run")
    assert all(found.holds for found in findings), [found for found in findings if not found.holds]
    assert [(row["request"], row["method"]) for row in folder.summary][5] == (1, "r2d")
    certified = [Certificate.from_record(method.certificate) for method in folder.methods]
    assert [certificate.training.rounds for certificate in certified] == [6] * 5 + [12] * 5
    assert all(row["holds"] for row in folder.summary)
    for at, told in enumerate(folder.compositions):
        both = certified[at], certified[at + 5]
        if None in (both[0].mu, both[1].mu):
            assert told["epsilon"] is None
            assert told["reason"]
        else:
            assert told["epsilon"] == compose([one.mu for one in both], both[0].delta)
            assert told["epsilon"] >= max(one.epsilon for one in both)
    page = write_report(tmp_path / "run").read_text("utf-8")
    assert "after round 6 client 0 deleted 5 of its" in page
    assert "an observer of all of its releases" in page
    # From round 6 on, learning no longer read what the first request asked for.
    ((start, gone),) = folder.network[1].earlier_deletions
    assert (start, gone.tolist()) == (6, [5, 0, 38, 0, 0])


def test_what_is_said_of_all_releases_has_the_marks_of_the_table(tmp_path):
    unlearning = [{"method": "r2d", "rewind": 0.5, "bound": bound} for bound in ("worst-case", "instance")]
    folder = run_through(SCENARIO | {"unlearning": unlearning}, tmp_path / "run")
    assert [told["data_dependent_noise"] for told in folder.compositions[:2]] == [False, True]
    proven, instance = composition_sentences(folder.compositions, folder.summary)[:2]
    shown = [rounded_up(told["epsilon"]) for told in folder.compositions[:2]]
    said = "r2d 50 %, node, {} bound: an observer of all of its releases: ε {} at δ = 1e-05."
    assert proven == said.format("worst-case", shown[0])
    assert instance == said.format("instance", f"{shown[1]}†")
    page = write_report(tmp_path / "run").read_text("utf-8")
    assert proven in page
    assert instance in page


def test_methods_that_differ_in_their_noise_alone_are_told_apart(tmp_path):
    unlearning = [{"method": "r2d", "rewind": 0.5, "placement": placement} for placement in ("output", "rewind")]
    folder = run_through(SCENARIO | {"unlearning": unlearning}, tmp_path / "run")
    one, other = composition_sentences(folder.compositions, folder.summary)[:2]
    assert one.partition(", an observer")[0] != other.partition(", an observer")[0]
    assert ("noise output" in one, "noise rewind" in other) == (True, True)
    rows = [{**folder.summary[0], "sigma": sigma} for sigma in (0.5, 2.0)]
    assert ["σ = 0.5:" in said for said in composition_sentences(folder.compositions[:2], rows)] == [True, False]


def test_a_folder_whose_compositions_say_nothing_of_the_data_is_completed_and_verified(tmp_path):
    run_through(SCENARIO, tmp_path / "run")
    summary = tmp_path / "run" / "summary.json"
    record = json.loads(summary.read_text("utf-8"))
    for told in record["together"]:
        del told["data_dependent_noise"]
    summary.write_text(json.dumps(record), encoding="utf-8")
    rehash(summary)
    found = read_folder(tmp_path / "run").compositions
    assert [told["data_dependent_noise"] for told in found][:2] == [True, False]
    assert all(one.holds for one in verify_folder(tmp_path / "run"))
    record["together"][0]["data_dependent_noise"] = False
    summary.write_text(json.dumps(record), encoding="utf-8")
    rehash(summary)
    assert not all(one.holds for one in verify_folder(tmp_path / "run"))


def test_a_forged_composition_or_forget_set_of_an_earlier_request_is_found(tmp_path):
    run_through(SCENARIO, tmp_path / "run")
    summary = tmp_path / "run" / "summary.json"
    written = summary.read_text("utf-8")
    record = json.loads(written)
    record["together"][0]["epsilon"] *= 0.9
    summary.write_text(json.dumps(record), encoding="utf-8")
    rehash(summary)
    (wrong,) = [found for found in verify_folder(tmp_path / "run") if not found.holds]
    assert (wrong.what, "the composition of all releases" in wrong.sentence) == ("table", True)
    summary.write_text(written, encoding="utf-8")
    rehash(summary)
    file = tmp_path / "run" / "learning.json"
    record = json.loads(file.read_text("utf-8"))
    record["requests"][0]["forget"]["0"].pop()
    file.write_text(json.dumps(record), encoding="utf-8")
    rehash(file)
    assert not all(found.holds for found in verify_folder(tmp_path / "run"))


def test_learning_after_a_request_is_learning_without_what_it_asked_for():
    """From the state at the request on, against a network that never had those samples and starts there."""
    experiment = build_run(resolve(SCENARIO))
    from rewindnet.simulator.transports.wire import InProcess

    simulation = experiment.simulation(WorkerNetwork(experiment.worker(range(5)), InProcess(5)))
    learned, _ = simulation.learn(range(13))
    states = {t: learned.at(t).clone() for t in range(13)}
    block = experiment.worker(range(5)).blocks[1]
    theta, mixing = states[6], experiment.network.mixing
    for t in range(6, 12):
        theta = np.asarray(mixing.matrix(t) @ block.descend(theta, t).cpu().numpy())
        import torch

        theta = torch.from_numpy(theta).to(states[t].device)
        np.testing.assert_allclose(states[t + 1].cpu().numpy(), theta.cpu().numpy(), rtol=1e-12, atol=1e-13)


@given(case=networks(early=0.5, departure="relay"))
@examples(40)
def test_an_earlier_request_leaves_less_to_be_disturbed(case: Network):
    """What was forgotten on the way costs no more than if all had been asked for at the end."""
    simulation = case.simulation()
    known = simulation.training_run
    late = replace(known, earlier_deletions=())
    if known.batches is not None:
        return
    for disturbed in (0, case.rounds // 2, case.rounds):
        early_e, late_e = (propagate(one, disturbed=disturbed, undisturbed=1).total for one in (known, late))
        # A client that has deleted some of its samples averages over fewer, so that the others weigh more.
        n, m, m0 = known.samples, known.deleted, known.already_deleted(case.rounds)
        if np.all(((n - m0) * m >= n * (m - m0)) | (m == n)):
            assert np.all(early_e <= late_e * (1 + 1e-9) + 1e-300)


@given(case=networks(early=0.5, departure="relay"))
@examples(40)
def test_each_request_is_held_against_its_own_retraining(case: Network):
    simulation = case.simulation()
    learned, learnings = simulation.learn(range(case.rounds + 1))
    for request, learning in enumerate(learnings):
        T = learning.rounds
        oracle = simulation.retrain(T, range(T + 1), request)
        plan = R2D(rewind=0.5, sigma=0.0).plan(learning)
        outcome = simulation.execute(*as_planned(plan.release), learned, request, request)
        measured = divergence(outcome.centre, simulation.oracle_state(plan.release, oracle, request))
        for bound in ("instance", "worst-case"):
            e = propagate(
                learning, disturbed=plan.release.checkpoint_round, undisturbed=plan.release.descent_rounds, bound=bound
            ).total
            assert np.all(measured <= e)
