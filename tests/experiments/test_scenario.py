import json
import re
import struct
import warnings
from pathlib import Path

import numpy as np
import pytest
import yaml
from drawn import examples
from hypothesis import given
from hypothesis import strategies as st

from rewindnet.errors import Notice, UserError
from rewindnet.experiments.runs.run_setup import build_run
from rewindnet.experiments.scenario.errors import ScenarioError
from rewindnet.experiments.scenario.registries import LISTS, registry, settings_model
from rewindnet.experiments.scenario.scenario import Scenario
from rewindnet.experiments.scenario.yaml_files import load, parse_yaml, resolve
from rewindnet.experiments.studies.grid import combinations
from rewindnet.experiments.studies.points import with_seeds
from rewindnet.experiments.studies.study_file import read_study_file

#: All but those of graph networks, which are scenarios of another kind.
RECIPES = [
    recipe
    for recipe in sorted(Path(__file__).parents[2].glob("experiments/recipes/*.yaml"))
    if "verifiers" not in parse_yaml(recipe.read_text("utf-8"))
]
STUDIES = [recipe for recipe in RECIPES if "\nstudy:" in recipe.read_text(encoding="utf-8")]

#: Where a scenario says which entry of a registry it wants.
PLACES = {
    "topology": ("topology", "kind"),
    "mixing": ("topology", "mixing", "kind"),
    "model": ("model", "kind"),
    "method": ("unlearning", 0, "method"),
    "data": ("data", "source"),
    "features": ("data", "features", "kind"),
    "partition": ("partition", "kind"),
    "transport": ("backend", "kind"),
}
ENTRIES = [(what, name) for what in PLACES for name in registry(what)]

TINY = {
    "data": {"source": "synthetic", "samples": 100, "dimensions": 3},
    "partition": {"kind": "iid", "clients": 4},
    "topology": "ring",
    "learning": {"rounds": 10},
    "deletion": {"samples": 2},
}


def tiny(*overrides, **changes):
    return resolve(json.loads(json.dumps({**TINY, **changes})), overrides)


def at(place, value):
    """Plain scenario data with `value` at that place."""
    for key in reversed(place):
        value = [value] if isinstance(key, int) else {key: value}
    return value


#: What a setting without a default is given, by its type.
REQUIRED = {int: 2, float: 0.5}


def scenario_with(what, name):
    """The scenario with that entry, and with the paths and numbers that it asks for."""
    *place, key = PLACES[what]
    fields = settings_model(what, name).model_fields.items()
    required = {field: REQUIRED.get(info.annotation, "some/file") for field, info in fields if info.is_required()}
    return resolve(at(place, {key: name, **required}))


def leaves(plain, path=()):
    """Every path of plain scenario data to something that is not a section."""
    inside = plain.items() if isinstance(plain, dict) else enumerate(plain) if path == ("unlearning",) else None
    if inside is None or (path and path[-1] == "samples"):
        yield ".".join(map(str, path)), plain
        return
    for key, value in inside:
        yield from leaves(value, (*path, key))


# -- written and read back -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("what", "name"), ENTRIES)
def test_every_choice_survives_being_written(what, name):
    scenario = scenario_with(what, name)
    written = scenario.to_yaml()
    assert resolve(parse_yaml(written)) == scenario
    # Any other reader of YAML understands it in the same way.
    assert yaml.safe_load(written) == scenario.plain()
    assert resolve(parse_yaml(written)).to_yaml() == written


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.stem)
def test_every_recipe_survives_being_written(recipe):
    with warnings.catch_warnings():
        # The recipe of a study has a section that a single run leaves out.
        warnings.filterwarnings("ignore", "the section study of", Notice)
        scenario = load(recipe)
    assert resolve(parse_yaml(scenario.to_yaml())) == scenario
    assert scenario.name == recipe.stem


@pytest.mark.parametrize("recipe", STUDIES, ids=lambda recipe: recipe.stem)
def test_every_run_of_the_study_of_a_recipe_is_a_scenario_of_its_own(recipe):
    study = read_study_file(recipe)
    points = combinations(with_seeds(study.axes, study.seeds, study.scenario, recipe.parent))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "the section study of", Notice)
        runs = [load(recipe, [f"{key}={value}" for key, value in point.items()]).to_yaml() for point in points]
    assert len(set(runs)) == len(points) > 1


@pytest.mark.parametrize("samples", [3, 0.25, 1.0, "all", {"class": 3}, {"indices": [4, 1]}])
def test_every_form_of_a_deletion_survives_being_written(samples):
    scenario = resolve({"deletion": {"samples": samples}})
    assert scenario.plain()["deletion"]["samples"] == samples
    assert type(scenario.plain()["deletion"]["samples"]) is type(samples)
    assert resolve(parse_yaml(scenario.to_yaml())) == scenario


@pytest.mark.parametrize(("what", "name"), ENTRIES)
def test_settings_reach_every_key(what, name):
    scenario = scenario_with(what, name)
    for path, value in leaves(scenario.plain()):
        if not path.startswith(PLACES[what][0]):
            continue
        assert resolve(scenario.plain(), [f"{path}={json.dumps(value)}"]) == scenario, path


def test_settings_reach_every_key_of_an_empty_file():
    demo = resolve(None)
    for path, value in leaves(demo.plain()):
        found = dict(leaves(resolve(None, [f"{path}={json.dumps(value)}"]).plain()))
        assert found == dict(leaves(demo.plain())), path


@pytest.mark.parametrize(
    ("setting", "path", "value"),
    [
        ("seed=7", "seed", 7),
        ("learning.rounds=3", "learning.rounds", 3),
        ("learning.step_size=1e-5", "learning.step_size", 1e-5),
        ("topology=star", "topology.kind", "star"),
        ("topology.mixing=uniform", "topology.mixing.kind", "uniform"),
        ("topology.mixing.kind=uniform", "topology.mixing.kind", "uniform"),
        ("data.features.kind=raw", "data.features.kind", "raw"),
        ("unlearning.0.rewind=0.9", "unlearning.0.rewind", 0.9),
        ("unlearning.0.view=transcript:all", "unlearning.0.view", "transcript:all"),
        ("unlearning.0.view=node:3", "unlearning.0.view", "node:3"),
        ("deletion.samples={indices: [1, 2]}", "deletion.samples", {"indices": [1, 2]}),
        ("deletion.samples=all", "deletion.samples", "all"),
        ("data.root=null", "data.root", None),
    ],
)
def test_a_setting_sets(setting, path, value):
    assert dict(leaves(resolve(None, [setting]).plain()))[path] == value


def test_a_setting_reaches_into_a_choice_written_as_its_name():
    raw = {"topology": "watts-strogatz", "data": "synthetic", "unlearning": ["r2d", "retrain"]}
    found = resolve(raw, ["topology.p=0.5", "data.samples=50", "unlearning.0.rewind=0.9"])
    assert found.topology.settings["p"] == 0.5
    assert found.data.settings["samples"] == 50
    assert [method.name for method in found.unlearning] == ["r2d", "retrain", "do-nothing"]
    assert found.unlearning[0].settings["rewind"] == 0.9


@pytest.mark.parametrize(
    ("listed", "runs"),
    [
        (["r2d"], ["r2d", "retrain", "do-nothing"]),
        (["do-nothing", {"method": "r2d"}], ["do-nothing", "r2d", "retrain"]),
        (["retrain", "do-nothing"], ["retrain", "do-nothing"]),
    ],
)
def test_the_oracle_and_the_control_always_run(listed, runs):
    found = resolve({"unlearning": listed})
    assert [method.name for method in found.unlearning] == runs
    assert resolve(found.plain()).plain() == found.plain()


def test_another_choice_drops_the_settings_it_does_not_have():
    raw = {"topology": {"kind": "erdos-renyi", "p": 0.3, "mixing": "uniform"}, "model": {"kind": "sigmoid", "l2": 0.5}}
    found = resolve(raw, ["topology.kind=ring", "model.kind=logistic"])
    assert found.topology.plain() == {"kind": "ring", "schedule": {"kind": "static"}, "mixing": {"kind": "uniform"}}
    assert found.model.plain() == {"kind": "logistic", "l2": 0.5, "bias": 0.1}
    method = {"method": "r2d", "rewind": 0.3, "delta": 1e-6, "view": "joint"}
    swapped = resolve({"unlearning": [method]}, ["unlearning.0.method=warm-start"]).unlearning[0]
    assert (swapped.name, swapped.settings["delta"], swapped.settings["view"]) == ("warm-start", 1e-6, "joint")
    # What is written next to the new choice is meant.
    with pytest.raises(ScenarioError, match="unknown key 'p' for the topology ring"):
        resolve({"topology": {"kind": "ring", "p": 0.3}})


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_are_numbers_however_python_writes_them(number):
    for text in (repr(number), f"{number:.17e}", json.dumps(number)):
        assert parse_yaml(text) == number, text
        assert type(parse_yaml(f"[{text}]")[0]) is float


@pytest.mark.parametrize(
    ("text", "value"),
    [("1e-5", 1e-5), (".5e0", 0.5), ("-.5E+1", -5.0), ("1E5", 1e5), ("+2e3", 2e3), ("-1e+2", -100.0), ("3", 3)],
)
def test_numbers_as_people_write_them(text, value):
    assert parse_yaml(text) == value
    assert type(parse_yaml(text)) is type(value)


def test_words_stay_words():
    assert parse_yaml("[e5, 1e, all, transcript:all, node:3, 1e5x]") == [
        "e5",
        "1e",
        "all",
        "transcript:all",
        "node:3",
        "1e5x",
    ]


def test_an_empty_file_is_the_demo(tmp_path):
    empty = tmp_path / "empty.yaml"
    empty.write_text("# nothing\n")
    assert load(empty) == resolve({}) == Scenario()
    assert load(empty).name == "demo"


@pytest.mark.parametrize("what", LISTS)
def test_every_entry_of_every_list_says_what_it_is(what):
    for name in registry(LISTS[what]):
        assert len(registry(LISTS[what]).summary(name)) > 8
        assert "\n" not in registry(LISTS[what]).summary(name)


# -- refusals: one sentence ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("lerning: {}", "unknown key 'lerning' in the scenario; allowed: name, seed, data, "),
        ("learning: {round: 3}", "learning: unknown key 'round' for the learning gossip; allowed: kind, rounds, "),
        (
            "topology: {kind: ring, p: 1}",
            "topology: unknown key 'p' for the topology ring; allowed: kind, schedule, mixing",
        ),
        (
            "topology: {mixing: {kind: uniform, laziness: 1}}",
            "unknown key 'laziness' for the mixing uniform; allowed: kind",
        ),
        ("unlearning: [{method: retrain, sigma: 1}]", "unlearning.0: unknown key 'sigma' for the method retrain"),
        ("data: {settings: {}}", "data: unknown key 'settings' for the data digits"),
        ("topology: rong", "topology: unknown topology 'rong' .*; there are: ring, path, "),
        ("unlearning: [r3d]", "unlearning.0: unknown method 'r3d'; there are: r2d, "),
        ("unlearning: [{rewind: 0.5}]", "unlearning.0: unknown method ''; there are: r2d, "),
        ("backend: {kind: pigeons}", "backend: unknown transport 'pigeons'; there are: in-process"),
        ("learning: {rounds: ten}", "learning.rounds: must be a valid integer, not 'ten'"),
        ("learning: {rounds: 0}", "learning.rounds: must be greater than or equal to 1, not 0"),
        ("learning: {step_size: .nan}", "learning.step_size: must be a finite number, not nan"),
        ("learning: {step_size: 0}", "learning.step_size: must be greater than 0, not 0"),
        ("learning: {order: none}", "learning.order: must be 'adapt-then-combine', "),
        ("learning: 3", "learning: must be a name or a mapping with the key kind, not 3"),
        ("seed: -1", "seed: must be greater than or equal to 0, not -1"),
        ("name: ../elsewhere", "name: must be letters, digits"),
        ("model: {l2: small}", "model.l2: must be a valid number, not 'small'"),
        ("model: [logistic]", r"model: must be a name or a mapping with the key kind, not \['logistic'\]"),
        ("unlearning: []", "unlearning: must be a list of methods"),
        ("unlearning: [{method: r2d, epsilon: -1}]", "unlearning.0: epsilon must be a positive number .*, not -1.0"),
        ("unlearning: [{method: r2d, epsilon: 0}]", "unlearning.0: epsilon must be a positive number .*, not 0.0"),
        ("unlearning: [{method: r2d, delta: 1}]", "unlearning.0: delta must lie strictly between 0 and 1.*, not 1.0"),
        ("unlearning: [{method: r2d, delta: 0}]", "unlearning.0: delta must lie strictly between 0 and 1.*, not 0.0"),
        ("unlearning: [{method: r2d, rewind: 1.5}]", r"unlearning.0: rewind is the share .* in \[0, 1\], not 1.5"),
        ("unlearning: [{method: r2d, rewind: -0.1}]", r"unlearning.0: rewind is the share .* in \[0, 1\], not -0.1"),
        (
            "unlearning: [retrain, {method: r2d, view: me}]",
            "unlearning.1: unknown view 'me'; it is one of: node, node:v, ",
        ),
        ("unlearning: [{method: r2d, bound: best}]", "unlearning.0.bound: must be 'published', "),
        (
            "unlearning: [{method: r2d, rewind: 0.5, epsilon: 1, sigma: 1}]",
            "unlearning.0: r2d takes two of epsilon, rewind and sigma",
        ),
        ("deletion: {client: -1}", "deletion.client: must be greater than or equal to 0, not -1"),
        ("deletion: {samples: {class: 1.5}}", "deletion.samples: must be a count, .*, not {'class': 1.5}"),
        ("deletion: {samples: {indices: [1.5]}}", "deletion.samples: must be a count, .*, not {'indices': "),
        ("deletion: {samples: true}", "deletion.samples: must be a count, .*, not True"),
        ("deletion: {samples: most}", "deletion.samples: must be a count, .*, not 'most'"),
        ("audit: {draws: 7}", "audit.draws: a Monte-Carlo audit takes 0 draws, or 100 to 10,000,000, not 7"),
        ("audit: {draws: -1}", "audit.draws: a Monte-Carlo audit takes 0 draws, or 100 to 10,000,000, not -1"),
        ("audit: {draws: 1.5}", "audit.draws: must be a valid integer, not 1.5"),
        ("audit: {draws: many}", "audit.draws: must be a valid integer, not 'many'"),
        ("audit: {confidence: 1}", "audit.confidence: must be less than 1, not 1"),
        ("audit: {confidence: 0}", "audit.confidence: must be greater than 0, not 0"),
        ("audit: {confidence: .nan}", "audit.confidence: must be less than 1, not nan"),
        ("audit: {draw: 100}", "unknown key 'draw' in audit; allowed: draws, confidence"),
        ("partition: {clients: 0}", "partition.clients: must be greater than or equal to 1, not 0"),
        ("data: npz", "data.path: is required"),
        ("[1, 2]", "a scenario is a mapping of keys, not list"),
        ("just words", "a scenario is a mapping of keys, not str"),
        ("seed: 1\nseed: 2", "the key 'seed' is given twice"),
        ("learning: {rounds: 1, rounds: 2}", "the key 'rounds' is given twice"),
        ("a: [", "this is not YAML at line 1: "),
        ("a: b: c", "this is not YAML at line 1: "),
        ("? [a]\n: b", "this is not YAML at line 1: "),
        ("!!python/object:os.system {}", "this is not YAML at line 1: could not determine a constructor"),
        ("a: \0", "this is not YAML: special characters are not allowed"),
        ("1: 2", "keys are text, not 1"),
    ],
)
def test_what_cannot_be_understood_is_refused_in_a_sentence(text, sentence):
    with pytest.raises(ScenarioError, match=sentence) as problem:
        resolve(parse_yaml(text))
    assert "\n" not in str(problem.value)


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ("rounds", "settings are written key=value, like topology.kind=ring; not 'rounds'"),
        ("=3", "settings are written key=value"),
        ("learning..rounds=3", "settings are written key=value"),
        ("learning.rounds=[", "this is not YAML"),
        ("rounds=3", "unknown key 'rounds' in the scenario; allowed: name, seed"),
        ("learning.rounds.much=3", "learning.rounds"),
        ("name.x=3", "name"),
        ("unlearning.17.rewind=0.5", "unlearning.17.rewind: the list has the entries 0 to 5, not 17"),
        ("unlearning.rewind=0.5", "unlearning.rewind: the list has the entries 0 to 5, not rewind"),
        ("unlearning.x.rewind=0.5", "unlearning.x.rewind: the list has the entries 0 to 5, not x"),
        ("topology.kind=rong", "unknown topology 'rong' .*; there are: "),
        ("topology.kind=[ring]", r"unknown topology \['ring'\]; there are: "),
        ("topology.kind.x=1", "unknown topology {'x': 1}; there are: "),
        ("seed=ten", "seed: must be a valid integer"),
    ],
)
def test_a_setting_that_cannot_be_understood_is_refused(setting, sentence):
    with pytest.raises(ScenarioError, match=sentence):
        resolve(None, [setting])


@pytest.mark.parametrize("unlearning", [[3], [["r2d"]], [None]])
def test_a_setting_inside_what_is_no_method_is_refused(unlearning):
    with pytest.raises(ScenarioError, match=r"unlearning\.0"):
        resolve({"unlearning": unlearning}, ["unlearning.0.rewind=0.5"])


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 12) | st.floats() | st.sampled_from(["", "ring", "r2d", "all", "x"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["kind", "method", "source", "rounds", "class", "x"]), inner, max_size=3)
    ),
    max_leaves=4,
)


@examples(200)
@given(st.sampled_from([path for path, _ in leaves(resolve(None).plain())] + list(resolve(None).plain())), json_values)
def test_whatever_is_set_is_understood_or_refused_in_a_sentence(path, value):
    try:
        scenario = resolve(None, [f"{path}={yaml.safe_dump(value, default_flow_style=True)}"])
    except ScenarioError as problem:
        assert len(str(problem)) > 10  # noqa: PT017
    else:
        assert resolve(parse_yaml(scenario.to_yaml())) == scenario


@pytest.mark.parametrize(
    ("content", "reason"), [(None, "No such file or directory"), (b"\xff\xfe\xfa", "it is not UTF-8 text")]
)
def test_a_file_that_cannot_be_read_is_refused(tmp_path, content, reason):
    path = tmp_path / "scenario.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ScenarioError, match=f"cannot read the scenario {re.escape(str(path))}: {reason}"):
        load(path)


# -- refusals that need the data, the graph or the constants ---------------------------------------------------------


def refused(scenario):
    """The sentence with which `build_run` refuses."""
    with pytest.raises(UserError) as problem:
        build_run(scenario)
    assert "\n" not in str(problem.value)
    return str(problem.value)


@pytest.mark.parametrize(
    ("settings_", "sentence"),
    [
        (["deletion.client=4"], "deletion.client 4 does not exist; clients are 0 to 3"),
        (["deletion.samples=21"], "client 0 has 20 samples; deletion.samples asks for 21 of them"),
        (["deletion.samples=0"], "client 0 has 20 samples; deletion.samples asks for 0 of them"),
        (["deletion.samples=1.5"], "deletion.samples is a count, a fraction in (0, 1], all"),
        (["deletion.samples={class: 7}"], "client 0 has no sample of class 7; it has [0, 1]"),
        (["deletion.samples={indices: [20]}"], "client 0 has samples 0 to 19; deletion.samples names 20"),
        (["partition.clients=1"], "3 nodes"),
        (["topology=ring", "partition.clients=1"], "a ring has at least 3 nodes, not 1"),
        (["partition.clients=200"], "200"),
        (["topology.kind=random-regular", "topology.degree=9"], "degree"),
        (["topology.kind=hypercube", "partition.clients=5"], "a hypercube has a power of two nodes"),
        (["model.l2=-1"], "model.l2 must be a non-negative number, not -1"),
        (
            ["model.kind=sigmoid", "model.positive=[7]"],
            "model.positive must name some but not all of the classes 0 to 1",
        ),
        (["data.samples=3"], "synthetic data need at least 2 classes"),
        (["data.separation=.nan"], "the separation of synthetic data must be finite"),
        (["unlearning.0.view=node:4"], "view 'node:4' names a node that does not exist; nodes are 0 to 3"),
        (["unlearning.1.view=node:4"], "view 'node:4' names a node that does not exist; nodes are 0 to 3"),
        (["unlearning.4.view=node:4"], "view 'node:4' names a node that does not exist; nodes are 0 to 3"),
        (["unlearning.5.delta=1.0"], "delta must lie strictly between 0 and 1"),
        (
            ["unlearning.0.regime=weakly-convex"],
            "does not prove the regime 'weakly-convex'; it proves: nonconvex, convex",
        ),
        (["unlearning.0.view=transcript:all"], "placement rewind covers them"),
        (["unlearning.1.view=transcript:all"], "placement rewind covers them"),
        (["unlearning=[{method: warm-start, epsilon: 0.001, sigma: 0.001}]"], "no depth from 0 to 10 rounds reaches"),
        (["learning.step_size=1e90"], "step_size 1e+90 allows no finite certificate: in the regime strongly-convex"),
        (["learning.step_size=1e39", "backend.dtype=float32"], "a step size of 1e+39 (learning.step_size) is beyond"),
        (["learning.step_size=1e90"], "step_size up to 2/L = 3.9992 keeps it at most 1"),
        (
            ["learning.step_size=1e90", "model.kind=sigmoid", "unlearning=[{method: r2d, bound: instance}]"],
            "step_size 1e+90 allows no finite certificate: in the regime weakly-convex",
        ),
        (["learning.step_size=1e90", "model.kind=sigmoid"], "with 10 rounds keep step_size below about "),
        (
            ["learning.step_size=3", "unlearning=[{method: r2d, bound: published}]"],
            "step_size 3 is beyond what the published bound allows: at most min(1/L, n/(2(n−m)L)) = 1.11",
        ),
        (
            ["deletion.samples=all", "learning.step_size=0.1", "unlearning=[{method: r2d, bound: published}]"],
            "the published bound does not cover a client that deletes everything",
        ),
    ],
)
def test_what_cannot_be_run_is_refused_in_a_sentence(settings_, sentence):
    assert sentence in refused(tiny(*settings_))


def test_the_step_that_the_sentence_allows_is_allowed():
    build_run(tiny("learning.step_size=3.99"))
    build_run(tiny("learning.step_size=1.1", "unlearning=[{method: r2d, bound: published}]"))


@pytest.mark.parametrize("source", ["mnist", "fashion-mnist", "cifar-10", "uci-har"])
def test_missing_data_says_where_it_was_looked_for_and_how_to_get_it(tmp_path, source):
    sentence = refused(tiny(data={"source": source, "root": str(tmp_path)}))
    assert str(tmp_path) in sentence
    assert "no such" in sentence
    assert re.search(r"https?://|download|data\.root|REWINDNET_DATA", sentence)


def idx(array, cut=0):
    content = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()
    return content[: len(content) - cut]


def write_mnist(root, cut=0):
    for part in ("train", "t10k"):
        x, y = np.zeros((20, 28, 28), dtype=np.uint8), (np.arange(20) % 10).astype(np.uint8)
        (root / f"{part}-images-idx3-ubyte").write_bytes(idx(x, cut))
        (root / f"{part}-labels-idx1-ubyte").write_bytes(idx(y))


@pytest.mark.parametrize("cut", [1, 5000, 28 * 28 * 20 + 10])
def test_a_truncated_file_is_refused(tmp_path, cut):
    write_mnist(tmp_path, cut)
    sentence = refused(tiny(data={"source": "mnist", "root": str(tmp_path)}))
    assert "train-images-idx3-ubyte" in sentence


def archive(folder, **arrays):
    generator = np.random.default_rng(0)
    whole = {"x": generator.standard_normal((100, 3)), "y": np.arange(100) % 2, **arrays}
    np.savez(folder / "own.npz", **whole)
    return tiny(data={"source": "npz", "path": str(folder / "own.npz")})


def test_arrays_of_ones_own_can_be_used(tmp_path):
    assert build_run(archive(tmp_path)).network.samples.tolist() == [20] * 4


@pytest.mark.parametrize(
    ("arrays", "sentence"),
    [
        ({"x": np.full((100, 3), np.nan)}, "240 feature values are NaN or infinite as float32, the first in row 0"),
        ({"x": np.full((100, 3), 1e300)}, "240 feature values are NaN or infinite as float32"),
        ({"x": np.full((100, 3), "a")}, "features must be numbers"),
        ({"y": np.arange(100) % 2 + 0.5}, "labels are classes, and 0.5 is no class"),
        ({"y": np.zeros(100, dtype=int)}, "at least 2 classes"),
        ({"y": np.arange(99) % 2}, "must have the shape (100,)"),
        ({"y": np.arange(100) * 1000}, "each of the 100 rows has a label of its own"),
    ],
)
def test_arrays_that_make_no_sense_are_refused(tmp_path, arrays, sentence):
    assert sentence in refused(archive(tmp_path, **arrays))


def test_an_archive_that_is_missing_or_none_is_refused(tmp_path):
    path = tmp_path / "own.npz"
    scenario = tiny(data={"source": "npz", "path": str(path)})
    assert f"no such file: {path}; data.path must name an .npz archive" in refused(scenario)
    path.write_bytes(b"not an archive")
    assert str(path) in refused(scenario)


def test_an_empty_scenario_is_the_demo():
    recipe = Path(__file__).parents[2] / "experiments/recipes/demo.yaml"
    assert resolve(None) == load(recipe)


def test_what_follows_from_other_settings_is_written_out():
    method, *_ = resolve({"unlearning": ["r2d"]}).plain()["unlearning"]
    assert (method["rewind"], method["epsilon"], method["sigma"]) == (0.5, 1.0, None)


@pytest.mark.parametrize(
    ("given", "now", "sentence"),
    [
        (
            {"method": "r2d", "settle": 2},
            {"gossip_rounds": 2},
            "the setting 'settle' of the method 'r2d' is called 'gossip_rounds' now",
        ),
        *(
            (
                {"method": method, key: "sound"},
                {key: "certified"},
                f"the value 'sound' of '{key}' of the method '{method}' is called 'certified' now",
            )
            for method, key in (
                ("newton", "noise"),
                ("rr-du", "noise"),
                ("walk-dp", "noise"),
                ("gossip-dp", "calibrate"),
            )
        ),
    ],
)
def test_former_names_of_settings_and_values_are_taken_with_a_notice(given, now, sentence):
    with pytest.warns(Notice, match=f"^{re.escape(sentence)}$"):
        scenario = resolve({"unlearning": [given]})
    assert now.items() <= scenario.unlearning[0].settings.items()


def test_merge_keys_and_anchors_are_read() -> None:
    assert parse_yaml("a: &base {kind: ring, x: 1}\nb: {<<: *base, x: 2}") == {
        "a": {"kind": "ring", "x": 1},
        "b": {"kind": "ring", "x": 2},
    }
    with pytest.raises(ScenarioError, match="the key 'x' is given twice"):
        parse_yaml("a: &base {x: 1}\nb: {<<: *base, x: 2, x: 3}")


def test_a_seed_of_too_many_digits_is_refused_with_a_sentence() -> None:
    with pytest.raises(ScenarioError, match="a whole number has more digits than can be read"):
        parse_yaml("seed: " + "9" * 10_000)
