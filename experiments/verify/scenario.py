"""Verify scenario.yaml and record.json: one scenario, written in full."""

from rewindnet.certificates.findings import OnRecord, Unchecked
from rewindnet.experiments.folder.reader import RunFolder
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
    demand_same(recorded, expected, "{} is {} in scenario.yaml; written in full it is {}".format)
    for name in ("name", "seed"):
        demand(
            folder.record[name] == recorded[name],
            f"{name} is {recorded[name]} in scenario.yaml and {folder.record[name]} in record.json",
        )
    return OnRecord(
        "scenario.yaml is complete, and record.json has its name and seed; the command, the versions, the platform and "
        "the times are on the record's word"
    )
