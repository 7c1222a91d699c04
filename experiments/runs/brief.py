"""Run a scenario for its table alone, in a folder that is removed."""

from collections.abc import Mapping
from typing import Any

from rewindnet.experiments.folder.reader import read_folder
from rewindnet.experiments.runs.job import RunJob
from rewindnet.experiments.runs.run_setup import build_run
from rewindnet.experiments.runs.scratch import scratch_folder
from rewindnet.experiments.scenario.scenario import Scenario

#: What changes no model and takes time, switched off.
BRIEFLY: Mapping[str, Mapping[str, Any]] = {
    "audit": {"draws": 0},
    "measures": {"membership": False},
    "record": {"weights": False},
}


def brief(plain: Mapping[str, Any]) -> dict[str, Any]:
    """Return a scenario as plain data without attacks, samples of noise and stored weights.

    Args:
        plain: the scenario as plain data.
    """
    return {**plain, **{section: {**plain[section], **settings} for section, settings in BRIEFLY.items()}}


def table_of(scenario: Scenario) -> list[dict[str, Any]]:
    """Run a scenario, and return the rows of its table.

    Args:
        scenario: the scenario.

    Raises:
        UserError: if the scenario is not valid.
        RunError: if the run cannot be finished.
    """
    with scratch_folder() as scratch:
        folder = scratch / "run"
        scenario.backend.build().execute(RunJob(build_run(scenario), folder, False, scratch))
        return list(read_folder(folder).summary)
