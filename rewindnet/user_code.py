"""Code of users that a scenario names: `package.module:Name`, or `file.py:Name`."""

import sys
from functools import cache
from importlib import import_module
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

from rewindnet.errors import UserError
from rewindnet.reading import located


def names_code(text: str) -> bool:
    """Return whether a text has the form `place:Name`, with a name that Python could have given."""
    place, colon, name = text.rpartition(":")
    return bool(place and colon and name.isidentifier())


def source_of(text: str, error: type[UserError] = UserError) -> Path | None:
    """Return the file in which named code is; None where there is none, which `load_code` says.

    Args:
        text: `package.module:Name` or `file.py:Name`.
        error: what to raise about a path that no file can have.
    """
    place = text.rpartition(":")[0]
    if place.endswith(".py"):
        return located(place, error)
    try:
        found = _spec_of(place)
    except (ImportError, ValueError, AttributeError):
        return None
    return None if found is None or found.origin is None else Path(found.origin)


def _spec_of(name: str) -> ModuleSpec | None:
    """Find a module without importing the packages that it is in, as `find_spec` would."""
    within, _, _ = name.rpartition(".")
    if not within or name in sys.modules:
        return find_spec(name)
    package = _spec_of(within)
    return None if package is None else PathFinder.find_spec(name, package.submodule_search_locations)


def is_own(text: str) -> bool:
    """Return whether named code is part of rewindnet itself.

    Args:
        text: `package.module:Name` or `file.py:Name`.
    """
    return text.startswith("rewindnet.") and not text.rpartition(":")[0].endswith(".py")


def load_code(text: str, what: str, error: type[UserError] = UserError) -> Any:
    """Import what a text names.

    Args:
        text: `package.module:Name` or `file.py:Name`.
        what: the key of the scenario that names it, for messages.
        error: what to raise.

    Raises:
        UserError: if the text is of another form, or there is no such code, or importing it fails.
    """
    if not names_code(text):
        raise error(f"{what} is written package.module:Name or file.py:Name, not {text!r}")
    place, _, name = text.rpartition(":")
    try:
        module = _of_file(located(place, error)) if place.endswith(".py") else import_module(place)
    except UserError:
        raise
    except Exception as problem:
        raise error(f"{what}: {place} cannot be imported: {type(problem).__name__}: {problem}") from None
    if not hasattr(module, name):
        raise error(f"{what}: {place} has no {name}")
    return getattr(module, name)


def _of_file(file: Path) -> ModuleType:
    """Import a file as a module of its own name, again if it has changed."""
    status = file.stat()
    return _imported(str(file.resolve()), status.st_mtime_ns, status.st_size)


@cache
def _imported(path: str, modified: int, size: int) -> ModuleType:
    """Import a file, once for each state that it is in."""
    name = f"rewindnet_user_{Path(path).stem}"
    spec = spec_from_file_location(name, path)
    assert spec is not None
    module = module_from_spec(spec)
    # Classes that are defined in it look for their module here.
    sys.modules[name] = module
    try:
        # Not from a cache of compiled code, which is as old as the second in which the file was written.
        exec(compile(Path(path).read_bytes(), path, "exec"), module.__dict__)
    except BaseException:
        del sys.modules[name]
        raise
    return module
