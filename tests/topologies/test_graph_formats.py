"""Graphs as other programs write them: each format gives the same network, and a notice says what was changed."""

import gzip
import json
import os
import pickle
import sys

import networkx as nx
import numpy as np
import pytest
from scipy import io, sparse

from rewindnet.errors import Notice
from rewindnet.topologies import TopologyError, build, files, own_nodes

KARATE = nx.karate_club_graph()
FLORENTINE = nx.florentine_families_graph()


def json_graph(key):
    return lambda graph, path: path.write_text(json.dumps(nx.node_link_data(graph, edges=key)))


def metis(graph, path):
    lines = [" ".join(str(other + 1) for other in graph[node]) for node in graph]
    path.write_text("\n".join([f"% of us\n{len(graph)} {graph.number_of_edges()}", *lines]) + "\n")


def pairs(head, mark=" "):
    return lambda graph, path: path.write_text(head + "".join(f"{one}{mark}{other}\n" for one, other in graph.edges()))


def adjacency(graph):
    return nx.to_scipy_sparse_array(graph, dtype=np.float64)


NUMBERED = {
    "dicts.edgelist": nx.write_edgelist,
    "plain.txt": lambda graph, path: nx.write_edgelist(graph, path, data=False),
    "weighted.txt": nx.write_weighted_edgelist,
    "commas.csv": lambda graph, path: nx.write_edgelist(graph, path, delimiter=","),
    "decentralizepy.edges": pairs("34\n"),
    "heading.csv": pairs("Source,Target\n", ","),
    "semicolons.csv": pairs("", ";"),
    "snap.txt": pairs("# Undirected graph\n# FromNodeId\tToNodeId\n", "\t"),
    "out.konect": pairs("% sym unweighted\n% 78 34 34\n"),
    "a.adjlist": nx.write_adjlist,
    "multiline.adjlist": nx.write_multiline_adjlist,
    "links.json": json_graph("links"),
    "edges.json": json_graph("edges"),
    "a.npy": lambda graph, path: np.save(path, nx.to_numpy_array(graph)),
    "pairs.npy": lambda graph, path: np.save(path, np.array(graph.edges())),
    "dense.npz": lambda graph, path: np.savez(path, nx.to_numpy_array(graph)),
    "sparse.npz": lambda graph, path: sparse.save_npz(path, adjacency(graph)),
    "matrix.csv": lambda graph, path: np.savetxt(path, nx.to_numpy_array(graph), delimiter=","),
    "a.mtx": lambda graph, path: io.mmwrite(path, adjacency(graph)),
    "a.g6": nx.write_graph6,
    "a.s6": nx.write_sparse6,
}
NAMED = {
    "a.gml": nx.write_gml,
    "a.gexf": nx.write_gexf,
    "a.graphml": nx.write_graphml,
    "a.net": nx.write_pajek,
    "named.csv": lambda graph, path: nx.write_edgelist(graph, path, delimiter=",", data=False),
    "named.json": json_graph("links"),
    "named.adjlist": lambda graph, path: nx.write_adjlist(graph, path),
}


def read(path, nodes):
    graph = build("file", nodes, 0, path=str(path))
    names = nx.get_node_attributes(graph, "name")
    return {frozenset((names.get(one, one), names.get(other, other))) for one, other in graph.edges()}, names


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("name", NUMBERED)
def test_a_graph_of_numbers_survives_every_format(tmp_path, name, zipped):
    path = tmp_path / name
    NUMBERED[name](KARATE, path)
    if zipped:
        path = tmp_path / f"{name}.gz"
        content = (tmp_path / name).read_bytes()
        path.write_bytes(gzip.compress(content[:50]) + gzip.compress(content[50:]))
    assert read(path, 34) == ({frozenset(edge) for edge in KARATE.edges()}, {})


@pytest.mark.parametrize("name", NAMED)
def test_names_survive_every_format_that_has_them(tmp_path, name):
    NAMED[name](FLORENTINE, tmp_path / name)
    edges, names = read(tmp_path / name, 15)
    assert edges == {frozenset(edge) for edge in FLORENTINE.edges()}
    if "csv" not in name and "adjlist" not in name:
        assert list(names.values()) == list(FLORENTINE)


def test_metis_counts_from_one(tmp_path):
    metis(KARATE, tmp_path / "a.graph")
    edges, names = read(tmp_path / "a.graph", 34)
    assert edges == {frozenset((str(one + 1), str(other + 1))) for one, other in KARATE.edges()}
    assert list(names.values()) == list(map(str, range(1, 35)))


@pytest.mark.parametrize("labels", ['1 "a"\n2 "a"\n3 "b"\n', "1\n2\n3\n", ""])
def test_pajek_nodes_without_labels_of_their_own_have_their_numbers(tmp_path, labels):
    (tmp_path / "a.net").write_text(f"*Vertices 3\n{labels}*Edges\n1 2\n2 3\n")
    assert read(tmp_path / "a.net", 3) == ({frozenset("12"), frozenset("23")}, {0: "1", 1: "2", 2: "3"})


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("a.txt", "0 1\n1 2\n2 2\n", "self-loops dropped: 1$"),
        ("a.txt", "0 1\n1 0\n1 2\n1 2\n", "repeated links merged: 1; links listed in both directions joined: 1$"),
        ("a.gml", "graph [ directed 1 node [ id 0 label \"0\" ] node [ id 1 label \"1\" ] node [ id 2 label \"2\" ] "
         "edge [ source 0 target 1 ] edge [ source 1 target 0 ] edge [ source 2 target 1 ] ]",
         "links listed in both directions joined: 1; links of one direction taken both ways: 1$"),
        ("a.gml", "graph [ node [ id 0 label \"0\" ] node [ id 1 label \"1\" ] node [ id 2 label \"2\" ] "
         "edge [ source 0 target 1 ] edge [ source 0 target 1 ] edge [ source 2 target 1 ] ]",
         "repeated links merged: 1$"),
        ("a.csv", "1,1,0\n1,0,1\n0,1,0\n", "self-loops dropped: 1$"),
        ("a.csv", "0,1,0,0,0\n0,0,1,0,0\n0,0,0,1,0\n0,0,0,0,1\n0,0,0,1,0\n", "taken both ways: 3$"),
    ],
)  # fmt: skip
def test_what_is_changed_is_said_in_one_line(tmp_path, name, text, sentence):
    (tmp_path / name).write_text(text)
    nodes = 5 if "0,1,0,0,0" in text else 3
    with pytest.warns(Notice, match=sentence) as told:
        edges, _ = read(tmp_path / name, nodes)
    assert edges == {frozenset((at, at + 1)) for at in range(nodes - 1)}
    assert len(told) == 1


def quoted(graph, path):
    path.write_text("Source,Target,Weight\n" + "".join(f'"{one}, of","{two}, of",1\n' for one, two in graph.edges()))


def spaced(graph, path):
    path.write_text("".join(f'"{one} #1"  "{two} #1" 1.5\n' for one, two in graph.edges()))


@pytest.mark.parametrize(("write", "name", "after"), [(quoted, "a.csv", ", of"), (spaced, "a.txt", " #1")])
def test_names_in_quotes_may_have_commas_and_spaces(tmp_path, write, name, after):
    write(FLORENTINE, tmp_path / name)
    edges, _ = read(tmp_path / name, 15)
    assert edges == {frozenset((one + after, two + after)) for one, two in FLORENTINE.edges()}


def test_quotes_that_do_not_close_are_refused(tmp_path):
    (tmp_path / "a.csv").write_text('a,b\n"b,c\n')
    with pytest.raises(TopologyError, match=r"line 2 of .* has quotes that do not close"):
        read(tmp_path / "a.csv", 3)


def test_an_adjacency_matrix_may_name_its_rows_and_columns(tmp_path):
    nx.to_pandas_adjacency(FLORENTINE).to_csv(tmp_path / "a.csv")
    edges, names = read(tmp_path / "a.csv", 15)
    assert edges == {frozenset(edge) for edge in FLORENTINE.edges()}
    assert list(names.values()) == list(FLORENTINE)


@pytest.mark.parametrize(
    "content",
    [
        {"A": adjacency(KARATE)},
        {"net": nx.to_numpy_array(KARATE), "labels": np.arange(34)},
        {"A": adjacency(KARATE), "attributes": np.eye(34)},
        {"Problem": {"name": "Newman/karate", "A": adjacency(KARATE), "id": 2399}},
    ],
)
def test_matrices_of_matlab_files_are_found(tmp_path, content):
    io.savemat(tmp_path / "a.mat", content, do_compression=True)
    assert read(tmp_path / "a.mat", 34) == ({frozenset(edge) for edge in KARATE.edges()}, {})


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ({"a": np.eye(3), "b": np.eye(3)}, "it holds a, b; one square matrix, or one called A or adj, is needed"),
        ({"a": np.arange(3)}, "it holds a; one square matrix"),
        (b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM", "HDF5; save it with the option -v7"),
        (b"nothing", "no MATLAB file, or is damaged"),
    ],
)
def test_matlab_files_without_one_matrix_are_refused(tmp_path, content, sentence):
    if isinstance(content, bytes):
        (tmp_path / "a.mat").write_bytes(content)
    else:
        io.savemat(tmp_path / "a.mat", content)
    with pytest.raises(TopologyError, match=sentence):
        read(tmp_path / "a.mat", 3)


DOT = 'graph "G" { "a b" -- c; c -- d [weight=2]; e -- "a b" }'


def test_dot_files_need_pydot(tmp_path, monkeypatch):
    (tmp_path / "a.dot").write_text(DOT)
    monkeypatch.setitem(sys.modules, "pydot", None)
    with pytest.raises(TopologyError, match="DOT files are read by pydot, which is not installed"):
        read(tmp_path / "a.dot", 4)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_dot_files_are_read_by_pydot(tmp_path):
    pytest.importorskip("pydot")
    (tmp_path / "a.dot").write_text(DOT)
    edges, names = read(tmp_path / "a.dot", 4)
    assert edges == {frozenset(("a b", "c")), frozenset("cd"), frozenset(("e", "a b"))}
    assert list(names.values()) == ["a b", "c", "d", "e"]


CITED = {3: [1, 1], 1: [3, 7, 3], 7: [1, 7], 5: [9], 9: [5]}


def test_the_citation_graphs_of_planetoid_are_read(tmp_path):
    (tmp_path / "ind.a.graph").write_bytes(pickle.dumps({3: [1], 1: [3, 7], 7: [1]}, 2))
    edges, names = read(tmp_path / "ind.a.graph", 3)
    assert (edges, names) == ({frozenset("13"), frozenset("17")}, {0: "1", 1: "3", 2: "7"})
    for wrong in ([1, 2], {"a": ["b"]}, {1: 2}):
        (tmp_path / "b.graph").write_bytes(pickle.dumps(wrong, 2))
        with pytest.raises(TopologyError, match=r"holds no lists of the numbers|links a node that is not a number"):
            read(tmp_path / "b.graph", 2)
    (tmp_path / "c.graph").write_bytes(pickle.dumps({1: os.system}, 2))
    with pytest.raises(TopologyError, match=r"asks for .*system; only plain values"):
        read(tmp_path / "c.graph", 2)


def test_the_largest_part_of_a_graph_keeps_its_names(tmp_path):
    path = tmp_path / "ind.a.graph"
    path.write_bytes(pickle.dumps(CITED, 2))
    with pytest.raises(TopologyError, match="not connected: it has 2 parts"), pytest.warns(Notice):
        read(path, 5)
    assert own_nodes("largest-part", {"path": str(path)}) == 3
    with pytest.warns(Notice) as told:
        graph = build("largest-part", 3, 0, path=str(path))
    assert [str(sentence.message).partition(": ")[2] for sentence in told] == [
        "2 of 5 nodes are not in the largest connected part, and left out",
        "self-loops dropped: 1; repeated links merged: 1",
    ]
    assert list(nx.get_node_attributes(graph, "name").values()) == ["1", "3", "7"]
    assert set(graph.edges()) == {(0, 1), (0, 2)}


def test_a_file_is_parsed_once_while_it_stays_the_same(tmp_path, monkeypatch):
    path, parsed = tmp_path / "a.txt", []
    real = files.listed_links
    monkeypatch.setattr(files, "listed_links", lambda name: parsed.append(name) or real(name))
    path.write_text("0 1\n1 2\n")
    assert own_nodes("file", {"path": str(path)}) == 3
    build("file", 3, 0, path=str(path))
    assert len(parsed) == 1
    path.write_text("0 1\n1 2\n2 3\n")
    assert own_nodes("file", {"path": str(path)}) == 4
    assert len(parsed) == 2


def test_pajek_lists_of_neighbours_lose_no_link(tmp_path):
    (tmp_path / "a.net").write_text("*Vertices 4\n*Edgeslist\n1 2 3\n*Arcslist\n4 1 2\n")
    edges, _ = read(tmp_path / "a.net", 4)
    assert edges == {frozenset(pair) for pair in ("12", "13", "14", "24")}


def test_the_dialect_of_infomap_is_read(tmp_path):
    text = '# two triangles\n*Vertices\n0 "A"\n1 "B"\n2 "C"\n*Links\n# source target weight\n0 1 0.5\n1 2\n2 0\n'
    (tmp_path / "a.net").write_text(text)
    with pytest.warns(Notice, match="links of one direction taken both ways: 3"):
        edges, names = read(tmp_path / "a.net", 3)
    assert edges == {frozenset(pair) for pair in ("AB", "BC", "CA")}
    assert list(names.values()) == list("ABC")


@pytest.mark.parametrize(("name", "text"), [("a.txt", "# nothing\n"), ("a.gml", "graph [ ]"), ("a.el", "")])
def test_a_file_without_nodes_is_told_so(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    for kind in ("file", "largest-part"):
        with pytest.raises(TopologyError, match=f"{name}' has no nodes"):
            own_nodes(kind, {"path": str(tmp_path / name)})


def test_rows_and_columns_of_two_mode_pajek_matrices_are_different_nodes(tmp_path):
    (tmp_path / "a.net").write_text('*Vertices 4 2\n1 "A"\n2 "B"\n3 "x"\n4 "y"\n*Matrix\n1 0\n1 1\n')
    edges, names = read(tmp_path / "a.net", 4)
    assert edges == {frozenset(pair) for pair in ("Ax", "Bx", "By")}
    assert list(names.values()) == list("ABxy")


GRAPHML = """<graphml xmlns="http://graphml.graphdrawing.org/xmlns">
<key id="k" for="node" attr.name="good" attr.type="boolean"/><graph edgedefault="undirected">
<node id="a"><data key="k">  true  </data></node><node id="b"><data key="other">1</data></node>
<edge source="a" target="b"><data key="none">x</data></edge></graph></graphml>"""
GML = "graph [ node [ id 1\n weight -Inf\n ] node [ id 2 ] edge [ source 1 target 2\n weight NAN\n ] ]"


@pytest.mark.parametrize(("name", "text", "names"), [("a.graphml", GRAPHML, "ab"), ("a.gml", GML, "12")])
def test_attributes_that_networkx_refuses_are_of_no_matter(tmp_path, name, text, names):
    (tmp_path / name).write_text(text)
    assert read(tmp_path / name, 2) == ({frozenset(names)}, dict(enumerate(names)))
