"""The JSON schema of a scenario takes what the program takes, and refuses what it refuses."""

import json
from importlib.resources import files
from typing import Any

import pytest
from typer.testing import CliRunner

from rewindnet.experiments.cli import app
from rewindnet.experiments.explain.load import resolve_graph_scenario
from rewindnet.experiments.explain.scenario import GraphScenario
from rewindnet.experiments.recipes import recipe_texts
from rewindnet.experiments.scenario.errors import ScenarioError
from rewindnet.experiments.scenario.json_schema import json_schema
from rewindnet.experiments.scenario.registries import LISTS, registry
from rewindnet.experiments.scenario.scenario import Scenario
from rewindnet.experiments.scenario.yaml_files import resolve
from rewindnet.experiments.scenario.yaml_text import parse_yaml

jsonschema = pytest.importorskip("jsonschema")
STARTER = files("rewindnet.experiments.scenario").joinpath("starter.yaml").read_text("utf-8")
#: Recipes of graph networks are scenarios of another kind.
TEXTS = {
    "starter": STARTER,
    **{name: text for name, text in recipe_texts().items() if "verifiers" not in parse_yaml(text)},
}
#: Where a scenario names an entry of each kind.
PLACES = {
    "data": ("data", "source"),
    "features": ("data", "features"),
    "partition": ("partition", "kind"),
    "model": ("model", "kind"),
    "topology": ("topology", "kind"),
    "mixing": ("topology", "mixing"),
    "schedule": ("topology", "schedule"),
    "learning": ("learning", "kind"),
    "sampling": ("learning", "sampling"),
    "optimizer": ("learning", "optimizer"),
    "step sizes": ("learning", "step_sizes"),
    "network": ("network", "kind"),
    "transport": ("backend", "kind"),
    "attack": ("deletion", "attack"),
}


@pytest.fixture(scope="module")
def validator() -> Any:
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


@pytest.mark.parametrize("name", TEXTS)
def test_the_starter_and_every_recipe_fit(validator, name):
    raw = parse_yaml(TEXTS[name])
    assert [error.message for error in validator.iter_errors(raw)] == []


@pytest.mark.parametrize("study", [{"grids": {}}, {"grid": {"seed": 3}}, {"grid": {"seed": []}}, {"seeds": 0}, []])
def test_a_study_that_is_refused_does_not_fit(validator, study):
    assert not validator.is_valid({"study": study})
    assert validator.is_valid({"study": {"grid": {"topology.kind": ["ring"]}, "seeds": [0, 4]}})


def test_the_schema_of_graph_networks_takes_what_explain_takes_and_refuses_what_it_refuses():
    printed = json.loads(CliRunner().invoke(app, ["list", "graph-schema"]).stdout)
    jsonschema.Draft202012Validator.check_schema(printed)
    validator = jsonschema.Draft202012Validator(printed)
    recipe = parse_yaml(recipe_texts()["graph-networks"])
    for raw in (recipe, GraphScenario().plain(), {}, {"data": None}, {"deletion": {"client": "any"}}, {"model": "gat"}):
        resolve_graph_scenario(raw)
        assert [error.message for error in validator.iter_errors(json.loads(json.dumps(raw)))] == []
    for raw in (
        {"topology": "ring"},
        {"model": {"kind": "gcn", "heads": 2}},
        {"unlearning": []},
        {"unlearning": ["r2d"]},
        {"verifiers": []},
        {"verifiers": [{"verifier": "explain-audit", "depth": 3}]},
        {"deletion": {"client": "first"}},
        {"learning": {"epochs": 0}},
    ):
        with pytest.raises(ScenarioError):
            resolve_graph_scenario(raw)
        assert not validator.is_valid(raw), raw
    assert printed["properties"]["deletion"]["anyOf"][0]["properties"]["nodes"]["description"]


def test_a_scenario_with_every_default_written_out_fits(validator):
    assert [error.message for error in validator.iter_errors(json.loads(json.dumps(Scenario().plain())))] == []
    assert all(map(validator.is_valid, ({}, {"data": None})))


def test_every_entry_of_every_registry_is_taken_by_its_name(validator):
    of_graph_networks = {"graph", "graph model", "graph method", "verifier"}
    assert set(PLACES) | {"method", "objective"} | of_graph_networks == set(LISTS.values())
    for what, (section, key) in PLACES.items():
        for name in registry(what):
            assert validator.is_valid({section: {key: name}}) or _needs_settings(what, name), (what, name)
    for name in registry("method"):
        assert validator.is_valid({"unlearning": [{"method": name}]}) or _needs_settings("method", name), name
    for name in registry("objective"):
        assert validator.is_valid({"unlearning": [{"method": "npo", "objective": name}]}), name


def _needs_settings(what: str, name: str) -> bool:
    return any(parameter.default is parameter.empty for parameter in registry(what).settings(name).values())


@pytest.mark.parametrize(
    "raw",
    [
        {"colour": "blue"},
        {"name": "two words"},
        {"seed": "zero"},
        {"data": {"source": "nothing"}},
        {"data": {"source": "digits", "path": "a.npz"}},
        {"data": "npz"},
        {"topology": {"kind": "ring", "k": 4}},
        {"topology": {"kind": "file"}},
        {"learning": {"rounds": 0}},
        {"learning": {"order": "sideways"}},
        {"deletion": {"samples": "some"}},
        {"deletion": {"samples": {"classes": 3}}},
        {"unlearning": [{"method": "forgetting"}]},
        {"unlearning": [{"rewind": 0.5}]},
        {"unlearning": {"method": "r2d"}},
        {"unlearning": []},
        {"backend": {"dtype": "int8"}},
        {"data": {"backdoor": {"colour": 1}}},
    ],
)
def test_what_the_program_refuses_the_schema_refuses_too(validator, raw):
    with pytest.raises(ScenarioError):
        resolve(raw)
    assert not validator.is_valid(raw)


def test_the_command_prints_it_with_what_each_key_means():
    printed = json.loads(CliRunner().invoke(app, ["list", "schema"]).stdout)
    assert printed == json.loads(json.dumps(json_schema()))
    rewind = next(
        kind["properties"]["rewind"]
        for kind in printed["properties"]["unlearning"]["items"]["anyOf"]
        if kind.get("properties", {}).get("method") == {"const": "r2d"}
    )
    assert rewind["description"]
