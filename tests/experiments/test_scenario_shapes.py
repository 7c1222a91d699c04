"""Every key of a scenario, given a value of any shape: a scenario comes out, or one sentence."""

import datetime
import json
import sys
from pathlib import PurePosixPath

import numpy as np
import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from rewindnet.errors import UserError
from rewindnet.experiments.scenario.plain_data import plain_data
from rewindnet.experiments.scenario.registries import GRAPH_LISTS, LISTS, registry, settings_model
from rewindnet.experiments.scenario.scenario import Scenario
from rewindnet.experiments.scenario.yaml_files import load, parse_yaml, resolve

#: Where a scenario names an entry of each registry.
PLACES = {
    "topology": ("topology", "kind"),
    "mixing": ("topology", "mixing", "kind"),
    "schedule": ("topology", "schedule", "kind"),
    "learning": ("learning", "kind"),
    "sampling": ("learning", "sampling", "kind"),
    "optimizer": ("learning", "optimizer", "kind"),
    "step sizes": ("learning", "step_sizes", "kind"),
    "model": ("model", "kind"),
    "method": ("unlearning", 0, "method"),
    "data": ("data", "source"),
    "features": ("data", "features", "kind"),
    "partition": ("partition", "kind"),
    "network": ("network", "kind"),
    "transport": ("backend", "kind"),
    "attack": ("deletion", "attack"),
}
#: Scenarios that show keys which no entry of a registry has.
OTHERS = (
    {},
    {"data": {"backdoor": {"client": 0}}},
    {"deletion": {"samples": {"class": 1}}},
    {"deletion": {"samples": {"indices": [0, 1]}}},
    {"deletion": {"requests": [{"client": 0, "samples": 3, "round": 50}, {"client": 1, "samples": {"indices": [2]}}]}},
    {"unlearning": [{"method": "npo", "objective": {"kind": "scope-aware", "eta": 2.0}}]},
    {"topology": {"schedule": {"kind": "graphs", "graphs": [[[0, 1], [1, 2]], "links.txt"], "rounds": 5}}},
)


def scenario_with(what, name):
    """Plain data of a scenario that names this entry, with paths where the entry asks for settings."""
    *place, key = PLACES[what]
    fields = settings_model(what, name).model_fields
    chosen = {key: name, **{field: "some/file" for field, info in fields.items() if info.is_required()}}
    for outer in reversed(place):
        chosen = [chosen] if isinstance(outer, int) else {outer: chosen}
    return chosen


def paths(plain, path=()):
    """Every path into plain data, to sections and list entries too."""
    if path:
        yield path
    inside = plain.items() if isinstance(plain, dict) else enumerate(plain) if isinstance(plain, list) else ()
    for key, value in inside:
        yield from paths(value, (*path, key))


def resolved(raw):
    """The plain data of a scenario in full, or, where it is not one, as it is."""
    try:
        return resolve(raw).plain()
    except UserError:
        return raw


SCENARIOS = [resolved(raw) for raw in OTHERS]
SCENARIOS += [resolved(scenario_with(what, name)) for what in PLACES for name in registry(what)]
#: Each path once, with the first scenario that has it.
FULL = {path: raw for raw in reversed(SCENARIOS) for path in paths(raw)}


def changed(raw, path, value):
    """A copy of plain data with another value at a path."""
    if not path:
        return value
    inner = dict(raw) if isinstance(raw, dict) else list(raw)
    inner[path[0]] = changed(inner[path[0]], path[1:], value)
    return inner


words = st.sampled_from(["", "ring", "r2d", "all", "x", "node:3", "a\nb", "\x00", "é", "²", "on", "kind", "settings"])
numbers = st.one_of(
    st.integers(-3, 12),
    st.floats(),
    st.sampled_from([10**20, -(10**20), 2**63, 10**400, 10**4000, -0.0, 1e308, 5e-324, 1 << 64]),
)
scalars = st.none() | st.booleans() | numbers | words
#: What only Python can give: other kinds of objects, and keys that are not text.
objects = st.sampled_from(
    [
        b"ring",
        (1, 2),
        {1, 2},
        frozenset(),
        object(),
        datetime.date(2020, 1, 1),
        3j,
        range(2),
        np.int64(3),
        np.float32(0.5),
        np.array([1, 2]),
        PurePosixPath("a/b"),
        int,
        Ellipsis,
    ]
)
keys = st.sampled_from(
    ["kind", "method", "source", "rounds", "class", "indices", "requests", "client", "x", "settings"]
)
odd_keys = keys | st.sampled_from([0, None, True, 1.5, b"kind", (1, 2), frozenset(), "", "a\nb", float("nan")])


def nested(leaf, key):
    return st.recursive(
        leaf, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(key, inner, max_size=3), max_leaves=5
    )


def a_scenario_or_a_sentence(make):
    """Make a scenario; whatever is wrong is said in one line, and what is right can be written and read again."""
    try:
        scenario = make()
    except UserError as problem:
        sentence = str(problem)
    else:
        sentence = None
    if sentence is not None:
        assert 10 < len(sentence) < 2_000, sentence
        assert len(sentence.splitlines()) == 1, sentence
        return
    assert isinstance(scenario, Scenario)
    # As text, in which not a number equals itself.
    assert resolve(parse_yaml(scenario.to_yaml())).to_yaml() == scenario.to_yaml()


@given(st.sampled_from(sorted(FULL, key=str)), nested(scalars | objects, odd_keys))
@example(("unlearning",), [[]])
@example(("unlearning",), [{"method": []}])
@example(("unlearning",), [{"method": {}}])
@example(("data", "features", "center"), float("nan"))
@example(("seed",), 10**400)
@example(("deletion", "requests", 0, "client"), -1.0)
@example(("data", "source"), {"a\nb": {0: None}})
def test_a_key_of_any_shape_ends_in_a_scenario_or_a_sentence(path, value):
    a_scenario_or_a_sentence(lambda: resolve(changed(FULL[path], path, value)))


@given(st.sampled_from(sorted(FULL, key=str)), odd_keys, nested(scalars, odd_keys))
def test_a_key_that_does_not_belong_ends_in_a_scenario_or_a_sentence(path, key, value):
    section = FULL[path]
    for step in path:
        section = section[step]
    there = {**section, key: value} if isinstance(section, dict) else {key: value}
    a_scenario_or_a_sentence(lambda: resolve(changed(FULL[path], path, there)))


@given(nested(scalars | objects, odd_keys))
@example([])
@example({1: 2})
def test_a_whole_scenario_of_any_shape_ends_in_a_scenario_or_a_sentence(value):
    a_scenario_or_a_sentence(lambda: resolve(value))


@given(st.sampled_from(sorted(FULL, key=str)), nested(scalars, keys), st.sampled_from(["", ".x", ".0", ".²", "."]))
@example(("unlearning",), [[]], "")
@example(("unlearning", 0, "rewind"), 1, ".²")
def test_an_override_of_any_shape_ends_in_a_scenario_or_a_sentence(path, value, further):
    try:
        text = yaml.safe_dump(value, default_flow_style=True, width=10**9, allow_unicode=True)
    except ValueError:  # a number of more digits than Python writes
        return
    key = ".".join(map(str, path)) + further
    a_scenario_or_a_sentence(lambda: resolve(FULL[path], [f"{key}={text}"]))
    a_scenario_or_a_sentence(lambda: resolve(None, [f"{key}={text}"]))


@given(st.sampled_from(sorted(FULL, key=str)), st.text(max_size=30))
@example(("seed",), "9" * 5000)
@example(("seed",), "2020-13-45")
@example(("seed",), "2020-01-01")
@example(("seed",), "!!int x")
@example(("seed",), "!!binary x")
@example(("seed",), "!!set {a}")
@example(("seed",), "&a [*a]")
@example(("seed",), "&a {b: *a}")
@example(("seed",), "[" * 3000)
@example(("seed",), "[" * 400 + "]" * 400)
@example(("seed",), "{[a]: 1}")
@example(("seed",), "{<<: 3}")
def test_an_override_of_any_text_ends_in_a_scenario_or_a_sentence(path, text):
    a_scenario_or_a_sentence(lambda: resolve(FULL[path], [f"{'.'.join(map(str, path))}={text}"]))


@given(st.text(max_size=40))
@example("deletion.requests.0.client=3")
@example("data.backdoor.client=1")
@example(f"unlearning.{'9' * 5000}.rewind=1")
def test_any_text_in_place_of_an_override_ends_in_a_scenario_or_a_sentence(text):
    a_scenario_or_a_sentence(lambda: resolve(None, [text]))


@given(st.text(max_size=60) | st.binary(max_size=60))
@example(b"? [a]\n: b")
@example("a: &a [*a]")
def test_any_file_ends_in_a_scenario_or_a_sentence(tmp_path_factory, content):
    file = tmp_path_factory.getbasetemp() / "any.yaml"
    file.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass"))
    a_scenario_or_a_sentence(lambda: load(file))


def test_every_registry_has_its_place_here():
    elsewhere = {"objective", *(LISTS[name] for name in GRAPH_LISTS)}
    assert set(PLACES) | elsewhere == set(LISTS.values())


def test_what_is_given_is_copied_and_left_alone():
    given_ = {"topology": {"kind": "ring"}, "unlearning": [{"method": "r2d"}]}
    before = json.dumps(given_)
    resolve(given_, ["topology.kind=star", "unlearning.0.rewind=0.25"])
    assert json.dumps(given_) == before


def test_objects_that_stand_for_plain_data_are_taken():
    found = resolve({"seed": np.int64(3), "learning": {"step_size": np.float64(0.5)}, "unlearning": ("r2d",)})
    assert (found.seed, found.learning.step_size, found.unlearning[0].name) == (3, 0.5, "r2d")
    assert plain_data({"a": (1, PurePosixPath("b/c"), np.bool_(True))}) == {"a": [1, "b/c", True]}


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ({"a": {1: 2}}, "keys are text, not 1 in a"),
        ({"a": [b"x"]}, "a.0: must be text, a number, .* not b'x'"),
        ({"a": 10**5000}, "a: is a whole number of too many digits"),
    ],
)
def test_what_no_file_could_hold_is_refused(value, sentence):
    with pytest.raises(UserError, match=sentence):
        plain_data(value)


def test_nesting_has_an_end():
    deep = []
    for _ in range(sys.getrecursionlimit()):
        deep = [deep]
    with pytest.raises(UserError, match=r"seed\.0\.0: is nested more than"):
        resolve({"seed": deep})
