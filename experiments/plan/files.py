"""The folder of a plan or of a comparison of plans: plan.json, plan.npz, plan.png and the scenario."""

from collections.abc import Sequence
from pathlib import Path

from rewindnet.experiments.folder.files import write, write_json
from rewindnet.experiments.plan.picture import comparison_picture, plan_picture
from rewindnet.experiments.plan.plan import Plan
from rewindnet.experiments.plan.record import FORMAT, answers_record, arrays, record
from rewindnet.experiments.plan.words import kindest, name_of
from rewindnet.experiments.scenario.errors import ScenarioError

#: The files by which the folder of a plan is known.
_NAMES = ("plan.json", "comparison.json")


def check_target(folder: Path, force: bool) -> None:
    """Refuse a folder that holds anything but a plan to be overwritten.

    Raises:
        ScenarioError: if it does, or cannot exist.
    """
    blocked = [parent for parent in (folder, *folder.parents) if parent.exists() and not parent.is_dir()]
    if blocked:
        raise ScenarioError(f"{folder} cannot be made: {blocked[0]} is not a folder; choose another with --out")
    if not folder.exists() or not any(folder.iterdir()):
        return
    if not any((folder / name).is_file() for name in _NAMES):
        raise ScenarioError(f"{folder} exists and is not the folder of a plan; choose another with --out")
    if not force:
        raise ScenarioError(f"{folder} already holds a plan; choose another with --out, or overwrite it with --force")


def write_plan(plan: Plan, folder: Path) -> None:
    """Write a plan as data and as a picture; plan.json last, by which a folder is known to hold a whole plan."""
    write(folder / "scenario.yaml", plan.network.scenario.to_yaml())
    write(folder / "plan.npz", arrays(plan))
    write(folder / "plan.png", plan_picture(plan))
    write_json(folder / "plan.json", record(plan))


def write_comparison(plans: Sequence[Plan], keys: Sequence[str], places: Sequence[str], folder: Path) -> None:
    """Write several plans, each into a folder of its own, and what they come to side by side."""
    for plan, place in zip(plans, places, strict=True):
        write_plan(plan, folder / place)
    write(folder / "comparison.png", comparison_picture(plans, keys))
    entries = [
        {"point": dict(plan.point), "folder": place, "name": name_of(plan, keys), "rows": answers_record(plan)}
        for plan, place in zip(plans, places, strict=True)
    ]
    write_json(folder / "comparison.json", {"format": FORMAT, "plans": entries, "verdicts": kindest(plans, keys)})
