"""Whether a run folder holds a run of the same scenario, of files with the same content, by the same code."""

import hashlib
import os
import platform
from functools import cache
from importlib.metadata import version
from pathlib import Path

from rewindnet.experiments.folder.files import read_scenario
from rewindnet.experiments.folder.format import read_record
from rewindnet.experiments.scenario.computation import ARITHMETIC
from rewindnet.experiments.scenario.inputs import changed_input, input_files, recorded_inputs
from rewindnet.experiments.scenario.scenario import Scenario
from rewindnet.version import __version__

_LIBRARIES = ("torch", "numpy", "scipy", "networkx", "safetensors")


def versions() -> dict[str, str]:
    """Return the versions of rewindnet, Python and the libraries that the bits of a run may depend on."""
    always = {"rewindnet": __version__, "python": platform.python_version()}
    return always | {library: version(library) for library in _LIBRARIES}


@cache
def code_sha256() -> str:
    """Return one sha256 for the Python files of this package, which tells versions under one number apart."""
    package = str(Path(__file__).parents[2])
    files = (os.path.join(folder, name) for folder, _, names in os.walk(package, followlinks=True) for name in names)
    total = hashlib.sha256()
    for file in sorted(file for file in files if file.endswith(".py")):
        total.update(os.path.relpath(file, package).encode() + b"\0")
        total.update(hashlib.sha256(Path(file).read_bytes()).digest())
    return total.hexdigest()


def difference(folder: Path, scenario: Scenario) -> str | None:
    """Describe how the run in a folder differs from one of a scenario now; return None if it does not.

    Args:
        folder: the run folder.
        scenario: the scenario.

    Raises:
        UserError: if a record of the folder is damaged, or a file that the scenario names cannot be read.
    """
    begun, now = read_scenario(folder), scenario.plain()
    backend = begun.get("backend")
    if isinstance(backend, dict) and now["backend"]["precision"] == "exact" == backend.get("precision"):
        # With exact precision every transport computes the same bits, so another transport can continue the run.
        for settings in (begun, now):
            settings["backend"] = {key: settings["backend"].get(key) for key in ARITHMETIC}
    if begun != now:
        keys = [key for key in now if begun.get(key) != now[key]]
        return f"of another scenario (its {', '.join(keys) or 'keys'} {'differ' if len(keys) > 1 else 'differs'})"
    record = read_record(folder)
    changed = changed_input(recorded_inputs(record), input_files(scenario))
    if changed:
        return f"that read other data ({changed})"
    return _other_code(record.get("versions", {}), record.get("code_sha256", ""))


def _other_code(before: dict[str, str], code: str) -> str | None:
    """Describe in what the code that began a run differs from this code; None if it does not."""
    changed = [library for library, installed in versions().items() if before.get(library) != installed]
    if changed:
        return f"of other versions of {', '.join(changed)}"
    if code == code_sha256():
        return None
    return f"by other code of the same version (its sha256 was {code or 'not recorded'} and is {code_sha256()} now)"
