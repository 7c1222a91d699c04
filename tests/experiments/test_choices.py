"""`rewindnet list` and `init`, recipes by name, hints about mistaken keys, and what is done without torch."""

import json
import os
import subprocess
import sys
from contextlib import chdir
from pathlib import Path
from typing import Any, Literal

import pytest
from click.testing import Result
from typer.testing import CliRunner

import rewindnet
from rewindnet.experiments.choices import settings_of, type_name
from rewindnet.experiments.cli import app
from rewindnet.experiments.folder.reader import RunFolder
from rewindnet.experiments.recipes import recipe_texts
from rewindnet.experiments.scenario.errors import ScenarioError
from rewindnet.experiments.scenario.registries import LISTS, registry
from rewindnet.experiments.scenario.yaml_files import resolve

ROOT = Path(__file__).parents[2]


def here(folder: Path, *arguments: object) -> Result:
    with chdir(folder):
        return CliRunner().invoke(app, list(map(str, arguments)), env={"COLUMNS": "250"})


def said(folder: Path, *arguments: object) -> str:
    done = here(folder, *arguments)
    assert (done.exit_code, done.stderr) == (0, "")
    return done.stdout


def sentence(folder: Path, *arguments: object) -> str:
    done = here(folder, *arguments)
    assert (done.exit_code, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    return line


# The command


def test_the_version_and_the_help_have_their_usual_options(tmp_path: Path) -> None:
    assert said(tmp_path, "--version") == f"rewindnet {rewindnet.__version__}\n"
    assert said(tmp_path, "-h") == said(tmp_path, "--help")
    assert said(tmp_path, "run", "-h") == said(tmp_path, "run", "--help")
    assert "--install-completion" in said(tmp_path, "-h")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["lst"], ["'lst'", "Did you mean 'list'?", "(rewindnet --help shows what there is)"]),
        (["run", "demo", "--forse"], ["--forse", "--force", "(rewindnet run --help shows what there is)"]),
        (["certificate", "veryfi"], ["'veryfi'", "(rewindnet certificate --help shows what there is)"]),
        (["run"], ["missing argument", "SCENARIO"]),
    ],
)
def test_a_mistaken_command_or_option_is_one_sentence(tmp_path: Path, arguments: list[str], words: list[str]) -> None:
    line = sentence(tmp_path, *arguments)
    assert all(word in line for word in words), line


# Lists


def test_the_list_alone_is_an_overview(tmp_path: Path) -> None:
    lines = said(tmp_path, "list").splitlines()
    assert [line.split()[0] for line in lines[:-1]] == [*LISTS, "recipes"]
    found = json.loads(said(tmp_path, "list", "--json"))
    assert found == {**{what: list(registry(kind)) for what, kind in LISTS.items()}, "recipes": list(recipe_texts())}


def test_a_kind_is_listed_as_json_with_the_documentation_of_its_choices(tmp_path: Path) -> None:
    for what, kind in LISTS.items():
        found = json.loads(said(tmp_path, "list", what, "--json"))
        documented = {name: (registry(kind)[name].__doc__ or "").strip().partition("\n")[0] for name in registry(kind)}
        assert found == documented
        assert all(len(text.split()) > 2 for text in found.values())


def test_a_choice_is_listed_with_its_settings_types_and_defaults(tmp_path: Path) -> None:
    first, heads, k, p = said(tmp_path, "list", "topologies", "watts-strogatz").splitlines()
    assert first.startswith("watts-strogatz: ")
    assert heads.split() == ["setting", "type", "default", "meaning"]
    assert k.split()[:4] == ["k", "whole", "number", "6"]
    assert p.split()[:3] == ["p", "number", "0.1"]
    assert said(tmp_path, "list", "topologies", "ring").splitlines()[1:] == ["This topology has no settings."]
    found = json.loads(said(tmp_path, "list", "methods", "r2d", "--json"))
    assert found["settings"]["rewind"]["type"] == "number or none"
    assert found["settings"]["epsilon"]["meaning"]


@pytest.mark.parametrize("what", LISTS)
def test_every_choice_tells_all_of_its_settings(what: str) -> None:
    for name in registry(LISTS[what]):
        about = settings_of(what, name)["settings"]
        parameters = registry(LISTS[what]).settings(name)
        assert list(about) == list(parameters)
        for setting, parameter in parameters.items():
            assert about[setting]["required"] == (parameter.default is parameter.empty)
            assert about[setting]["default"] == (None if about[setting]["required"] else parameter.default)
            assert "<" not in about[setting]["type"]


@pytest.mark.parametrize(
    ("hint", "name"),
    [
        (int, "whole number"),
        (float | None, "number or none"),
        (int | float | Literal["all"], "whole number or number or all"),
        (tuple[str, ...], "list of text"),
        (dict[str, Any], "mapping"),
        (bool, "true or false"),
    ],
)
def test_types_are_named_as_in_yaml(hint: Any, name: str) -> None:
    assert type_name(hint) == name


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["topologys"], ["there is no list of 'topologys' (did you mean 'topologies'?)", "recipes"]),
        (["topologies", "rng"], ["unknown topology 'rng' (did you mean 'ring'?)"]),
        (["recipes", "dmo"], ["unknown recipe 'dmo' (did you mean 'demo'?)"]),
    ],
)
def test_what_cannot_be_listed_is_a_sentence(tmp_path: Path, arguments: list[str], words: list[str]) -> None:
    line = sentence(tmp_path, "list", *arguments)
    assert all(word in line for word in words)


# Recipes


def test_every_recipe_is_listed_printed_and_valid(tmp_path: Path) -> None:
    lines = said(tmp_path, "list", "recipes").splitlines()
    assert [line.split()[0] for line in lines] == sorted(
        path.stem for path in (ROOT / "experiments/recipes").glob("*.yaml")
    )
    assert all(line.endswith(".") and len(line.split()) > 4 for line in lines)
    assert said(tmp_path, "list", "recipes", "demo") == (ROOT / "experiments/recipes/demo.yaml").read_text("utf-8")


def test_a_recipe_runs_by_its_name_where_there_is_no_such_file(tmp_path: Path) -> None:
    shorter = ["learning.rounds=3", "measures.membership=false", "unlearning=[r2d]"]
    assert "run folder: runs/demo\n" in said(tmp_path, "run", "demo", *shorter)
    assert rewindnet.load("thousand").partition.clients == 1000
    with chdir(tmp_path):
        Path("demo").write_text("name: mine", encoding="utf-8")
        assert rewindnet.load("demo").name == "mine"
        Path("demo").unlink()
        Path("demo").mkdir()
        assert rewindnet.load("demo").name == "demo"
    line = sentence(tmp_path, "run", "deno")
    assert line.startswith("rewindnet: cannot read the scenario deno: No such file or directory (did you mean 'demo'?)")
    assert "recipes" not in sentence(tmp_path, "run", "folder/deno.yaml")


# A scenario to start from


def test_a_new_scenario_is_commented_valid_and_never_overwrites(tmp_path: Path) -> None:
    assert "mine.yaml" in said(tmp_path, "init", "mine")
    written = (tmp_path / "mine.yaml").read_text("utf-8")
    assert written.count("#") > 8
    scenario = rewindnet.load(tmp_path / "mine.yaml")
    assert scenario.name == "mine"
    own = {"name": "mine", "unlearning": scenario.plain()["unlearning"], "partition": {"kind": "iid", "clients": 10}}
    assert scenario.plain() == {**resolve({}).plain(), **own}
    (tmp_path / "mine.yaml").write_text("name: changed", encoding="utf-8")
    for name in ("mine", "mine.yaml"):
        assert "mine.yaml exists already and is left as it is" in sentence(tmp_path, "init", name)
    assert (tmp_path / "mine.yaml").read_text("utf-8") == "name: changed"
    assert "scenario.yaml" in said(tmp_path, "init")
    assert "not '-x?'" in sentence(tmp_path, "init", "--", "-x?")
    assert "cannot be written" in sentence(tmp_path, "init", "no/such/folder")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine.yaml", "scenario.yaml"]


def test_the_starter_names_only_choices_and_lists_that_exist() -> None:
    text = (ROOT / "experiments/scenario/starter.yaml").read_text("utf-8")
    named = [words.split() for words in text.split("`rewindnet list ")[1:]]
    assert len(named) > 8
    for what, *rest in ((words[0].strip("`.,:"), *words[1:]) for words in named):
        assert what in LISTS
        assert not rest or "`" not in rest[0] or rest[0].partition("`")[0] in {*registry(LISTS[what]), ""}


# Did you mean


@pytest.mark.parametrize(
    ("raw", "hint"),
    [
        ({"toplogy": "ring"}, "(did you mean 'topology'?)"),
        ({"noise_source": "os"}, "; it belongs under unlearning.N"),
        ({"rounds": 3}, "; it belongs under learning or learning.checkpoints or topology.schedule (graphs)"),
        ({"learning": {"sampling": {"kind": "poisson", "rat": 3}}}, "; allowed: kind, batch"),
        ({"l22": 1}, "(did you mean 'l2'?); l2 belongs under model"),
        ({"sampling": "poisson"}, "; it belongs under learning"),
        ({"threads": 1}, "; it belongs under backend"),
        ({"topology": {"kind": "ring", "p": 0.3}}, "; it belongs under topology (erdos-renyi, watts-strogatz)"),
        ({"learning": {"ruonds": 3}}, "(did you mean 'rounds'?)"),
        ({"learning": {"sampling": {"kind": "poisson", "batc": 3}}}, "(did you mean 'batch'?)"),
        ({"unlearning": [{"method": "r2d", "rewnd": 0.5}]}, "(did you mean 'rewind'?)"),
        ({"deletion": {"requests": [{"clint": 1}]}}, "(did you mean 'client'?)"),
        ({"measures": {"membershp": True}}, "(did you mean 'membership'?)"),
        ({"data": {"backdoor": {"targt": 1}}}, "(did you mean 'target'?)"),
        ({"learning": {"order": "adapt-than-combine"}}, "(did you mean 'adapt-then-combine'?)"),
        ({"backend": {"precision": "exakt"}}, "(did you mean 'exact'?)"),
    ],
)
def test_a_mistaken_key_or_name_is_told_what_was_meant(raw: dict[str, Any], hint: str) -> None:
    with pytest.raises(ScenarioError) as problem:
        resolve(raw)
    assert str(problem.value).endswith(hint)


def test_a_key_that_is_like_no_other_gets_no_hint() -> None:
    with pytest.raises(ScenarioError, match=r"allowed: [a-z, ]*record$"):
        resolve({"xyzzy": 1})


@pytest.mark.parametrize(
    ("setting", "key"),
    [("topology.kind=ring,star", "topology.kind"), ("seed=0,1", "seed"), ("deletion.client=1,2", "deletion.client")],
)
def test_several_values_are_for_sweeps(tmp_path: Path, setting: str, key: str) -> None:
    assert sentence(tmp_path, "run", "demo", setting).endswith(f"; for several values of {key} use rewindnet sweep")
    with pytest.raises(ScenarioError, match=r"must be a list of methods, like .*, not 'r2d,retrain'$"):
        resolve({}, ["unlearning=r2d,retrain"])


# What takes no torch

HEAVY = """
import sys
from rewindnet.__main__ import main
sys.argv = ["rewindnet", *sys.argv[1:]]
try:
    main()
except SystemExit as end:
    print("HEAVY", end.code, *sorted({"torch", "matplotlib", "sklearn", "pandas", "flwr"} & set(sys.modules)))
"""


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--version"], 0),
        (["list"], 0),
        (["list", "models"], 0),
        (["list", "transports"], 0),
        (["compare", "FOLDER"], 0),
        (["run", "demo", "--out", "FOLDER"], 2),
        (["run", "nowhere"], 2),
        (["run", "demo", "lerning.rounds=3"], 2),
        (["plan", "demo", "learning.rounds=three"], 2),
        (["verify", "nowhere"], 2),
    ],
)
def test_what_takes_no_learning_takes_no_torch(run_once: Any, tmp_path: Path, arguments: list[str], code: int) -> None:
    run: RunFolder = run_once({"learning": {"rounds": 3}, "unlearning": ["r2d"]})
    done = subprocess.run(
        [sys.executable, "-c", HEAVY, *(str(run.path) if each == "FOLDER" else each for each in arguments)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.stdout.splitlines()[-1].split() == ["HEAVY", str(code)], done.stdout + done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("settings", [[], ["model.kind=huber-logistic"], ["learning.order=combine-then-adapt"]])
def test_a_plan_of_a_linear_model_takes_no_torch(tmp_path: Path, settings: list[str]) -> None:
    given = [*settings, "learning.rounds=9", "--out", str(tmp_path / "plan")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", HEAVY.replace('"sklearn", ', ""), "plan", "demo", *given]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1].split() == ["HEAVY", "0", "matplotlib"], done.stdout + done.stderr
    forecasts = json.loads((tmp_path / "plan" / "plan.json").read_text())["placement"]
    assert forecasts
