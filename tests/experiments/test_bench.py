"""The speed table: references do the same work, and entries are timed in turn."""

import json
from dataclasses import replace
from pathlib import Path
from statistics import median

import pytest
import torch

from rewindnet.clients.steps.learning import Descend, InitialModel
from rewindnet.experiments.bench import command, tables
from rewindnet.experiments.bench.all_references import REFERENCES
from rewindnet.experiments.bench.command import bench, time_contest
from rewindnet.experiments.bench.contest import Entry, Timing
from rewindnet.experiments.bench.contests import CONTESTS
from rewindnet.experiments.bench.planning import time_plans
from rewindnet.experiments.bench.tables import print_timings
from rewindnet.experiments.bench.unlearning import DEPTHS, time_unlearning
from rewindnet.experiments.cli import app
from rewindnet.experiments.console import Terminal
from rewindnet.experiments.runs.run_setup import build_run
from rewindnet.experiments.scenario.yaml_files import resolve
from rewindnet.simulator.engine import execute
from rewindnet.simulator.task import Task
from rewindnet.simulator.transports.in_process import WorkerNetwork
from rewindnet.simulator.transports.wire import InProcess

#: What a contest took, where the wall tells of other seconds than the processor.
ONCE = {"loop over modules": [Timing(2.0, 3.0, None)], "rewindnet": [Timing(1.0, 1.0, 5 << 20)]}
SMALL = ("partition.clients=12", "data.samples=600", "data.dimensions=9", "data.classes=4")


def small(name: str, *settings: str):
    return build_run(resolve(json.loads(json.dumps(CONTESTS[name].scenario)), (*SMALL, *settings)))


@pytest.mark.parametrize("reference", ["loop", "together"])
@pytest.mark.parametrize("name", ["full-batch", "minibatch"])
def test_references_compute_what_the_simulator_does(reference: str, name: str) -> None:
    setup = small(name)
    worker = setup.worker(range(12))
    steps = (InitialModel(0),), (Descend(setup.network.training_run.order, range(3)),)
    execute(
        WorkerNetwork(worker, InProcess(12)),
        Task("bench", 0, None, *steps, 0, frozenset()),
        setup.network.mixing,
        (),
    )
    other = REFERENCES[reference](setup, 3)
    for round in range(3):
        other.round(round)
    torch.testing.assert_close(other.theta.flatten(1), worker.theta, rtol=1e-10, atol=1e-12)
    assert worker.theta.norm() > 0.01


DEEP = {
    "mlp": ("data.dimensions=9",),
    "module": ("data.dimensions=9",),
    "cnn": (),
    "resnet18": ("data.side=8", "partition.clients=3", "data.samples=180"),
}


@pytest.mark.parametrize(
    ("name", "references"),
    [
        ("mlp", ["module-loop", "mlp-together"]),
        ("module", ["module-loop"]),
        ("cnn", ["module-loop", "lenet-together"]),
        pytest.param("resnet18", ["module-loop"], marks=pytest.mark.slow),
    ],
)
def test_deep_references_compute_what_the_simulator_does(name: str, references: list[str]) -> None:
    settings = ("topology.degree=2", "partition.clients=6", "data.samples=300", "learning.local_steps=2")
    settings += ("learning.sampling.batch=4", "backend.dtype=float64")
    setup = build_run(resolve(json.loads(json.dumps(CONTESTS[name].scenario)), (*settings, *DEEP[name])))
    nodes, rounds = setup.network.nodes, 2
    worker = setup.worker(range(nodes))
    steps = (InitialModel(0),), (Descend(setup.network.training_run.order, range(rounds)),)
    execute(
        WorkerNetwork(worker, InProcess(nodes)),
        Task("bench", 0, None, *steps, 0, frozenset()),
        setup.network.mixing,
        (),
    )
    first = InitialModel(0).apply(worker.full, worker.full.blank())
    for reference in references:
        other = REFERENCES[reference](setup, rounds)
        for round in range(rounds):
            other.round(round)
        torch.testing.assert_close(other.theta, worker.theta, rtol=1e-8, atol=1e-10)
    assert (worker.theta - first).norm() > 1e-4


def test_every_contest_describes_runs_that_can_be_built() -> None:
    for contest in CONTESTS.values():
        for entry in contest.entries.values():
            assert not entry.reference or entry.reference in REFERENCES
            scenario = resolve(json.loads(json.dumps(contest.scenario)), entry.settings)
            assert scenario.unlearning[0].name == "do-nothing"


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ["gossipy", "pfl"])
def test_other_simulators_take_as_many_local_steps(name: str, dtype: str, monkeypatch) -> None:
    pytest.importorskip(name)
    steps, step = [], torch.optim.SGD.step

    def counted(self, *given):
        steps.append(self.param_groups[0]["lr"])
        return step(self, *given)

    monkeypatch.setattr(torch.optim.SGD, "step", counted)
    peer = REFERENCES[name](small("minibatch", f"backend.dtype={dtype}"), 2)
    steps.clear()  # gossipy learns once when it begins
    peer.round(0)
    assert steps.count(0.1) == 12 * 8


def test_other_simulators_that_are_not_installed_are_left_out(monkeypatch, capsys) -> None:
    contest = CONTESTS["full-batch"]
    entries = {"rewindnet, fast": contest.entries["rewindnet, fast"], "another": Entry((), "loop", needs="no_such_one")}
    monkeypatch.setattr(command, "CONTESTS", {"full-batch": replace(contest, rounds=1, entries=entries)})
    found = bench(["full-batch"], 1, SMALL, Terminal(width=100))
    assert list(found["full-batch"]) == ["rewindnet, fast"]
    said = capsys.readouterr().out
    assert "left out, since they are not installed: another" in said
    assert said.count("another") == 1


def test_entries_are_timed_in_turn() -> None:
    said: list[str] = []
    contest = replace(CONTESTS["minibatch"], rounds=2).here()
    timings = time_contest(contest, 2, SMALL, said.append)
    assert said == [f"{name}, {at} of 2" for at in (1, 2) for name in contest.entries]
    for of in timings.values():
        assert len(of) == 2
        assert all(timing.wall > 0 and timing.cpu >= 0 for timing in of)


def test_unlearning_is_timed_beside_retraining() -> None:
    found = time_unlearning(1, ("learning.rounds=20", *SMALL), lambda sentence: None)
    assert len(found) == len(DEPTHS)
    assert all(of[0]["share"] > 0 and of[0]["seconds"] > 0 for of in found.values())


def test_plans_are_timed_by_size() -> None:
    said: list[str] = []
    found = time_plans(1, ("learning.rounds=10",), said.append, sizes=(20, 30))
    assert said == ["20 nodes, 1 of 1", "30 nodes, 1 of 1"]
    assert all(0 <= of[0].cpu <= of[0].wall * 4 for of in found.values())


def test_minibatches_take_less_time_than_a_loop_over_clients() -> None:
    contest = CONTESTS["minibatch-f32"]
    chosen = {name: contest.entries[name] for name in ("loop over clients", "rewindnet, fast")}
    timings = time_contest(
        replace(contest, rounds=4, entries=chosen), 3, ("partition.clients=25", "data.samples=8000"), lambda said: None
    )
    loop, ours = (median(timing.cpu for timing in of) for of in timings.values())
    # About 2.6 on a quiet machine, and 0.8 with all samples in every step.
    assert loop / ours > 1.2


def test_the_command_prints_a_table_and_writes_what_it_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setitem(CONTESTS, "minibatch", replace(CONTESTS["minibatch"], rounds=1))  # type: ignore[index]
    settings = [word for setting in SMALL for word in ("--set", setting)]
    options = ["--repeats", "1", "--device", "cpu", "--out", str(tmp_path / "o.json")]
    app(["bench", "minibatch", *options, *settings], standalone_mode=False)
    said = capsys.readouterr().out
    assert "cores" in said
    assert f"instead of what the titles say: {SMALL[0]}" in " ".join(said.split())
    assert all(name in said for name in CONTESTS["minibatch"].entries)
    assert all(heading in said for heading in ("CPU ms", "least", "most", "times as", "peak"))
    assert "…" not in said
    assert max(len(line) for line in said.splitlines()) <= 80
    written = json.loads((tmp_path / "o.json").read_text())
    assert written["minibatch"]["rewindnet, fast"][0]["cpu"] >= 0


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["minibach"], "did you mean 'minibatch'?"),
        (["minibatch", "--repeats", "0"], "at least 1, not 0"),
        (["minibatch", "cnn-1000"], "the contest cnn-1000 needs a GPU, and torch finds no CUDA device"),
        (["cnn", "--device", "cuda"], "torch finds no CUDA device here; use auto or cpu"),
        (["cnn", "--device", "gpu"], "--device is auto, cpu, cuda, not 'gpu'"),
        (["minibatch", "--set", "learnig.rounds=3"], "learnig"),
    ],
)
def test_what_cannot_be_timed_is_a_sentence(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit) as end:
        app(["bench", *arguments])
    assert end.value.code == 2
    assert sentence in capsys.readouterr().err


def test_contests_that_need_a_gpu_are_left_out_with_a_sentence_where_there_is_none(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    timed: list[str] = []
    monkeypatch.setattr(command, "time_contest", lambda contest, *how: timed.append(contest.title) or ONCE)
    monkeypatch.setattr(command, "time_unlearning", lambda *how: {"": [{"seconds": 1.0, "share": 1.0}]})
    monkeypatch.setattr(command, "time_plans", lambda *how: ONCE)
    monkeypatch.setattr(tables, "DEPTHS", (0.5,))
    bench([], 1, [], Terminal(width=80), "cpu")
    alone = [name for name, contest in CONTESTS.items() if contest.needs_gpu]
    assert alone == ["cnn-1000", "resnet18"]
    assert timed == [contest.title for name, contest in CONTESTS.items() if name not in alone]
    assert "left out, since they need a GPU: cnn-1000, resnet18" in capsys.readouterr().out


def test_on_a_gpu_the_time_of_the_clock_on_the_wall_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    for on_gpu, told in ((False, "3,000"), (True, "2,000")):
        print_timings(Terminal(width=80), CONTESTS["mlp"], ONCE, on_gpu)
        said = capsys.readouterr().out
        assert ("wall" in said, "CPU" in said, told in said) == (on_gpu, not on_gpu, True)
    print_timings(Terminal(width=80), CONTESTS["mpi"], ONCE, False)
    said = capsys.readouterr().out
    assert "wall" in said
    assert "peak" not in said
