"""Write what a search has found so far: a scenario file with the search in a comment, and a JSON file to go on from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rewindnet.experiments.folder.files import read_json, write, write_json
from rewindnet.experiments.scenario.errors import ScenarioError
from rewindnet.experiments.scenario.scenario import Scenario
from rewindnet.experiments.scenario.yaml_files import resolve
from rewindnet.experiments.tune.public import PublicNetwork
from rewindnet.experiments.tune.search import best_of
from rewindnet.experiments.tune.space import Point
from rewindnet.experiments.tune.trial import Goal, Trial

#: The version of the layout of the JSON file.
FORMAT = 1


@dataclass(eq=False)
class SearchRecord:
    """The trials of a search, written after every one of them.

    Attributes:
        out: the scenario file; the JSON file has its name and the ending .json.
        scenario: the scenario that is tuned.
        public: its network with public data.
        goal: what is wanted.
        asked: the options and the scenario, which the same command has again.
        trials: all trials, planned or run.
    """

    out: Path
    scenario: Scenario
    public: PublicNetwork
    goal: Goal
    asked: Mapping[str, Any]
    trials: list[Trial] = field(default_factory=list)

    @property
    def journal(self) -> Path:
        """The JSON file."""
        return self.out.with_suffix(".json")

    @property
    def best(self) -> Trial | None:
        """The best trial; None if none reaches what is wanted."""
        return best_of(self.trials)

    def go_on(self, force: bool) -> int:
        """Read the trials of the same search, if it was begun before.

        Args:
            force: begin anew, whatever is there.

        Returns:
            The number of trials that were found.

        Raises:
            ScenarioError: if one of the files is of something else.
        """
        if force or not (self.out.exists() or self.journal.exists()):
            return 0
        if not self.journal.is_file() or (found := read_json(self.journal)).get("asked") != self.asked:
            raise ScenarioError(
                f"{self.out} or {self.journal.name} holds something else than this search; choose another with --out, "
                "or overwrite with --force"
            )
        self.trials = [Trial.from_record(trial) for trial in found["trials"]]
        return len(self.trials)

    def found(self, settings: Point, draws: int) -> Trial | None:
        """Return a trial that was made already.

        Args:
            settings: of the trial.
            draws: of the noise.
        """
        return next((one for one in self.trials if one.settings == settings and one.draws == draws), None)

    def add(self, trial: Trial) -> None:
        """Add a trial, and write both files."""
        self.trials.append(trial)
        self.write()

    def write(self) -> None:
        """Write both files as they are to stand at this point, each as a whole."""
        best = self.best
        content = {"format": FORMAT, "asked": self.asked, "looked_at": self.looked_at}
        found = {"best": None if best is None else best.to_record(), "trials": [one.to_record() for one in self.trials]}
        write_json(self.journal, {**content, **found})
        lines = "".join(f"# {line}\n" for line in self.lines())
        plain = self.scenario.plain() if best is None else self.goal.applied(self.scenario.plain(), best.settings)
        write(self.out, lines + resolve(plain).to_yaml())

    @property
    def looked_at(self) -> str:
        """A sentence about the data that the search looked at."""
        return f"The search {self.public.looked_at}; {self.public.left_alone}."

    def lines(self) -> list[str]:
        """Return the comment: what was wanted, looked at and found, and every trial with its figures."""
        goal, delta = self.goal, self.scenario.unlearning[self.goal.row].settings["delta"]
        run = [trial for trial in self.trials if trial.draws]
        left = [trial for trial in self.trials if not trial.draws and trial.reason]
        return [
            f"Settings found by rewindnet tune for row {goal.row}: ε at most {goal.epsilon:g} at δ = {delta:g}, and at "
            f"most {100 * goal.cost:.3g} % of the gradients of retraining.",
            self.looked_at,
            found_sentence(self.best),
            f"{len(run)} trials: accuracy in % of the lowest node (mean over nodes; of retraining), draws of noise.",
            *(f"  {trial_words(trial)}" for trial in run),
            f"{len(left)} points were planned and not run.",
            *(f"  {settings_words(trial.settings)}: {trial.reason}" for trial in left),
        ]


def found_sentence(best: Trial | None) -> str:
    """Say what was found.

    Args:
        best: the best trial; None if none reaches what is wanted.
    """
    if best is None:
        return "No trial reaches what is wanted, so the settings are those that the scenario had."
    return f"Best: {trial_words(best)}"


def trial_words(trial: Trial) -> str:
    """Return a trial on one line."""
    if trial.lowest is None or trial.mean is None or trial.retrained is None:
        return f"{settings_words(trial.settings)}: {trial.reason}"
    figures = f"{100 * trial.lowest:.2f} ({100 * trial.mean:.2f}; {100 * trial.retrained:.2f}), {trial.draws} draws"
    return f"{settings_words(trial.settings)}: {figures}" + (f"; {trial.reason}" if trial.reason else "")


def settings_words(settings: Point) -> str:
    """Return settings as they are given on the command line."""
    return " ".join(f"{key}={'null' if value is None else f'{value:g}'}" for key, value in settings.items())


def named(trials: Sequence[Trial], settings: Point) -> Trial | None:
    """Return the trial of some settings with the most draws; None if they were not run.

    Args:
        trials: all trials.
        settings: the settings.
    """
    own = [trial for trial in trials if trial.settings == settings and trial.draws]
    return max(own, key=lambda trial: trial.draws, default=None)
