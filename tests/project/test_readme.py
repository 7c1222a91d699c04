"""What the README shows works as shown."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

from rewindnet.experiments.scenario.yaml_files import parse_yaml, resolve
from rewindnet.experiments.studies.grid import grid

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def test_the_library_example_runs_without_torch() -> None:
    (example,) = blocks("python")
    code = example + "\nimport sys\nassert 'torch' not in sys.modules\n"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 0.1 < float(result.stdout) < 10


def test_the_scenario_is_one() -> None:
    (scenario,) = blocks("yaml")
    assert resolve(parse_yaml(scenario)).name == "my-network"


def test_the_commands_name_recipes_and_settings_that_exist() -> None:
    recipes = re.findall(r"rewindnet run (experiments/\S+) ?(.*)", README)
    assert recipes
    for path, rest in recipes:
        text = (Path(__file__).parents[2] / path).read_text(encoding="utf-8")
        resolve(parse_yaml(text), [word for word in rest.split() if "=" in word])


def test_the_commands_of_the_page_on_rr_du_describe_runs() -> None:
    page = (ROOT / "docs/rr-du.md").read_text(encoding="utf-8").replace("\\\n", " ")
    commands = [shlex.split(block) for block in re.findall(r"```\n(rewindnet .*?)```", page, flags=re.DOTALL)]
    words = [word for command in commands for word in command]
    starts = [at for at, word in enumerate(words) if word == "rewindnet"]
    assert len(starts) >= 7
    for start, end in zip(starts, [*starts[1:], len(words)], strict=True):
        command, path, *rest = words[start + 1 : end]
        settings = [word for word in rest if "=" in word]
        points = grid(settings)[1] if command == "sweep" else [dict(word.split("=", 1) for word in settings)]
        for point in points:
            text = (ROOT / path).read_text(encoding="utf-8")
            resolve(parse_yaml(text), [f"{key}={value}" for key, value in point.items()])
