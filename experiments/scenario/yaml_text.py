"""Parse YAML text of scenarios, and read it from files and recipes."""

import re
from pathlib import Path
from typing import Any

import yaml

from rewindnet.experiments.recipes import recipe_texts
from rewindnet.experiments.scenario.errors import ScenarioError
from rewindnet.experiments.scenario.plain_data import one_line
from rewindnet.registry import did_you_mean

_MERGE = "tag:yaml.org,2002:merge"


class _Loader(yaml.SafeLoader):
    """Reads 1e-5 as a number, and refuses a key that is given twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Make a mapping.

        Raises:
            ScenarioError: if a key is given twice.
        """
        keys = [self.construct_object(key, deep=True) for key, _ in node.value if key.tag != _MERGE]
        twice = [key for at, key in enumerate(keys) if key in keys[:at]]
        if twice:
            raise ScenarioError(f"the key {twice[0]!r} is given twice (line {node.start_mark.line + 1})")
        return super().construct_mapping(node, deep=deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?([0-9][0-9_]*(\.[0-9]*)?|\.[0-9]+)[eE][-+]?[0-9]+$"),
    list("-+.0123456789"),
)


def parse_yaml(text: str) -> Any:
    """Read a YAML document.

    Raises:
        ScenarioError: if it is not YAML; the message names the line.
    """
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as problem:
        mark = getattr(problem, "problem_mark", None)
        where = f" at line {mark.line + 1}" if mark else ""
        cause = getattr(problem, "problem", None) or getattr(problem, "reason", "it cannot be read")
        sentence = f"this is not YAML{where}: {cause}"
    except ScenarioError as problem:
        sentence = str(problem)
    except (ValueError, OverflowError) as problem:
        # Text that looks like a number, a date or base64, but is not valid.
        if "integer string conversion" in str(problem):
            problem = ValueError("a whole number has more digits than can be read")
        sentence = f"this is not YAML: {problem}"
    except RecursionError:
        sentence = "this is not YAML that can be read: it is nested too deeply"
    raise ScenarioError(one_line(sentence))


def read_yaml(path: Path) -> Any:
    """Read a file as a YAML document; where there is no such file, the recipe of that name.

    Raises:
        ScenarioError: if it cannot be read, or is not YAML.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as problem:
        recipes = recipe_texts()
        if str(path) in recipes and not path.is_file():
            return parse_yaml(recipes[str(path)])
        reason = getattr(problem, "strerror", None) or "it is not UTF-8 text"
        missing = isinstance(problem, FileNotFoundError) and path.parent == Path()
        hint = f"{did_you_mean(path.stem, recipes)}; recipes that can be named: {', '.join(recipes)}" if missing else ""
        raise ScenarioError(one_line(f"cannot read the scenario {path}: {reason}{hint}")) from None
    return parse_yaml(text)
