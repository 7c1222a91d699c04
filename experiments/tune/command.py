"""Find settings that keep accuracy at a wanted ε and cost: the command `rewindnet tune`."""

import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from rewindnet.certificates.digits import rounded_up
from rewindnet.clients.methods import rewinds
from rewindnet.experiments.console import terminal
from rewindnet.experiments.fitting import print_fitting, print_sentences
from rewindnet.experiments.folder.files import check_writable
from rewindnet.experiments.scenario.errors import ScenarioError
from rewindnet.experiments.scenario.scenario import Scenario
from rewindnet.experiments.scenario.yaml_files import load, parse_yaml
from rewindnet.experiments.tune.public import public_network
from rewindnet.experiments.tune.record import SearchRecord, found_sentence, named, trial_words
from rewindnet.experiments.tune.search import search
from rewindnet.experiments.tune.space import Point, axes_of, drawn, own_point
from rewindnet.experiments.tune.trial import Goal, Trial, plan_point, run_point

#: The trials that are printed.
_SHOWN = 8


def tune_scenario(
    path: Path,
    settings: Sequence[str],
    epsilon: float | None,
    cost: float,
    budget: str,
    data: str | None,
    seed: int | None,
    out: Path | None,
    force: bool,
    wide: bool = False,
) -> None:
    """Search for settings on public data, and write the scenario with the best of them.

    Args:
        path: the scenario file, or the name of a recipe.
        settings: overrides, each `key=value`.
        epsilon: the ε that is wanted; that of the first r2d row, or 1, by default.
        cost: the largest cost of the descent, as a share of retraining's gradients.
        budget: a number of trials, or of seconds with an s behind it.
        data: a public source, by its name or as a section `data` in YAML; None for synthetic data.
        seed: of the search; that of the scenario by default.
        out: the scenario file to write; <name>-tuned.yaml by default.
        force: begin anew in place of what is there.
        wide: print all columns of the table, however narrow the terminal is.

    Raises:
        UserError: if the scenario or an option is not valid; nothing has been written then.
        KeyboardInterrupt: with a sentence about how to go on, if the user interrupts the search.
    """
    scenario = load(path, settings)
    goal = _goal(scenario, epsilon, cost)
    allowance = _Allowance(budget)
    public = public_network(scenario, None if data is None else _source(data))
    asked = {"scenario": scenario.plain(), "goal": vars(goal), "data": data, "seed": seed}
    record = SearchRecord(out or Path(f"{scenario.name}-tuned.yaml"), scenario, public, goal, asked)
    check_writable(record.out)
    console = terminal(wide=wide)
    found = record.go_on(force)
    if found:
        console.print(f"{found} points of this search were found in {record.journal}", highlight=False)
    axes = axes_of(scenario, goal.row, public.radius, goal.cost)
    own = own_point(scenario, axes)
    points = drawn(axes, scenario.seed if seed is None else seed)
    try:
        with console.status("tuning", spinner=console.spinner) as status:
            _search(record, own, points, allowance, status.update)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"{record.out} has what was found so far, and the same command goes on") from None
    record.write()
    _print(record, own, console)


def _search(
    record: SearchRecord, own: Point, points: Any, allowance: "_Allowance", tell: Callable[[str], None]
) -> None:
    """Search until the budget is spent; trials that were made before are taken from the record."""
    public, goal = record.public, record.goal

    def plan(point: Point) -> Trial:
        known = record.found(point, 0)
        if known is None:
            known = plan_point(public.planned, goal, point)
            record.add(known)
        return known

    def run(planned: Trial, draws: int) -> Trial:
        allowance.take()
        known = record.found(planned.settings, draws)
        if known is None:
            tell(f"trial {allowance.taken}, {draws} draws of the noise")
            known = run_point(public.scenario, goal, planned, draws)
            record.add(known)
        return known

    search(plan(own), points, plan, run, allowance.goes_on)


class _Allowance:
    """How much a search may take.

    Args:
        budget: a number of trials, or of seconds with an s behind it.

    Raises:
        ScenarioError: if it is neither.
    """

    def __init__(self, budget: str) -> None:
        given = re.fullmatch(r"(\d{1,9}(?:\.\d+)?)\s*(s|)", budget.strip())
        if given is None or float(given[1]) <= 0 or (not given[2] and "." in given[1]):
            raise ScenarioError(f"--budget is a number of trials, like 40, or of seconds, like 60s; not {budget!r}")
        self._seconds = float(given[1]) if given[2] else None
        self._trials, self._began, self.taken = float(given[1]), time.monotonic(), 0

    def take(self) -> None:
        """Count a trial."""
        self.taken += 1

    def goes_on(self) -> bool:
        """Return whether there is budget for another trial; there is for a first one."""
        if self._seconds is None:
            return self.taken < self._trials
        return not self.taken or time.monotonic() - self._began < self._seconds


def _goal(scenario: Scenario, epsilon: float | None, cost: float) -> Goal:
    """Return what is wanted of the first r2d row.

    Raises:
        ScenarioError: if there is no such row, or an option is out of its range.
    """
    rows = [at for at, method in enumerate(scenario.unlearning) if rewinds(method.name)]
    if not rows:
        raise ScenarioError("rewindnet tune tunes the first r2d row of a scenario, and this one lists none")
    wanted = epsilon if epsilon is not None else scenario.unlearning[rows[0]].settings["epsilon"] or 1.0
    if not 0 < wanted < float("inf"):
        raise ScenarioError(f"--epsilon is the ε that is wanted, above 0, not {wanted:g}")
    if not 0 < cost < 1:
        raise ScenarioError(f"--cost is a share of the gradients of retraining, between 0 and 1, not {cost:g}")
    return Goal(rows[0], wanted, cost)


def _source(data: str) -> Any:
    """Return a public source: its name, or a section `data`."""
    given = parse_yaml(data)
    if not isinstance(given, str | dict):
        raise ScenarioError(f"--data is the name of a public source, or a section like {{source: mnist}}, not {data!r}")
    return given


def _print(record: SearchRecord, own: Point, console: Console) -> None:
    """Print the best trials, what was looked at, and what was found."""
    run = [one for one in record.trials if one.lowest is not None]
    # Of each point the trial with the most draws stands for it.
    latest = {str(one.settings): one for one in sorted(run, key=lambda one: one.draws)}.values()
    shown = sorted(latest, key=lambda one: (one.reason is None, one.draws, one.lowest), reverse=True)[:_SHOWN]
    columns = [(key, [_cell(one.settings[key]) for one in shown]) for key in own]
    columns += [
        ("lowest %", [_percent(one.lowest) for one in shown]),
        ("mean %", [_percent(one.mean) for one in shown]),
        ("retrained %", [_percent(one.retrained) for one in shown]),
        ("ε", ["—" if one.epsilon is None else rounded_up(one.epsilon) for one in shown]),
        ("cost %", [_percent(one.cost) for one in shown]),
        ("draws", [str(one.draws) for one in shown]),
    ]
    if shown:
        title = f"{record.scenario.name}: points with the most draws of the noise first, of {len(run)} trials"
        print_fitting(console, title, columns, last=("draws", "ε", "retrained %", "mean %"))
    before = named(record.trials, own)
    as_it_was = [] if before is None else [f"As the scenario was: {trial_words(before)}"]
    print_sentences(console, [record.looked_at, *as_it_was, found_sentence(record.best)])
    console.print(f"tuned scenario: {record.out}", highlight=False, soft_wrap=True)


def _cell(value: Any) -> str:
    return "none" if value is None else f"{value:g}"


def _percent(share: float | None) -> str:
    return "—" if share is None else f"{100 * share:.1f}"
