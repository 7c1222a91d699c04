"""Steps as they go over a wire: plain JSON, with the name of the step's class."""

import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields
from importlib import import_module
from typing import Any

from rewindnet.clients import steps
from rewindnet.clients.steps.base import Step, registered_steps
from rewindnet.clients.training.noise import NoiseAddress

#: How to read the fields of steps that are neither numbers, text nor lists of them, by their name.
_READ: dict[str, Callable[[Any], Any]] = {
    "rounds": lambda plain: range(*plain),
    "address": lambda plain: NoiseAddress(**plain),
}


def to_record(step: Step) -> dict[str, Any]:
    """Return a step as plain JSON."""
    values = {field.name: getattr(step, field.name) for field in fields(step)}  # type: ignore[arg-type]
    plain = {name: _plain(value) for name, value in values.items()}
    return {"step": type(step).__name__, **plain}


def from_record(record: Mapping[str, Any]) -> Step:
    """Return the step of a record, the inverse of `to_record`.

    It knows the steps of this package, and those that are defined in a module of a registered method.

    Raises:
        ValueError: if it is the record of no step.
    """
    values = {name: value for name, value in record.items() if name != "step"}
    return _class_of(record.get("step"))(**{name: _READ.get(name, _frozen)(value) for name, value in values.items()})


def _class_of(name: Any) -> type[Step]:
    """Return the class of that name, importing whatever may define it."""
    for import_more in (_import_steps, _import_methods):
        if name not in registered_steps():
            import_more()
    if name in registered_steps():
        return registered_steps()[name]
    raise ValueError(f"unknown step {name!r}; there are: {', '.join(sorted(registered_steps()))}")


def _import_steps() -> None:
    """Import every module of steps, each of which registers those that it defines."""
    for module in pkgutil.iter_modules(steps.__path__, f"{steps.__name__}."):
        import_module(module.name)


def _import_methods() -> None:
    """Import the module of every registered method."""
    from rewindnet.clients.methods import METHODS

    for method in METHODS:
        METHODS[method]


def _plain(value: Any) -> Any:
    if isinstance(value, NoiseAddress):
        return asdict(value)
    return [value.start, value.stop, value.step] if isinstance(value, range) else value


def _frozen(value: Any) -> Any:
    """Return lists, which JSON has, as tuples, which steps have."""
    return tuple(_frozen(part) for part in value) if isinstance(value, list | tuple) else value
