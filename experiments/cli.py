"""The command line. Each command imports what it needs when it runs."""

import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from rewindnet.errors import UserError

app = typer.Typer(
    name="rewindnet",
    help="Certified unlearning in peer-to-peer and federated networks.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

ScenarioFile = Annotated[Path, typer.Argument(metavar="SCENARIO.yaml")]
Settings = Annotated[
    list[str] | None,
    typer.Argument(metavar="[KEY=VALUE]...", show_default=False),
]
Out = Annotated[Path | None, typer.Option("--out", help="The folder to write; runs/<name> by default.")]
Force = Annotated[bool, typer.Option("--force", help="Overwrite an earlier run in that folder.")]
RunFolder = Annotated[Path, typer.Argument(metavar="DIR")]


def _refuse(problem: object) -> NoReturn:
    """Bad input: a sentence, and exit code 2."""
    typer.echo(f"rewindnet: {problem}", err=True)
    raise typer.Exit(2)


@app.command()
def run(scenario: ScenarioFile, settings: Settings = None, out: Out = None, force: Force = False) -> None:
    """Learn, delete, unlearn with every listed method, certify and audit.

    An empty scenario file is the demo. Any key can be set after it, like topology.kind=ring or unlearning.0.rewind=0.9.
    """
    _launch("runs.launch", "run_scenario", scenario, settings, out, force)


@app.command()
def sweep(scenario: ScenarioFile, settings: Settings = None, out: Out = None, force: Force = False) -> None:
    """Run every combination of comma-separated settings; finished runs are skipped.

    Settings take several values, like topology.kind=ring,star deletion.client=0,5; each combination gets a folder.
    """
    _launch("studies.sweep", "sweep_scenario", scenario, settings, out, force)


@app.command()
def plan(
    scenario: ScenarioFile,
    settings: Settings = None,
    out: Annotated[Path | None, typer.Option("--out", help="The folder to write; runs/<name>-plan by default.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite an earlier plan in that folder.")] = False,
    clients: Annotated[
        int | None, typer.Option("--clients", help="How many clients to plan; by default as many as there is time for.")
    ] = None,
) -> None:
    """Say what forgetting would take, client by client, without learning anything.

    Settings may take several values, like topology.kind=ring,star: a plan for each combination, and a comparison.
    """
    from rewindnet.experiments.plan.command import plan_scenario

    try:
        plan_scenario(scenario, settings or [], out, force, clients)
    except UserError as problem:
        _refuse(problem)


def _launch(
    module: str, command: str, scenario: Path, settings: list[str] | None, out: Path | None, force: bool
) -> None:
    from importlib import import_module

    from rewindnet.experiments.runs import launch
    from rewindnet.simulator.errors import RunError

    try:
        violations: list[str] = getattr(import_module(f"rewindnet.experiments.{module}"), command)(
            scenario, settings or [], out, force
        )
    except UserError as problem:
        if not launch.speaks():
            raise typer.Exit(2) from None
        _refuse(problem)
    except RunError as problem:
        violations = [str(problem)]
    for sentence in violations:
        typer.echo(f"rewindnet: {sentence}", err=True)
    if violations:
        raise typer.Exit(1)


@app.command()
def verify(folder: RunFolder) -> None:
    """Derive every certificate of a run again from its records alone."""
    from rewindnet.experiments.verify.verify import verify_folder

    try:
        findings = verify_folder(folder)
    except UserError as problem:
        _refuse(problem)
    for finding in findings:
        typer.echo(f"{'holds' if finding.holds else 'FAILS'}  {finding.what}: {finding.sentence}")
    if not all(finding.holds for finding in findings):
        raise typer.Exit(1)


@app.command()
def report(folder: RunFolder) -> None:
    """Write one self-contained HTML page about a run."""
    from rewindnet.experiments.report.page import write_report

    try:
        typer.echo(write_report(folder))
    except UserError as problem:
        _refuse(problem)


@app.command()
def compare(
    folders: Annotated[list[Path], typer.Argument(metavar="DIR...")],
    out: Annotated[
        list[Path] | None, typer.Option("--out", help="A file to write: .png, .md or .csv; may be given several times.")
    ] = None,
) -> None:
    """Show the rows of several runs as one table, and write them as a picture, Markdown or CSV."""
    from rich.console import Console

    from rewindnet.experiments.report.compare import compare as compare_runs

    try:
        compare_runs(folders, out or [], Console())
    except UserError as problem:
        _refuse(problem)


@app.command()
def klom(
    folder: RunFolder,
    draws: Annotated[int, typer.Option("--draws", help="How many networks to draw on each side.")] = 100,
    points: Annotated[int, typer.Option("--points", help="Samples of each kind to look at, at most.")] = 500,
    only: Annotated[int | None, typer.Option("--only", help="The number of one release; all by default.")] = None,
) -> None:
    """Hold the margins of many unlearned networks against those of many retrained ones, point by point.

    The noise of every release of a run is drawn again and again; what is found goes to klom.json in its folder.
    """
    from rewindnet.experiments.studies.klom_study import klom_study

    try:
        klom_study(folder, draws, points, only)
    except UserError as problem:
        _refuse(problem)


@app.command()
def capacity(
    scenario: ScenarioFile,
    settings: Settings = None,
    gamma: Annotated[float, typer.Option("--gamma", help="The loss of accuracy that is put up with.")] = 0.01,
    method: Annotated[int, typer.Option("--method", help="The number of the unlearning method, from 0.")] = 0,
    draws: Annotated[int, typer.Option("--draws", help="Draws of the noise to average over.")] = 3,
    out: Annotated[Path | None, typer.Option("--out", help="A JSON file for what was tried.")] = None,
) -> None:
    """Find how many samples the client may delete before unlearning costs too much accuracy.

    The largest number, by bisection, for which the unlearned network is within gamma of the retrained one.
    """
    from rewindnet.experiments.studies.capacity import capacity_of

    try:
        capacity_of(scenario, settings or [], gamma, method, draws, out)
    except UserError as problem:
        _refuse(problem)


@app.command()
def bench(
    contests: Annotated[list[str] | None, typer.Argument(metavar="[CONTEST]...", show_default=False)] = None,
    repeats: Annotated[int, typer.Option("--repeats", help="How often everything is timed.")] = 3,
    out: Annotated[Path | None, typer.Option("--out", help="A JSON file for the seconds of every heat.")] = None,
) -> None:
    """Time rounds on the transports, side by side: medians of several heats in turn.

    CONTEST is one of mpi, flower-10 and flower-100; all of them by default.
    """
    from json import dumps

    from rich.console import Console

    from rewindnet.experiments.studies.bench import bench as run_bench
    from rewindnet.simulator.errors import BrokenTransportError

    try:
        seconds = run_bench(contests or [], repeats, Console())
    except UserError as problem:
        _refuse(problem)
    except BrokenTransportError as problem:
        typer.echo(f"rewindnet: {problem}", err=True)
        raise typer.Exit(1) from None
    if out is not None:
        out.write_text(dumps(seconds, indent=1) + "\n", "utf-8")


@app.command(name="list")
def list_(what: Annotated[str, typer.Argument(metavar="WHAT")]) -> None:
    """What there is to choose from, one line each.

    WHAT is one of topologies, mixing, schedules, learning, samplings, models, methods, data, features, partitions,
    networks and transports.
    """
    from rewindnet.experiments.scenario.registries import LISTS, registry

    if what not in LISTS:
        _refuse(f"there is no list of {what!r}; there are: {', '.join(LISTS)}")
    names = list(registry(LISTS[what]))
    for name in names:
        typer.echo(f"{name:{max(map(len, names))}}  {registry(LISTS[what]).summary(name)}")


def main() -> None:
    """The command `rewindnet`."""
    try:
        app()
    except KeyboardInterrupt:
        typer.echo("rewindnet: interrupted", err=True)
        sys.exit(1)
