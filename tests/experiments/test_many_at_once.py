"""Many clients that ask together: lists of clients, waves, and the noise that arithmetic predicts for them."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from drawn import examples
from hypothesis import given
from hypothesis import strategies as st
from runs import run_through

import rewindnet
from rewindnet.certificates import Spectrum, noise_left
from rewindnet.certificates.planning.arithmetic import evenly_averaged_noise
from rewindnet.clients.methods.r2d import R2D
from rewindnet.experiments.recipes import recipe_texts
from rewindnet.experiments.scenario.errors import ScenarioError
from rewindnet.experiments.scenario.network_setup import build_network
from rewindnet.experiments.scenario.yaml_files import parse_yaml, resolve

ALL = {"view": "transcript:all", "placement": "rewind"}
SCENARIO: dict[str, Any] = {
    "name": "several",
    "data": {"source": "synthetic", "samples": 200, "dimensions": 4},
    "partition": {"clients": 8},
    "model": {"kind": "logistic", "l2": 0.01, "bias": 0},
    "topology": "complete",
    "learning": {"rounds": 12},
    "unlearning": [{"method": "r2d", "rewind": 0.5, "epsilon": 2.0, **ALL}],
}


def scenario(deletion: Any, **changes: Any) -> Any:
    return resolve({**SCENARIO, "deletion": deletion, **changes})


def test_a_list_of_clients_is_a_request_of_each() -> None:
    listed = scenario({"client": [2, "4-6"], "samples": "all"})
    one_by_one = scenario({"requests": [{"client": client, "samples": "all"} for client in (2, 4, 5, 6)]})
    assert listed == one_by_one
    assert listed.sha256 == one_by_one.sha256
    assert resolve(listed.plain()) == listed
    network = build_network(listed)
    assert len(network.arrivals) == 1
    whole = [client in (2, 4, 5, 6) for client in range(8)]
    assert (network.training_run.deleted == network.samples).tolist() == whole
    assert (network.training_run.deleted > 0).tolist() == whole


def test_a_client_that_is_named_alone_is_the_request_of_before() -> None:
    assert scenario({"client": 3}).deletion.requests == ()
    assert scenario({"client": "4-6"}).deletion.client == "4-6"


def test_waves_are_lists_of_clients_at_rounds() -> None:
    waves = scenario({"requests": [{"client": ["0-1"], "samples": "all", "round": 6}, {"client": [5], "samples": 3}]})
    first, second = build_network(waves).training_runs
    assert (first.rounds, second.rounds) == (6, 12)
    assert np.flatnonzero(first.deleted).tolist() == [0, 1]
    assert np.flatnonzero(second.deleted).tolist() == [0, 1, 5]


def test_a_share_is_so_many_clients_and_waves_go_on_from_each_other() -> None:
    partition = {"clients": 40}
    assert scenario({"client": "5 %", "samples": "all"}, partition=partition) == scenario(
        {"client": ["0-1"], "samples": "all"}, partition=partition
    )
    waves = [{"client": "5%", "samples": "all", "round": 6}, {"client": "7.5 %", "samples": 3}]
    found = scenario({"requests": waves}, partition=partition)
    assert [(request.client, request.round) for request in found.deletion.each] == [
        (0, 6),
        (1, 6),
        (2, None),
        (3, None),
        (4, None),
    ]
    assert [request.client for request in scenario({"client": "1 %"}).deletion.each] == [0]
    assert resolve(found.plain()) == found


def test_a_share_of_clients_whose_number_is_not_given_is_refused() -> None:
    with pytest.raises(ScenarioError, match=r"deletion.client 5 % is a share of partition.clients, which is not given"):
        scenario({"client": "5 %"}, partition="natural")
    with pytest.raises(ScenarioError, match=r"takes 9 clients by their shares, of 8 that there are"):
        scenario({"requests": [{"client": "100 %", "round": 3}, {"client": "1 %"}]})


def test_overrides_take_lists() -> None:
    found = resolve(SCENARIO, ["deletion.client=[0, 2-3]", "deletion.samples=all"])
    assert [request.client for request in found.deletion.each] == [0, 2, 3]
    assert {request.samples for request in found.deletion.each} == {"all"}


def test_positions_of_samples_may_be_ranges() -> None:
    found = resolve(SCENARIO, ["deletion.client=0", "deletion.samples={indices: [7, 1-3]}"])
    assert found.deletion.plain()["samples"] == {"indices": [7, 1, 2, 3]}
    with pytest.raises(ScenarioError, match=r"deletion.samples.indices 3-1 is a range of positions like 0-4"):
        scenario({"client": 0, "samples": {"indices": ["3-1"]}})


@pytest.mark.parametrize(
    ("clients", "words"),
    [
        ([], "deletion.client names no client; list each client that asks once, like"),
        ([1, "0-2"], "deletion.client names client 1 twice"),
        (["5-2"], "deletion.client 5-2 is a range of clients like 0-4"),
        ([True], "must be the number or the name of a client, not True"),
        ([[1]], "must be the number or the name of a client"),
        ([-1], "must be greater than or equal to 0, not -1"),
    ],
)
def test_lists_without_a_meaning_are_refused(clients: list[Any], words: str) -> None:
    with pytest.raises(ScenarioError, match=words.replace("(", r"\(")):
        scenario({"client": clients})


def test_a_client_that_does_not_exist_is_named() -> None:
    with pytest.raises(rewindnet.errors.UserError, match=r"deletion.client.*8.*0 to 7"):
        build_network(scenario({"client": ["6-8"], "samples": "all"}))


# What arithmetic predicts


def releases(clients: list[Any], **changes: Any) -> Iterator[Any]:
    network = build_network(scenario({"client": clients, "samples": "all"}, **changes))
    yield network.training_run
    row = {**network.scenario.unlearning[0].settings}
    planned = R2D(**row).plan(network.training_run)
    yield from (planned.release, planned.claim)


@examples(25)
@given(
    count=st.integers(1, 8),
    rounds=st.integers(2, 20),
    steps=st.integers(1, 3),
    l2=st.sampled_from([0.0, 0.01, 0.3]),
    clip=st.sampled_from([None, 0.1]),
)
def test_arithmetic_is_what_calibration_finds_where_gossip_is_even(
    count: int, rounds: int, steps: int, l2: float, clip: float | None
) -> None:
    row = {"method": "r2d", "rewind": 1 / rounds, "epsilon": 2.0, "settle_first": 1, **ALL}
    learning = {"rounds": rounds, "local_steps": steps, "client_clip": clip, "clip_tolerance": 1e-9}
    model = {"kind": "logistic", "l2": l2, "bias": 0}
    training, release, claim = releases(
        [f"0-{count - 1}"], learning=learning, model=model, unlearning=[row], topology=EVEN
    )
    predicted = evenly_averaged_noise(training, release, claim, 2.0)
    found = noise_left(training, release, Spectrum(np.zeros(1), np.ones(1)))
    np.testing.assert_allclose(found, predicted, rtol=1e-5)


#: A network in which one round averages evenly.
EVEN = {"kind": "complete", "mixing": "max-degree"}


def test_the_share_of_clients_decides_and_not_their_number() -> None:
    def predicted(clients: int, asking: int) -> float:
        sized = {"partition": {"clients": clients}, "data": {**SCENARIO["data"], "samples": 25 * clients}}
        noise = evenly_averaged_noise(*releases([f"0-{asking - 1}"], **sized), 2.0)
        assert noise is not None
        return noise

    assert predicted(16, 2) == pytest.approx(predicted(8, 1), rel=1e-9)
    assert predicted(8, 3) == pytest.approx(3 * predicted(8, 1), rel=1e-9)


@pytest.mark.parametrize("change", [{"view": "node"}, {"placement": "output", "view": "joint"}, {"bound": "instance"}])
def test_nothing_is_predicted_of_other_releases(change: dict[str, Any]) -> None:
    training, release, _ = releases([0])
    other = R2D(**{**scenario({"client": 0}).unlearning[0].settings, **change, "epsilon": 2.0})
    release = release if "placement" not in change else other.plan(training).release
    assert evenly_averaged_noise(training, release, other._claim, 2.0) is None


@pytest.mark.slow
def test_the_recipe_has_the_prediction_beside_what_was_measured(tmp_path: Any) -> None:
    study = parse_yaml(recipe_texts()["many-at-once"])
    grid = {**study.pop("study")["grid"], "partition.clients": [100]}
    results = rewindnet.sweep(study, grid, out=tmp_path / "study")
    assert results.holds
    table = rewindnet.load_study(tmp_path / "study").to_pandas()
    rows = table[table["score_noise_predicted"].notna()]
    assert len(rows) == 4 * 3 + 4 * 2
    assert sorted(set(rows["deleting_clients"])) == [1, 5, 10]
    # Where more noise is predicted, less accuracy is left; below a tenth, all of it.
    ordered = rows.sort_values("score_noise_predicted")
    assert ordered["accuracy_test_mean"].iloc[0] > ordered["accuracy_test_mean"].iloc[-1] + 0.05
    retrained = table[table["method"] == "retrain"]["accuracy_test_mean"].min()
    assert ordered["accuracy_test_mean"].iloc[0] > retrained - 0.02


@pytest.mark.slow
def test_a_run_of_many_adds_the_noise_that_was_predicted(tmp_path: Any) -> None:
    row = {**SCENARIO["unlearning"][0], "settle_first": 1}
    data = {**SCENARIO["data"], "dimensions": 60}
    deletion = {"client": ["0-3"], "samples": "all"}
    none = {**row, "sigma": 0.0, "epsilon": None}
    run = run_through(
        {**SCENARIO, "data": data, "deletion": deletion, "topology": EVEN, "unlearning": [row, none]}, tmp_path / "run"
    )
    assert not run.violations
    noise = run.weights("methods/0-r2d/released") - run.weights("methods/1-r2d/released")
    certificate, _ = run.certified[0]
    predicted = evenly_averaged_noise(run.training_run_of(0), certificate.release, certificate.claim, 2.0)
    # One average of 120 parameters, of which descent takes some away.
    assert 0.5 * predicted < np.sqrt(np.mean(noise**2)) < 1.25 * predicted
