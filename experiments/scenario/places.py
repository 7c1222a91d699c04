"""Where in a scenario a key belongs: the sections that take it, themselves or for one of their choices."""

from collections.abc import Iterator
from functools import cache

from pydantic import BaseModel

from rewindnet.experiments.scenario.overrides import section_of
from rewindnet.experiments.scenario.registries import registry
from rewindnet.experiments.scenario.scenario import Scenario
from rewindnet.experiments.scenario.sections import Choice
from rewindnet.registry import did_you_mean

#: The largest number of places, and of choices at a place, that a sentence names.
_NAMED = 3
#: The section that is a list, and how one of its entries is written.
_LISTED = {"unlearning": "unlearning.N"}


def where_it_belongs(key: str, *, similar: bool = False) -> str:
    """Say under which sections a key belongs; say nothing if there is none.

    Args:
        key: the key.
        similar: if no section has it, say where one belongs whose name is almost the same.
    """
    places = _places()
    guess = did_you_mean(key, places) if similar and key not in places else ""
    found = key if key in places else guess.partition("'")[2].partition("'")[0]
    whole_sections_first = sorted(places.get(found, {}).items(), key=lambda place: bool(place[1]))
    under = [_place(section, choices) for section, choices in whole_sections_first[:_NAMED]]
    if not under:
        return ""
    return f"{guess}; {'it' if found == key else found} belongs under {' or '.join(under)}"


@cache
def _places() -> dict[str, dict[str, list[str]]]:
    """Return for every key the sections that take it, each with the choices that do; none if all do."""
    places: dict[str, dict[str, list[str]]] = {}
    for place, section in _sections("", Scenario):
        for key in section.model_fields:
            if place and key != "settings":
                places.setdefault(key, {})[place] = []
        if issubclass(section, Choice):
            choices = registry(section.what)
            for name in choices:
                for key in choices.settings(name):
                    places.setdefault(key, {}).setdefault(place, []).append(name)
    return places


def _sections(place: str, section: type[BaseModel]) -> Iterator[tuple[str, type[BaseModel]]]:
    """List a section and all those inside it, each with its place."""
    yield place, section
    for name in section.model_fields:
        inner = section_of(section, name)
        if inner is not None and inner is not section:
            yield from _sections(f"{place}.{name}".lstrip(".") if place else _LISTED.get(name, name), inner)


def _place(section: str, choices: list[str]) -> str:
    """Return the name of a section, with the choices that take the key if they are few."""
    return f"{section} ({', '.join(choices)})" if 0 < len(choices) <= _NAMED else section
