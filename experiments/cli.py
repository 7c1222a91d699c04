"""The command line. Each command imports its modules when it runs, so that help and error messages are quick."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, TextIO

import click
import typer
from typer.core import TyperGroup

from rewindnet.errors import Notice, UserError
from rewindnet.experiments.handover.commands import app as certificate
from rewindnet.extras import missing_extras_named
from rewindnet.simulator.errors import BrokenTransportError, MachineError, RunError, machine_failure


class _Commands(TyperGroup):
    """Runs the commands, and prints their errors."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; end with a sentence and exit code 2 for what cannot be used, 3 if the machine failed."""
        try:
            with _notices_shown(), missing_extras_named():
                return super().invoke(ctx)
        except (MachineError, BrokenTransportError) as problem:
            _print_problem(problem)
            raise typer.Exit(3) from None
        except (UserError, RunError) as problem:
            _print_problem(problem)
            raise typer.Exit(2) from None
        except KeyboardInterrupt:
            _print_problem("interrupted; the same command goes on")
            raise typer.Exit(130) from None
        except (OSError, MemoryError, RuntimeError) as problem:
            failure = machine_failure(problem)
            if failure is None:
                raise
            _print_problem(failure)
            raise typer.Exit(3) from None


def _print_problem(problem: object) -> None:
    """Print a sentence about a problem on the standard error stream."""
    typer.echo(f"rewindnet: {problem}", err=True)


@contextmanager
def _notices_shown() -> Iterator[None]:
    """Print each notice about input that was changed before use, once."""
    shown: set[str] = set()
    with warnings.catch_warnings():
        warnings.simplefilter("always", Notice)
        elsewhere = warnings.showwarning

        def show(
            message: Warning | str,
            category: type[Warning],
            filename: str,
            lineno: int,
            file: TextIO | None = None,
            line: str | None = None,
        ) -> None:
            if not issubclass(category, Notice):
                elsewhere(message, category, filename, lineno, file, line)
            elif str(message) not in shown:
                shown.add(str(message))
                _print_problem(f"note: {message}")

        warnings.showwarning = show
        yield


app = typer.Typer(
    name="rewindnet",
    cls=_Commands,
    help="Certified unlearning in peer-to-peer and federated networks.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

app.add_typer(certificate, name="certificate")

ScenarioFile = Annotated[Path, typer.Argument(metavar="SCENARIO.yaml")]
Settings = Annotated[
    list[str] | None,
    typer.Argument(metavar="[KEY=VALUE]...", show_default=False),
]
Out = Annotated[Path | None, typer.Option("--out", help="The folder to write; runs/<name> by default.")]
Force = Annotated[bool, typer.Option("--force", help="Overwrite an earlier run in that folder.")]
RunFolder = Annotated[Path, typer.Argument(metavar="DIR")]


@app.command()
def run(scenario: ScenarioFile, settings: Settings = None, out: Out = None, force: Force = False) -> None:
    """Learn, delete, unlearn with every listed method, certify and audit.

    An empty scenario file is the demo. Any key can be set after it, like topology.kind=ring or unlearning.0.rewind=0.9.
    """
    from rewindnet.experiments.runs.launch import run_scenario

    _exit_if_violated(run_scenario(scenario, settings or [], out, force))


@app.command()
def sweep(scenario: ScenarioFile, settings: Settings = None, out: Out = None, force: Force = False) -> None:
    """Run every combination of comma-separated settings; finished runs are skipped.

    Settings take several values, like topology.kind=ring,star deletion.client=0,5; each combination gets a folder.
    """
    from rewindnet.experiments.studies.sweep import sweep_scenario

    _exit_if_violated(sweep_scenario(scenario, settings or [], out, force))


@app.command()
def plan(
    scenario: ScenarioFile,
    settings: Settings = None,
    out: Annotated[Path | None, typer.Option("--out", help="The folder to write; runs/<name>-plan by default.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite an earlier plan in that folder.")] = False,
    clients: Annotated[
        int | None,
        typer.Option("--clients", help="How many clients to plan; by default as many as half a minute allows."),
    ] = None,
) -> None:
    """Compute the noise, epsilon and cost of unlearning for each client, without training.

    Settings may take several values, like topology.kind=ring,star: a plan for each combination, and a comparison.
    """
    from rewindnet.experiments.plan.command import plan_scenario

    plan_scenario(scenario, settings or [], out, force, clients)


def _exit_if_violated(sentences: Sequence[str]) -> None:
    """Print a sentence for each violated certificate, and exit with code 1 if there is one."""
    for sentence in sentences:
        _print_problem(sentence)
    if sentences:
        raise typer.Exit(1)


@app.command()
def verify(
    folder: RunFolder,
    strict: Annotated[bool, typer.Option("--strict", help="Fail where something could not be checked.")] = False,
    no_data: Annotated[bool, typer.Option("--no-data", help="Take the record's word for what the data give.")] = False,
) -> None:
    """Derive every certificate of a run again from its records, its topology and its data.

    Each line says what holds, what FAILS, what rests on the record's word (recorded), and what is unchecked.
    """
    from rewindnet.certificates.findings import tally
    from rewindnet.experiments.verify.verify import verify_folder

    findings = verify_folder(folder, data=not no_data)
    for finding in findings:
        typer.echo(f"{finding.status:9}  {finding.what}: {finding.sentence}")
    typer.echo(tally(findings))
    unchecked = strict and any(finding.status == "unchecked" for finding in findings)
    if unchecked or not all(finding.holds for finding in findings):
        raise typer.Exit(1)


@app.command()
def report(folder: RunFolder) -> None:
    """Write one self-contained HTML page about a run."""
    from rewindnet.experiments.report.page import write_report

    typer.echo(write_report(folder))


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

    compare_runs(folders, out or [], Console())


@app.command()
def klom(
    folder: RunFolder,
    draws: Annotated[int, typer.Option("--draws", help="How many networks to draw on each side.")] = 100,
    points: Annotated[int, typer.Option("--points", help="The largest number of samples of each set.")] = 500,
    only: Annotated[int | None, typer.Option("--only", help="The number of one release; all by default.")] = None,
) -> None:
    """Compare the margins of many unlearned networks with those of many retrained ones, sample by sample.

    The noise of every release of a run is drawn many times; the result goes to klom.json in its folder.
    """
    from rewindnet.experiments.studies.klom_study import klom_study

    klom_study(folder, draws, points, only)


@app.command()
def capacity(
    scenario: ScenarioFile,
    settings: Settings = None,
    gamma: Annotated[float, typer.Option("--gamma", help="The largest accepted loss of accuracy.")] = 0.01,
    method: Annotated[int, typer.Option("--method", help="The number of the unlearning method, from 0.")] = 0,
    draws: Annotated[int, typer.Option("--draws", help="Draws of the noise to average over.")] = 3,
    out: Annotated[Path | None, typer.Option("--out", help="A JSON file for the trials.")] = None,
) -> None:
    """Find how many samples the client may delete before unlearning costs too much accuracy.

    The largest number, by bisection, for which the unlearned network is within gamma of the retrained one.
    """
    from rewindnet.experiments.studies.capacity import capacity_of

    capacity_of(scenario, settings or [], gamma, method, draws, out)


@app.command()
def bench(
    contests: Annotated[list[str] | None, typer.Argument(metavar="[CONTEST]...", show_default=False)] = None,
    repeats: Annotated[int, typer.Option("--repeats", help="How often each entry is timed.")] = 3,
    out: Annotated[Path | None, typer.Option("--out", help="A JSON file for the seconds of every repetition.")] = None,
) -> None:
    """Time rounds on the transports, side by side: medians of several repetitions in turn.

    CONTEST is one of mpi, flower-10 and flower-100; all of them by default.
    """
    from json import dumps

    from rich.console import Console

    from rewindnet.experiments.studies.bench import bench as run_bench

    seconds = run_bench(contests or [], repeats, Console())
    if out is not None:
        out.write_text(dumps(seconds, indent=1) + "\n", "utf-8")


@app.command(name="list")
def list_(what: Annotated[str, typer.Argument(metavar="WHAT")]) -> None:
    """List the choices of one kind, a line for each.

    WHAT is one of topologies, mixing, schedules, learning, samplings, models, methods, data, features, partitions,
    networks and transports.
    """
    from rewindnet.experiments.scenario.registries import LISTS, registry

    if what not in LISTS:
        raise UserError(f"there is no list of {what!r}; there are: {', '.join(LISTS)}")
    names = list(registry(LISTS[what]))
    for name in names:
        typer.echo(f"{name:{max(map(len, names))}}  {registry(LISTS[what]).summary(name)}")


def main() -> None:
    """Run the command line."""
    app(prog_name="rewindnet")
