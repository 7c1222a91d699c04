"""Write the folder of a plan or of a comparison of plans: plan.json, plan.npz, plan.png and the scenario."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rewindnet.experiments.folder.files import write, write_json
from rewindnet.experiments.plan.plan import Plan
from rewindnet.experiments.plan.record import FORMAT, answers_record, plan_arrays, plan_record
from rewindnet.experiments.plan.words import easiest_sentences, plan_name
from rewindnet.experiments.scenario.errors import ScenarioError

#: The files of which a plan folder holds at least one.
_NAMES = ("plan.json", "comparison.json")


def check_target(folder: Path, force: bool) -> None:
    """Check that a plan may be written into a folder.

    Raises:
        ScenarioError: if the folder cannot be made, holds something other than a plan, or holds a plan that is not to
            be overwritten.
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


def write_plan(plan: Plan, folder: Path, repairs: Sequence[Mapping[str, Any]] | None = None) -> None:
    """Write a plan as data and as a picture.

    plan.json is written last, so a folder that holds it holds a complete plan.

    Args:
        plan: the plan.
        folder: the folder to write.
        repairs: what was found about the promise of each row; None where it was not asked for.
    """
    from rewindnet.experiments.plan.picture import plan_picture  # matplotlib is imported only for a picture

    write(folder / "scenario.yaml", plan.network.scenario.to_yaml())
    write(folder / "plan.npz", plan_arrays(plan))
    write(folder / "plan.png", plan_picture(plan))
    write_json(folder / "plan.json", plan_record(plan) | ({} if repairs is None else {"repair": list(repairs)}))


def write_comparison(plans: Sequence[Plan], keys: Sequence[str], names: Sequence[str], folder: Path) -> None:
    """Write several plans, each into a subfolder, and a comparison of them.

    Args:
        plans: the plans to write.
        keys: the settings in which they differ.
        names: the name of the subfolder of each plan.
        folder: the folder of the comparison.
    """
    from rewindnet.experiments.plan.picture import comparison_picture

    for plan, name in zip(plans, names, strict=True):
        write_plan(plan, folder / name)
    write(folder / "comparison.png", comparison_picture(plans, keys))
    entries = [
        {"point": dict(plan.point), "folder": name, "name": plan_name(plan, keys), "rows": answers_record(plan)}
        for plan, name in zip(plans, names, strict=True)
    ]
    write_json(
        folder / "comparison.json", {"format": FORMAT, "plans": entries, "verdicts": easiest_sentences(plans, keys)}
    )
