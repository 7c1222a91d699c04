"""Steps as they go over a wire: plain JSON."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from rewindnet.clients.steps.base import Step
from rewindnet.clients.steps.federaser import FedEraserCalibration
from rewindnet.clients.steps.gossip_dp import GossipDPRounds
from rewindnet.clients.steps.gradient_ascent import GradientAscentRounds
from rewindnet.clients.steps.langevin import LangevinRounds
from rewindnet.clients.steps.learning import AddNoise, Average, Descend, Gossip, InitialModel
from rewindnet.clients.steps.newton import NewtonBroadcast, NewtonResidual, NewtonSweeps
from rewindnet.clients.steps.noisy_finetune import ClipModel, NoisyFinetuneRounds
from rewindnet.clients.steps.rr_du import RRDUToken, RRDUTokenWithForgetSet
from rewindnet.clients.steps.spreading import Spread
from rewindnet.clients.steps.walk_dp import WalkDPToken

#: The steps there are, by the name they have in a record. Adding one is a class here and a line in this dictionary.
STEPS: Mapping[str, type[Step]] = {
    step.__name__: step
    for step in (
        InitialModel,
        AddNoise,
        Descend,
        Gossip,
        Average,
        GradientAscentRounds,
        FedEraserCalibration,
        NewtonSweeps,
        NewtonBroadcast,
        NewtonResidual,
        LangevinRounds,
        ClipModel,
        NoisyFinetuneRounds,
        GossipDPRounds,
        Spread,
        RRDUToken,
        RRDUTokenWithForgetSet,
        WalkDPToken,
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
