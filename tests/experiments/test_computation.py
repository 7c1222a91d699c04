"""What a scenario computes: which settings its digest depends on, and the address of noise that follows."""

from typing import Any

import numpy as np
import pytest
import yaml

from rewindnet.certificates import forget_digest
from rewindnet.clients.methods import METHODS
from rewindnet.clients.training.noise import NoiseAddress, draw, draw_in_round
from rewindnet.experiments.scenario.computation import computation_digest, noise_address
from rewindnet.experiments.scenario.yaml_files import resolve

PLAIN = resolve({"deletion": {"samples": 5}}).plain()


def changed(key: str, value: Any) -> str:
    return computation_digest(resolve({"deletion": {"samples": 5}}, {key: value}).plain())


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("name", "other"),
        ("seed", 1),
        ("data.root", "/elsewhere"),
        ("data.test_limit", 100),
        ("network.latency", 0.7),
        ("backend.kind", "mpi"),
        ("backend", {"kind": "flower", "runtime": "ray"}),
        ("backend.threads", 2),
        ("audit.draws", 100),
        ("measures.membership", False),
        ("record.weights", False),
    ],
)
def test_what_changes_no_model_is_left_out(key: str, value: Any) -> None:
    assert changed(key, value) == computation_digest(PLAIN)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("data.limit", 100),
        ("data.features", "raw"),
        ("partition.clients", 11),
        ("model.l2", 0.3),
        ("topology.kind", "ring"),
        ("topology.schedule", {"kind": "link-failures", "probability": 0.1}),
        ("learning.rounds", 7),
        ("learning.step_size", 0.9),
        ("deletion.client", 1),
        ("deletion.samples", 6),
        ("deletion.round", 200),
        ("unlearning.0.rewind", 0.8),
        ("unlearning.0.epsilon", 2.0),
        ("backend.dtype", "float32"),
        ("backend.precision", "exact"),
        ("backend.device", "cpu"),
    ],
)
def test_what_changes_a_model_is_part_of_it(key: str, value: Any) -> None:
    assert changed(key, value) != computation_digest(PLAIN)


def test_it_is_that_of_the_scenario_on_record() -> None:
    recorded = yaml.safe_load(resolve({"deletion": {"samples": 5}}).to_yaml())
    assert computation_digest(recorded) == computation_digest(PLAIN)


def test_every_part_of_an_address_changes_the_noise() -> None:
    address = noise_address(PLAIN, {0: [1, 2]})
    assert address == NoiseAddress(0, computation_digest(PLAIN), forget_digest({0: [2, 1]}), 0, "seed")
    parts = (address.seed, address.scenario, address.forget, address.release)
    others = [
        NoiseAddress(*(other if at == changed else part for at, part in enumerate(parts)), "seed")  # type: ignore[arg-type]
        for changed, other in enumerate((1, computation_digest({**PLAIN, "model": {}}), forget_digest({0: [1]}), 1))
    ]
    for other in (*others, address.before_requests()):
        assert not np.intersect1d(draw(50, other, 3), draw(50, address, 3)).size
        assert not np.intersect1d(draw_in_round(50, other, 2, 3), draw_in_round(50, address, 2, 3)).size


def test_settings_of_learning_that_came_later_count_only_where_they_change_something() -> None:
    """Noise of scenarios from before there were optimizers is where it was."""
    plain = PLAIN
    before = {**plain, "learning": {**plain["learning"]}}
    for key in ("optimizer", "step_sizes", "gradient_clip", "augmentation"):
        del before["learning"][key]
    assert computation_digest(plain) == computation_digest(before)
    for changed in (
        {"optimizer": {"kind": "sgd", "momentum": 0.9, "nesterov": False}},
        {"step_sizes": {"kind": "cosine", "final": 0.0, "warm_up": 0}},
        {"gradient_clip": 1.0},
        {"augmentation": {"crop": 1, "flip": False}},
    ):
        assert computation_digest({**plain, "learning": {**plain["learning"], **changed}}) != computation_digest(plain)


@pytest.mark.parametrize(
    ("method", "settings"),
    [("scrub", {"optimizers": "dual-as"}), ("rr-du", {"optimizer": "dual-as", "step_size_elsewhere": 0.1})],
)
def test_settings_that_a_method_got_later_count_only_where_they_change_something(
    method: str, settings: dict[str, Any]
) -> None:
    plain, other = (
        resolve({"deletion": {"samples": 5}, "unlearning": [{"method": method, **given}]}).plain()
        for given in ({}, settings)
    )
    first, *rest = plain["unlearning"]
    later = METHODS[method].later_settings  # type: ignore[attr-defined]
    before = {key: value for key, value in first.items() if key not in later}
    assert len(before) == len(first) - len(later)
    assert computation_digest(plain) == computation_digest({**plain, "unlearning": [before, *rest]})
    assert computation_digest(plain) != computation_digest(other)
