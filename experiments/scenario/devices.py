"""Which device and which precision a scenario computes in."""

import torch

from rewindnet.experiments.scenario.errors import ScenarioError

DTYPES = {"float64": torch.float64, "float32": torch.float32}


def device_of(wanted: str, rank: int = 0) -> torch.device:
    """The device of that name; processes on one machine share its GPUs in turn.

    Args:
        wanted: auto, cpu or cuda.
        rank: of this process among those on this machine.

    Raises:
        ScenarioError: if there is no such device.
    """
    available = torch.cuda.is_available()
    if wanted == "cuda" and not available:
        raise ScenarioError("backend.device is cuda, but torch finds no CUDA device here; use auto or cpu")
    if not available or wanted == "cpu":
        return torch.device("cpu")
    return torch.device("cuda", rank % torch.cuda.device_count())
