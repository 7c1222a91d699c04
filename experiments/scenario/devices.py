"""Select the device and the floating-point type that a scenario computes with."""

from __future__ import annotations

from rewindnet.experiments.scenario.errors import ScenarioError
from rewindnet.late import torch

DEVICES = ("auto", "cpu", "cuda")


def dtype_of(name: str) -> torch.dtype:
    """Return the floating-point type of numbers: float64 or float32."""
    return torch.float64 if name == "float64" else torch.float32


def device_of(wanted: str, rank: int = 0) -> torch.device:
    """Return the device to compute on; processes on one machine take its GPUs in turn.

    Args:
        wanted: auto, cpu or cuda.
        rank: the rank of this process among those on its machine.

    Raises:
        ScenarioError: if cuda is wanted and torch finds no CUDA device.
    """
    available = torch.cuda.is_available()
    if wanted == "cuda" and not available:
        raise ScenarioError("backend.device is cuda, but torch finds no CUDA device here; use auto or cpu")
    if not available or wanted == "cpu":
        return torch.device("cpu")
    return torch.device("cuda", rank % torch.cuda.device_count())


def careful_gpus() -> None:
    """Have convolutions on GPUs computed with all bits of their type, and in one order, so that runs repeat."""
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.deterministic = True
