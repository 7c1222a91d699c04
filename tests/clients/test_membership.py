"""Membership attacks against counting, flat objectives, and models whose secrets are known."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from runs import SharedRuns, rehash, run_through
from safetensors.numpy import load_file
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, roc_auc_score, roc_curve

from rewindnet.certificates.constants import DERIVATIONS
from rewindnet.clients.metrics.membership import (
    Suspects,
    attack,
    class_weights,
    fit,
    observations,
    posterior,
    split_in_folds,
    success,
)
from rewindnet.clients.models import MODELS
from rewindnet.experiments.folder.reader import RunFolder
from rewindnet.experiments.runs.attacking import attacked_nodes
from rewindnet.experiments.runs.run_setup import build_run
from rewindnet.experiments.scenario.errors import ScenarioError
from rewindnet.experiments.scenario.yaml_files import resolve
from rewindnet.experiments.verify.verify import verify_folder
from rewindnet.topologies import Stream
from rewindnet.topologies.rng import rng_at

SCENARIO: dict[str, Any] = {
    "measures": {"membership": True},
    "name": "attacked",
    "seed": 2,
    "data": {"source": "synthetic", "samples": 300, "dimensions": 6, "classes": 3},
    "partition": {"clients": 5},
    "topology": "ring",
    "learning": {"rounds": 12},
    "deletion": {"client": 3, "samples": 15},
    "unlearning": [{"method": "r2d", "rewind": 0.5, "sigma": 0.05}, {"method": "retrain"}, {"method": "do-nothing"}],
}


@pytest.fixture(scope="module")
def done(run_once: SharedRuns) -> RunFolder:
    return run_once(SCENARIO)


def drawn(seed: int, members: int = 25, others: int = 70, width: int = 3, apart: float = 0.7) -> Any:
    """What is seen, who is a member, weights with unequal classes."""
    generator = np.random.default_rng(seed)
    member = np.arange(members + others) < members
    labels = generator.integers(0, 3, len(member))
    inside, outside = class_weights(labels[member], labels[~member])
    seen = generator.standard_normal((len(member), width)) + apart * member[:, None] * generator.standard_normal(width)
    return seen, member, np.concatenate([inside, outside]), generator


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("apart", [0.0, 0.7, 50.0])
def test_the_regression_is_where_its_objective_is_flat(seed: int, apart: float) -> None:
    """½‖w‖² + Σ_i weight_i·log(1 + exp(−y_i(w·x_i + b))): no derivative is left, b is free."""
    seen, member, weight, generator = drawn(seed, apart=apart)
    sign = np.where(member, 1.0, -1.0)
    for of in np.stack([weight, weight * (generator.random(len(weight)) < 0.7)]) * len(weight):
        regression = fit(seen, member, of)
        w, b = regression.coef_[0], regression.intercept_[0]
        slope = -of * sign / (1 + np.exp(sign * (seen @ w + b)))
        assert np.abs(seen.T @ slope + w).max() < 1e-6
        assert abs(slope.sum()) < 1e-6


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("digits", [1, 12])
def test_success_is_what_counting_says(seed: int, digits: int) -> None:
    seen, member, weight, _ = drawn(seed)
    scores = np.round(seen[:, 0], digits)
    found = success(scores, member, weight)
    pairs = [(i, j) for i in np.flatnonzero(member) for j in np.flatnonzero(~member)]
    above = sum(weight[i] * weight[j] * ((scores[i] > scores[j]) + (scores[i] == scores[j]) / 2) for i, j in pairs)
    assert found.auc == pytest.approx(above)
    best = 0.0
    for threshold in [*scores, np.inf]:
        told = scores >= threshold
        if weight[told & ~member].sum() <= 0.01 + 1e-12:
            best = max(best, weight[told & member].sum())
    assert found.tpr_at_1_fpr == pytest.approx(best)
    halves = [np.where(scores == 0, 0.5, (scores > 0) == member)[side] @ weight[side] for side in (member, ~member)]
    assert found.accuracy == pytest.approx(sum(halves) / 2)


@pytest.mark.parametrize("seed", range(3))
def test_an_attack_is_cross_validated_as_by_scikit_learn(seed: int) -> None:
    seen, member, weight, generator = drawn(seed, members=30, others=150)
    folds = [split_in_folds(member, 4, generator) for _ in range(2)]
    found = attack(seen, member, weight, folds)
    scaled = (seen - seen.mean(axis=0)) / seen.std(axis=0)
    expected = []
    for of in folds:
        scores = np.empty(len(seen))
        for fold in range(4):
            fitted = of != fold
            counts = np.where(member, (weight * member * fitted).sum(), (weight * ~member * fitted).sum())
            balanced = weight / counts * fitted.sum() / 2
            model = LogisticRegression(C=1.0, tol=1e-12, max_iter=10_000)
            model.fit(scaled[fitted], member[fitted], sample_weight=balanced[fitted])
            scores[~fitted] = model.decision_function(scaled[~fitted])
        false, true, _ = roc_curve(member, scores, sample_weight=weight, drop_intermediate=False)
        expected.append(
            (
                roc_auc_score(member, scores, sample_weight=weight),
                balanced_accuracy_score(member, scores > 0, sample_weight=weight),
                max(t for t, f in zip(true, false, strict=True) if f <= 0.01 + 1e-12),
            )
        )
    auc, accuracy, found_few = np.mean(expected, axis=0)
    assert (found.auc, found.accuracy, found.tpr_at_1_fpr) == pytest.approx((auc, accuracy, found_few), abs=2e-3)


def test_what_tells_nothing_is_chance_and_what_tells_all_is_certain() -> None:
    _, member, weight, generator = drawn(0)
    folds = [split_in_folds(member, 5, generator) for _ in range(3)]
    nothing = attack(np.zeros((len(member), 2)), member, weight, folds)
    assert (nothing.auc, nothing.accuracy, nothing.tpr_at_1_fpr) == pytest.approx((0.5, 0.5, 0.0), abs=1e-9)
    everything = attack(member[:, None] * -7.0, member, weight, folds)
    assert (everything.auc, everything.accuracy, everything.tpr_at_1_fpr) == pytest.approx((1.0, 1.0, 1.0))


def test_a_class_alone_says_nothing_of_membership() -> None:
    generator = np.random.default_rng(3)
    members, others = generator.choice(5, 40, p=[0.6, 0.2, 0.1, 0.1, 0]), generator.choice([0, 1, 2, 4], 200)
    inside, outside = class_weights(members, others)
    for label in range(5):
        both = label in members and label in others
        assert inside[members == label].sum() == pytest.approx(outside[others == label].sum())
        assert (inside[members == label] > 0).all() == (both or label not in members)
    assert (inside.sum(), outside.sum()) == pytest.approx((1.0, 1.0))
    assert len(np.unique(inside[inside > 0])) == 1
    member = np.arange(240) < 40
    for value in range(5):
        scores = np.concatenate([members, others]) == value
        found = success(scores.astype(float), member, np.concatenate([inside, outside]))
        assert found.auc == pytest.approx(0.5)
    assert class_weights(np.array([0, 0]), np.array([1]))[0].tolist() == [0.0, 0.0]


def test_folds_are_even() -> None:
    member = np.arange(53) < 12
    folds = split_in_folds(member, 5, np.random.default_rng(0))
    for part in (member, ~member):
        counts = np.bincount(folds[part], minlength=5)
        assert counts.max() - counts.min() <= 1


@pytest.mark.parametrize("kind", list(DERIVATIONS))
def test_models_say_what_they_decide_by(kind: str) -> None:
    generator = np.random.default_rng(1)
    model = MODELS[kind](4, 3)
    theta = torch.from_numpy(generator.standard_normal((2, model.parameters)))
    design = model.design(torch.from_numpy(generator.standard_normal((6, 4)) / 4))
    scores = model.scores(theta, design)
    assert scores.shape == (2, 6, model.outputs)
    probability = posterior(scores)
    assert torch.allclose(probability.sum(dim=2), torch.ones(2, 6, dtype=torch.float64))
    assert torch.equal(probability.argmax(dim=2), model.predict(theta, design))
    for b in range(2):
        by_hand = design.numpy() @ theta[b].numpy().reshape(model.outputs, -1).T
        assert scores[b].numpy() == pytest.approx(by_hand)


def test_what_attacks_read() -> None:
    generator = np.random.default_rng(1)
    model = MODELS["logistic"](4, 3)
    theta, before = (torch.from_numpy(generator.standard_normal((2, model.parameters))) for _ in range(2))
    design = model.design(torch.from_numpy(generator.standard_normal((6, 4))))
    targets = torch.from_numpy(generator.integers(0, 3, 6))
    suspects = Suspects(design, targets, np.arange(6) < 3, np.full(6, 1 / 3))
    seen = observations(model, theta, before, suspects)
    for b in range(2):
        now, then = (design.numpy() @ of[b].numpy().reshape(3, -1).T for of in (theta, before))
        likely, earlier = (np.exp(of) / np.exp(of).sum(axis=1, keepdims=True) for of in (now, then))
        assert seen["loss"][b, :, 0] == pytest.approx(-np.log(likely[np.arange(6), targets.numpy()]))
        assert seen["logits"][b] == pytest.approx(now)
        assert seen["mia_u"][b, :, 0] == pytest.approx(np.linalg.norm(likely - earlier, axis=1))


def test_a_run_attacks_the_deleting_client_and_the_average(done: RunFolder) -> None:
    for row, method in zip(done.summary, done.methods, strict=True):
        found = method.metrics["membership"]
        assert (found["members"], found["non_members"], found["folds"]) == (15, 60, 5)
        assert found["nodes"][0] == 3
        assert len(set(found["nodes"])) == 3
        for name in ("loss", "logits", "mia_u"):
            for statistic in ("auc", "accuracy", "tpr_at_1_fpr"):
                of, told = found["attacks"][name][statistic], row["membership"][name][statistic]
                assert told["client"] == of["nodes"][0]
                assert told["average_model"] == of["average_model"]
                assert told["worst"] == max(*of["nodes"], of["average_model"])
                assert all(0 <= value <= 1 for value in told.values())
    control = done.summary[2]["membership"]["mia_u"]
    assert control["auc"] == pytest.approx({"client": 0.5, "average_model": 0.5, "worst": 0.5}, abs=1e-9)
    assert [finding for finding in verify_folder(done.path) if not finding.holds] == []


@pytest.mark.parametrize("which", [0, 1])
def test_the_models_attacked_are_those_released(done: RunFolder, which: int) -> None:
    made = build_run(resolve(json.loads(json.dumps(SCENARIO))))
    suspects = made.evaluations[0].suspects
    assert suspects is not None
    generator = rng_at(2, Stream.EVALUATION, round=1, node=2)
    folds = [split_in_folds(suspects.member, 5, generator) for _ in range(3)]
    released = load_file(done.path / done.methods[which].place / "released.safetensors")["theta"]
    learned = load_file(done.path / "checkpoints/learned-000012.safetensors")["theta"]
    for at, node in enumerate([*done.methods[which].metrics["membership"]["nodes"], None]):
        theta, before = (
            torch.from_numpy(of.mean(axis=0, keepdims=True) if node is None else of[[node]]).to(suspects.design.device)
            for of in (released, learned)
        )
        for name, seen in observations(made.network.model, theta, before, suspects).items():
            told = done.methods[which].metrics["membership"]["attacks"][name]
            for statistic, value in asdict(attack(seen[0], suspects.member, suspects.weight, folds)).items():
                of = told[statistic]
                assert value == pytest.approx([*of["nodes"], of["average_model"]][at], abs=1e-9)


def test_the_verifier_sees_a_changed_row(done: RunFolder) -> None:
    file = done.path / "summary.json"
    text = file.read_text()
    content = json.loads(text)
    content["rows"][0]["membership"]["loss"]["auc"]["worst"] = 0.01
    try:
        file.write_text(json.dumps(content))
        rehash(file)
        assert [finding.what for finding in verify_folder(done.path) if not finding.holds] == ["table"]
    finally:
        file.write_text(text)
        rehash(file)


@pytest.mark.parametrize("change", [{"measures": {"membership": False}}, {"deletion": {"samples": 1}}])
def test_without_attacks_or_without_members_there_is_nothing(change: dict[str, Any], tmp_path: Path) -> None:
    found = run_through({**SCENARIO, "unlearning": ["do-nothing"], **change}, tmp_path / "run")
    assert found.methods[0].metrics["membership"] is None
    assert found.summary[0]["membership"] is None


def test_who_has_left_is_not_attacked(tmp_path: Path) -> None:
    leaving = {"client": 3, "samples": "all", "departure": "leave"}
    found = run_through({**SCENARIO, "deletion": leaving, "unlearning": ["retrain"]}, tmp_path / "run")
    told = found.methods[0].metrics["membership"]
    assert 3 not in told["nodes"]
    assert told["members"] == 48
    assert found.summary[0]["membership"]["loss"]["auc"]["client"] is None


def test_no_more_than_a_thousand_of_each_are_attacked_nodes() -> None:
    data = {"source": "synthetic", "samples": 7500, "dimensions": 3}
    made = build_run(resolve({**SCENARIO, "data": data, "deletion": {"client": 0, "samples": "all"}}))
    suspects = made.evaluations[0].suspects
    assert suspects is not None
    assert (int(suspects.member.sum()), int((~suspects.member).sum())) == (1000, 1000)
    assert attacked_nodes(made, 0)[0] == 0


def test_poisoned_samples_are_told_from_triggered_images() -> None:
    data = {"source": "digits", "limit": 300, "backdoor": {"client": 3, "samples": 12, "target": 3}}
    made = build_run(resolve({**SCENARIO, "data": data, "deletion": {"client": 3, "samples": "poisoned"}}))
    suspects, triggered = made.evaluations[0].suspects, made.evaluations[0].triggered["without_target"]
    assert suspects is not None
    assert torch.equal(suspects.design[12:], triggered[0])
    assert (suspects.targets == 3).all()


def by_users(tmp_path: Path, clients: int | None, **changes: Any) -> Any:
    generator = np.random.default_rng(0)
    x, users = generator.standard_normal((200, 4)), np.repeat(np.arange(8), 25)
    np.savez(tmp_path / "users.npz", x=x, y=generator.integers(0, 2, 200), client=users)
    data = {"source": "npz", "path": str(tmp_path / "users.npz")}
    partition = {"kind": "natural", "clients": clients}
    return resolve({**SCENARIO, "data": data, "partition": partition, "deletion": {"samples": "all"}, **changes})


def test_users_who_take_no_part_are_non_members(tmp_path: Path) -> None:
    made = build_run(by_users(tmp_path, 5, measures={"negatives": "unseen-users"}))
    suspects = made.evaluations[0].suspects
    assert suspects is not None
    held = np.concatenate(made.network.partition)
    others = np.setdiff1d(np.arange(len(made.network.labels)), held)
    assert (len(held), len(others)) == (100, 60)
    rows = made.network.model.design(torch.from_numpy(made.network.features.x).double()).to(suspects.design.device)
    assert torch.equal(suspects.design[suspects.member], rows[made.network.partition[0]])
    assert torch.equal(suspects.design[~suspects.member], rows[others])


@pytest.mark.parametrize("change", [{}, {"partition": {"kind": "iid", "clients": 4}}])
def test_unseen_users_must_be_there(tmp_path: Path, change: dict[str, Any]) -> None:
    with pytest.raises(ScenarioError, match="natural clients that are not part of the network"):
        build_run(by_users(tmp_path, None, measures={"negatives": "unseen-users"}, **change))
