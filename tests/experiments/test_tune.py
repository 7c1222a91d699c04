"""`rewindnet tune`: it finds what it should, on public data alone, and goes on where it was stopped."""

import json
from collections.abc import Iterator

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from rewindnet.experiments.cli import app
from rewindnet.experiments.scenario.network_setup import build_network
from rewindnet.experiments.scenario.yaml_files import load, resolve
from rewindnet.experiments.tune import command
from rewindnet.experiments.tune.public import public_network
from rewindnet.experiments.tune.search import FIELD, best_of, search
from rewindnet.experiments.tune.space import axes_of, drawn, own_point
from rewindnet.experiments.tune.trial import Goal, Trial, plan_point

SCENARIO = {
    "name": "wanted",
    "data": {"source": "synthetic", "samples": 300, "dimensions": 4, "classes": 3},
    "partition": {"kind": "dirichlet", "alpha": 1.0, "clients": 6, "min_partition_size": 5},
    "topology": "ring",
    "learning": {"rounds": 16},
    "deletion": {"client": 2, "samples": 2},
    "unlearning": [
        "ridge",
        {"method": "r2d", "rewind": 0.5, "epsilon": 4.0, "view": "transcript:all", "placement": "rewind"},
    ],
}
GOAL = Goal(row=1, epsilon=4.0, cost=0.5)


def tuned(tmp_path, *arguments, **changes):
    file = tmp_path / "scenario.yaml"
    file.write_text(yaml.safe_dump({**SCENARIO, **changes}), "utf-8")
    return CliRunner().invoke(app, ["tune", str(file), "--out", str(tmp_path / "tuned.yaml"), *arguments])


def planned(number: int) -> Trial:
    return Trial({"x": number}, 0)


def made(number: int, draws: int) -> Trial:
    """The larger the number, the better the point; 13 does not reach what is wanted."""
    reason = "no epsilon" if number == 13 else None
    return Trial({"x": number}, draws, lowest=number / 100, mean=number / 90, reason=reason)


def searched(budget: int, points: Iterator[int]) -> list[Trial]:
    done: list[Trial] = []

    def run(trial: Trial, draws: int) -> Trial:
        done.append(made(trial.settings["x"], draws))
        return done[-1]

    search(
        planned(0),
        ({"x": number} for number in points),
        lambda point: planned(point["x"]),
        run,
        lambda: len(done) < budget,
    )
    return done


def test_the_better_half_is_tried_again_with_twice_the_draws():
    done = searched(15, iter([7, 13, 3, 9, 1, 4, 5, 2]))
    tried = [[trial.settings["x"] for trial in done if trial.draws == draws] for draws in (1, 2, 4, 8)]
    assert tried == [[0, 7, 13, 3, 9, 1, 4, 5], [9, 7, 5, 4], [9, 7], [9]]
    assert best_of(done) == made(9, 8)


def test_a_search_ends_with_its_budget_or_its_points():
    assert len(searched(5, iter(range(1, 40)))) == 5
    assert len(searched(100, iter(range(1, 20)))) == 15 + 15 + 7
    assert best_of([made(13, 4), planned(20)]) is None


def test_points_are_drawn_once_and_the_same_for_a_seed():
    axes = {"a": (1, 2, 3), "b": (None, 0.5)}
    points = list(drawn(axes, 7))
    assert points == list(drawn(axes, 7)) != list(drawn(axes, 8))
    assert sorted(map(str, points)) == sorted(str({"a": a, "b": b}) for a in (1, 2, 3) for b in (None, 0.5))


def test_every_setting_of_the_task_is_tuned_around_its_value():
    learning = {"rounds": 40, "step_size": 0.8, "client_clip": 0.1}
    scenario = resolve({**SCENARIO, "learning": learning})
    axes = axes_of(scenario, 1, 2.0, 0.3)
    names = ["learning.client_clip", "model.l2", "learning.radius", "learning.rounds", "learning.step_size"]
    assert list(axes) == [*names, "unlearning.1.rewind"]
    assert own_point(scenario, axes) == dict(zip(axes, (0.1, 1e-4, None, 40, 0.8, 0.5), strict=True))
    assert axes["learning.client_clip"] == (0.025, 0.05, 0.1, 0.2, 0.4)
    assert axes["learning.radius"] == (None, 1.5, 5.0, 15.0)
    assert max(axes["unlearning.1.rewind"]) == 0.3
    assert "learning.client_clip" not in axes_of(resolve(SCENARIO), 1, 1.0, 0.5)


def test_public_networks_share_no_sample_with_the_scenario(tmp_path):
    rng = np.random.default_rng(0)
    x, y, client = rng.normal(size=(60, 5)), rng.integers(0, 3, 60), np.repeat(np.arange(5), 12)
    np.savez(tmp_path / "own.npz", x=x.astype(np.float32), y=y, client=client)
    own = {"source": "npz", "path": str(tmp_path / "own.npz")}
    scenario = resolve(
        {**SCENARIO, "data": own, "partition": "natural", "deletion": {"client": 2, "samples": {"indices": [1, 3]}}}
    )
    public = public_network(scenario, None)
    network = build_network(public.scenario)
    assert network.samples.tolist() == build_network(scenario).samples.tolist()
    assert (network.features.x.shape[1], network.model.outputs, network.nodes) == (5, 3, 5)
    assert network.training_run.deleted.tolist() == [0, 0, 2, 0, 0]
    assert public.scenario.data.source == "synthetic"
    # A change of every sample, but for sizes and classes, changes nothing.
    np.savez(tmp_path / "own.npz", x=(-3 * x).astype(np.float32), y=(y + 1) % 3, client=client)
    again = public_network(scenario, None)
    assert (again.scenario.plain(), again.looked_at, again.left_alone) == (
        public.scenario.plain(),
        public.looked_at,
        public.left_alone,
    )


def test_plans_leave_out_points_that_cannot_be_of_use():
    planned = public_network(resolve(SCENARIO), None).planned
    point = {"learning.rounds": 16, "unlearning.1.rewind": 0.25}
    found = plan_point(planned, GOAL, point)
    assert (found.cost, found.epsilon, found.reason) == (0.25, pytest.approx(4.0), None)
    assert (
        "75 % of retraining, more than 50 %" in plan_point(planned, GOAL, {**point, "unlearning.1.rewind": 0.75}).reason
    )
    tiny = Goal(row=1, epsilon=0.01, cost=0.5)
    assert "in a score, more than 2" in plan_point(planned, tiny, point).reason


@pytest.mark.slow
def test_a_search_writes_a_scenario_with_all_trials_and_goes_on(tmp_path):
    done = tuned(tmp_path, "--budget", "2")
    assert done.exit_code == 0, done.output
    text = (tmp_path / "tuned.yaml").read_text("utf-8")
    record = json.loads((tmp_path / "tuned.json").read_text("utf-8"))
    run = [trial for trial in record["trials"] if trial["draws"]]
    assert len(run) == 2
    assert record["best"] == max(run, key=lambda trial: (trial["lowest"], trial["mean"]))
    scenario = load(tmp_path / "tuned.yaml")
    best = record["best"]["settings"]
    assert scenario.learning.rounds == best["learning.rounds"]
    assert scenario.unlearning[1].settings["rewind"] == best["unlearning.1.rewind"]
    assert scenario.unlearning[0].name == "ridge"
    # The data are the scenario's own again, and nothing of the search is left in it but its settings.
    assert scenario.data.plain() == resolve(SCENARIO).data.plain()
    for words in ("of the scenario's own data it used the number of samples", "looked at synthetic data"):
        assert words in text
        assert words in done.output
    for trial in run:
        assert f"{100 * trial['lowest']:.2f} ({100 * trial['mean']:.2f};" in text
    # A larger budget goes on: the trials that were made are not made again.
    again = tuned(tmp_path, "--budget", "3")
    assert "of this search were found in" in again.output
    longer = json.loads((tmp_path / "tuned.json").read_text("utf-8"))["trials"]
    assert longer[: len(record["trials"])] == record["trials"]
    assert len([trial for trial in longer if trial["draws"]]) == 3
    other = tuned(tmp_path, "--budget", "3", "--epsilon", "2")
    assert other.exit_code == 2
    assert "holds something else than this search" in other.output


def test_what_was_found_is_there_after_an_interruption(tmp_path, monkeypatch):
    made, run_point = [], command.run_point

    def interrupted(*arguments):
        if made:
            raise KeyboardInterrupt
        made.append(arguments)
        return run_point(*arguments)

    monkeypatch.setattr(command, "run_point", interrupted)
    done = tuned(tmp_path, "--budget", "4")
    assert done.exit_code == 130
    assert "has what was found so far, and the same command goes on" in done.output
    assert json.loads((tmp_path / "tuned.json").read_text("utf-8"))["best"]["draws"] == 1
    load(tmp_path / "tuned.yaml")


@pytest.mark.slow
def test_a_longer_search_beats_the_scenario_and_is_the_same_again(tmp_path):
    (tmp_path / "again").mkdir()
    first = tuned(tmp_path, "--budget", "15", "--epsilon", "2", topology={"kind": "random-regular", "degree": 4})
    second = tuned(
        tmp_path / "again", "--budget", "15", "--epsilon", "2", topology={"kind": "random-regular", "degree": 4}
    )
    assert (first.exit_code, second.exit_code) == (0, 0)
    found, same = (json.loads((place / "tuned.json").read_text("utf-8")) for place in (tmp_path, tmp_path / "again"))
    assert found == same
    own = found["trials"][0]["settings"]
    before = [trial["lowest"] or 0.0 for trial in found["trials"] if trial["settings"] == own and trial["draws"]]
    assert found["best"]["lowest"] >= max(before, default=0.0)
    assert found["best"]["epsilon"] == pytest.approx(2.0)
    assert found["best"]["draws"] == FIELD


@pytest.mark.slow
def test_a_public_source_takes_the_place_of_the_data(tmp_path):
    done = tuned(
        tmp_path,
        "--budget",
        "1",
        "--data",
        "digits",
        data={"source": "synthetic-images", "side": 8, "classes": 10, "samples": 200},
    )
    assert done.exit_code == 0, done.output
    assert "the source that --data declares public: digits" in done.output


@pytest.mark.parametrize(
    ("arguments", "changes", "words"),
    [
        (["--budget", "soon"], {}, "--budget is a number of trials, like 40, or of seconds, like 60s; not 'soon'"),
        (["--budget", "0"], {}, "--budget is"),
        (["--cost", "1.5"], {}, "--cost is a share of the gradients of retraining"),
        (["--epsilon", "-1"], {}, "--epsilon is the ε that is wanted"),
        (["--data", "synthetic"], {}, "is the data of the scenario, which may have to be deleted"),
        (["--data", "mnits"], {}, "did you mean 'mnist'"),
        ([], {"unlearning": ["ridge"]}, "this one lists none"),
        ([], {"data": {**SCENARIO["data"], "features": "raw"}}, "set data.features.radius"),
        (["--epsilom", "1"], {}, "--epsilon"),
    ],
)
def test_what_cannot_be_tuned_is_said(tmp_path, arguments, changes, words):
    done = tuned(tmp_path, *arguments, **changes)
    assert done.exit_code == 2, done.output
    assert words in done.output
    assert [path.name for path in tmp_path.iterdir()] == ["scenario.yaml"]
