"""Write a commented scenario to start from: the command `rewindnet init`."""

import re
from importlib.resources import files
from pathlib import Path

from rewindnet.experiments.scenario.errors import ScenarioError

#: What stands for the name of the scenario in the template.
_NAME = "name: scenario\n"


def write_starter(name: str) -> Path:
    """Write a commented scenario into the current folder, or into the folder that the name leads to.

    Args:
        name: the name of the scenario, with or without the ending .yaml.

    Returns:
        The file.

    Raises:
        ScenarioError: if the name is not that of a scenario, the file exists, or it cannot be written.
    """
    file = Path(f"{name.removesuffix('.yaml')}.yaml")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", file.stem):
        raise ScenarioError(
            "the name of a scenario has letters, digits, dots, dashes and underscores, a letter or digit first; "
            f"not {name!r}"
        )
    text = files("rewindnet.experiments.scenario").joinpath("starter.yaml").read_text(encoding="utf-8")
    try:
        with file.open("x", encoding="utf-8") as opened:
            opened.write(text.replace(_NAME, f"name: {file.stem}\n"))
    except FileExistsError:
        raise ScenarioError(f"{file} exists already and is left as it is; give another name") from None
    except OSError as problem:
        raise ScenarioError(f"{file} cannot be written: {problem.strerror}") from None
    return file
