"""Public rows in scenarios: what certificates say of them, what is refused, and what verify finds."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from runs import rehash

import rewindnet
from rewindnet.errors import UserError
from rewindnet.experiments.plan.network import deleted_by_each
from rewindnet.experiments.scenario.computation import computation_digest
from rewindnet.experiments.scenario.network_setup import build_network

SCENARIO: dict[str, Any] = {
    "name": "public",
    "data": {
        "source": "synthetic",
        "samples": 120,
        "dimensions": 6,
        "classes": 4,
        "public": {"clients": 2},
        "features": {"kind": "network", "width": 5, "epochs": 1},
    },
    "partition": {"clients": 6},
    "topology": "ring",
    "model": {"kind": "logistic", "l2": 0.05},
    "learning": {"rounds": 4, "step_size": 0.3},
    "deletion": {"client": 1, "samples": 5},
    "unlearning": [{"method": "r2d", "rewind": 0.5}],
    "audit": {"draws": 0},
    "measures": {"membership": False},
}


def with_public(public: Any, **data: Any) -> dict[str, Any]:
    return {**SCENARIO, "data": {**SCENARIO["data"], "public": public, **data}}


def network_of(public: Any, **data: Any) -> Any:
    return build_network(rewindnet.load(with_public(public, **data)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("public") / "run"
    rewindnet.run(SCENARIO, place)
    return place


def test_certificates_name_the_public_rows_and_the_weights(folder: Path) -> None:
    training = json.loads((folder / "learning.json").read_text(encoding="utf-8"))["requests"][0]
    assert (training["public"]["rows"], training["public"]["labelled"]) == (32, True)
    assert len(training["public"]["weights_sha256"]) == 64
    certificate = json.loads((folder / "methods/0-r2d/certificate.json").read_text(encoding="utf-8"))
    rows, features = certificate["premises"][-2:]
    assert rows.startswith("32 rows are declared public: the samples of 2 clients who volunteered them (4, 5).")
    assert features.endswith(f"Its weights have the sha256 {training['public']['weights_sha256']}.")
    assert rewindnet.verify(folder).holds


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"weights_sha256": "0" * 64}, "public.weights_sha256"),
        ({"origin": "nothing that anybody held"}, "public.origin"),
        ({"rows": 0}, "public rows are recorded otherwise than the scenario declares them"),
    ],
)
def test_other_words_about_public_rows_are_found(
    folder: Path, tmp_path: Path, change: dict[str, Any], sentence: str
) -> None:

    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    learning = json.loads((copy / "learning.json").read_text(encoding="utf-8"))
    learning["requests"][0]["public"] |= change
    (copy / "learning.json").write_text(json.dumps(learning), encoding="utf-8")
    rehash(copy)
    found = rewindnet.verify(copy)
    assert not found.holds
    assert sentence in str(found)


@pytest.mark.parametrize(
    ("public", "nodes"), [({"clients": 2}, [4, 5]), ({"clients": 0.5}, [3, 4, 5]), ({"clients": [5, 0]}, [0, 5])]
)
def test_volunteers_are_the_last_or_those_that_are_named(public: dict[str, Any], nodes: list[int]) -> None:
    network = network_of(public, features="unit-norm")
    assert network.training_run.public.rows == sum(network.samples[node] for node in nodes)
    assert len(network.partition) == 6


@pytest.mark.parametrize(
    ("public", "deleting", "sentence"),
    [
        (
            {"clients": [1]},
            1,
            r"client 1 volunteers its samples \(data.public.clients\), .* so it cannot have any deleted",
        ),
        ({"clients": 6}, 1, "makes the data of all 6 clients public"),
        ({"clients": ["x"]}, 1, "data.public.clients x does not exist"),
        ({"clients": 2, "classes": [1]}, 1, "takes one of clients, classes and other, not clients and classes"),
        ({}, 1, "takes one of clients, classes and other, not none"),
        ({"classes": [9]}, 1, "data.public.classes names the class 9, and synthetic has 0 to 3"),
        ({"other": {"source": "digits"}}, 1, "only images are scaled"),
        (None, 1, "network needs data.public"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(public: Any, deleting: int, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        build_network(rewindnet.load({**with_public(public), "deletion": {"client": deleting}}))


def test_plans_leave_out_who_volunteers() -> None:
    network = network_of({"clients": [0, 3]}, features="unit-norm")
    assert deleted_by_each(network).tolist() == [0, 5, 5, 0, 5, 5]


def test_public_classes_leave_the_task_and_their_names() -> None:
    network = network_of({"classes": [0, 2]}, features="unit-norm")
    assert network.class_names == ("1", "3")
    assert network.training_run.public.rows + len(network.labels) == 96


def test_another_data_set_is_an_input_of_the_run(tmp_path: Path) -> None:
    import numpy as np

    x, y = np.random.default_rng(0).random((8, 6)).astype(np.float32), np.arange(8) % 2
    np.savez(tmp_path / "other.npz", x=x, y=y)
    public = {"other": {"source": "npz", "path": str(tmp_path / "other.npz")}}
    network = network_of(public)
    assert network.training_run.public.rows > 0
    assert "data.public.other.path" in network.inputs


def test_what_is_not_declared_changes_no_address() -> None:
    plain = rewindnet.load({**with_public(None), "data": {"source": "digits"}}).plain()
    without = {**plain, "data": {key: value for key, value in plain["data"].items() if key != "public"}}
    assert computation_digest(plain) == computation_digest(without)
    declared = rewindnet.load(with_public({"clients": 2})).plain()
    assert computation_digest(declared) != computation_digest(rewindnet.load(with_public({"clients": 1})).plain())
    assert yaml.safe_load(yaml.safe_dump(declared))["data"]["public"] == {"clients": 2}
