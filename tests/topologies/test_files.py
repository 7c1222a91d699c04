"""Topologies and mixing matrices from files, and every way in which such a file can be wrong."""

import networkx as nx
import numpy as np
import pytest
from scipy import sparse
from scipy.io import mmwrite

from rewindnet.errors import Notice
from rewindnet.topologies import TopologyError, build, mix
from rewindnet.topologies.mixing import TOLERANCE

SQUARE = {(0, 1), (1, 2), (2, 3), (0, 3)}


def written(folder, name, text):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return str(path)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.txt", "0 1\n1 2\n2\t3\n3 0\n"),
        ("a.edges", "# a square\n\n  10 20 # first\n20 30\n30 100\n100 10\n"),
        ("a.csv", "\ufeffa1,a2\na2, a3\na3,a10,0.5\na10,a1\n"),
        ("A.TSV", "x1\tx2\t1\r\nx2\tx3\t1e3\r\nx3\tx4\t-2\r\nx4\tx1\t1\r\n"),
    ],
)
def test_an_edge_list_is_read_and_numbered_naturally(tmp_path, name, text):
    graph = build("file", 4, 0, path=written(tmp_path, name, text))
    assert list(graph) == [0, 1, 2, 3]
    assert {tuple(sorted(edge)) for edge in graph.edges()} == SQUARE


def test_names_that_are_no_numbers_are_kept_in_the_order_of_the_file(tmp_path):
    path = written(tmp_path, "a.csv", "node 10,node 9\nnode 9,node 09\nnode 9,Zoë\n")
    graph = build("file", 4, 0, path=path)
    assert [graph.nodes[node]["name"] for node in graph] == ["node 10", "node 9", "node 09", "Zoë"]


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("a.txt", "0 1\n1 2\n\n7\n", "line 4 of"),
        ("a.txt", "0 1\n1 2 3 4\n", "line 2 of"),
        ("a.csv", "here,there,weight\n0,1,2\n", "line 1 of"),
        ("a.csv", "0,1\n,2\n", "line 2 of"),
        ("a.edges", "2\n0 1\n1 2\n", "'{path}' announces the nodes 0 to 1, but links a node '2'"),
        ("a.txt", "0 1\n2 3\n", "has 2 parts, the largest of 2 of its 4 nodes"),
        ("a.edges", "4\n0 1\n1 2\n", "; one node has no link, '3'; a topology"),
        ("a.edges", "4\n0 1\n", "; 2 nodes have no link, such as '2'; a topology"),
        ("a.net", "*Vertices 4\n*Edges\n1 2\n*States\n1 2\n", "has a section *States, which is not read"),
        ("a.gml", "graph [", "is not a GML file"),
        ("a.net", "*Vertices x", "is not a Pajek file"),
        ("a.g6", "", "is not a graph6 file"),
        (
            "a.mtx",
            "%%MatrixMarket matrix coordinate real general\n4 4 1000000000000\n1 2 1\n",
            "holds no matrix of its",
        ),
        ("a.npy", "x", "holds no matrix of its kind"),
        ("a.txt", "0 1\n1 2\n", "has 3 nodes, but the network has 4"),
        ("a.txt", "# nothing\n", "has 0 nodes, but the network has 4"),
        ("a.txt", "0 1\n2 3\n", "; topology.kind=largest-part takes the largest part alone"),
        ("a.json", "{}", "is not a node-link JSON file"),
        ("a.doc", "0 1", "a topology is read from .txt, .edges, .edgelist"),
        ("a.graphml", "<graphml", "is not a graphml file"),
        ("a.graphml", "", "is not a graphml file"),
        ("a.graphml", "<nothing/>", "is not a graphml file"),
    ],
)
def test_a_malformed_graph_is_refused_with_a_sentence(tmp_path, name, text, sentence):
    path = written(tmp_path, name, text)
    with pytest.raises(TopologyError) as refused:
        build("file", 4, 0, path=path)
    assert sentence.format(path=path) in str(refused.value)


@pytest.mark.parametrize("name", ["none.txt", "none.graphml"])
def test_a_missing_graph_is_refused_with_a_sentence(tmp_path, name):
    with pytest.raises(TopologyError, match=f"{name}' cannot be read: No such file"):
        build("file", 4, 0, path=str(tmp_path / name))


def test_a_graph_that_is_no_text_is_refused(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(TopologyError, match="is not text in UTF-8"):
        build("file", 4, 0, path=str(tmp_path / "a.txt"))


def test_graphml_is_read(tmp_path):
    nx.write_graphml(nx.Graph([(10, 9), (9, 8), (8, 11), (11, 10)]), tmp_path / "a.graphml")
    graph = build("file", 4, 0, path=str(tmp_path / "a.graphml"))
    assert [graph.nodes[node]["name"] for node in graph] == ["8", "9", "10", "11"]
    assert {tuple(sorted(edge)) for edge in graph.edges()} == {(0, 1), (1, 2), (2, 3), (0, 3)}


@pytest.fixture
def ring():
    return build("ring", 4, 0)


@pytest.fixture
def weights(ring):
    return mix("metropolis-hastings", ring)


@pytest.mark.parametrize("name", ["w.npy", "w.npz", "w.csv", "w.txt", "coo.npz"])
def test_a_matrix_survives_its_file(tmp_path, ring, weights, name):
    path, dense = tmp_path / name, weights.toarray()
    match name:
        case "w.npy":
            np.save(path, dense)
        case "w.npz":
            sparse.save_npz(path, weights)
        case "coo.npz":
            sparse.save_npz(path, weights.tocoo())
        case _:
            np.savetxt(path, dense, fmt="%.17g", delimiter="," if name == "w.csv" else " ", header="of a ring")
    read = mix("file", ring, path=str(path))
    assert read.dtype == np.float64
    assert np.array_equal(read.toarray(), dense)
    assert all(np.array_equal(getattr(read, key), getattr(weights, key)) for key in ("indptr", "indices", "data"))


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("w.csv", "1,0\n0,x\n", "line 2 of '{path}' is not a row of numbers"),
        ("w.csv", "1,0\n0,\n", "line 2 of '{path}' is not a row of numbers"),
        ("w.txt", "1 0\n0 1 0\n", "line 2 of '{path}' has 3 numbers, but the first row has 2"),
        ("w.txt", "# empty\n", "holds no numbers"),
        ("w.txt", "1 0\n0 1\n", "the mixing matrix of 4 nodes is 4 × 4, not 2 × 2"),
        ("w.npy", "text", "holds no matrix of its kind"),
        ("w.npy", "", "holds no matrix of its kind"),
        ("w.npz", "text", "holds no matrix of its kind"),
        ("w.pdf", "text", "a mixing matrix is read from .npy, .npz, .mtx, .mat, .csv or .txt, not from"),
    ],
)
def test_a_malformed_matrix_is_refused_with_a_sentence(tmp_path, ring, name, text, sentence):
    path = written(tmp_path, name, text)
    with pytest.raises(TopologyError) as refused:
        mix("file", ring, path=path)
    assert sentence.format(path=path) in str(refused.value)


@pytest.mark.parametrize("name", ["none.npy", "none.npz", "none.csv"])
def test_a_missing_matrix_is_refused_with_a_sentence(tmp_path, ring, name):
    with pytest.raises(TopologyError, match=f"{name}' cannot be read: No such file"):
        mix("file", ring, path=str(tmp_path / name))


@pytest.mark.parametrize("array", [np.ones(4), np.ones((4, 4)) * 1j, np.array([["a"]]), np.array([[None]])])
def test_arrays_that_are_no_real_table_are_refused(tmp_path, ring, array):
    np.save(tmp_path / "w.npy", array)
    with pytest.raises(TopologyError, match=r"table of real numbers|no matrix of its kind"):
        mix("file", ring, path=str(tmp_path / "w.npy"))


def test_npz_files_that_lie_are_refused(tmp_path, ring, weights):
    np.savez(tmp_path / "plain.npz", weights.toarray(), weights.toarray())
    weights.indices[0] = 77
    sparse.save_npz(tmp_path / "outside.npz", weights)
    for name in ("plain.npz", "outside.npz"):
        with pytest.raises(TopologyError, match="holds no matrix of its kind"):
            mix("file", ring, path=str(tmp_path / name))


def test_a_matrix_without_symmetry_must_be_asked_for(tmp_path):
    path = written(tmp_path, "w.txt", "0.5 0.5\n0.25 0.75\n")
    pair = build("path", 2, 0)
    assert mix("file", pair, path=path, symmetric=False)[1, 0] == 0.25
    with pytest.raises(TopologyError, match=r"entry \(0, 1\) of the mixing matrix differs from its mirror image"):
        mix("file", pair, path=path)


@pytest.mark.parametrize("name", ["w.npy", "w.csv", "w.mtx"])
def test_rows_rounded_to_single_precision_sum_to_one_in_double(tmp_path, name):
    graph = build("erdos-renyi", 12, 3, p=0.5)
    exact = mix("metropolis-hastings", graph).toarray()
    given = exact.astype(np.float32)
    assert np.abs(given.astype(np.float64).sum(axis=1) - 1).max() > TOLERANCE
    path = tmp_path / name
    match path.suffix:
        case ".npy":
            np.save(path, given)
        case ".csv":
            np.savetxt(path, given, fmt="%.9g", delimiter=",")
        case _:
            mmwrite(path, sparse.coo_array(given.astype(np.float64)), precision=9, symmetry="general")
    with pytest.warns(Notice, match="off by up to .*the diagonal was set in double precision"):
        read = mix("file", graph, path=str(path)).toarray()
    assert (read == read.T).all()
    assert np.abs(read.sum(axis=0) - 1).max() < 1e-15
    assert np.abs(read.sum(axis=1) - 1).max() < 1e-15
    assert np.abs(read - exact).max() < 1e-6


@pytest.mark.parametrize("off", [1e-5, -1e-5])
def test_more_than_rounding_is_refused(tmp_path, ring, weights, off):
    dense = weights.toarray()
    dense[2, 2] += off
    np.save(tmp_path / "w.npy", dense)
    with pytest.raises(TopologyError, match="each row of a mixing matrix sums to 1; row 2"):
        mix("file", ring, path=str(tmp_path / "w.npy"))


def test_a_matrix_of_which_the_columns_sum_to_one_is_refused(tmp_path):
    path = written(tmp_path, "w.txt", "0.5 0.25\n0.5 0.75\n")
    with pytest.raises(TopologyError, match=r"its rows do not.*transpose it"):
        mix("file", build("path", 2, 0), path=path, symmetric=False)
