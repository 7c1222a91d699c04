"""Steps as they go over a wire: plain JSON."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from clients.ascent import Ascend
from clients.calibration import Calibrate
from clients.newton_steps import Broadcast, Leftover, Sweeps
from clients.noisy_rounds import Clip, NoisyDescend, NoisyFinetune
from clients.private_descent import PrivateDescend
from clients.spreading import Spread
from clients.steps import AddNoise, Average, Descend, Gossip, Start, Step
from clients.token import NoisyWalk, RememberingToken, Token

#: The steps there are, by the name they have in a record. Adding one is a class here and a line in this dictionary.
STEPS: Mapping[str, type[Step]] = {
    step.__name__: step
    for step in (
        Start,
        AddNoise,
        Descend,
        Gossip,
        Average,
        Ascend,
        Calibrate,
        Sweeps,
        Broadcast,
        Leftover,
        NoisyDescend,
        Clip,
        NoisyFinetune,
        PrivateDescend,
        Spread,
        Token,
        RememberingToken,
        NoisyWalk,
    )
}


def to_record(step: Step) -> dict[str, Any]:
    """A step as plain JSON."""
    values = {field.name: getattr(step, field.name) for field in fields(step)}  # type: ignore[arg-type]
    plain = {name: _plain(value) for name, value in values.items()}
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


def _plain(value: Any) -> Any:
    return [value.start, value.stop, value.step] if isinstance(value, range) else value


def _frozen(value: Any) -> Any:
    """Lists, which JSON has, as tuples, which steps have."""
    return tuple(_frozen(one) for one in value) if isinstance(value, list | tuple) else value
