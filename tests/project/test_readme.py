"""What the README shows works as shown."""

import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from runs import run_through

from rewindnet.experiments.scenario.yaml_files import parse_yaml, resolve
from rewindnet.experiments.studies.grid import grid
from rewindnet.experiments.verify.verify import verify_folder

ROOT = Path(__file__).parents[2]


def page(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def blocks(language: str, path: str = "README.md") -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page(path), flags=re.DOTALL)


def run_example(code: str, folder: Path) -> str:
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_example_from_python_prints_certificates(tmp_path: Path) -> None:
    (example,) = blocks("python")
    printed = run_example(example, tmp_path)
    assert [word for word in ("r2d", "retrain", "do-nothing", "epsilon_certified") if word not in printed] == []


def test_the_example_without_torch_prints_the_noise(tmp_path: Path) -> None:
    *_, example = blocks("python", "docs/python.md")
    code = example + "\nimport sys\nassert 'torch' not in sys.modules\n"
    assert 0.1 < float(run_example(code, tmp_path)) < 10


@pytest.mark.slow
def test_the_loop_of_another_program_leaves_what_is_unlearned_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (loop,), (scenario,) = (blocks(language, "docs/trained-elsewhere.md") for language in ("python", "yaml"))
    run_example(loop, tmp_path)
    monkeypatch.chdir(tmp_path)
    run = run_through(parse_yaml(scenario), tmp_path / "run")
    assert run.methods[0].certificate["epsilon"] == pytest.approx(1.0)
    assert all(finding.holds for finding in verify_folder(run.path))


@pytest.mark.parametrize("path", ["README.md", "CONTRIBUTING.md"])
def test_links_lead_to_files(path: str) -> None:
    targets = re.findall(r"\]\(([^)#]+)", page(path))
    assert targets
    assert [target for target in targets if not target.startswith("https://") and not (ROOT / target).exists()] == []


def test_the_readme_links_to_every_page() -> None:
    pages = {str(path.relative_to(ROOT)) for end in ("md", "ipynb") for path in (ROOT / "docs").rglob(f"*.{end}")}
    assert sorted(pages - set(re.findall(r"\]\(([^)#]+)", page("README.md")))) == ["docs/index.md"]


def test_the_citation_is_of_this_version() -> None:
    citation = yaml.safe_load(page("CITATION.cff"))
    project = tomllib.loads(page("pyproject.toml"))["project"]
    assert (citation["version"], citation["license"]) == (project["version"], project["license"])
    assert citation["title"].startswith(project["name"])
    assert citation["authors"]


@pytest.mark.parametrize("page", ["README.md", "docs/scenarios.md"])
def test_the_scenario_is_one(page: str) -> None:
    (scenario,) = blocks("yaml", page)
    assert resolve(parse_yaml(scenario)).name == "my-network"


def test_the_commands_name_recipes_and_settings_that_exist() -> None:
    pages = (page(path) for path in ("README.md", "docs/results.md", "docs/methods.md"))
    recipes = re.findall(r"rewindnet run (experiments/\S+) ?(.*)", "\n".join(pages).replace("\\\n", " "))
    assert recipes
    for path, rest in recipes:
        resolve(parse_yaml(page(path)), [word for word in shlex.split(rest, comments=True) if "=" in word])


def test_the_commands_of_the_page_on_rr_du_describe_runs() -> None:
    text = page("docs/rr-du.md").replace("\\\n", " ")
    commands = [shlex.split(block) for block in re.findall(r"```\n(rewindnet .*?)```", text, flags=re.DOTALL)]
    words = [word for command in commands for word in command]
    starts = [at for at, word in enumerate(words) if word == "rewindnet"]
    assert len(starts) >= 7
    for start, end in zip(starts, [*starts[1:], len(words)], strict=True):
        command, path, *rest = words[start + 1 : end]
        settings = [word for word in rest if "=" in word]
        points = grid(settings)[1] if command == "sweep" else [dict(word.split("=", 1) for word in settings)]
        for point in points or [{}]:
            scenario = parse_yaml(page(path))
            scenario.pop("study", None)
            resolve(scenario, [f"{key}={value}" for key, value in point.items()])
