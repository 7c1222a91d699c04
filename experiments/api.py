"""Load, run, sweep, plan and verify scenarios from Python; the package `rewindnet` exports these functions."""

from collections.abc import Iterable, Mapping
from os import PathLike
from pathlib import Path
from typing import Any

from rewindnet.clients.training.parallel import torch_threads_restored
from rewindnet.experiments.console import terminal
from rewindnet.experiments.folder.format import is_complete
from rewindnet.experiments.plan.network import build_planned_network
from rewindnet.experiments.plan.plan import make_plan
from rewindnet.experiments.planned import PlanResult
from rewindnet.experiments.results import Result, Study, TemporaryFolder, Verification
from rewindnet.experiments.runs.launch import run_in
from rewindnet.experiments.runs.progress import LiveProgress, Progress
from rewindnet.experiments.scenario import yaml_files
from rewindnet.experiments.scenario.errors import ScenarioError
from rewindnet.experiments.scenario.scenario import Scenario
from rewindnet.experiments.studies.attempt import Outcome
from rewindnet.experiments.studies.display import EachRun
from rewindnet.experiments.studies.grid import varying
from rewindnet.experiments.studies.making import check_points, make
from rewindnet.experiments.studies.points import placed, points_of, with_seeds
from rewindnet.experiments.studies.results import load_study
from rewindnet.experiments.studies.study_file import axes_of
from rewindnet.experiments.studies.study_folder import StudyRun, write_study
from rewindnet.experiments.verify.verify import verify_folder
from rewindnet.simulator.errors import MachineError, RunError, TransportError
from rewindnet.simulator.transports.mpi.ranks import ranks

#: A scenario, plain data, the path of a YAML file, or None for the demo.
Source = Scenario | Mapping[str, Any] | str | PathLike[str] | None


def load(source: Source = None, /, **overrides: Any) -> Scenario:
    """Make a scenario from a file, from plain data, or from another scenario.

    Args:
        source: the path of a YAML file, a mapping of keys, a scenario, or None for the demo.
        overrides: single keys to set, by their names; keys inside of sections by `**{"deletion.client": 7}`.

    Returns:
        The scenario, with every default filled in.

    Raises:
        UserError: with one sentence about the first error.

    Examples:
        >>> import rewindnet
        >>> scenario = rewindnet.load(topology="ring", **{"deletion.client": 7})
        >>> scenario.topology.kind, scenario.deletion.client, scenario.learning.rounds
        ('ring', 7, 200)
    """
    if isinstance(source, Scenario):
        return yaml_files.resolve(source.plain(), overrides)
    if isinstance(source, str | PathLike):
        return yaml_files.load(Path(source), overrides)
    return yaml_files.resolve(source, overrides)


def run(
    scenario: Source = None,
    out: str | PathLike[str] | None = None,
    progress: Progress | bool | None = None,
    force: bool = False,
) -> Result:
    """Learn, delete, unlearn with every listed method, certify and audit.

    A violated certificate does not raise an error: `Result.holds` is False then, and `Result.violations` says why.

    Args:
        scenario: a scenario, or an argument of `load`.
        out: the run folder to write; an unfinished run of the same scenario in it is continued. None: a temporary
            folder, which is removed together with the result.
        progress: True for progress bars on a terminal, or an object that is notified of every phase and round.
        force: overwrite an earlier run in the folder.

    Returns:
        The finished run.

    Raises:
        UserError: with one sentence, if an argument is not valid; nothing has been written then.
        RunError: if the run began and could not be finished, for example because no noise reaches the ε asked for.

    Examples:
        >>> import rewindnet
        >>> result = rewindnet.run(rewindnet.load(name="short", **{"learning.rounds": 20}))
        >>> result.holds
        True
        >>> [certificate.method for certificate in result.certificates]
        ['r2d', 'r2d', 'r2d', 'warm-start', 'retrain', 'do-nothing']
    """
    described = load(scenario)
    _check_not_a_rank(described)
    with torch_threads_restored():
        if out is not None:
            return Result(run_in(described, Path(out), force, _progress(progress), ["rewindnet.run"]).path)
        temporary = TemporaryFolder()
        done = run_in(described, temporary.path / described.name, force, _progress(progress), ["rewindnet.run"])
        return Result(done.path, temporary=temporary)


def sweep(
    scenario: Source,
    grid: Mapping[str, Iterable[Any]],
    seeds: int | Iterable[int] | None = None,
    out: str | PathLike[str] | None = None,
    progress: Progress | bool | None = None,
    force: bool = False,
    jobs: int | None = 1,
) -> Study:
    """Run every combination of several values of keys of a scenario.

    Args:
        scenario: a scenario, or an argument of `load`.
        grid: for each key that varies, like `topology.kind`, its values.
        seeds: the seeds to run each combination with, or their number, beginning with the seed of the scenario; by
            default that seed alone.
        out: the folder for the run folders; finished runs in it are not repeated, unfinished ones are continued. None:
            a temporary folder, which is removed together with the study.
        progress: as for `run`.
        force: run finished runs again.
        jobs: how many runs go on at the same time; 1 makes them in this process, None as many as cores and memory
            allow.

    Returns:
        All runs, including those of earlier calls.

    Raises:
        UserError: if one of the combinations is not valid; none has been run then. Or if another process is running
            one of them; the others have been run then.
        RunError: if runs failed; the others have been run then.

    Examples:
        >>> import rewindnet
        >>> measures = {"membership": False}
        >>> short = rewindnet.load(measures=measures, unlearning=["r2d"], **{"learning.rounds": 10})
        >>> study = rewindnet.sweep(short, {"topology.kind": ["ring", "star"]}, seeds=2)
        >>> len(study.results), study.holds
        (4, True)
    """
    described = load(scenario)
    raw, axes = described.plain(), axes_of(grid)
    axes = with_seeds(axes, seeds if seeds is None or isinstance(seeds, int) else list(seeds), raw)
    if not axes:
        raise ScenarioError(
            "the grid is empty, and no seeds are given, so that nothing varies; rewindnet.run makes one run"
        )
    scenarios = points_of(raw, axes)
    for _, each in scenarios:
        _check_not_a_rank(each)
    temporary = TemporaryFolder() if out is None else None
    folder = Path(out or "") if temporary is None else temporary.path
    points = placed(scenarios, folder)
    if jobs is not None and jobs < 1:
        raise ScenarioError(f"jobs is the number of runs at the same time, at least 1, not {jobs}")
    with torch_threads_restored():
        display = EachRun(lambda: _progress(progress))
        missing = check_points(points, force, display)
        write_study(folder, described.name, varying(axes), [StudyRun(point.folder, point.plain) for point in points])
        outcome = make(missing, force, display, jobs, ["rewindnet.sweep"])
    if outcome.left:
        raise ScenarioError(f"another process is writing to {outcome.left[0].folder}; call sweep again when it is done")
    if any(is_complete(point.folder) for point in points):
        load_study(folder).write()
    if outcome.failed:
        raise _failure(outcome, len(points))
    results = [Result(point.folder, temporary=temporary) for point in points]
    return Study([point.plain for point in points], results, folder, temporary=temporary)


def _failure(outcome: Outcome, count: int) -> RunError:
    """Return the error about the runs of a study that failed."""
    made = [f"{point.folder.name}: {ending.sentence}" for point, ending in outcome.failed]
    kind = MachineError if any(ending.kind == "machine" for _, ending in outcome.failed) else RunError
    return kind(f"{len(made)} of {count} runs failed, and the others are finished; {'; '.join(made)}")


def plan(scenario: Source = None, clients: int | None = None) -> PlanResult:
    """Compute the noise, ε and cost of unlearning for each client, without training.

    Args:
        scenario: a scenario, or an argument of `load`; clients may be declared by their numbers of samples.
        clients: the number of clients to plan; by default as many as half a minute allows.

    Returns:
        The noise, cost and ε of each r2d row of the scenario for each client.

    Raises:
        UserError: with one sentence, if the scenario is not valid or cannot be planned.

    Examples:
        >>> import rewindnet
        >>> planned = rewindnet.plan({"topology": "star", "partition": {"clients": 8}})
        >>> planned.hardest in range(8)
        True
    """
    if clients is not None and clients < 1:
        raise ScenarioError(f"clients is the number of clients to plan, at least 1, not {clients}")
    with torch_threads_restored():
        return PlanResult(make_plan(build_planned_network(load(scenario)), {}, clients))


def verify(run: Result | str | PathLike[str], *, data: bool = True, run_code: bool | None = None) -> Verification:
    """Derive every certificate of a run again from its records, its topology and its data.

    Args:
        run: a result, or the folder of a finished run.
        data: whether to load the data, where their source allows; otherwise the record is taken at its word for what
            they give.
        run_code: whether to import code of a user's own that the scenario names, such as the class of the model, which
            can do anything; by default that of a result of this process, and not that of a folder.

    Returns:
        One finding for each check.

    Raises:
        UserError: if the folder holds no finished run.

    Examples:
        >>> import rewindnet
        >>> short = {"learning": {"rounds": 10}, "unlearning": ["r2d"], "measures": {"membership": False}}
        >>> findings = rewindnet.verify(rewindnet.run(short))
        >>> findings.holds
        True
    """
    here = isinstance(run, Result)
    folder = run.folder if isinstance(run, Result) else Path(run)
    return Verification(verify_folder(folder, data, here if run_code is None else run_code))


def _progress(progress: Progress | bool | None) -> Progress:
    """Return the progress display that an argument `progress` stands for."""
    if isinstance(progress, Progress):
        return progress
    return LiveProgress(terminal()) if progress else Progress()


def _check_not_a_rank(scenario: Scenario) -> None:
    """Refuse to run over MPI in a process that mpiexec has started; only the command line does that.

    Raises:
        TransportError: if mpiexec has started this process.
    """
    if scenario.backend.kind == "mpi" and ranks() is not None:
        raise TransportError(
            "from Python, ranks are started by the run itself: start this script without mpiexec, or start the command "
            "rewindnet run with it"
        )
