"""The content of every file that a run reads is part of it: a changed file is named, with both hashes."""

import hashlib
import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from runs import rehash
from typer.testing import CliRunner

from rewindnet.clients.data import SOURCES
from rewindnet.experiments.cli import app
from rewindnet.experiments.scenario.computation import computation_digest
from rewindnet.experiments.scenario.inputs import hashes, input_files
from rewindnet.experiments.scenario.registries import LISTS, registry
from rewindnet.experiments.scenario.yaml_files import load, resolve
from rewindnet.experiments.studies.points import identity

EDGES = "0 1\n1 2\n2 3\n3 0\n"


def table(file: Path, seed: int = 0) -> None:
    generator = np.random.default_rng(seed)
    x, y = generator.standard_normal((60, 3)), np.arange(60) % 2
    np.savez(file, x=x + y[:, None], y=y)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A scenario with its files: data, graph, mixing matrix and links."""
    table(tmp_path / "data.npz")
    (tmp_path / "graph.edges").write_text(EDGES)
    np.save(tmp_path / "mix.npy", mixing(0.25))
    (tmp_path / "links.csv").write_text("0,1,0.5,1e6\n")
    write(tmp_path)
    return tmp_path


def mixing(share: float) -> Any:
    ring = np.roll(np.eye(4), 1, axis=1)
    return (1 - 2 * share) * np.eye(4) + share * (ring + ring.T)


def write(folder: Path, **other: Any) -> None:
    scenario = {
        "name": "read",
        "data": {"source": "npz", "path": str(folder / "data.npz")},
        "partition": {"clients": 4},
        "topology": {
            "kind": "file",
            "path": str(folder / "graph.edges"),
            "mixing": {"kind": "file", "path": str(folder / "mix.npy")},
        },
        "network": {"kind": "file", "path": str(folder / "links.csv")},
        "learning": {"rounds": 4},
        "deletion": {"samples": 2},
        "unlearning": [{"method": "r2d", "rewind": 0.5}, {"method": "retrain"}],
        "measures": {"membership": False},
    }
    (folder / "s.yaml").write_text(yaml.safe_dump({**scenario, **other}))


CHANGES: dict[str, Callable[[Path], Any]] = {
    "data.path": lambda folder: table(folder / "data.npz", 1),
    "topology.path": lambda folder: (folder / "graph.edges").write_text("# drawn again\n" + EDGES),
    "topology.mixing.path": lambda folder: np.save(folder / "mix.npy", mixing(0.2)),
    "network.path": lambda folder: (folder / "links.csv").write_text("0,1,0.25,1e6\n"),
}


def command(*words: object) -> tuple[int, str]:
    done = CliRunner().invoke(app, [str(word) for word in words], env={"COLUMNS": "200"})
    return done.exit_code, done.output


def names_both(said: str, key: str, before: str, now: str) -> bool:
    return key in said and before in said and now in said


def test_the_record_names_every_file_with_its_hash(folder: Path) -> None:
    out = folder / "out"
    assert command("run", folder / "s.yaml", "--out", out)[0] == 0
    record = json.loads((out / "record.json").read_text())
    assert record["inputs"].keys() == CHANGES.keys()
    for file in record["inputs"].values():
        assert file["sha256"] == hashlib.sha256(Path(file["path"]).read_bytes()).hexdigest()
    assert record["scenario_sha256"] == hashlib.sha256((out / "scenario.yaml").read_bytes()).hexdigest()
    assert len(record["code_sha256"]) == 64
    code, said = command("verify", out)
    assert (code, "4 files have the content that the run read" in said) == (0, True), said


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of files, a sweep of one run, and the same run as if it had been killed."""
    folder = tmp_path_factory.mktemp("read")
    table(folder / "data.npz")
    (folder / "graph.edges").write_text(EDGES)
    np.save(folder / "mix.npy", mixing(0.25))
    (folder / "links.csv").write_text("0,1,0.5,1e6\n")
    write(folder)
    assert command("sweep", folder / "s.yaml", "seed=0", "--out", folder / "sweep")[0] == 0
    assert command("run", folder / "s.yaml", "--out", folder / "killed")[0] == 0
    record = json.loads((folder / "killed" / "record.json").read_text())
    (folder / "killed" / "record.json").write_text(json.dumps({**record, "state": "incomplete"}))
    return folder


def swept(finished: Path) -> Path:
    """The run folder of the sweep."""
    (folder,) = (finished / "sweep").glob("seed=0-*")
    return folder


@pytest.mark.parametrize("key", CHANGES)
def test_a_changed_file_is_noticed_by_every_command(finished: Path, key: str) -> None:
    done, scenario = swept(finished), finished / "s.yaml"
    before = hashes(input_files(load(scenario)))
    kept = {file: file.read_bytes() for file in finished.iterdir() if file.is_file()}
    tree = {file: file.read_bytes() for file in finished.rglob("*/*") if file.is_file()}
    CHANGES[key](finished)
    now = hashes(input_files(load(scenario)))
    # A sweep does not take the run for one of these files: it makes another one, of another name.
    assert not swept(finished).name.endswith(identity(load(scenario, ["seed=0"]))[:10])
    assert [name for name in now if now[name] != before[name]] == [key]
    try:
        for code, words in (
            (2, ("run", scenario, "--out", finished / "killed")),
            (2, ("run", scenario, "--out", done, "seed=0")),
            (2, ("klom", done, "--draws", 2)),
            (1, ("verify", done)),
        ):
            ended, said = command(*words)
            assert ended == code, said
            assert names_both(said, key, before[key], now[key]), said
            assert "Traceback" not in said
        assert "has changed since" in command("compare", done)[1]
        assert {file: file.read_bytes() for file in finished.rglob("*/*") if file.is_file()} == tree
    finally:
        for file, content in kept.items():
            file.write_bytes(content)
    assert swept(finished).name.endswith(identity(load(scenario, ["seed=0"]))[:10])
    assert "(1 of 1)" not in command("sweep", scenario, "seed=0", "--out", finished / "sweep")[1]


def test_runs_of_a_file_that_changed_between_them_are_not_compared(finished: Path, tmp_path: Path) -> None:
    done, other = swept(finished), tmp_path / "other"
    record = json.loads((done / "record.json").read_text())
    record["inputs"]["data.path"]["sha256"] = "0" * 64
    other.mkdir()
    for file in done.rglob("*"):
        if file.is_file():
            (other / file.relative_to(done)).parent.mkdir(parents=True, exist_ok=True)
            (other / file.relative_to(done)).write_bytes(file.read_bytes())
    (other / "record.json").write_text(json.dumps(record))
    rehash(other / "record.json")
    code, said = command("compare", done, other)
    assert code == 2
    assert "read other data" in said
    assert "0" * 64 in said
    # And the noise is no longer that of the record: its address has the content of the files.
    assert "FAILS" in command("verify", other, "--no-data")[1]


def test_a_file_that_is_gone_leaves_the_records_word(finished: Path, tmp_path: Path) -> None:
    links = finished / "links.csv"
    content = links.read_bytes()
    links.unlink()
    try:
        said = command("verify", swept(finished))[1]
    finally:
        links.write_bytes(content)
    assert "recorded   inputs: 3 of 4 files are as the run read them; not here: network.path" in said


def test_a_run_of_other_code_is_not_gone_on_with(finished: Path) -> None:
    file = finished / "killed" / "record.json"
    text = file.read_text()
    file.write_text(json.dumps({**json.loads(text), "code_sha256": "0" * 64}))
    code, said = command("run", finished / "s.yaml", "--out", finished / "killed")
    file.write_text(text)
    assert code == 2
    assert "by other code of the same version" in said


# The address of noise


def digest(path: Path) -> str:
    scenario = load(path)
    return computation_digest(scenario.plain(), hashes(input_files(scenario)))


def test_noise_depends_on_the_content_of_files_and_not_on_their_place(folder: Path, tmp_path: Path) -> None:
    first, elsewhere = digest(folder / "s.yaml"), tmp_path / "elsewhere"
    elsewhere.mkdir()
    for file in ("data.npz", "graph.edges", "mix.npy", "links.csv"):
        (elsewhere / file).write_bytes((folder / file).read_bytes())
    write(elsewhere)
    assert digest(elsewhere / "s.yaml") == first
    CHANGES["network.path"](elsewhere)
    assert digest(elsewhere / "s.yaml") == first
    for key in ("data.path", "topology.path", "topology.mixing.path"):
        CHANGES[key](elsewhere)
        assert digest(elsewhere / "s.yaml") != first
        first = digest(elsewhere / "s.yaml")


def test_files_under_the_root_are_part_of_it(tmp_path: Path) -> None:
    place = tmp_path / "uci-har" / "uci_har_windows.npz"
    place.parent.mkdir()
    scenario = resolve({"data": {"source": "uci-har", "root": str(tmp_path)}})
    assert input_files(scenario) == {}
    seen = set()
    for content in (b"one", b"two"):
        place.write_bytes(content)
        (key, file), *others = input_files(scenario).items()
        assert (key, others) == ("data.root/uci-har/uci_har_windows.npz", [])
        assert file == (str(place), hashlib.sha256(content).hexdigest())
        seen.add(computation_digest(scenario.plain(), {key: file.sha256}))
    assert len({*seen, computation_digest(scenario.plain())}) == 3


def test_lists_of_graphs_are_files_too(tmp_path: Path) -> None:
    (tmp_path / "a.edges").write_text(EDGES)
    graphs = [str(tmp_path / "a.edges"), [[0, 1], [1, 2]]]
    scenario = resolve({"topology": {"kind": "complete", "schedule": {"kind": "graphs", "graphs": graphs}}})
    assert list(input_files(scenario)) == ["topology.schedule.graphs.0"]


def test_scenarios_of_embedded_data_read_no_files() -> None:
    assert input_files(resolve({})) == input_files(resolve({"data": "synthetic"})) == {}


def test_every_setting_that_names_a_file_is_called_a_path() -> None:
    entries = [(what, name, registry(what)) for what in LISTS.values() for name in registry(what)]
    settings = [(what, setting) for what, name, choices in entries for setting in choices.settings(name)]
    named = {setting for _, setting in settings if "path" in setting or "file" in setting or "graphs" in setting}
    assert named == {"path", "weights_path", "graphs"}


def test_every_source_with_a_folder_of_files_says_which() -> None:
    rooted = [name for name in SOURCES if "data_root" in inspect.getsource(inspect.getmodule(SOURCES[name]))]  # type: ignore[arg-type]
    assert set(rooted) == {name for name in SOURCES if hasattr(SOURCES[name], "files_under_root")}
    known = {"mnist", "fashion-mnist", "cifar-10", "uci-har", "adult", "olivetti", "shakespeare", "cora"}
    assert set(rooted) == known
