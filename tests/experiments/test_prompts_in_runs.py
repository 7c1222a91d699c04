"""Runs of language models: requests with an attack in them, what is measured of it, and what has no meaning."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from runs import SharedRuns

from rewindnet.clients.methods import METHODS
from rewindnet.clients.steps.npo import NPOEpochs
from rewindnet.errors import UserError
from rewindnet.experiments.report.columns import COLUMNS
from rewindnet.experiments.runs.run_setup import build_run
from rewindnet.experiments.scenario.computation import computation_digest
from rewindnet.experiments.scenario.yaml_files import resolve
from rewindnet.experiments.verify.measures import check_costs, check_measures
from rewindnet.experiments.verify.rebuild import rebuild
from rewindnet.experiments.verify.records import MismatchError
from rewindnet.experiments.verify.verify import verify_folder

SCENARIO: dict[str, Any] = {
    "name": "prompts",
    "data": {"source": "facts", "peers": 3, "authors": 6, "own": 1, "countries": 4, "features": "raw"},
    "partition": "natural",
    "model": {"kind": "gpt", "layers": 1, "width": 8, "heads": 2},
    "topology": "path",
    "learning": {"rounds": 4, "step_size": 0.05, "local_steps": 2, "optimizer": "adamw"},
    "deletion": {"client": 0, "samples": {"indices": [0, 1, 2, 3]}, "attack": {"kind": "stealthy", "probability": 1.0}},
    "unlearning": [
        {"method": "npo", "epochs": 2, "step_size": 0.01, "objective": {"kind": "scope-aware", "eta": 2.0}},
        {"method": "lune", "epochs": 1, "rank": 2},
    ],
    "audit": {"draws": 0},
}


def test_what_is_left_of_prompts_in_templates_is_measured_by_hop_and_verified(run_once: SharedRuns) -> None:
    run = run_once(SCENARIO)
    assert all(finding.holds for finding in verify_folder(run.path))
    metrics, row = run.methods[0].metrics, run.summary[0]
    found, plain = metrics["triggers"], metrics["accuracy"]["test"]["nodes"]
    network = build_run(resolve(SCENARIO)).network
    theta = torch.from_numpy(run.weights("methods/0-npo/released")).double()
    asked = torch.from_numpy(network.in_templates).double()
    right = network.model.predict(theta, asked).numpy() == network.test_labels
    np.testing.assert_allclose(found["accuracy"]["test"]["nodes"], right.mean(axis=1))
    np.testing.assert_allclose(found["gap"], np.array(plain) - right.mean(axis=1))
    assert found["hops"] == [0, 1, 2]
    assert row["triggers"]["gap_by_hop"] == found["gap"]
    assert row["triggers"]["mean"] == pytest.approx(right.mean())
    shown = {heading: content(row) for heading, content in COLUMNS}
    assert shown["gap by hop %"] == " / ".join(f"{100 * gap:.1f}" for gap in found["gap"])
    rebuilt, training = rebuild(run), run.training_run_of(0)
    for wrong in ({"gap": [0.9, 0.9, 0.9]}, {"hops": [0, 0, 0]}):
        run.methods[0].metrics["triggers"] = {**found, **wrong}
        with pytest.raises(MismatchError, match="of prompts in templates"):
            check_measures(run, rebuilt, training, 0)


def test_messages_of_adapters_count_as_what_they_are_and_are_verified(run_once: SharedRuns) -> None:
    run = run_once(SCENARIO)
    rebuilt, network = rebuild(run), build_run(resolve(SCENARIO)).network
    cost, whole = run.methods[1].metrics["cost"], run.methods[0].metrics["cost"]
    # Four matrices with 8 columns or rows, of 24, 8, 32 and 32 rows or columns, at rank 2; two messages along a path.
    adapter = 2 * (24 + 8 + 8 + 8 + 32 + 8 + 32 + 8)
    assert (cost["messages"], cost["bytes"]) == (2, 2 * 8 * adapter)
    assert whole["bytes"] == whole["messages"] * network.message_bytes > 10 * cost["bytes"]
    assert "bytes and shares of retraining follow" in check_costs(run, rebuilt, 1)
    assert "bytes, seconds" in check_costs(run, replace(rebuilt, network=None), 1)
    run.methods[1].metrics["cost"]["bytes"] = cost["messages"] * network.message_bytes
    with pytest.raises(MismatchError, match=f"2 messages are {16 * adapter:,} bytes"):
        check_costs(run, rebuilt, 1)


def test_an_attack_changes_the_samples_of_the_request_alone() -> None:
    plain, attacked = (
        build_run(resolve({**SCENARIO, "deletion": {**SCENARIO["deletion"], "attack": attack}})).network
        for attack in (None, {"kind": "stealthy", "probability": 1.0})
    )
    changed = np.flatnonzero((plain.features.x != attacked.features.x).any(axis=1))
    np.testing.assert_array_equal(changed, [0, 1, 2, 3])
    np.testing.assert_array_equal(plain.features.test_x, attacked.features.test_x)
    assert plain.in_templates is not None
    assert (plain.in_templates != plain.features.test_x).any(axis=1).all()


def test_an_attack_counts_in_the_digest_and_none_does_not() -> None:
    plain = resolve({**SCENARIO, "deletion": {"client": 0}}).plain()
    assert plain["deletion"]["attack"] is None
    before = {**plain, "deletion": {key: value for key, value in plain["deletion"].items() if key != "attack"}}
    assert computation_digest(before) == computation_digest(plain)
    attacked = resolve({**SCENARIO, "deletion": {"client": 0, "attack": "stealthy"}}).plain()
    assert attacked["deletion"]["attack"] == {"kind": "stealthy", "probability": 0.33, "templates": None}
    assert computation_digest(attacked) != computation_digest(plain)
    several = {"requests": [{"client": 0, "samples": 2}, {"client": 1, "samples": 2}], "attack": "stealthy"}
    assert resolve({**SCENARIO, "deletion": several}).plain()["deletion"]["attack"]["kind"] == "stealthy"


def test_an_objective_changes_steps_on_the_forget_set_alone() -> None:
    setup = build_run(resolve(SCENARIO))
    worker = setup.worker(range(3))
    theta = torch.from_numpy(setup.network.model.initial(np.random.default_rng(0))).repeat(3, 1)
    made = METHODS["npo"](epochs=1, objective={"kind": "scope-aware", "eta": 2.0}, forget_batch=2, batch=5)
    step = made._epochs(type("Address", (), {"seed": 3})(), "learned", range(4, 5), 1)  # type: ignore[attr-defined]
    assert isinstance(step, NPOEpochs)
    block = replace(worker.blocks[1], before_erasure=worker.full, recalled_checkpoints=(theta,))
    phases: list[tuple[str, float]] = []

    def note(self: NPOEpochs, phase: str, at: Any, gradient: torch.Tensor, carried: Any) -> None:
        phases.append((phase, float(gradient.norm())))

    norms = {}
    for name, of in (("with", step), ("without", replace(step, objective=()))):
        phases.clear()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(NPOEpochs, "step", note)
            of.work(block, of.begin(block, theta), [0], 4)
        norms[name] = {phase: [norm for of, norm in phases if of == phase] for phase in ("forget", "retain")}
    assert norms["with"]["retain"] == norms["without"]["retain"]
    assert len(norms["with"]["forget"]) == 2
    assert not np.isclose(norms["with"]["forget"], norms["without"]["forget"]).any()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model": "logistic"}, "the objective scope-aware of npo joins prompts of tokens, which the model logistic"),
        (
            {"data": {"source": "synthetic", "samples": 60}, "partition": {"clients": 3}, "deletion": {}},
            "reads prompts of tokens",
        ),
        (
            {"data": {"source": "synthetic", "samples": 60}, "partition": {"clients": 3}, "model": "logistic"},
            "deletion.attack stealthy puts words around prompts",
        ),
        ({"data": {**SCENARIO["data"], "features": "unit-norm"}}, "no quantities"),
        ({"deletion": {"attack": {"kind": "loud"}}}, "unknown attack 'loud'.*stealthy"),
        ({"deletion": {"attack": {"kind": "stealthy", "templates": ["say {q}"]}}}, "has the word 'say'"),
    ],
)
def test_what_has_no_meaning_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        build_run(resolve({**SCENARIO, **changes}))
