"""Describe a run at its beginning: the first content of record.json."""

import os
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from rewindnet.clients.training.parallel import threads
from rewindnet.experiments.folder.format import FORMATS
from rewindnet.experiments.folder.unfinished import versions
from rewindnet.experiments.scenario.scenario import Scenario


def first_record(scenario: Scenario, command: Sequence[str], earlier: Mapping[str, Any] | None) -> dict[str, Any]:
    """Make the first content of `record.json`.

    Args:
        scenario: the scenario of the run.
        command: the command to record.
        earlier: the record of the process that began the run; None if this process begins it.
    """
    now = datetime.now(UTC).isoformat(timespec="seconds")
    begun = earlier or {}
    return {
        "format": FORMATS[-1],
        "state": "incomplete",
        "name": scenario.name,
        "seed": scenario.seed,
        "started": begun.get("started", now),
        "resumed": [] if earlier is None else [*begun.get("resumed", []), now],
        "versions": versions(),
        "platform": {
            "system": platform.platform(),
            "processors": os.cpu_count(),
            "threads": threads(),
        },
        "command": list(command),
        "seconds": begun.get("seconds", {}),
        "weights_sha256": begun.get("weights_sha256", {}),
        "releases": begun.get("releases", {}),
        "secret": scenario.noise_is_secret,
        **{key: begun[key] for key in ("notes", "lost_releases") if key in begun},
    }
