"""Verify scenario.yaml and record.json: one scenario, written in full, and the files that it reads."""

import hashlib
from typing import Any

from rewindnet.certificates.findings import OnRecord, Unchecked
from rewindnet.experiments.folder.reader import RunFolder
from rewindnet.experiments.scenario.inputs import changed_input, input_files, recorded_inputs
from rewindnet.experiments.verify.rebuild import Rebuilt
from rewindnet.experiments.verify.records import demand, demand_same


def check_scenario(folder: RunFolder, rebuilt: Rebuilt) -> str:
    """Check that scenario.yaml is written in full, and that record.json has its name and seed.

    Args:
        folder: the run folder.
        rebuilt: what follows from the scenario, the seed and the data.

    Returns:
        A sentence about what was checked.

    Raises:
        MismatchError: if a setting is missing, or record.json is that of another scenario.
    """
    if rebuilt.scenario is None:
        return Unchecked(f"scenario.yaml cannot be read here, so nothing was built from it: {rebuilt.no_scenario}")
    recorded = folder.scenario
    expected = {**rebuilt.scenario.plain(), "backend": recorded.get("backend")}
    # What an earlier version did not know is left out there, and null here.
    given, full = _without_nulls(recorded), _without_nulls(expected)
    demand_same(given, full, "{} is {} in scenario.yaml; written in full it is {}".format)
    for name in ("name", "seed"):
        demand(
            folder.record[name] == recorded[name],
            f"{name} is {recorded[name]} in scenario.yaml and {folder.record[name]} in record.json",
        )
    written = hashlib.sha256((folder.path / "scenario.yaml").read_bytes()).hexdigest()
    stated = folder.record.get("scenario_sha256", written)
    demand(stated == written, f"the sha256 of scenario.yaml is {written}, and {stated} by record.json")
    return OnRecord(
        "scenario.yaml is complete, and record.json has its name and seed; the command, the versions, the platform and "
        "the times are on the record's word"
    )


def _without_nulls(value: Any) -> Any:
    """Return plain data without the entries of mappings that are null."""
    if isinstance(value, dict):
        return {key: _without_nulls(inner) for key, inner in value.items() if inner is not None}
    return [_without_nulls(inner) for inner in value] if isinstance(value, list) else value


def check_inputs(folder: RunFolder, rebuilt: Rebuilt) -> str:
    """Check that the files that the run has read have the content that they had then.

    Args:
        folder: the run folder.
        rebuilt: what follows from the scenario, the seed and the data.

    Returns:
        A sentence about what was checked, or which files are not there.

    Raises:
        MismatchError: if a file has another content now, or one was read that record.json does not name.
    """
    recorded = recorded_inputs(folder.record)
    if rebuilt.scenario is None:
        return Unchecked("scenario.yaml cannot be read here, so it is not known which files it names")
    found = input_files(rebuilt.scenario)
    changed = changed_input({key: file for key, file in recorded.items() if key in found}, found)
    demand(not changed, f"the data of the run have changed since: {changed}")
    gone = [f"{key} {file.path}" for key, file in recorded.items() if key not in found]
    if gone:
        return OnRecord(f"{len(found)} of {len(recorded)} files are as the run read them; not here: {', '.join(gone)}")
    if not recorded:
        return "the run read no files"
    return f"{len(recorded)} files have the content that the run read: {', '.join(recorded)}"
