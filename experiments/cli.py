"""The command line. Each command imports its modules when it runs, so that help and error messages are quick."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from rewindnet.experiments.explain.commands import explain
from rewindnet.experiments.group import Commands
from rewindnet.experiments.handover.commands import app as certificate
from rewindnet.experiments.output import checked_output, complain, say
from rewindnet.experiments.plan.commands import plan
from rewindnet.experiments.studies.commands import events, figures, klom, table
from rewindnet.experiments.tune.commands import tune
from rewindnet.version import __version__

app = typer.Typer(
    name="rewindnet",
    cls=Commands,
    help="Certified unlearning in peer-to-peer and federated networks.",
    no_args_is_help=True,
    suggest_commands=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)

app.add_typer(certificate, name="certificate")


def _version(asked: bool) -> None:
    """Print the version, and end."""
    if asked:
        say(f"rewindnet {__version__}")
        raise typer.Exit


@app.callback()
def program(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Certified unlearning in peer-to-peer and federated networks."""


ScenarioFile = Annotated[Path, typer.Argument(metavar="SCENARIO", help="A YAML file, or the name of a recipe.")]
Settings = Annotated[
    list[str] | None,
    typer.Argument(metavar="[KEY=VALUE]...", show_default=False),
]
Out = Annotated[Path | None, typer.Option("--out", help="The folder to write; runs/<name> by default.")]
SweepOut = Annotated[
    Path | None, typer.Option("--out", help="The folder for the run folders; runs/<name>-sweep by default.")
]
Force = Annotated[bool, typer.Option("--force", help="Overwrite an earlier run in that folder.")]
Wide = Annotated[bool, typer.Option("--wide", help="Print all columns, however narrow the terminal is.")]
RunFolder = Annotated[Path, typer.Argument(metavar="DIR")]


@app.command()
def run(
    scenario: ScenarioFile,
    settings: Settings = None,
    out: Out = None,
    force: Force = False,
    wide: Wide = False,
) -> None:
    """Learn, delete, unlearn with every listed method, certify and audit.

    An empty scenario file is the demo. Any key can be set after it, like topology.kind=ring or unlearning.0.rewind=0.9.
    """
    from rewindnet.experiments.early import refuse_early

    refuse_early(scenario, settings or [], out, force)
    from rewindnet.experiments.runs.launch import run_scenario

    _exit_if_violated(run_scenario(scenario, settings or [], out, force, wide))


@app.command()
def sweep(
    scenario: ScenarioFile,
    settings: Settings = None,
    out: SweepOut = None,
    force: Force = False,
    wide: Wide = False,
    jobs: Annotated[
        int | None,
        typer.Option("--jobs", help="How many runs go on at the same time; by default what cores and memory allow."),
    ] = None,
    seeds: Annotated[
        int | None, typer.Option("--seeds", help="How many seeds; tables then show means with 95 % intervals.")
    ] = None,
    launcher: Annotated[
        str, typer.Option("--launcher", help="Where the runs are made: local, slurm-array or ray.")
    ] = "local",
) -> None:
    """Run every combination of comma-separated settings; finished runs are skipped, stopped ones go on.

    Settings take several values, like topology.kind=ring,star deletion.client=0,5 seed=0-4; each combination gets a
    folder. A study file has them in a section: `study: {grid: {topology.kind: [ring, star]}, seeds: 5}`.
    """
    from rewindnet.experiments.studies.sweep import sweep_scenario

    _exit_if_violated(sweep_scenario(scenario, settings or [], out, force, wide, jobs, seeds, launcher))


app.command()(plan)


def _exit_if_violated(sentences: Sequence[str]) -> None:
    """Print a sentence for each violated certificate, and exit with code 1 if there is one."""
    for sentence in sentences:
        complain(sentence)
    if sentences:
        raise typer.Exit(1)


@app.command()
def verify(
    folder: RunFolder,
    strict: Annotated[bool, typer.Option("--strict", help="Fail where something could not be checked.")] = False,
    no_data: Annotated[bool, typer.Option("--no-data", help="Take the record's word for what the data give.")] = False,
    run_code: Annotated[
        bool, typer.Option("--run-code", help="Import the code that the scenario names; only if you trust it.")
    ] = False,
) -> None:
    """Derive every certificate of a run again from its records, its topology and its data.

    Each line says what holds, what FAILS, what rests on the record's word (recorded), and what is unchecked.
    """
    from rewindnet.certificates.findings import tally
    from rewindnet.experiments.folder.reader import read_folder

    read_folder(folder)  # what is no run is refused before torch is imported, which takes seconds
    from rewindnet.experiments.verify.verify import verify_folder

    findings = verify_folder(folder, data=not no_data, run_code=run_code)
    for finding in findings:
        say(f"{finding.status:9}  {finding.what}: {finding.sentence}")
    say(tally(findings))
    unchecked = strict and any(finding.status == "unchecked" for finding in findings)
    if unchecked or not all(finding.holds for finding in findings):
        raise typer.Exit(1)


@app.command()
def report(folder: RunFolder) -> None:
    """Write one self-contained HTML page about a run, or about a study."""
    from rewindnet.experiments.studies.study_folder import is_study

    if is_study(folder):
        from rewindnet.experiments.studies.page import write_study_report

        say(write_study_report(folder))
        return
    from rewindnet.experiments.report.page import write_report

    say(write_report(folder))


@app.command()
def compare(
    folders: Annotated[list[Path], typer.Argument(metavar="DIR...")],
    out: Annotated[
        list[Path] | None, typer.Option("--out", help="A file to write: .png, .md or .csv; may be given several times.")
    ] = None,
    wide: Wide = False,
) -> None:
    """Show the rows of several runs as one table, and write them as a picture, Markdown or CSV."""
    from rewindnet.experiments.console import terminal
    from rewindnet.experiments.report.compare import compare as compare_runs

    compare_runs(folders, out or [], terminal(wide=wide))


app.command()(tune)
app.command()(table)
app.command()(figures)
app.command()(events)
app.command()(klom)
app.command()(explain)


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
def recovery(
    scenario: ScenarioFile,
    settings: Settings = None,
    depths: Annotated[
        list[int] | None, typer.Option("--depth", help="How many rounds to undo; may be given several times.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="A JSON file for the distances.")] = None,
) -> None:
    """Measure how well earlier models can be recovered from the last ones, without checkpoints.

    For each depth the distance from the true models, what is proven of it, and how far learning went in these rounds.
    """
    from rewindnet.experiments.studies.recovery_study import study_recovery

    study_recovery(scenario, settings or [], depths or [], out)


@app.command()
def bench(
    contests: Annotated[list[str] | None, typer.Argument(metavar="[CONTEST]...", show_default=False)] = None,
    repeats: Annotated[int, typer.Option("--repeats", help="How often each entry is timed.")] = 3,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="A setting of the scenarios of all entries.")
    ] = None,
    device: Annotated[
        str, typer.Option("--device", metavar="DEVICE", help="auto, cpu or cuda; auto is a GPU where there is one.")
    ] = "auto",
    out: Annotated[Path | None, typer.Option("--out", help="A JSON file for what every repetition took.")] = None,
) -> None:
    """Time this simulator and plain loops that do the same work, side by side: medians of repetitions in turn.

    CONTEST is one of full-batch, minibatch (each also with -f32), mixing-1000, mixing-10000, mixing-10000-f32, mlp,
    module, cnn, cnn-1000, resnet18, nodes, parameters, degree, unlearning, plan, mpi, flower-10 and flower-100; all of
    them by default, which takes many minutes. cnn-1000 and resnet18 need a GPU.
    """
    from json import dumps

    from rewindnet.experiments.bench.command import bench as run_bench
    from rewindnet.experiments.console import terminal
    from rewindnet.experiments.folder.files import check_writable

    if out is not None:
        check_writable(out)
    taken = run_bench(contests or [], repeats, settings or [], terminal(), device)
    if out is not None:
        out.write_text(dumps(taken, indent=1) + "\n", "utf-8")


@app.command(name="list")
def list_(
    what: Annotated[str | None, typer.Argument(metavar="[KIND]", show_default=False)] = None,
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", show_default=False)] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List what a scenario can choose: all kinds, the choices of one KIND, or the settings of one choice by its NAME.

    KIND is one of topologies, mixing, schedules, learning, samplings, models, methods, data, features, partitions,
    networks and transports; or of a graph network graphs, graph-models, graph-methods and verifiers; or recipes, the
    scenarios that ship with the program; or schema or graph-schema, the JSON schemas of both kinds of scenario, for
    editors.
    """
    from rewindnet.experiments.choices import listing

    for line in listing(what, name, json):
        say(line)


@app.command()
def init(
    name: Annotated[str, typer.Argument(metavar="[NAME]", help="The name of the scenario.")] = "scenario",
) -> None:
    """Write NAME.yaml, a commented scenario to start from; a file that exists is not overwritten."""
    from rewindnet.experiments.starter import write_starter

    written = write_starter(name)
    say(f"{written}: change what you like, then: rewindnet run {written}")


def main() -> None:
    """Run the command line."""
    with checked_output():
        app(prog_name="rewindnet")
