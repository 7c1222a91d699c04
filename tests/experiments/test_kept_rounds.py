"""Checkpoints that are kept and those that are computed again: the same bits, the same certificates, a higher cost."""

import json
from copy import deepcopy

import pytest
from drawn import examples
from hypothesis import given
from hypothesis import strategies as st
from runs import refused_here, rehash, run_through

from rewindnet.experiments.plan.cost import cost_of_depths
from rewindnet.experiments.runs import run_setup
from rewindnet.experiments.runs.run_setup import build_run
from rewindnet.experiments.scenario.errors import ScenarioError
from rewindnet.experiments.scenario.kept_rounds import CheckpointSettings, missing_parts
from rewindnet.experiments.scenario.yaml_files import resolve
from rewindnet.experiments.verify.verify import verify_folder

SCENARIO = {
    "name": "kept",
    "data": {"source": "synthetic", "samples": 150, "dimensions": 4, "classes": 3},
    "partition": {"clients": 5},
    "topology": {"kind": "star"},
    "learning": {"rounds": 12, "step_size": 0.5},
    "deletion": {"client": 2, "samples": 4},
    "unlearning": [
        {"method": "r2d", "rewind": 0.25},
        {"method": "r2d", "rewind": 0.5, "bound": "instance"},
        {"method": "gradient-ascent"},
        {"method": "warm-start", "rounds": 3},
    ],
    "audit": {"draws": 0},
}
EVERY = "learning.checkpoints={every: 5}"


def certificates(run):
    return [dict(method.certificate) for method in run.methods]


@pytest.mark.parametrize("settings", [(), ("learning.sampling.kind=poisson",), ("topology.schedule.kind=node-sleep",)])
def test_computed_again_every_bit_is_what_it_would_have_been(settings, tmp_path):
    kept = run_through(SCENARIO, tmp_path / "kept", *settings)
    again = run_through(SCENARIO, tmp_path / "again", EVERY, *settings)
    assert again.record["weights_sha256"] == kept.record["weights_sha256"]
    assert certificates(again) == certificates(kept)
    # The checkpoints after rounds 6 and 9 follow from the one after round 5.
    phases = {line["phase"] for line in again.metrics_lines()}
    assert {"replay-000005", "replay-000006"} <= phases
    findings = verify_folder(again.path)
    assert all(finding.holds for finding in findings), findings
    costs = [[method.metrics["cost"] for method in run.methods] for run in (kept, again)]
    for index, rounds in enumerate([4, 1, 0, 0, 0, 0]):
        before, after = (cost[index] for cost in costs)
        assert after["rounds"] - before["rounds"] == rounds
        assert after["messages"] - before["messages"] == rounds * 8 or "node-sleep" in str(settings)
        if not settings:
            # Learning again reads all data, the forget set among it.
            assert after["gradients"] - before["gradients"] == rounds * 120


def test_the_verifier_counts_what_was_run_again(tmp_path):
    run = run_through(SCENARIO, tmp_path / "run", EVERY)
    file = run.path / "methods/0-r2d/metrics.json"
    metrics = json.loads(file.read_text())
    metrics["cost"]["gradients"] -= 4 * 120
    metrics["cost_share"]["gradients"] = metrics["cost"]["gradients"] / run.methods[4].metrics["cost"]["gradients"]
    file.write_text(json.dumps(metrics))
    rehash(file)
    found = [finding.sentence for finding in verify_folder(run.path) if not finding.holds]
    assert any("gradients were counted" in sentence for sentence in found), found


def test_states_on_disk_change_no_bit(tmp_path, monkeypatch):
    in_memory = run_through(SCENARIO, tmp_path / "memory")
    monkeypatch.setattr(run_setup, "memory_for_states", lambda share: 0.0)
    on_disk = run_through(SCENARIO, tmp_path / "disk")
    assert on_disk.record["weights_sha256"] == in_memory.record["weights_sha256"]


def test_a_plan_counts_the_rounds_that_are_run_again(run_once):
    run, training = run_once(SCENARIO, EVERY), build_run(resolve(deepcopy(SCENARIO))).network.training_run
    costs = cost_of_depths(training, 8, [0, 3, 6], kept={0, 5, 10, 12})
    for index, depth in enumerate([3, 6]):
        share = run.methods[index].metrics["cost_share"]
        assert costs[depth]["gradients"] == pytest.approx(share["gradients"])
        assert costs[depth]["bytes"] == pytest.approx(share["bytes"])
        assert costs[depth]["rounds"] == run.methods[index].metrics["cost"]["rounds"]
    assert costs[0]["gradients"] == costs[0]["rounds"] == 0


def test_a_budget_has_room_for_the_state_of_the_optimizer(tmp_path, capsys):
    network = build_run(resolve(deepcopy(SCENARIO))).network
    momentum = resolve(deepcopy(SCENARIO), ["learning.optimizer={kind: sgd, momentum: 0.5}", "unlearning=[retrain]"])
    assert build_run(momentum).network.state_bytes == 2 * network.state_bytes
    budget = f"learning.checkpoints={{budget: {3 * network.state_bytes}}}"
    words = f"the first and the last checkpoint alone take {4 * network.state_bytes:,}"
    settings = ["learning.optimizer={kind: sgd, momentum: 0.5}", budget]
    refused_here({**SCENARIO, "unlearning": ["retrain"]}, tmp_path, capsys, words, *settings)


TRANSCRIPT = {"method": "r2d", "rewind": 0.25, "view": "transcript:all", "placement": "rewind"}


@pytest.mark.parametrize(
    ("changes", "settings", "words"),
    [
        ({"unlearning": [TRANSCRIPT]}, [EVERY], "covers the messages of unlearning"),
        ({"deletion": {"requests": [{"client": 0, "samples": 2, "round": 6}, {"client": 1, "samples": 2}]}},
         [EVERY], "for a single request"),
        ({}, ["learning.checkpoints={every: 5, budget: 1MB}"], "give one of every, rounds, budget"),
        ({}, ["learning.checkpoints={budget: 10 apples}"], "a size like 2GiB"),
        ({}, ["learning.checkpoints={budget: 10B}"], "the first and the last checkpoint alone take"),
        ({}, ["learning.checkpoints={rounds: [3, 40]}"], "names round 40; learning has 12 rounds"),
    ],
)  # fmt: skip
def test_what_cannot_be_kept_or_run_again_is_refused(changes, settings, words, tmp_path, capsys):
    refused_here({**SCENARIO, **changes}, tmp_path, capsys, words, *settings)


def test_a_transcript_is_certified_where_its_checkpoint_is_kept(tmp_path):
    run = run_through({**SCENARIO, "unlearning": [TRANSCRIPT]}, tmp_path / "run", "learning.checkpoints={rounds: [9]}")
    assert run.methods[0].certificate["epsilon"] is not None
    assert not [line for line in run.metrics_lines() if line["phase"].startswith("replay")]


@examples(60)
@given(rounds=st.integers(1, 2000), states=st.integers(2, 60))
def test_a_budget_reaches_every_depth_by_few_rounds(rounds, states):
    kept = CheckpointSettings(budget=states * 1000).kept(rounds, 1000)
    assert {0, rounds} <= kept <= set(range(rounds + 1))
    assert len(kept) == min(states, rounds + 1)
    factor = rounds ** (1 / (states - 1))
    for depth in range(1, rounds + 1):
        replayed = rounds - depth - max(t for t in kept if t <= rounds - depth)
        assert replayed <= (factor - 1) * depth + 2


@pytest.mark.parametrize(("given_size", "size"), [("2GiB", 2**31), ("1.5 KB", 1500), (7, 7)])
def test_sizes_have_units(given_size, size):
    assert len(CheckpointSettings(budget=given_size).kept(10**12, size // 3 or 1) if size < 10 else {0, 1, 2}) >= 2
    with pytest.raises(ScenarioError, match=f"is {size:,} bytes"):
        CheckpointSettings(budget=given_size).kept(10, size)


@given(
    kept=st.sets(st.integers(0, 40), min_size=1).map(lambda kept: kept | {0}), needed=st.sets(st.integers(0, 40))
)  # fmt: skip
@examples(40)
def test_no_round_is_run_again_twice_and_all_checkpoints_are_reached(kept, needed):
    parts, there = missing_parts(kept, needed), set(kept)
    for part in parts:
        assert part.start in there
        there.add(part.stop)
    assert needed <= there
    assert len({t for part in parts for t in part}) == sum(map(len, parts))
