"""What Flower and Ray read from the environment: no telemetry, no look for updates, nothing installed at run time."""

import os
import sys
from collections.abc import Mapping

#: Settings that hold unless the environment already says otherwise.
QUIET: Mapping[str, str] = {
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    # Ray's rule of tomorrow, to which it holds one up with a warning today: it leaves our choice of GPUs alone.
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}

_TELEMETRY = "flwr.supercore.telemetry"


def quieten() -> None:
    """Put the settings into this process's environment, from where child processes inherit them.

    Flower reads whether it may send telemetry once, when it is imported; where that came before us, it is told again.
    """
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    if telemetry := sys.modules.get(_TELEMETRY):
        vars(telemetry)["FLWR_TELEMETRY_ENABLED"] = os.environ["FLWR_TELEMETRY_ENABLED"]
