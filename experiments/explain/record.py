"""Write the evidence about a graph network: JSON, Markdown and a page."""

from collections.abc import Sequence
from pathlib import Path

from rewindnet.experiments.explain.run import Json
from rewindnet.experiments.explain.scenario import GraphScenario
from rewindnet.experiments.explain.words import markdown
from rewindnet.experiments.folder.files import check_writable, read_json, write, write_json
from rewindnet.experiments.scenario.errors import ScenarioError
from rewindnet.version import __version__

EVIDENCE, UNFINISHED = "evidence.json", "unfinished.json"
_VERSIONS: Json = {"format": 1, "rewindnet": __version__}


def check_target(folder: Path, scenario: GraphScenario, force: bool) -> list[Json]:
    """Check that evidence may be written into a folder; return what was found there with the first seeds.

    Args:
        folder: the folder.
        scenario: the scenario.
        force: whether to overwrite what is there.

    Raises:
        UserError: if it holds something else, or evidence that is not to be overwritten, or cannot be written.
    """
    check_writable(folder / EVIDENCE)
    unfinished = folder / UNFINISHED
    if not folder.exists() or not any(folder.iterdir()):
        return []
    if not (folder / EVIDENCE).is_file() and not unfinished.is_file():
        raise ScenarioError(f"{folder} exists and holds no evidence of rewindnet explain; choose another with --out")
    if force:
        return []
    if not unfinished.is_file():
        raise ScenarioError(f"{folder} already holds evidence; choose another with --out, or overwrite it with --force")
    kept = read_json(unfinished)
    if {key: kept.get(key) for key in ("scenario", *_VERSIONS)} != {"scenario": scenario.plain(), **_VERSIONS}:
        raise ScenarioError(
            f"{folder} holds unfinished evidence of another scenario, or of another version of rewindnet; choose "
            "another with --out, or overwrite it with --force"
        )
    runs: list[Json] = kept["runs"]
    return runs


def write_unfinished(scenario: GraphScenario, runs: Sequence[Json], folder: Path) -> None:
    """Keep what was found with the first seeds, until all evidence is written."""
    write_json(folder / UNFINISHED, {**_VERSIONS, "scenario": scenario.plain(), "runs": list(runs)})


def write_evidence(scenario: GraphScenario, runs: Sequence[Json], folder: Path) -> None:
    """Write scenario.yaml, evidence.md, evidence.html and, last, evidence.json.

    Args:
        scenario: the scenario.
        runs: what was found with each seed.
        folder: the folder.
    """
    # Not above: the templates of pages take time to import, and what reads evidence needs none.
    from rewindnet.experiments.explain.page import evidence_page

    write(folder / "scenario.yaml", scenario.to_yaml())
    write(folder / "evidence.md", markdown(scenario, runs))
    write(folder / "evidence.html", evidence_page(scenario, runs))
    record = {**_VERSIONS, "name": scenario.name, "certified": False}
    write_json(folder / EVIDENCE, {**record, "scenario": scenario.plain(), "runs": list(runs)})
    (folder / UNFINISHED).unlink(missing_ok=True)
