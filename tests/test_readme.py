"""What the README shows works as shown."""

import re
import subprocess
import sys
from pathlib import Path

from experiments.scenario import parse_yaml, resolve

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")


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
        text = (Path(__file__).parent.parent / path).read_text(encoding="utf-8")
        resolve(parse_yaml(text), [word for word in rest.split() if "=" in word])
