"""The noise of every method, broken: a run with less noise, or with noise that repeats, must not pass for certified."""

import json
from pathlib import Path
from typing import Any

import pytest
from parity import COMMAND, MPIEXEC, ended, exact, read, start, with_mpi, write
from runs import run_through
from weaker_noise import broken

from rewindnet.clients.methods import METHODS
from rewindnet.clients.steps import learning, noisy
from rewindnet.experiments.folder.reader import RunFolder
from rewindnet.experiments.runs.launch import violations_of
from rewindnet.experiments.verify.verify import verify_folder
from rewindnet.simulator.transports.flower import transport

#: Every method that adds noise, with the settings under which it adds it in another way.
NOISY: tuple[dict[str, Any], ...] = (
    {"method": "r2d"},
    {"method": "r2d", "placement": "rewind", "view": "transcript:all", "gossip_rounds": 1},
    {"method": "r2d", "view": "average"},
    {"method": "warm-start"},
    {"method": "noise-only"},
    {"method": "newton", "iterations": 4},
    {"method": "newton", "iterations": 4, "shared_noise": True, "view": "node", "clean": 0},
    {"method": "cns", "recursions": 2, "terms": 3},
    {"method": "langevin"},
    {"method": "noisy-finetune"},
    {"method": "gossip-dp"},
    {"method": "walk-dp", "sigma": 0.5},
    {"method": "rr-du", "noise": "certified", "hops": 12, "visits": 5},
    {"method": "rr-du", "noise": "claimed", "hops": 12, "visits": 5, "optimizer": "adam"},
)
QUIET = (
    "gradient-ascent",
    "finetune",
    "scrub",
    "neggrad",
    "salun",
    "sfron",
    "npo",
    "lune",
    "idk",
    "siu",
    "manif-smc",
    "fisher-forgetting",
    "hessian-free",
    "retrain",
    "do-nothing",
    "anew",
    "retrain-healed",
    "ridge",
)
#: Not on this network: they need another order of learning, or public rows, and add no noise.
ELSEWHERE = ("federaser", "public-only")
#: Those whose nodes all add one vector, or of which one node adds all noise.
ONE_VECTOR_OF_ALL = (2, 6, 12, 13)
ROUNDS = (8, 9, 10, 11, 12, 13)

SCENARIO: dict[str, Any] = {
    "name": "weaker",
    "seed": 4,
    "data": {"source": "synthetic", "samples": 120, "dimensions": 30, "classes": 5},
    "partition": {"clients": 6},
    "topology": "ring",
    "model": {"kind": "logistic", "l2": 0.05},
    "learning": {"rounds": 10, "order": "consensus-plus-gradient", "step_size": 0.3},
    "deletion": {"client": 2, "samples": 5},
    "unlearning": [*NOISY, *QUIET],
    "audit": {"draws": 0},
    "measures": {"membership": False},
}


def a_run(scenario: dict[str, Any], folder: Path, **changes: Any) -> RunFolder:
    return run_through(json.loads(json.dumps({**scenario, **changes})), folder)


def weaken(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    once, in_round = broken(way)
    monkeypatch.setattr(learning, "draw", once)
    monkeypatch.setattr(noisy, "draw_in_round", in_round)


def statuses(run: RunFolder) -> list[str]:
    return [method.audit["noise_audit"]["status"] for method in run.methods]


def test_every_registered_method_is_broken_here() -> None:
    asked = {method["method"] for method in NOISY}
    assert asked | set(QUIET) | set(ELSEWHERE) == set(METHODS)


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return a_run(SCENARIO, tmp_path_factory.mktemp("runs") / "honest")


def test_noise_as_it_should_be_holds(honest: RunFolder) -> None:
    assert statuses(honest) == ["holds"] * len(NOISY) + ["unchecked"] * len(QUIET)
    assert violations_of(honest) == []
    findings = {finding.what: finding for finding in verify_folder(honest.path)}
    assert all(finding.holds for finding in findings.values())
    for index, method in enumerate(NOISY):
        found = findings[f"{index} {method['method']}, noise audit"]
        # Of noise that was added on the way, the statistics are on record and nothing else.
        assert found.status == ("recorded" if index in ROUNDS else "holds"), found
    for index, name in enumerate(QUIET, start=len(NOISY)):
        assert "no noise is claimed" in findings[f"{index} {name}, noise audit"].sentence
        assert honest.summary[index]["noise_audit"] == "no noise"


@pytest.mark.parametrize(
    ("way", "unharmed"),
    [
        ("no noise", ()),
        ("half the noise", ()),
        ("one vector for all nodes", ONE_VECTOR_OF_ALL),
        ("one vector for all rounds", ()),
    ],
)
def test_a_run_with_broken_noise_is_violated(
    way: str, unharmed: tuple[int, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weaken(way, monkeypatch)
    run = a_run(SCENARIO, tmp_path / "run")
    found = statuses(run)
    concerned = ROUNDS if way == "one vector for all rounds" else range(len(NOISY))
    missed = [NOISY[index] for index in concerned if index not in unharmed and found[index] != "violated"]
    if way == "one vector for all nodes":
        # Each node's vectors differ from round to round; a token has one holder in a round.
        missed = [method for method in missed if method["method"] != "walk-dp"]
    assert missed == []
    sentences = violations_of(run)
    assert len(sentences) == found.count("violated")
    assert all("the noise that was added" in sentence for sentence in sentences)
    failed = {finding.what for finding in verify_folder(tmp_path / "run") if not finding.holds}
    for index, status in enumerate(found):
        assert (f"{index} {run.summary[index]['method']}, noise audit" in failed) == (status == "violated")
        assert run.summary[index]["noise_audit"] == ("no noise" if index >= len(NOISY) else status)
        assert run.summary[index]["holds"] == (status != "violated")


def test_the_same_vectors_in_two_releases_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weaken("one vector for all releases", monkeypatch)
    run = a_run(SCENARIO, tmp_path / "run", unlearning=[*NOISY, *NOISY])
    found = statuses(run)
    assert found[0] == "holds"
    assert found[len(NOISY) : 2 * len(NOISY)] == ["violated"] * len(NOISY)
    for again in run.methods[len(NOISY) : 2 * len(NOISY)]:
        assert "two releases" in again.audit["noise_audit"]["sentence"]


def test_noise_that_is_forgotten_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step that adds no noise at all has nothing to measure; the mechanism says how often it should have."""
    monkeypatch.setattr(noisy, "noised", lambda block, theta, *_: theta)
    run = a_run(SCENARIO, tmp_path / "run", unlearning=["gossip-dp", "noisy-finetune", "langevin"])
    assert statuses(run)[:3] == ["violated"] * 3
    assert "and was measured to do so 0 times" in run.methods[0].audit["noise_audit"]["sentence"]


def test_noise_from_the_operating_system_is_audited_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = [{**method, "noise_source": "os"} for index, method in enumerate(NOISY) if index not in (2, 6)]
    run = a_run(SCENARIO, tmp_path / "honest", unlearning=secret)
    assert statuses(run)[: len(secret)] == ["holds"] * len(secret)
    findings = verify_folder(tmp_path / "honest")
    audits = [finding for finding in findings if finding.what.endswith("noise audit")]
    # There is no array to measure again: nothing but the record's word, which must be consistent.
    assert [finding.status for finding in audits[: len(secret)]] == ["recorded"] * len(secret)
    weaken("half the noise", monkeypatch)
    run = a_run(SCENARIO, tmp_path / "weaker", unlearning=secret)
    assert statuses(run)[: len(secret)] == ["violated"] * len(secret)


def test_a_client_that_is_made_anew_for_every_message_measures_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on runtimes whose processes end with a message: what a client has measured is in its state alone."""
    asked = ["gossip-dp", "noisy-finetune", "langevin"]
    here = a_run(SCENARIO, tmp_path / "here", unlearning=asked, backend={"precision": "exact"})
    monkeypatch.setattr(transport, "cache", lambda function: function)
    backend = {"kind": "flower", "runtime": "in-process", "precision": "exact"}
    there = a_run(SCENARIO, tmp_path / "there", unlearning=asked, backend=backend)
    assert statuses(there)[:3] == ["holds"] * 3
    assert [method.audit for method in there.methods] == [method.audit for method in here.methods]


@pytest.mark.parametrize(
    "way",
    [
        pytest.param("half the noise", marks=[pytest.mark.slow, pytest.mark.transports]),
        "one vector for all nodes",
    ],
)
def test_broken_noise_is_found_on_flower(way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = {"kind": "flower", "runtime": "in-process", "precision": "exact"}
    asked = [{"method": "r2d"}, {"method": "gossip-dp"}]
    honest = a_run(SCENARIO, tmp_path / "honest", unlearning=asked, backend=backend)
    here = a_run(SCENARIO, tmp_path / "here", unlearning=asked, backend={"precision": "exact"})
    assert statuses(honest)[:2] == ["holds", "holds"]
    assert [method.audit for method in honest.methods] == [method.audit for method in here.methods]
    weaken(way, monkeypatch)
    weaker = a_run(SCENARIO, tmp_path / "weaker", unlearning=asked, backend=backend)
    assert statuses(weaker)[:2] == ["violated"] * 2


@with_mpi
@pytest.mark.parametrize("way", ["no noise", "one vector for all nodes"])
@pytest.mark.slow
def test_broken_noise_is_found_over_mpi(way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scenario = exact({**SCENARIO, "unlearning": ["r2d", "gossip-dp"]})
    file = write(scenario, tmp_path)
    script = str(Path(__file__).parents[1] / "support" / "weaker_noise.py")
    ranks = (str(MPIEXEC), "-n", "2", COMMAND[0], script, way, "run")
    code, _, complained = ended(start(file, tmp_path / "run", "backend.kind=mpi", before=ranks))
    assert (code, complained.count("is violated: the noise that was added")) == (1, 2), complained
    weaken(way, monkeypatch)
    a_run(scenario, tmp_path / "alone")
    for place in ("0-r2d", "1-gossip-dp"):
        one, other = (read(tmp_path / run / "methods" / place / "audit.json") for run in ("run", "alone"))
        assert one == other
        assert one["noise_audit"]["status"] == "violated"
