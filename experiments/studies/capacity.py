"""`rewindnet capacity`: how many samples a client may delete before unlearning costs too much accuracy.

Sekhari, Acharya, Kamath and Suresh (2021), "Remember what you want to forget: algorithms for machine unlearning",
arXiv 2103.03279, Definition 3, with the accuracy of retraining in place of the least population risk: the largest m for
which the unlearned network, at its (ε, δ), is within γ of the retrained one.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.table import Table

from rewindnet.certificates import CertificateError
from rewindnet.experiments.console import terminal
from rewindnet.experiments.folder.files import write_json
from rewindnet.experiments.folder.reader import read_folder
from rewindnet.experiments.report.table import epsilon
from rewindnet.experiments.runs.job import RunJob
from rewindnet.experiments.runs.run_setup import build_run
from rewindnet.experiments.scenario.errors import ScenarioError
from rewindnet.experiments.scenario.scenario import Scenario
from rewindnet.experiments.scenario.yaml_files import load, resolve
from rewindnet.simulator.errors import RunError


@dataclass(frozen=True)
class Trial:
    """The result of deleting m samples.

    Attributes:
        deleted: m.
        gap: `retrained` less `unlearned`; None where the method refuses.
        unlearned: the mean test accuracy over nodes of unlearning, averaged over draws of its noise.
        retrained: the mean test accuracy over nodes of retraining.
        epsilon: that is certified.
        sigma: of the noise, as root mean square over nodes.
        reason: why the method refuses, or gets no ε.
    """

    deleted: int
    gap: float | None
    unlearned: float | None = None
    retrained: float | None = None
    epsilon: float | None = None
    sigma: float | None = None
    reason: str | None = None

    def within(self, gamma: float) -> bool:
        """Return whether so many can be deleted: under a certificate, and at no more than this loss of accuracy."""
        return self.epsilon is not None and self.gap is not None and self.gap <= gamma


def capacity_of(path: Path, settings: Sequence[str], gamma: float, method: int, draws: int, out: Path | None) -> None:
    """Find the deletion capacity of one method of a scenario, and print what was tried.

    Args:
        path: of the scenario file.
        settings: overrides, each `key=value`.
        gamma: γ, the loss of accuracy that is accepted.
        method: the number of the method.
        draws: of its noise, to average over.
        out: a JSON file to write; None writes none.

    Raises:
        UserError: if the scenario makes no sense, or the method refuses a single sample.
    """
    scenario = load(path, settings)
    if not 0 <= gamma < 1:
        raise ScenarioError(f"--gamma is a difference of accuracies, in [0, 1), not {gamma}")
    if not 0 <= method < len(scenario.unlearning):
        raise ScenarioError(
            f"--method is the number of an unlearning method of the scenario, 0 to {len(scenario.unlearning) - 1}, "
            f"not {method}"
        )
    if draws < 1:
        raise ScenarioError(f"--draws is a number of draws of the noise, at least 1, not {draws}")
    if scenario.deletion.requests or scenario.deletion.departure == "leave":
        raise ScenarioError("the deletion capacity is that of one client that stays: give deletion.client alone")
    console, trials = terminal(), {}
    samples = len(build_run(asking(scenario, 1, method, 1)).network.partition[scenario.deletion.client])
    with console.status("deleting") as status:

        def enough(deleted: int) -> bool:
            status.update(f"deleting {deleted} of {samples} samples")
            trials[deleted] = tried(asking(scenario, deleted, method, draws), deleted, draws)
            return trials[deleted].within(gamma)

        capacity = largest(enough, samples)
    show(scenario, [trials[deleted] for deleted in sorted(trials)], gamma, method, console)
    client = scenario.deletion.client
    console.print(f"deletion capacity of client {client}: {capacity} of its {samples} samples", highlight=False)
    if out is not None:
        rows = [asdict(trials[deleted]) for deleted in sorted(trials)]
        write_json(out, {"gamma": gamma, "held": samples, "capacity": capacity, "trials": rows})


def largest(enough: Callable[[int], bool], most: int) -> int:
    """Find the largest m in 0 … most for which a condition holds, by bisection.

    Args:
        enough: the condition; it must hold for all m up to some number, and for none above. It is not tried for 0.
        most: the largest m to try.
    """
    low, high = 0, most + 1
    for first in (1, most):
        if low < first < high:
            low, high = (first, high) if enough(first) else (low, first)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if enough(middle) else (low, middle)
    return low


def asking(scenario: Scenario, deleted: int, method: int, draws: int) -> Scenario:
    """Make the scenario in which the client deletes so many samples, and one method and retraining answer.

    Every release of a run draws noise of its own, so the method is listed as often as its noise is to be drawn.

    Args:
        scenario: that it is made from.
        deleted: how many samples are deleted.
        method: the number of the method.
        draws: of its noise.
    """
    plain = scenario.plain()
    answering = plain["unlearning"][method]
    retrain = {"method": "retrain", "delta": answering.get("delta", 1e-5)}
    return resolve(
        {
            **plain,
            "deletion": {**plain["deletion"], "samples": deleted},
            "unlearning": [answering] * draws + [retrain],
            "audit": {**plain["audit"], "draws": 0},
            "measures": {**plain["measures"], "membership": False},
            "record": {**plain["record"], "weights": False},
        }
    )


def tried(scenario: Scenario, deleted: int, draws: int) -> Trial:
    """Run a scenario that `asking` has made.

    Args:
        scenario: to run.
        deleted: how many samples it deletes.
        draws: how often it lists the method.

    Raises:
        ScenarioError: if the method refuses a single sample; more of them it may refuse.
    """
    try:
        with TemporaryDirectory(prefix="rewindnet-") as scratch:
            place = Path(scratch) / "run"
            scenario.backend.build().execute(RunJob(build_run(scenario), place, False, Path(scratch)))
            *rows, oracle = read_folder(place).summary[: draws + 1]
    except (CertificateError, RunError) as problem:
        reason = str(problem).partition("failed: ")[2] or str(problem)
        if deleted == 1:
            raise ScenarioError(f"not even one sample can be deleted: {reason}") from None
        return Trial(deleted, None, reason=reason)
    unlearned = sum(row["accuracy"]["test"]["mean"] for row in rows) / len(rows)
    retrained = oracle["accuracy"]["test"]["mean"]
    first = rows[0]
    return Trial(
        deleted=deleted,
        gap=retrained - unlearned,
        unlearned=unlearned,
        retrained=retrained,
        epsilon=first["epsilon_certified"],
        sigma=first["sigma"],
        reason=None if first["epsilon_certified"] is not None else first["reason"],
    )


def show(scenario: Scenario, trials: Sequence[Trial], gamma: float, method: int, console: Console) -> None:
    """Print what was tried."""
    name = scenario.unlearning[method].name
    title = f"{scenario.name}: client {scenario.deletion.client} deletes m samples, {name} answers"
    table = Table(title=title, title_justify="left", header_style="bold")
    for heading in ("m", "ε certified", "σ", "retrained %", "unlearned %", "gap", f"within {gamma:g}"):
        table.add_column(heading, justify="right", no_wrap=True)
    for trial in trials:
        numbers = (trial.retrained, trial.unlearned, trial.gap)
        shown = ["—" if number is None else f"{100 * number:.1f}" for number in numbers]
        sigma = "—" if trial.sigma is None else f"{trial.sigma:.3g}"
        answer = "yes" if trial.within(gamma) else "no"
        table.add_row(str(trial.deleted), epsilon(trial.epsilon), sigma, *shown, answer)
    console.print(table)
    for trial in trials:
        if trial.reason:
            console.print(f"— m = {trial.deleted}: {trial.reason}", style="dim", highlight=False, soft_wrap=True)
