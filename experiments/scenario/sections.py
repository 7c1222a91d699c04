"""Base classes of the sections of a scenario, and of sections that name a registry entry."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

from rewindnet.experiments.scenario.errors import ScenarioError, UnknownKeyError
from rewindnet.experiments.scenario.plain_data import quoted
from rewindnet.experiments.scenario.registries import registry, settings_model
from rewindnet.registry import did_you_mean


class Section(BaseModel):
    """A section of a scenario; it refuses unknown keys, and values of another type than its keys have."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    def plain(self) -> dict[str, Any]:
        """Return the section as plain data, with every default written out."""
        return self.model_dump(by_alias=True)


class MethodsSection(Section):
    """A scenario, which lists unlearning methods.

    Attributes:
        default_methods: those of a scenario that lists none, as plain data.
    """

    default_methods: ClassVar[Sequence[Mapping[str, Any]]]


class Choice(Section):
    """A registry entry with its settings, given as its name or as a mapping of its name and settings.

    Subclasses declare the keys that belong to the section rather than to the entry.

    Attributes:
        what: the kind of the registry, one of the values of `registries.LISTS`.
        key: the key that names the entry.
        settings: the settings of the entry.
    """

    what: ClassVar[str]
    key: ClassVar[str] = "kind"
    settings: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _sort(cls, given: Any) -> Any:
        """Separate the keys of the section from the settings of the entry, and check the settings."""
        if isinstance(given, str):
            given = {cls.key: given}
        if not isinstance(given, Mapping):
            raise ScenarioError(f"must be a name or a mapping with the key {cls.key}, not {quoted(given)}")
        own = {name: value for name, value in given.items() if name in cls.model_fields and name != "settings"}
        name = own.get(cls.key, cls.model_fields[cls.key].default)
        rest = {key: value for key, value in given.items() if key not in own}
        model = settings_model(cls.what, name)
        rest = registry(cls.what).current(name, rest)
        unknown = [key for key in rest if key not in model.model_fields]
        if unknown:
            allowed = [field for field in cls.model_fields if field != "settings"] + list(model.model_fields)
            guess = did_you_mean(unknown[0], dict.fromkeys(allowed))
            raise UnknownKeyError(unknown[0], f"for the {cls.what} {name}", guess, allowed)
        return {**own, "settings": model(**rest).model_dump()}

    @property
    def name(self) -> str:
        """The name of the entry."""
        return str(getattr(self, self.key))

    def build(self, *supplied: Any) -> Any:
        """Call the entry with its settings.

        Args:
            supplied: the positional arguments, which the program supplies.

        Raises:
            UserError: if the entry refuses the settings.
        """
        return registry(self.what).build(self.name, *supplied, **self.settings)

    def plain(self) -> dict[str, Any]:
        """Return the keys of the section and the settings of the entry in one mapping, as in a file."""
        own = {field: plain_value(getattr(self, field)) for field in type(self).model_fields if field != "settings"}
        return {**own, **self.settings}


def plain_value(value: Any) -> Any:
    """Return a section as plain data, and any other value as it is."""
    return value.plain() if isinstance(value, Section) else value
