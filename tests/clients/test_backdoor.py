"""Backdoors are planted where they are said to be, and their success is counted as it would be by hand."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from runs import SharedRuns, refused_here, run_through
from safetensors.numpy import load_file

from rewindnet.clients.data import load
from rewindnet.clients.data.backdoor import BackdoorError, Trigger, plant, poisoned
from rewindnet.clients.data.dataset import checked
from rewindnet.experiments.folder.reader import RunFolder
from rewindnet.experiments.plan.network import build_planned_network, deleted_by_each
from rewindnet.experiments.runs.run_setup import build_run
from rewindnet.experiments.scenario.network_setup import build_network
from rewindnet.experiments.scenario.yaml_files import resolve
from rewindnet.experiments.verify.verify import verify_folder

CORNERS: dict[str, Callable[[int, int, int, int, int], bool]] = {
    "top-left": lambda i, j, h, w, s: i < s and j < s,
    "top-right": lambda i, j, h, w, s: i < s and j >= w - s,
    "bottom-left": lambda i, j, h, w, s: i >= h - s and j < s,
    "bottom-right": lambda i, j, h, w, s: i >= h - s and j >= w - s,
}

SCENARIO: dict[str, Any] = {
    "name": "backdoored",
    "data": {"source": "digits", "limit": 400, "backdoor": {"client": 1, "samples": 12, "target": 3, "size": 2}},
    "partition": {"clients": 5},
    "topology": "ring",
    "learning": {"rounds": 20},
    "deletion": {"client": 1, "samples": "poisoned"},
    "unlearning": [{"method": "r2d", "rewind": 0.5, "sigma": 0.01}, {"method": "retrain"}, {"method": "do-nothing"}],
}


def scenario(*overrides: str, **changes: Any) -> Any:
    return resolve(json.loads(json.dumps({**SCENARIO, **changes})), overrides)


@pytest.fixture(scope="module")
def done(run_once: SharedRuns) -> RunFolder:
    return run_once(SCENARIO)


@pytest.mark.parametrize("shape", [(2, 5, 7), (2, 3, 6, 4)])
@pytest.mark.parametrize("corner", list(CORNERS))
def test_the_patch_is_in_its_corner_and_nowhere_else(corner: Any, shape: tuple[int, ...]) -> None:
    images = np.random.default_rng(0).random(shape, dtype=np.float32)
    before = images.copy()
    stamped = Trigger(0, size=2, value=0.75, corner=corner).stamped(images)
    h, w = shape[-2:]
    for at in np.ndindex(*shape):
        inside = CORNERS[corner](at[-2], at[-1], h, w, 2)
        assert stamped[at] == (np.float32(0.75) if inside else before[at])
    assert np.array_equal(images, before)


def test_samples_of_other_classes_are_drawn_at_the_address_of_the_client() -> None:
    labels = np.random.default_rng(1).integers(0, 4, 60)
    drawn = poisoned(labels, 2, 0, 20, seed=5)
    assert len(set(drawn.tolist())) == 20
    assert np.all(np.diff(drawn) > 0)
    assert 2 not in labels[drawn]
    assert np.array_equal(drawn, poisoned(labels, 2, 0, 20, seed=5))
    assert not np.array_equal(drawn, poisoned(labels, 2, 1, 20, seed=5))
    every = poisoned(labels, 2, 0, int((labels != 2).sum()), seed=5)
    assert np.array_equal(every, np.flatnonzero(labels != 2))


def test_only_the_poisoned_rows_change() -> None:
    dataset, shards = load("digits", limit=100), [np.arange(0, 100, 2), np.arange(1, 100, 2)]
    trigger = Trigger(7, size=3)
    planted, positions = plant(dataset, shards, trigger, 1, 9, seed=0)
    rows = shards[1][positions]
    others = np.setdiff1d(np.arange(100), rows)
    assert np.array_equal(planted.x[others], dataset.x[others])
    assert np.array_equal(planted.y[others], dataset.y[others])
    assert np.all(planted.y[rows] == 7)
    assert np.all(planted.x[rows][:, -3:, -3:] == 1.0)
    assert np.array_equal(planted.x[rows][:, :-3], dataset.x[rows][:, :-3])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"size": 9}, "1 … 8 pixels, not 9"),
        ({"target": 10}, "classes 0 to 9"),
        ({"client": 5}, "clients are 0 to 4"),
        ({"samples": 81}, "data.backdoor.samples asks for 81"),
    ],
)
def test_a_backdoor_that_does_not_fit_is_refused(change: dict[str, int], words: str) -> None:
    data = {**SCENARIO["data"], "backdoor": {**SCENARIO["data"]["backdoor"], **change}}
    with pytest.raises(BackdoorError, match=words):
        build_run(scenario(data=data, deletion={"samples": 2}))


@pytest.mark.parametrize("layout", ["vector", "signal"])
def test_data_without_images_have_no_backdoor(layout: Any) -> None:
    x, y = np.zeros((4, 6, 6), dtype=np.float32), np.array([0, 1, 0, 1])
    data = checked("mine", x=x, y=y, test_x=x, test_y=y, layout=layout)
    with pytest.raises(BackdoorError, match=f"a patch in an image, but an example of mine is a {layout}"):
        plant(data, [np.arange(4)], Trigger(0), 0, 1, seed=0)


def test_the_command_line_refuses_it_with_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = {"source": "synthetic", "backdoor": {"samples": 5}}
    refused_here({"data": data}, tmp_path, capsys, "an example of synthetic is a vector")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"data": {"source": "digits"}}, "by data.backdoor no client has any"),
        ({"deletion": {"client": 2, "samples": "poisoned"}}, "by data.backdoor only client 1 has any"),
        ({"deletion": {"requests": [{"client": 0, "samples": "poisoned"}]}}, "client 0 is to delete its poisoned"),
    ],
)
def test_only_who_has_poisoned_samples_deletes_them(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        scenario(**changes)


def test_settings_reach_a_backdoor_that_is_not_there_yet() -> None:
    found = resolve(None, ["data.backdoor.samples=7", "data.backdoor.corner=top-left"])
    assert found.data.backdoor is not None
    assert (found.data.backdoor.samples, found.data.backdoor.corner) == (7, "top-left")
    assert resolve(found.plain(), ["data.backdoor=null"]).data.backdoor is None
    assert resolve({"data": {"backdoor": None}}, ["data.backdoor.size=2"]).data.backdoor is not None


def test_what_is_forgotten_is_what_was_poisoned() -> None:
    clean = build_network(scenario(data={"source": "digits", "limit": 400}, deletion={}))
    made = build_network(scenario())
    changed = np.flatnonzero((made.features.x != clean.features.x).any(axis=1))
    assert np.array_equal(np.sort(made.partition[1][made.arrivals[0].forget[1]]), changed)
    assert np.all(made.labels[changed] == 3)
    assert [rows.tolist() for rows in made.partition] == [rows.tolist() for rows in clean.partition]
    # The radius stays proven: features are normalised after poisoning.
    assert np.linalg.norm(made.features.x.astype(np.float64), axis=1).max() <= 1


def test_a_plan_knows_of_poisoned_samples() -> None:
    found, made = build_planned_network(scenario()), build_network(scenario())
    assert found.training_run.forget_commitment == made.training_run.forget_commitment
    assert deleted_by_each(found).tolist() == [12] * 5


def test_success_is_what_counting_by_hand_finds(done: RunFolder) -> None:
    data = load("digits")
    images = data.test_x.copy()
    images[:, 6:, 6:] = 1.0
    centred = images.reshape(len(images), -1).astype(np.float64) - 0.3
    features = centred / np.linalg.norm(centred, axis=1, keepdims=True)
    design = np.column_stack([features * np.sqrt(1 - 0.1**2), np.full(len(features), 0.1)])
    for row, method in zip(done.summary, done.methods, strict=True):
        theta = load_file(done.path / method.place / "released.safetensors")["theta"].reshape(5, 10, -1)
        hit = (design @ theta.transpose(0, 2, 1)).argmax(axis=2) == 3
        average = (design @ theta.mean(axis=0).T).argmax(axis=1) == 3
        for name, chosen in (("without_target", data.test_y != 3), ("with_target", data.test_y >= 0)):
            found = method.metrics["backdoor"][name]
            assert found["samples"] == chosen.sum()
            assert found["nodes"] == pytest.approx(hit[:, chosen].mean(axis=1).tolist(), abs=1e-12)
            assert found["average_model"] == pytest.approx(average[chosen].mean(), abs=1e-12)
            assert row["backdoor"][name]["mean"] == pytest.approx(hit[:, chosen].mean())
            assert row["backdoor"][name]["highest"] == pytest.approx(hit[:, chosen].mean(axis=1).max())


def test_test_accuracy_is_on_images_without_the_trigger(done: RunFolder) -> None:
    assert done.methods[0].metrics["accuracy"]["test"]["samples"] == len(load("digits").test_y)


def test_retraining_knows_nothing_of_the_backdoor(done: RunFolder) -> None:
    retrained, learned = (done.methods[at].metrics["backdoor"]["without_target"]["average_model"] for at in (1, 2))
    assert retrained < learned


def test_the_verifier_counts_them(done: RunFolder) -> None:
    assert [finding for finding in verify_folder(done.path) if not finding.holds] == []
    text = (done.path / "scenario.yaml").read_text()
    try:
        (done.path / "scenario.yaml").write_text(text.replace("samples: 12", "samples: 13"))
        failing = [finding.sentence for finding in verify_folder(done.path) if not finding.holds]
        assert any("13 of 80 samples were to be deleted, not these 12" in sentence for sentence in failing)
    finally:
        (done.path / "scenario.yaml").write_text(text)


def test_without_a_backdoor_there_is_nothing_to_measure(tmp_path: Path) -> None:
    plain = run_through({**SCENARIO, "data": {"source": "digits", "limit": 400}, "deletion": {}}, tmp_path / "run")
    assert plain.methods[0].metrics["backdoor"] is None
    assert plain.summary[0]["backdoor"] is None
