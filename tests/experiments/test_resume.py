"""Runs that end before their time go on where they stopped, on whatever transport, and leave what they would have."""

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import parity
import pytest
from parity import DEPLOYED, FLOWER, IN_PROCESS, family, gone, left, mpi, reached, same, wait_for, with_mpi
from runs import SharedRuns

from rewindnet.errors import Notice
from rewindnet.experiments.folder import files, journal, recorder
from rewindnet.experiments.folder import unfinished as records
from rewindnet.experiments.runs.launch import run_scenario
from rewindnet.simulator.errors import RunError

pytestmark = [
    pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="there is no SIGKILL here"),
    # A run that ends in the middle leaves files open.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

METHODS = [
    {"method": "r2d", "rewind": 0.5, "bound": "instance"},
    # It shares its descent with the first.
    {"method": "r2d", "rewind": 0.5, "sigma": 0.3, "gossip_rounds": 2},
    {"method": "r2d", "rewind": 0.7, "placement": "rewind", "view": "transcript:all", "gossip_rounds": 1},
    {"method": "r2d", "rewind": 0.5, "view": "average"},
    {"method": "warm-start", "rounds": 4},
    {"method": "retrain"},
    {"method": "do-nothing"},
]
SHORT: dict[str, Any] = {
    "name": "short",
    "data": {"source": "synthetic", "samples": 100, "dimensions": 3},
    "partition": {"clients": 4},
    "topology": "ring",
    "learning": {"rounds": 10},
    "deletion": {"samples": 2},
    "unlearning": METHODS,
}
#: There is time to end it in every part.
LONG: dict[str, Any] = {
    **SHORT,
    "name": "long",
    "learning": {"rounds": 400, "local_steps": 2},
    "unlearning": METHODS[:3] + METHODS[-1:],
}
PHASES = [("learn", 130), ("retrain", 170), ("0-r2d", 60), ("2-r2d", 90)]


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory, run_once: SharedRuns) -> tuple[Path, dict[str, Any]]:
    """The long scenario, and what it leaves if nothing happens."""
    return parity.write(LONG, tmp_path_factory.mktemp("long")), left(run_once(parity.exact(LONG)).path)


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory, run_once: SharedRuns) -> tuple[Path, dict[str, Any]]:
    """The short scenario, and what it leaves if nothing happens."""
    return parity.write(SHORT, tmp_path_factory.mktemp("short")), left(run_once(parity.exact(SHORT)).path)


def killed(file: Path, out: Path, phase: str, rounds: int, *settings: str) -> None:
    """Run, and kill the run's only process once it has so many rounds of a phase behind it."""
    run = parity.start(file, out, *settings)
    try:
        wait_for(reached(out, phase, rounds), run)
    finally:
        run.kill()
        run.communicate()
    assert parity.read(out / "record.json")["state"] == "incomplete"


def went_on(out: Path, expected: dict[str, Any], times: int = 1) -> None:
    """The run is complete, and what it left is what it would have been."""
    assert len(parity.read(out / "record.json")["resumed"]) == times
    same(left(out), expected)


@pytest.mark.parametrize(("phase", "rounds"), PHASES)
@pytest.mark.transports
@pytest.mark.slow
def test_a_killed_run_goes_on(long: tuple[Path, dict[str, Any]], tmp_path: Path, phase: str, rounds: int) -> None:
    file, expected = long
    killed(file, tmp_path / "out", phase, rounds, *IN_PROCESS)
    said = parity.through(file, tmp_path / "out", *IN_PROCESS)
    assert "continuing the run in" in said
    went_on(tmp_path / "out", expected)


#: Somebody leaves, clients read batches, and what is measured on the way is both disturbance and drift.
LEAVING: dict[str, Any] = {
    **SHORT,
    "topology": {"kind": "path", "schedule": {"kind": "link-failures", "probability": 0.3}},
    "learning": {"rounds": 40, "local_steps": 2, "radius": 2.0, "sampling": {"kind": "poisson", "batch": 6}},
    "deletion": {"client": 1, "samples": "all", "departure": "leave"},
    "unlearning": [
        {"method": "r2d", "rewind": 0.5, "bound": "instance"},
        {"method": "r2d", "rewind": 0.5, "placement": "rewind", "view": "joint"},
        {"method": "do-nothing"},
    ],
}


@pytest.mark.parametrize("write", [11, 18, 40])
def test_a_run_with_a_departure_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run_once: SharedRuns, write: int
) -> None:
    file, out, whole = parity.write(LEAVING, tmp_path), tmp_path / "out", run_once(parity.exact(LEAVING))
    mixing_drift = whole.learning["requests"][0]["ledger"]["mixing_drift"]
    assert len(mixing_drift) == 40
    assert sum(map(any, mixing_drift)) > 20
    with killed_at(monkeypatch, write), pytest.raises(Killed):
        run_scenario(file, (), out, False)
    assert any((out / "unfinished").glob("learned-*.safetensors"))
    assert go_on(file, out) is None
    went_on(out, left(whole.path))


@pytest.mark.parametrize("write", [7, 16])
def test_a_run_with_an_optimizer_that_carries_something_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run_once: SharedRuns, write: int
) -> None:
    """In the middle of learning, and after it: what is stored is as wide as what a client carries on."""
    scenario = {
        **SHORT,
        "learning": {"rounds": 40, "step_size": 0.1, "optimizer": "adam"},
        "unlearning": [{"method": "r2d", "rewind": 0.4, "sigma": 0.01}, {"method": "do-nothing"}],
    }
    file, out, whole = parity.write(scenario, tmp_path), tmp_path / "out", run_once(parity.exact(scenario))
    with killed_at(monkeypatch, write), pytest.raises(Killed):
        run_scenario(file, (), out, False)
    assert any((out / "unfinished").glob("learned-*.safetensors"))
    assert go_on(file, out) is None
    went_on(out, left(whole.path))


def test_a_run_with_checkpoints_in_half_precision_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run_once: SharedRuns
) -> None:
    """Wherever it ends: learning goes on from its models as they were, and releases begin from those in half precision.

    The state after round 8 is both: the latest of learning, and a checkpoint in half precision.
    """
    scenario = {
        **SHORT,
        "learning": {"rounds": 10, "checkpoints": {"half_precision": 0.05}},
        "unlearning": [{"method": "r2d", "rewind": 0.2}, {"method": "do-nothing"}],
    }
    file, whole = parity.write(scenario, tmp_path), run_once(parity.exact(scenario))
    went_on_from = set()
    for write in range(6, 20):
        out = tmp_path / f"out-{write}"
        with killed_at(monkeypatch, write), pytest.raises(Killed):
            run_scenario(file, (), out, False)
        went_on_from.add(max(path.stem for path in (out / "unfinished").glob("learned-*.safetensors")))
        assert go_on(file, out) is None
        went_on(out, left(whole.path))
    assert {"learned-000007", "learned-000008", "learned-000009"} <= went_on_from


@pytest.mark.slow
def test_a_run_that_is_killed_twice_goes_on(long: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    file, expected = long
    for phase, rounds in (("learn", 250), ("2-r2d", 90)):
        killed(file, tmp_path / "out", phase, rounds, *IN_PROCESS)
    parity.through(file, tmp_path / "out", *IN_PROCESS)
    went_on(tmp_path / "out", expected, 2)


@with_mpi
@pytest.mark.slow
@pytest.mark.parametrize(
    ("before", "after"),
    [(IN_PROCESS, mpi(2)), (IN_PROCESS, FLOWER), (FLOWER, mpi(3)), (FLOWER, FLOWER)],
    ids=["in-process-mpi", "in-process-flower", "flower-mpi", "flower-flower"],
)
@pytest.mark.transports
def test_another_transport_goes_on(
    long: tuple[Path, dict[str, Any]], tmp_path: Path, before: Sequence[str], after: Sequence[str]
) -> None:
    file, expected = long
    killed(file, tmp_path / "out", "learn", 130, *before)
    parity.through(file, tmp_path / "out", *after)
    went_on(tmp_path / "out", expected)


def sentence(complained: str) -> str:
    """The one line of stderr."""
    assert "Traceback" not in complained
    (line,) = complained.strip().splitlines()
    assert line.startswith("rewindnet: ")
    return line


def rank_of(run: "subprocess.Popen[str]", number: int = 1) -> int:
    """The process of an MPI run that has that number."""
    ranks = [
        pid
        for pid in family(run.pid)
        if b"PMI_RANK=%d" % number in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    ]
    return ranks[0]


@with_mpi
@pytest.mark.parametrize(
    ("phase", "rounds", "number", "after"),
    [
        pytest.param("learn", 130, 1, IN_PROCESS, marks=pytest.mark.slow),
        pytest.param("retrain", 100, 0, mpi(2), marks=pytest.mark.slow),
        pytest.param("0-r2d", 50, 2, mpi(4), marks=pytest.mark.slow),
    ],
)
@pytest.mark.transports
def test_a_killed_rank_ends_an_mpi_run_and_it_goes_on(
    long: tuple[Path, dict[str, Any]], tmp_path: Path, phase: str, rounds: int, number: int, after: Sequence[str]
) -> None:
    file, expected = long
    run = parity.start(file, tmp_path / "out", *mpi(3))
    wait_for(reached(tmp_path / "out", phase, rounds), run)
    started = family(run.pid)
    os.kill(rank_of(run, number), signal.SIGKILL)
    code, _, complained = parity.ended(run, 15)
    assert code == 3
    line = sentence(complained)
    assert re.search(r"out failed: MPI ended .*; the same command goes on with it$", line), line
    gone(started, 5)
    parity.through(file, tmp_path / "out", *after)
    went_on(tmp_path / "out", expected)


ENDS = {
    signal.SIGINT: (130, "interrupted"),
    signal.SIGTERM: (143, "ended by SIGTERM"),
    signal.SIGHUP: (129, "ended by SIGHUP"),
}


@pytest.mark.slow
@pytest.mark.parametrize("number", ENDS, ids=lambda number: number.name)
@pytest.mark.parametrize(
    "settings", [IN_PROCESS, FLOWER, pytest.param(mpi(2), marks=with_mpi)], ids=["in-process", "flower", "mpi"]
)
@pytest.mark.transports
def test_a_signal_ends_a_run_with_a_sentence_and_it_goes_on(
    long: tuple[Path, dict[str, Any]], tmp_path: Path, settings: Sequence[str], number: signal.Signals
) -> None:
    file, expected = long
    run = parity.start(file, tmp_path / "out", *settings)
    wait_for(reached(tmp_path / "out", "learn", 130), run)
    started = family(run.pid)
    # A terminal sends its signals to all processes of a command, others to the first.
    os.killpg(run.pid, number) if number == signal.SIGINT else os.kill(run.pid, number)
    code, said, complained = parity.ended(run, 30)
    ends, word = ENDS[number]
    assert (code, said, complained) == (ends, "", f"rewindnet: {word}; the same command goes on\n")
    gone(started, 10)
    parity.through(file, tmp_path / "out", *settings)
    went_on(tmp_path / "out", expected)


@with_mpi
@pytest.mark.slow
def test_a_killed_mpi_run_is_the_end_of_its_ranks(long: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    file, _ = long
    run = parity.start(file, tmp_path / "out", *mpi(2), "learning.rounds=6000")
    wait_for(reached(tmp_path / "out", "learn", 100), run)
    started = family(run.pid)
    assert len(started) >= 3
    run.kill()
    run.communicate(timeout=60)
    gone(started, 10)


@with_mpi
@pytest.mark.slow
@pytest.mark.transports
def test_a_rank_that_pauses_changes_nothing(long: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    file, expected = long
    run = parity.start(file, tmp_path / "out", *mpi(3))
    wait_for(reached(tmp_path / "out", "learn", 130), run)
    paused(rank_of(run, 2))
    code, _, complained = parity.ended(run)
    assert code == 0, complained
    same(left(tmp_path / "out"), expected)


@pytest.mark.slow
@pytest.mark.deployment
def test_a_supernode_that_pauses_changes_nothing(tmp_path: Path) -> None:
    scenario = {**SHORT, "partition": {"clients": 2}, "topology": "path", "learning": {"rounds": 4}}
    file, out = parity.write({**scenario, "unlearning": ["do-nothing"]}, tmp_path), tmp_path / "out"
    parity.through(file, tmp_path / "whole", *IN_PROCESS)
    run = parity.start(file, out, *DEPLOYED)
    wait_for(reached(out, "learn", 2), run)
    paused(next(pid for pid in family(run.pid) if "supernode" in parity.words(pid)))
    code, _, complained = parity.ended(run)
    assert code == 0, complained
    same(left(out), left(tmp_path / "whole"))


def paused(pid: int) -> None:
    """Stop a process for a while, as Ctrl-Z or a laptop's lid does."""
    os.kill(pid, signal.SIGSTOP)
    time.sleep(3)
    os.kill(pid, signal.SIGCONT)


@pytest.mark.slow
@pytest.mark.deployment
def test_a_killed_supernode_ends_a_deployment_and_it_goes_on(tmp_path: Path) -> None:
    scenario = {**SHORT, "partition": {"clients": 2}, "topology": "path", "learning": {"rounds": 4}}
    file, out = parity.write({**scenario, "unlearning": ["do-nothing"]}, tmp_path), tmp_path / "out"
    parity.through(file, tmp_path / "whole", *IN_PROCESS)
    run = parity.start(file, out, *DEPLOYED)
    wait_for(reached(out, "learn", 2), run)
    started = family(run.pid)
    (node, *_) = [pid for pid in started if "supernode" in parity.words(pid)]
    os.kill(node, signal.SIGKILL)
    code, _, complained = parity.ended(run, 15)
    assert code == 3
    gone(started, 5)
    assert complained.startswith("rewindnet: ")
    assert re.search(r"supernode-\d ended \(signal SIGKILL\)", complained)
    parity.through(file, out, *IN_PROCESS)
    went_on(out, left(tmp_path / "whole"))
    assert "the same command goes on with it" in sentence(complained)


class Killed(BaseException):
    """In place of a signal: nobody handles it."""


@contextmanager
def killed_at(monkeypatch: pytest.MonkeyPatch, write: int) -> Iterator[Callable[[], int]]:
    """End the run in the middle of one of the files that it writes, by number; gives how many there have been."""
    done, original = 0, files.write

    def torn(path: Path, content: str | bytes) -> None:
        nonlocal done
        done += 1
        if done == write:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.with_name(path.name + ".part").write_bytes(b"half")
            raise Killed
        original(path, content)

    with monkeypatch.context() as patched:
        for module in (files, journal, recorder, records):
            patched.setattr(module, "write", torn)
        yield lambda: done


def go_on(file: Path, out: Path) -> str | None:
    """The same command again, in this process; the sentence, if it is refused or fails."""
    try:
        run_scenario(file, (), out, False)
    except (ValueError, RunError) as problem:
        return str(problem)
    return None


def count(file: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    with killed_at(monkeypatch, 0) as written:
        assert go_on(file, out) is None
    return written()


@pytest.mark.parametrize("stride", [23, pytest.param(1, marks=pytest.mark.slow)])
def test_a_run_may_end_in_the_middle_of_any_file(
    short: tuple[Path, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stride: int
) -> None:
    file, expected = short
    total = count(file, tmp_path / "count", monkeypatch)
    assert total > 60
    ends_in_the_middle(file, expected, tmp_path, monkeypatch, range(1, total + 1, stride))


#: Learning goes on from what each method released.
FROM_RELEASES: dict[str, Any] = {
    **SHORT,
    "learning": {"rounds": 10, "after_request": "continue-from-release"},
    "deletion": {"requests": [{"client": 0, "samples": 2, "round": 6}, {"client": 1, "samples": 3}]},
    "unlearning": [
        {"method": "r2d", "rewind": 0.3, "view": "joint"},
        {"method": "r2d", "rewind": 0.2, "placement": "rewind", "view": "transcript:all"},
        {"method": "retrain"},
        {"method": "do-nothing"},
    ],
}


@pytest.mark.parametrize("stride", [61, pytest.param(1, marks=pytest.mark.slow)])
def test_a_run_that_goes_on_from_releases_may_end_in_the_middle_of_any_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run_once: SharedRuns, stride: int
) -> None:
    file, expected = parity.write(FROM_RELEASES, tmp_path), left(run_once(parity.exact(FROM_RELEASES)).path)
    total = count(file, tmp_path / "count", monkeypatch)
    assert any(name.startswith("checkpoints/learned-1-1-") for name in expected["weights_sha256"])
    ends_in_the_middle(file, expected, tmp_path, monkeypatch, range(30, total + 1, stride))


def ends_in_the_middle(
    file: Path, expected: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writes: Sequence[int]
) -> None:
    """A run that ends in the middle of one of these files goes on, and leaves what it would have left."""
    wrong = []
    for write in writes:
        out = tmp_path / str(write)
        with killed_at(monkeypatch, write), pytest.raises(Killed):
            run_scenario(file, (), out, False)
        refused = go_on(file, out)
        try:
            assert refused is None, refused
            # Before there is a scenario in the folder there is nothing to go on with.
            went_on(out, expected, int(write > 2))
        except AssertionError as problem:
            wrong.append((write, refused or str(problem).partition("\n")[0]))
    assert not wrong, "\n".join(f"{at}: {what}" for at, what in wrong)


@pytest.mark.slow
def test_a_run_may_end_twice_in_the_middle_of_any_file(
    short: tuple[Path, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, expected = short
    total, wrong = count(file, tmp_path / "count", monkeypatch), []
    for write in range(6, total, 7):
        out = tmp_path / str(write)
        for end in (write, 11):
            with killed_at(monkeypatch, end), pytest.raises(Killed):
                run_scenario(file, (), out, False)
        refused = go_on(file, out)
        try:
            assert refused is None, refused
            went_on(out, expected, 2)
        except AssertionError as problem:
            wrong.append((write, refused or str(problem).partition("\n")[0]))
    assert not wrong, "\n".join(f"{at}: {what}" for at, what in wrong)


@pytest.fixture
def unfinished(short: tuple[Path, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run that ended while it learned."""
    out = tmp_path / "out"
    with killed_at(monkeypatch, 12), pytest.raises(Killed):
        run_scenario(short[0], (), out, False)
    assert list((out / "unfinished").glob("learned-*.safetensors"))
    return out


def tree(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_a_torn_line_and_parts_of_files_do_not_matter(short: tuple[Path, dict[str, Any]], unfinished: Path) -> None:
    assert list(unfinished.rglob("*.part"))
    whole = (unfinished / "metrics.jsonl").read_bytes()
    (unfinished / "metrics.jsonl").write_bytes(whole[:-7])
    assert go_on(short[0], unfinished) is None
    went_on(unfinished, short[1])


@pytest.mark.parametrize("end", ['{"phase": "learn", "round": 9', "7\n", "\0\0\0", '{"phase": "learn"}\n', "é"])
def test_whatever_the_last_line_has_become(short: tuple[Path, dict[str, Any]], unfinished: Path, end: str) -> None:
    with (unfinished / "metrics.jsonl").open("ab") as file:
        # Half of a letter, too.
        file.write(end.encode("utf-8")[:1] if end == "é" else end.encode("utf-8"))
    assert go_on(short[0], unfinished) is None
    went_on(unfinished, short[1])


def truncated(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-9])


def emptied(file: Path) -> None:
    file.write_bytes(b"")


def flipped(file: Path) -> None:
    """One bit of a number, so that the file is still one of the same tensors."""
    content = bytearray(file.read_bytes())
    content[-20] ^= 4
    file.write_bytes(bytes(content))


def of_something_else(file: Path) -> None:
    import torch
    from safetensors.torch import save

    file.write_bytes(save({"alpha": torch.zeros(3)}))


def of_another_shape(file: Path) -> None:
    import torch
    from safetensors.torch import load_file, save

    file.write_bytes(save({**load_file(file), "theta": torch.zeros(2, 2)}))


@pytest.mark.parametrize("damage", [truncated, emptied, flipped, of_something_else, of_another_shape])
@pytest.mark.parametrize("which", [0, -1])
def test_the_state_before_a_damaged_one_is_used(
    short: tuple[Path, dict[str, Any]], unfinished: Path, damage: Callable[[Path], None], which: int
) -> None:
    damage(sorted((unfinished / "unfinished").glob("*.safetensors"))[which])
    with pytest.warns(Notice, match="is damaged, or the lines before it are; going on from the state before it"):
        assert go_on(short[0], unfinished) is None
    went_on(unfinished, short[1])
    assert "is damaged" in parity.read(unfinished / "record.json")["notes"][0]


@pytest.mark.parametrize("text", ["{}\n", "learning: [\n", ""])
def test_a_damaged_scenario_is_a_sentence(short: tuple[Path, dict[str, Any]], unfinished: Path, text: str) -> None:
    (unfinished / "scenario.yaml").write_text(text)
    before = tree(unfinished)
    assert go_on(short[0], unfinished) is not None
    assert tree(unfinished) == before


@pytest.mark.parametrize(
    ("settings", "differing"),
    [
        (("seed=1",), "its seed differs"),
        (("learning.rounds=11", "seed=2"), "its seed, learning differ"),
        (("backend.dtype=float32",), "its backend differs"),
        (("backend.precision=fast",), "its backend differs"),
        (("record.weights=false",), "its record differs"),
    ],
)
def test_another_scenario_is_refused(
    short: tuple[Path, dict[str, Any]], unfinished: Path, settings: tuple[str, ...], differing: str
) -> None:
    before = tree(unfinished)
    run = parity.ended(parity.start(short[0], unfinished, *settings), 60) if settings == ("seed=1",) else None
    if run is not None:
        assert run[0] == 2
        assert f"incomplete run of another scenario ({differing})" in sentence(run[2])
        assert run[1] == ""
    with pytest.raises(ValueError, match=re.escape(f"({differing}); choose another with --out, or overwrite")):
        run_scenario(short[0], settings, unfinished, False)
    assert tree(unfinished) == before


def test_other_versions_are_refused(short: tuple[Path, dict[str, Any]], unfinished: Path) -> None:
    record = parity.read(unfinished / "record.json")
    record["versions"]["torch"] = "1.0"
    (unfinished / "record.json").write_text(json.dumps(record))
    with pytest.raises(ValueError, match="incomplete run of other versions of torch"):
        run_scenario(short[0], (), unfinished, False)


def test_a_fast_run_goes_on_only_over_its_own_transport(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = parity.write({**SHORT, "backend": {"precision": "fast"}}, tmp_path)
    run_scenario(file, (), tmp_path / "whole", False)
    out = tmp_path / "out"
    with killed_at(monkeypatch, 12), pytest.raises(Killed):
        run_scenario(file, (), out, False)
    with pytest.raises(ValueError, match="its backend differs"):
        run_scenario(file, FLOWER, out, False)
    assert go_on(file, out) is None
    went_on(out, left(tmp_path / "whole"))


def test_a_run_with_secret_noise_starts_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    secret = [{"method": "r2d", "rewind": 0.5, "noise_source": "os"}, {"method": "do-nothing"}]
    file, out = parity.write({**SHORT, "unlearning": secret}, tmp_path), tmp_path / "out"
    with killed_at(monkeypatch, 5), pytest.raises(Killed):
        run_scenario(file, (), out, False)
    assert not list((out / "unfinished").glob("*.safetensors"))
    (out / "left.txt").write_text("from before")
    assert go_on(file, out) is None
    assert parity.read(out / "record.json")["resumed"] == []
    assert (out / "left.txt").read_text() == "from before"
    assert sorted(path.name for path in out.rglob("*.safetensors")) == ["released.safetensors"]
    assert "going on" not in capsys.readouterr().out


@with_mpi
@pytest.mark.slow
def test_a_run_over_mpi_in_place_of_another_minds_no_old_lines(tmp_path: Path) -> None:
    """Whoever follows the lines of a run must not take up where those of an earlier one ended."""
    file = parity.write(SHORT, tmp_path)
    for seed in range(6):
        parity.through(file, tmp_path / "out", *mpi(2), f"seed={seed}", f"learning.rounds={10 + 60 * seed}", "--force")
    with (tmp_path / "out" / "metrics.jsonl").open("a") as lines:
        lines.write("no JSON\n")
    parity.through(file, tmp_path / "out", *mpi(2), "--force")


@with_mpi
@pytest.mark.slow
def test_a_run_over_mpi_that_cannot_be_finished_says_why(tmp_path: Path) -> None:
    far = {"method": "warm-start", "bound": "instance", "epsilon": 0.001, "sigma": 0.001}
    file = parity.write({**SHORT, "unlearning": [far]}, tmp_path)
    for settings in (mpi(2), FLOWER):
        code, _, complained = parity.ended(parity.start(file, tmp_path / settings[0], *settings), 60)
        assert code == 2
        assert "failed: no depth from 0 to 10 rounds reaches epsilon 0.001" in sentence(complained)


@with_mpi
@pytest.mark.slow
def test_the_command_on_record_is_the_users(tmp_path: Path) -> None:
    file = parity.write(SHORT, tmp_path)
    for name, settings in (("one", IN_PROCESS), ("mpi", mpi(2)), ("flower", FLOWER)):
        parity.through(file, tmp_path / name, *settings)
        command = parity.read(tmp_path / name / "record.json")["command"]
        assert command[1:4] == ["run", str(file), settings[0]], command
