"""Plan and run one point of the search on public data."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from rewindnet.certificates import CertificateError
from rewindnet.clients.methods.baselines import Retrain
from rewindnet.errors import UserError
from rewindnet.experiments.plan.network import build_planned_network
from rewindnet.experiments.plan.outlook import check_forecast, outlook
from rewindnet.experiments.runs.brief import brief, table_of
from rewindnet.experiments.scenario.scenario import Scenario
from rewindnet.experiments.scenario.views import with_node
from rewindnet.experiments.scenario.yaml_files import resolve
from rewindnet.experiments.tune.space import Point
from rewindnet.simulator.errors import MachineError, RunError

#: A plan that leaves more noise than this in some score is not run: odds change seven times over.
USELESS = 2.0


@dataclass(frozen=True)
class Goal:
    """What is wanted.

    Attributes:
        row: the number of the r2d row.
        epsilon: the largest ε.
        cost: the largest cost of the descent, as a share of retraining's gradients.
    """

    row: int
    epsilon: float
    cost: float

    def applied(self, plain: Mapping[str, Any], point: Point) -> dict[str, Any]:
        """Return a scenario, as plain data, with the settings of a point and the ε that is wanted.

        Args:
            plain: the scenario.
            point: a value for each key.
        """
        changed: dict[str, Any] = dict(plain)
        row = {**plain["unlearning"][self.row], "epsilon": self.epsilon, "sigma": None}
        for key, value in point.items():
            section, _, name = key.partition(".")
            if section == "unlearning":
                row[name.partition(".")[2]] = value
            else:
                changed[section] = {**changed[section], name: value}
        listed = list(plain["unlearning"])
        listed[self.row] = row
        return {**changed, "unlearning": listed}


@dataclass(frozen=True)
class Trial:
    """A point that was tried.

    Attributes:
        settings: a value for each key that is tuned.
        draws: how many times the noise was drawn; 0 where the point was planned only.
        lowest: the test accuracy of the lowest node, mean over the draws; None where the point was not run.
        mean: the mean test accuracy over nodes, mean over the draws.
        retrained: that of retraining with the same settings, mean over nodes.
        epsilon: the certified ε.
        cost: of the descent, as a share of retraining's gradients; None where it is not known.
        noise: the forecast noise of a score at the node where it is largest; None without a forecast.
        reason: why the point was not run, or does not reach what is wanted; None otherwise.
    """

    settings: Point
    draws: int
    lowest: float | None = None
    mean: float | None = None
    retrained: float | None = None
    epsilon: float | None = None
    cost: float | None = None
    noise: float | None = None
    reason: str | None = None

    def to_record(self) -> dict[str, Any]:
        """Return the trial as plain JSON."""
        return asdict(self)

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> "Trial":
        """Return the trial of a record; the inverse of `to_record`.

        Args:
            record: the plain JSON.
        """
        return cls(**record)


def plan_point(planned: Scenario, goal: Goal, point: Point) -> Trial:
    """Forecast a point without data, and say why it need not be run.

    Args:
        planned: the scenario without data.
        goal: what is wanted.
        point: a value for each key.
    """
    try:
        network = build_planned_network(resolve(goal.applied(planned.plain(), point)))
        check_forecast(network)
    except UserError:
        return Trial(point, 0)
    method = network.scenario.unlearning[goal.row]
    settings = with_node(method.settings, network.topology.names, network.nodes, f"unlearning.{goal.row}")
    found = outlook(network, network.training_run, settings)
    if found.noise is None:
        return Trial(point, 0, reason=found.reason)
    reason = None
    if found.gradients > goal.cost * (1 + 1e-9):
        reason = f"it takes {100 * found.gradients:.3g} % of retraining, more than {100 * goal.cost:.3g} %"
    elif found.worst > USELESS and settings["bound"] != "instance":
        reason = f"its plan leaves noise of {found.worst:.3g} in a score, more than {USELESS:g}"
    return Trial(point, 0, epsilon=found.epsilon, cost=found.gradients, noise=found.worst, reason=reason)


def run_point(public: Scenario, goal: Goal, planned: Trial, draws: int) -> Trial:
    """Run a point on public data, with its noise drawn several times.

    Args:
        public: the scenario with public data.
        goal: what is wanted.
        planned: the point, from `plan_point`.
        draws: how many times the noise is drawn.
    """
    plain = brief(goal.applied(public.plain(), planned.settings))
    row = plain["unlearning"][goal.row]
    known = replace(planned, draws=draws, epsilon=None)
    try:
        drawn = resolve({**plain, "unlearning": [row] * draws + [{"method": Retrain.name}]})
        *rows, oracle = table_of(drawn)[: draws + 1]
    except MachineError:
        raise
    except (CertificateError, RunError, UserError) as problem:
        return replace(known, reason=str(problem).partition("failed: ")[2] or str(problem))
    test = [one["accuracy"]["test"] for one in rows]
    epsilon = rows[0]["epsilon_certified"]
    missed = epsilon is None or epsilon > goal.epsilon * (1 + 1e-9)
    return replace(
        known,
        lowest=sum(accuracy["lowest"] for accuracy in test) / draws,
        mean=sum(accuracy["mean"] for accuracy in test) / draws,
        retrained=oracle["accuracy"]["test"]["mean"],
        epsilon=epsilon,
        reason=(rows[0].get("reason") or "its epsilon is too large") if missed else None,
    )
