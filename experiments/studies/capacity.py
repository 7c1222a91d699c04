"""Find how many samples a client may delete before unlearning costs too much accuracy: `rewindnet capacity`.

Sekhari, Acharya, Kamath and Suresh (2021), "Remember what you want to forget: algorithms for machine unlearning",
arXiv 2103.03279, Definition 3, with the accuracy of retraining in place of the least population risk: the largest m for
which the unlearned network, at its (ε, δ), is within γ of the retrained one.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from rewindnet.certificates import CertificateError
from rewindnet.clients.methods.baselines import Retrain
from rewindnet.experiments.console import terminal
from rewindnet.experiments.folder.files import check_writable, write_json
from rewindnet.experiments.report.columns import certified_epsilon
from rewindnet.experiments.runs.brief import brief, table_of
from rewindnet.experiments.runs.run_setup import build_run
from rewindnet.experiments.scenario.errors import ScenarioError
from rewindnet.experiments.scenario.scenario import Scenario
from rewindnet.experiments.scenario.yaml_files import load, resolve
from rewindnet.simulator.errors import MachineError, RunError


@dataclass(frozen=True)
class Trial:
    """The result of deleting m samples.

    Attributes:
        deleted: m.
        gap: `retrained` less `unlearned`; None if the method refuses.
        unlearned: the test accuracy after unlearning, mean over nodes and over draws of the noise.
        retrained: the test accuracy after retraining, mean over nodes.
        epsilon: the certified ε; None if there is none.
        sigma: σ of the noise, root mean square over nodes.
        reason: why the method refuses or has no certified ε; None otherwise.
    """

    deleted: int
    gap: float | None
    unlearned: float | None = None
    retrained: float | None = None
    epsilon: float | None = None
    sigma: float | None = None
    reason: str | None = None

    def within(self, gamma: float) -> bool:
        """Return whether there is a certified ε and the loss of accuracy is at most γ.

        Args:
            gamma: γ.
        """
        return self.epsilon is not None and self.gap is not None and self.gap <= gamma


def capacity_of(path: Path, settings: Sequence[str], gamma: float, method: int, draws: int, out: Path | None) -> None:
    """Find the deletion capacity of one method of a scenario, and print all trials.

    Args:
        path: the scenario file.
        settings: overrides, each `key=value`.
        gamma: γ, the largest accepted loss of accuracy.
        method: the number of the method.
        draws: the number of draws of the noise to average over.
        out: a JSON file to write; None writes no file.

    Raises:
        UserError: if the scenario or an option is not valid, or the method refuses a single sample.
    """
    scenario = load(path, settings)
    _check_options(scenario, gamma, method, draws)
    if out is not None:
        check_writable(out)
    console, trials = terminal(), {}
    client = scenario.deletion.client
    network = build_run(trial_scenario(scenario, 1, method, 1)).network
    samples = len(network.partition[network.requesting])
    with console.status("deleting", spinner=console.spinner) as status:

        def within(deleted: int) -> bool:
            status.update(f"deleting {deleted} of {samples} samples")
            trials[deleted] = run_trial(trial_scenario(scenario, deleted, method, draws), deleted, draws)
            return trials[deleted].within(gamma)

        capacity = largest(within, samples)
    ordered = [trials[deleted] for deleted in sorted(trials)]
    _print_trials(scenario, ordered, gamma, method, console)
    console.print(f"deletion capacity of client {client}: {capacity} of its {samples} samples", highlight=False)
    if out is not None:
        rows = [asdict(trial) for trial in ordered]
        write_json(out, {"gamma": gamma, "held": samples, "capacity": capacity, "trials": rows})


def _check_options(scenario: Scenario, gamma: float, method: int, draws: int) -> None:
    """Check the options of the command against the scenario.

    Raises:
        ScenarioError: if an option is out of its range, or the scenario has several requests or a departure.
    """
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
        raise ScenarioError(
            "the deletion capacity is that of one client that stays in the network: give deletion.client without "
            "deletion.requests, and deletion.departure relay"
        )


def largest(holds: Callable[[int], bool], most: int) -> int:
    """Find the largest m in 0 … most for which a condition holds, by bisection.

    Args:
        holds: the condition, which must hold up to some m and for no larger m; it is not evaluated at 0.
        most: the largest m to evaluate.
    """
    low, high = 0, most + 1
    for first in (1, most):
        if low < first < high:
            low, high = (first, high) if holds(first) else (low, first)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low


def trial_scenario(scenario: Scenario, deleted: int, method: int, draws: int) -> Scenario:
    """Make a scenario in which the client deletes m samples, with one method and retraining.

    Every release of a run draws its own noise, so the method is listed once for each draw.

    Args:
        scenario: the scenario to change.
        deleted: m, the number of samples to delete.
        method: the number of the method.
        draws: the number of draws of its noise.
    """
    plain = scenario.plain()
    chosen = plain["unlearning"][method]
    retrain = {"method": Retrain.name, "delta": chosen.get("delta", 1e-5)}
    return resolve(
        {
            **brief(plain),
            "deletion": {**plain["deletion"], "samples": deleted},
            "unlearning": [chosen] * draws + [retrain],
        }
    )


def run_trial(scenario: Scenario, deleted: int, draws: int) -> Trial:
    """Run a trial.

    Args:
        scenario: the scenario, from `trial_scenario`.
        deleted: m, the number of samples that it deletes.
        draws: the number of draws of the noise.

    Returns:
        The result; with a reason instead of a gap if the method refuses more than one sample.

    Raises:
        ScenarioError: if the method refuses a single sample.
    """
    try:
        *rows, oracle = table_of(scenario)[: draws + 1]
    except MachineError:
        raise
    except (CertificateError, RunError) as problem:
        reason = str(problem).partition("failed: ")[2] or str(problem)
        if deleted == 1:
            raise ScenarioError(f"the method refuses to delete a single sample: {reason}") from None
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


def _print_trials(scenario: Scenario, trials: Sequence[Trial], gamma: float, method: int, console: Console) -> None:
    """Print the table of all trials, and the reasons of those without an ε."""
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
        table.add_row(str(trial.deleted), certified_epsilon(trial.epsilon), sigma, *shown, answer)
    console.print(table)
    for trial in trials:
        if trial.reason:
            console.print(f"— m = {trial.deleted}: {trial.reason}", style="dim", highlight=False, soft_wrap=True)
