"""What a scenario computes, apart from where and how: a digest of it, and where the noise of its releases is drawn."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from rewindnet.certificates import forget_digest
from rewindnet.clients.training.noise import NoiseAddress

#: The settings of a backend that the bits of a computation with exact precision depend on.
ARITHMETIC = ("precision", "dtype", "device")
#: The sections that change no model: names, what is measured and recorded, and what messages would cost.
_NOT_COMPUTED = ("name", "seed", "network", "audit", "measures", "record")


def computation_digest(scenario: Mapping[str, Any]) -> str:
    """Return the sha256 of what a scenario computes.

    Left out are the seed, which addresses of noise hold beside it; the transport; where the data, and models that were
    learned elsewhere, are stored; and what changes no model. So it is the same on every transport.

    Args:
        scenario: the resolved scenario, as plain data.
    """
    computed = {key: value for key, value in scenario.items() if key not in _NOT_COMPUTED}
    computed["backend"] = {key: scenario["backend"][key] for key in ARITHMETIC}
    # Models that were learned elsewhere are those that this scenario learns.
    learning = scenario["learning"]
    computed["learning"] = {key: value for key, value in learning.items() if key != "checkpoints_from"}
    computed["data"] = {key: value for key, value in scenario["data"].items() if key != "root"}
    return hashlib.sha256(json.dumps(computed, sort_keys=True).encode()).hexdigest()


def noise_address(scenario: Mapping[str, Any], forget: Mapping[int, Iterable[int]]) -> NoiseAddress:
    """Return where the noise of the first release for a request is drawn, from the seed.

    Args:
        scenario: the resolved scenario, as plain data.
        forget: the forget set of the request: for each deleting node, the positions of its samples.
    """
    return NoiseAddress(int(scenario["seed"]), computation_digest(scenario), forget_digest(forget), 0, "seed")
