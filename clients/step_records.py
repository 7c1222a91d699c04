"""Steps as they go over a wire: plain JSON."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from clients.steps import AddNoise, Average, Descend, Gossip, Start, Step
from clients.token import NoisyWalk, RememberingToken, Spread, Token

#: The steps there are, by the name they have in a record. Adding one is a class here and a line in this dictionary.
STEPS: Mapping[str, type[Step]] = {
    step.__name__: step
    for step in (Start, AddNoise, Descend, Gossip, Average, Token, RememberingToken, NoisyWalk, Spread)
}


def to_record(step: Step) -> dict[str, Any]:
    """A step as plain JSON."""
    values = {field.name: getattr(step, field.name) for field in fields(step)}  # type: ignore[arg-type]
    plain = {name: [value.start, value.stop] if isinstance(value, range) else value for name, value in values.items()}
    return {"step": type(step).__name__, **plain}


def from_record(record: Mapping[str, Any]) -> Step:
    """The inverse of `to_record`.

    Raises:
        ValueError: if it is the record of no step.
    """
    values = {name: value for name, value in record.items() if name != "step"}
    if record.get("step") not in STEPS:
        raise ValueError(f"unknown step {record.get('step')!r}; there are: {', '.join(STEPS)}")
    return STEPS[record["step"]](
        **{name: range(*value) if name == "rounds" else _frozen(value) for name, value in values.items()}
    )


def _frozen(value: Any) -> Any:
    """Lists, which JSON has, as tuples, which steps have."""
    return tuple(_frozen(one) for one in value) if isinstance(value, list | tuple) else value
