"""Describe a run at its beginning: the first content of record.json."""

import os
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rewindnet.clients.training.parallel import threads
from rewindnet.experiments.folder.contents import file_hashes, other_files
from rewindnet.experiments.folder.format import FORMATS, digest
from rewindnet.experiments.folder.sameness import code_sha256, versions
from rewindnet.experiments.scenario.inputs import InputFile
from rewindnet.experiments.scenario.scenario import Scenario


def first_record(
    scenario: Scenario,
    inputs: Mapping[str, InputFile],
    command: Sequence[str],
    earlier: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """Make the first content of `record.json`.

    Args:
        scenario: the scenario of the run.
        inputs: the files that it reads, by the key that names them.
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
        "code_sha256": code_sha256(),
        "scenario_sha256": scenario.sha256,
        "inputs": {key: file.to_record() for key, file in inputs.items()},
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


def last_record(record: Mapping[str, Any], folder: Path, target: Path) -> dict[str, Any]:
    """Return the content of `record.json` of a finished run, with the hashes of all files.

    Args:
        record: the content so far.
        folder: where the run was written.
        target: the run folder, whose other files are not of the run.
    """
    arrays = record["weights_sha256"]
    return {
        **{key: value for key, value in record.items() if key != "releases"},
        "sha256": digest(arrays),
        "files_sha256": file_hashes(folder, arrays, own=True),
        "others": other_files(target),
        "state": "complete",
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    }
