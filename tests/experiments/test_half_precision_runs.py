"""Runs that keep checkpoints in half precision: what is charged, recorded, verified and refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from runs import SharedRuns, edited, refused_here, run_through

from rewindnet.certificates.sensitivity import half_precision
from rewindnet.experiments.plan.cost import cost_of_depths
from rewindnet.experiments.runs.run_setup import build_run
from rewindnet.experiments.scenario.computation import computation_digest
from rewindnet.experiments.scenario.yaml_files import resolve
from rewindnet.experiments.verify.verify import verify_folder
from rewindnet.simulator.errors import RunError

SCENARIO: dict[str, Any] = {
    "name": "halved",
    "data": {"source": "synthetic", "samples": 150, "dimensions": 4, "classes": 3},
    "partition": {"clients": 5},
    "topology": {"kind": "star"},
    "learning": {"rounds": 12, "step_size": 0.5},
    "deletion": {"client": 2, "samples": 4},
    "unlearning": [
        {"method": "r2d", "rewind": 0.25},
        {"method": "r2d", "rewind": 0.5, "bound": "instance", "view": "transcript:all", "placement": "rewind"},
        {"method": "warm-start", "rounds": 3},
        {"method": "gradient-ascent"},
    ],
    "audit": {"draws": 0},
}
HALF = "learning.checkpoints={half_precision: 0.002}"


def test_certificates_charge_for_it_and_hold(run_once: SharedRuns) -> None:
    exact, run = run_once(SCENARIO), run_once(SCENARIO, HALF)
    for index in range(2):
        before, after = (np.array(of.methods[index].certificate["sensitivity"]) for of in (exact, run))
        # Descent on the loss, which is strongly convex, shrinks what was charged by a little.
        assert after - before == pytest.approx(np.full(5, 0.002), rel=1e-3)
        said = run.methods[index].certificate["assumptions"]
        assert any("kept in half precision. By their norms none is off by more than 0.002" in line for line in said)
        assert run.methods[index].certificate["epsilon"] is not None
    # A release that begins from the last models has the same certificate.
    last, plain = (of.methods[2].certificate["sensitivity"] for of in (run, exact))
    assert last == pytest.approx(plain, rel=1e-12)
    findings = verify_folder(run.path)
    assert all(finding.holds for finding in findings), findings
    assert any("2 checkpoints rounded by no more than is charged" in finding.sentence for finding in findings)
    assert [entry["round"] for entry in run.learning["halved"]] == [6, 9]
    # What learning went on from was not rounded: its last models are those of the exact run.
    for t, same in ((6, False), (9, False), (12, True)):
        name = f"checkpoints/learned-{t:06d}"
        assert (run.record["weights_sha256"][name] == exact.record["weights_sha256"][name]) is same
        theta = run.weights(name)
        assert theta is not None
        assert theta.dtype == np.float64
        assert np.array_equal(theta, theta.astype(np.float16)) is not same
    assert run.methods[0].metrics["cost"] | {"seconds": 0} == exact.methods[0].metrics["cost"] | {"seconds": 0}


def test_nothing_is_charged_where_nothing_is_rounded(run_once: SharedRuns) -> None:
    exact = run_once(SCENARIO)
    assert "halved" not in exact.learning
    assert "storage_error" not in exact.learning["requests"][0]


def test_noise_is_drawn_elsewhere_than_without(run_once: SharedRuns) -> None:
    digests = {computation_digest(run_once(SCENARIO, *settings).scenario) for settings in ((), (HALF,))}
    assert len(digests) == 2


def test_a_state_takes_two_bytes_a_parameter() -> None:
    setup = build_run(resolve(dict(SCENARIO), [HALF]))
    assert setup.halved_rounds == {6, 9}
    worker = setup.worker(range(5))
    worker.begin(0, None)
    worker.keep("a")
    exact = worker.models("a").clone()
    worker.halve("a")
    assert worker.checkpoints["a"].nbytes == 2 * exact.numel()
    assert worker.models("a").dtype == exact.dtype


def test_a_plan_charges_as_the_run_does_and_counts_no_replays(run_once: SharedRuns) -> None:
    training = build_run(resolve(dict(SCENARIO), [HALF])).network.training_run
    assert training.storage_error == 0.002
    cost = run_once(SCENARIO, HALF).methods[0].metrics["cost"]
    assert cost_of_depths(training, 8, [3])[3]["rounds"] == cost["rounds"] == 3


def test_a_ball_holds_models_up_to_their_rounding(tmp_path: Path) -> None:
    run = run_through(SCENARIO, tmp_path / "run", HALF, "learning.radius=0.5")
    findings = verify_folder(run.path)
    assert all(finding.holds for finding in findings), findings


def test_models_that_are_rounded_by_more_end_the_run(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"half precision, which is more than the 0.0002 that"):
        run_through(SCENARIO, tmp_path / "run", "learning.checkpoints={half_precision: 2e-4}")


@pytest.mark.parametrize(
    ("forge", "words"),
    [
        (lambda learning: learning["halved"][1]["norms"].__setitem__(0, 5.0), "may be off by"),
        (lambda learning: learning["halved"][1]["norms"].__setitem__(0, 0.1), "are not those that are recorded"),
        (lambda learning: learning["halved"][1]["norms"].pop(), "not every node has a norm"),
        (lambda learning: learning.pop("halved"), "are recorded in half precision, and"),
        (lambda learning: learning["requests"][0].__setitem__("storage_error", 1e-3), "half_precision charges"),
        (lambda learning: learning["requests"][0].pop("storage_error"), "half_precision charges"),
    ],
)
def test_the_verifier_checks_what_was_rounded(
    forge: Callable[[dict[str, Any]], object], words: str, run_once: SharedRuns
) -> None:
    run = run_once(SCENARIO, HALF)
    edited(run.path / "learning.json", forge)
    found = [finding.sentence for finding in verify_folder(run.path) if not finding.holds]
    assert any(words in sentence for sentence in found), found


def test_the_verifier_sees_a_checkpoint_that_was_not_rounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rewindnet.clients.worker.ClientWorker.halve", lambda worker, name: None)
    run = run_through(SCENARIO, tmp_path / "run", HALF)
    found = [finding.sentence for finding in verify_folder(run.path) if not finding.holds]
    assert any("holds numbers that half precision lacks" in sentence for sentence in found), found


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["learning.checkpoints={half_precision: 0.01, every: 2}"], "give one of every"),
        (["learning.checkpoints={half_precision: 1e-9}"], "may be off by 1.16e-07 even where all are tiny"),
        ([HALF, "learning.optimizer={kind: sgd, momentum: 0.5}", "unlearning=[retrain]"], "an optimizer's state"),
        ([HALF, "unlearning=[{method: r2d, rewind: 0.5, bound: published}]"], "no place for the error"),
    ],
)
def test_what_half_precision_is_not_for_is_refused_before_anything_is_learned(
    settings: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    refused_here(SCENARIO, tmp_path, capsys, words, *settings)


def test_the_charge_is_what_the_bound_says() -> None:
    """The error of models of norm 1 is that of one number of half precision."""
    assert half_precision.error_of_half_precision(np.ones(1), 1)[0] == pytest.approx(2.0**-11, rel=2e-3)
