"""Registries: the choices of one kind by name, each a function or a class.

The positional parameters of an entry are what the program supplies, its keyword-only parameters are the settings that a
user can set, and the first line of its docstring is what `rewindnet list` prints.
"""

import ast
import inspect
from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

from rewindnet.errors import UserError, notice

Entry = TypeVar("Entry", bound=Callable[..., Any])


class Registry(Mapping[str, Entry], Generic[Entry]):
    """The choices of one kind.

    Args:
        kind: what an entry is, in a word or two, for messages.
        entries: each entry, or where it is as `module:name`, to be imported when it is first asked for.
        error: what to raise about a name or a setting that does not exist.
    """

    def __init__(self, kind: str, entries: Mapping[str, Entry | str], error: type[UserError] = UserError) -> None:
        self.kind, self.entries, self._error = kind, dict(entries), error

    def __getitem__(self, name: object) -> Entry:
        """Return the entry of that name.

        Raises:
            UserError: if there is none; the message lists those there are.
        """
        if not isinstance(name, str) or name not in self.entries:
            known = ", ".join(self.entries)
            raise self._error(f"unknown {self.kind} {name!r}{did_you_mean(name, self.entries)}; there are: {known}")
        entry = self.entries[name]
        if isinstance(entry, str):
            module, _, attribute = entry.partition(":")
            entry = self.entries[name] = cast(Entry, getattr(import_module(module), attribute))
        return entry

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name in self.entries

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def register(self, name: str, entry: Entry | str) -> None:
        """Add an entry.

        Raises:
            UserError: if there is one of that name already.
        """
        if name in self.entries:
            raise self._error(f"there is a {self.kind} {name!r} already")
        self.entries[name] = entry

    def settings(self, name: object) -> dict[str, inspect.Parameter]:
        """Return the settings of an entry: its keyword-only parameters, by name."""
        parameters = inspect.signature(self[name]).parameters.values()
        return {parameter.name: parameter for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY}

    def build(self, name: object, *supplied: Any, **settings: Any) -> Any:
        """Call the entry of that name with what the program supplies and the user's settings.

        Raises:
            UserError: if there is no such entry or setting, or a setting without a default is missing.
        """
        settings, known = self.current(name, settings), self.settings(name)
        for setting in settings:
            if setting not in known:
                guess = did_you_mean(setting, known)
                takes = ", ".join(known) or "none"
                raise self._error(f"the {self.kind} {name!r} has no setting {setting!r}{guess}; it takes: {takes}")
        for setting, parameter in known.items():
            if parameter.default is parameter.empty and setting not in settings:
                raise self._error(f"the {self.kind} {name!r} needs the setting {setting!r}")
        return self[name](*supplied, **settings)

    def current(self, name: object, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Return the settings under their current names and values; a notice tells of each former name or value.

        Raises:
            UserError: if a setting is given by both names.
        """
        former_names, former_values = _former_settings(self[name]), _former_values(self[name])
        found: dict[str, Any] = {}
        for given, value in settings.items():
            setting = former_names.get(given, given)
            if setting != given:
                notice(f"the setting {given!r} of the {self.kind} {name!r} is called {setting!r} now")
            if setting in found:
                raise self._error(
                    f"the setting {setting!r} of the {self.kind} {name!r} is given twice, as {given!r} too"
                )
            now = former_values.get(setting, {}).get(value, value) if isinstance(value, str) else value
            if now is not value:
                notice(f"the value {value!r} of {setting!r} of the {self.kind} {name!r} is called {now!r} now")
            found[setting] = now
        return found

    def summary(self, name: object) -> str:
        """Return the first line of an entry's documentation; where it can be read in a file, nothing is imported."""
        entry = self.entries.get(name) if isinstance(name, str) else None
        documentation = _documentation(entry) if isinstance(entry, str) else None
        return (documentation or inspect.getdoc(self[name]) or "").partition("\n")[0]


def former(
    settings: Mapping[str, str] | None = None, values: Mapping[str, Mapping[str, str]] | None = None
) -> Callable[[Entry], Entry]:
    """Let an entry of a registry take settings by former names, and values of settings by former names.

    A class keeps those of the classes that it derives from.

    Args:
        settings: the current name of each former name of a setting: `{"neighbours": "k"}`.
        values: for each setting, the current name of each former name of a value: `{"noise": {"sound": "certified"}}`.
    """

    def mark(entry: Entry) -> Entry:
        entry.former_settings = {**_former_settings(entry), **(settings or {})}  # type: ignore[attr-defined]
        entry.former_values = {**_former_values(entry), **(values or {})}  # type: ignore[attr-defined]
        return entry

    return mark


def _documentation(place: str) -> str | None:
    """Return the documentation of a class or function from its file, given `module:name`; None if it has none there."""
    module, _, name = place.partition(":")
    found = find_spec(module)
    if found is None or found.origin is None:
        return None
    for node in ast.parse(Path(found.origin).read_bytes()).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name:
            return ast.get_docstring(node)
    return None


def _former_settings(entry: object) -> Mapping[str, str]:
    """Return the current name of each former name of a setting of an entry."""
    return getattr(entry, "former_settings", {})


def _former_values(entry: object) -> Mapping[str, Mapping[str, str]]:
    """Return the current name of each former name of a value, by setting of an entry."""
    return getattr(entry, "former_values", {})


def did_you_mean(given: object, known: Mapping[str, Any]) -> str:
    """Return a suggestion in brackets where a name is close to a known one, else nothing."""
    close = get_close_matches(str(given), list(known), n=1, cutoff=0.7)
    return f" (did you mean {close[0]!r}?)" if close else ""
