"""Files as people have them, from the plan to the verified run; each of them as its own program writes it."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import own_files
import pandas
import pytest
import scipy.io
from scipy.sparse import save_npz

KARATE = nx.karate_club_graph()
DENSE = nx.to_numpy_array(KARATE, weight=None)

pytestmark = pytest.mark.slow


def pajek(file: Path) -> None:
    nx.write_pajek(nx.relabel_nodes(KARATE, str), file)


def gzipped(file: Path) -> None:
    """Two members, as pigz and bgzip write them."""
    links = b"".join(f"{one}\t{other}\n".encode() for one, other in KARATE.edges())
    file.write_bytes(gzip.compress(links[:200]) + gzip.compress(links[200:]))


def loops(file: Path) -> None:
    """As SNAP and KONECT write it, with both directions, comments and loops."""
    links = [*KARATE.edges(), *((other, one) for one, other in KARATE.edges()), (3, 3)]
    file.write_text("# Nodes: 34\n% sym\n" + "".join(f"{one}\t{other}\n" for one, other in links))


#: Every topology file of the shared cases, and how it is written.
GRAPHS: dict[str, Callable[[Path], Any]] = {
    "default.edgelist": lambda file: nx.write_edgelist(KARATE, file),
    "bare.edgelist": lambda file: nx.write_edgelist(KARATE, file, data=False),
    "counted.edges": lambda file: file.write_text("34\n" + "".join(f"{a} {b}\n" for a, b in KARATE.edges())),
    "club.gml": lambda file: nx.write_gml(KARATE, file),
    "club.gexf": lambda file: nx.write_gexf(KARATE, file),
    "club.graphml": lambda file: nx.write_graphml(KARATE, file),
    "club.net": pajek,
    "club.json": lambda file: file.write_text(json.dumps(nx.node_link_data(KARATE, edges="links"))),
    "club.npy": lambda file: np.save(file, DENSE),
    "club.npz": lambda file: save_npz(file, nx.to_scipy_sparse_array(KARATE)),
    "matrix.csv": lambda file: np.savetxt(file, DENSE, delimiter=",", fmt="%d"),
    "club.mtx": lambda file: scipy.io.mmwrite(file, nx.to_scipy_sparse_array(KARATE)),
    "club.adjlist": lambda file: nx.write_adjlist(KARATE, file),
    "snap.txt": loops,
    "zipped.txt.gz": gzipped,
}


@pytest.mark.parametrize("name", GRAPHS)
def test_a_graph_file_is_planned_run_and_verified(tmp_path: Path, name: str) -> None:
    GRAPHS[name](tmp_path / name)
    (tmp_path / "work").mkdir()
    (result,) = own_files.every([str(tmp_path / name)], tmp_path / "work")
    assert result.whole, result
    run = tmp_path / "work" / "0-0" / "out"
    assert json.loads((run / "topology.json").read_text())["nodes"] == 34
    changed = [note for note in result.noted if name in note]
    assert len(changed) == (name in ("snap.txt",)), result.noted


LABELS = {
    "text": lambda at: ("cat", "dog")[at % 2],
    "boolean": lambda at: bool(at % 2),
    "signs": lambda at: 2 * (at % 2) - 1,
    "apart": lambda at: 50 + 100 * (at % 2),
}


@pytest.mark.parametrize("labels", LABELS)
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_table_is_planned_run_and_verified(tmp_path: Path, kind: str, labels: str) -> None:
    rows = range(80)
    table = pandas.DataFrame(
        {
            "height": [0.1 * (at % 7) for at in rows],
            "colour": [("red", "blue", "NA")[at % 3] for at in rows],
            "label": [LABELS[labels](at) for at in rows],
            "weight": [at % 5 for at in rows],
        }
    )
    file = tmp_path / f"own.{kind}"
    table.to_csv(file, index=False) if kind == "csv" else table.to_parquet(file)
    result = own_files.tried(f"{file}:label", tmp_path, categories={"colour": ["blue", "red", "NA"]})
    assert result.whole, result
    (tmp_path / "again").mkdir()
    refused = own_files.tried(f"{file}:label", tmp_path / "again")
    assert (refused.codes, "text is in the columns 'colour' (like 'red')" in refused.said) == ((2,), True)


def test_what_the_harness_calls_broken_is_broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.txt").write_text("0 1\n1 2\n3 4\n")
    (tmp_path / "work").mkdir()
    (cured,) = own_files.every([str(tmp_path / "a.txt")], tmp_path / "work")
    assert (cured.whole, any("not in the largest connected part" in note for note in cured.noted)) == (True, True)
    monkeypatch.setattr("rewindnet.experiments.verify.verify.check_table", lambda folder: 1 / 0)
    (tmp_path / "again").mkdir()
    assert own_files.tried(str(tmp_path / "a.txt"), tmp_path / "again", kind="largest-part").broken
