"""Loaders of four public data sets: on small files in their format, and on the real ones where they are."""

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from scipy import io, sparse

from rewindnet.clients.data import DataError, load
from rewindnet.clients.data.adult import _COLUMNS
from rewindnet.clients.graphs.data import GRAPHS
from rewindnet.errors import Notice
from rewindnet.pickles import SparseRows

real_data = pytest.mark.skipif("REWINDNET_DATA" not in os.environ, reason="REWINDNET_DATA is not set")
PERSON = (
    "39, State-gov, 77516, Bachelors, 13, Never-married, Adm-clerical, Not-in-family, White, Male, 2174, 0, 40, Cuba"
)
NOBODY = "90, ?, 77053, HS-grad, 9, Widowed, ?, Not-in-family, White, Female, 0, 4356, 40, ?"


def write_adult(root, train, test):
    (root / "adult").mkdir(exist_ok=True)
    (root / "adult" / "adult.data").write_text("".join(f"{row}\n" for row in train) + "\n")
    (root / "adult" / "adult.test").write_text("|1x3 Cross validator\n" + "".join(f"{row}.\n" for row in test) + "\n")


def test_people_of_adult_are_scaled_numbers_and_one_1_a_word(tmp_path):
    write_adult(tmp_path, [f"{PERSON}, <=50K", f"{NOBODY}, >50K"], [f"{PERSON}, >50K"])
    with pytest.warns(Notice, match="adult: 1 of 2 training rows and 0 of 1 test rows have a missing value"):
        data = load("adult", tmp_path)
    assert (data.x.shape, data.classes, data.class_names) == ((2, 105), 2, ("<=50K", ">50K"))
    assert (data.y.tolist(), data.test_y.tolist()) == ([0, 1], [1])
    expected = {0: 0.39, 9: 77516 / 1.5e6, 26: 13 / 16, 61: 0.02174, 62: 0.0, 63: 0.4}
    for column, value in expected.items():
        assert data.x[0, column] == pytest.approx(value), column
    # State-gov is the sixth of workclass, Cuba the thirteenth of native-country, which is the last column.
    assert (data.x[0, 1 + 5], data.x[0, 64 + 12]) == (1, 1)
    assert data.x[0].astype(bool).sum() == 8 + 5
    # Without workclass, occupation and country: five words, and all numbers but a gain.
    assert data.x[1].astype(bool).sum() == 5 + 5
    np.testing.assert_array_equal(data.test_x[0], data.x[0])


def test_people_of_adult_are_grouped_by_the_column_that_is_asked_for(tmp_path):
    write_adult(tmp_path, [f"{PERSON}, <=50K", f"{NOBODY}, >50K"], [f"{PERSON.replace('Cuba', 'Laos')}, >50K"])
    with pytest.warns(Notice, match="people without native-country are the client \\?"):
        data = load("adult", tmp_path, by="native-country")
    assert [data.client_name(client) for client in data.client] == ["Cuba", "?"]
    assert [data.client_name(client) for client in data.without_training] == ["Laos"]
    assert [load_quietly(tmp_path, by=by) for by in ("sex", "occupation")] == [
        ["Male", "Female"],
        ["Adm-clerical", "?"],
    ]


def load_quietly(root, by):
    with pytest.warns(Notice):
        data = load("adult", root, by=by)
    return [data.client_name(client) for client in data.client]


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        (f"{PERSON}", r"adult\.data: line 2 has 14 fields, 15 were expected"),
        (f"{PERSON.replace('Cuba', 'Atlantis')}, <=50K", "native-country is 'Atlantis', which is not one of United-"),
        (f"{PERSON.replace('39', 'old')}, <=50K", "age must be a number"),
        (f"{PERSON}, rich", "income is 'rich', which is not one of <=50K, >50K"),
    ],
)
def test_rows_of_adult_that_are_none_are_refused(tmp_path, row, sentence):
    write_adult(tmp_path, [f"{PERSON}, >50K", row], [f"{PERSON}, >50K"])
    with pytest.raises(DataError, match=sentence):
        load("adult", tmp_path)


def faces(people):
    return np.random.default_rng(0).integers(0, 256, (people, 10, 64, 64), dtype=np.uint8)


def write_faces(root, **arrays):
    (root / "olivetti").mkdir(exist_ok=True)
    io.savemat(root / "olivetti" / "olivettifaces.mat", arrays, do_compression=True)


def test_faces_are_images_by_person(tmp_path):
    pixels = faces(3)
    write_faces(tmp_path, faces=pixels.transpose(0, 1, 3, 2).reshape(30, -1).T)
    data = load("olivetti", tmp_path)
    assert (data.shape, data.classes, data.layout) == ((1, 64, 64), 3, "image")
    np.testing.assert_array_equal(data.client, np.repeat([0, 1, 2], 8))
    np.testing.assert_array_equal(data.y, data.client)
    np.testing.assert_array_equal(data.test_y, [0, 0, 1, 1, 2, 2])
    np.testing.assert_array_equal(data.x[8, 0], pixels[1, 0].astype(np.float32) / np.float32(255))
    np.testing.assert_array_equal(data.test_x[3, 0], pixels[1, 9].astype(np.float32) / np.float32(255))


def test_other_matlab_files_are_no_faces(tmp_path):
    write_faces(tmp_path, faces=np.zeros((4096, 25)))
    with pytest.raises(DataError, match="faces must be uint8"):
        load("olivetti", tmp_path)
    write_faces(tmp_path, houses=faces(1))
    with pytest.raises(DataError, match="no MATLAB file with the array faces"):
        load("olivetti", tmp_path)
    path = tmp_path / "olivetti" / "olivettifaces.mat"
    path.write_bytes(path.read_bytes()[:900])
    with pytest.raises(DataError, match="no MATLAB file with the array faces, or is damaged"):
        load("olivetti", tmp_path)


PLAY = "ANN:\nabcabcabcabc\n\nBOB:\nab\n\nANN:\ncab\ncab\n\nA note without a speech\n"


def write_play(root, text):
    (root / "shakespeare").mkdir(exist_ok=True)
    (root / "shakespeare" / "input.txt").write_text(text)


def test_rows_of_a_role_are_windows_of_all_it_says(tmp_path):
    write_play(tmp_path, PLAY)
    data = load("shakespeare", tmp_path, window=3, step=2)
    letters = sorted(set(PLAY))
    said = "abcabcabcabc\ncab\ncab"
    windows = [(said[at : at + 3], said[at + 3]) for at in range(0, len(said) - 3, 2)]
    assert (data.shape, data.layout, data.classes) == ((len(letters), 3), "signal", len(letters))
    x = np.concatenate([data.x, data.test_x])
    assert (x.sum(axis=1) == 1).all()
    assert ["".join(letters[code] for code in row) for row in x.argmax(axis=1)] == [window for window, _ in windows]
    assert [letters[code] for code in [*data.y, *data.test_y]] == [following for _, following in windows]
    assert len(data.test_y) == len(windows) // 5
    assert (data.client_names, data.client.tolist()) == (("ANN",), [0] * len(data.y))
    assert data.class_names[:2] == ("newline", "space")


def test_each_role_is_a_client(tmp_path):
    write_play(tmp_path, PLAY.replace("\nab\n", "\nabababab\n"))
    data = load("shakespeare", tmp_path, window=2, step=1, least=1)
    assert data.client_names == ("ANN", "BOB")
    assert np.bincount(data.client).tolist() == [18 - 18 // 5, 6 - 6 // 5]


def test_texts_without_speeches_and_windows_of_nothing_are_refused(tmp_path):
    write_play(tmp_path, "some text\n")
    with pytest.raises(DataError, match="has no role with 2 rows of 10 characters"):
        load("shakespeare", tmp_path)
    with pytest.raises(DataError, match="window, step and least must be at least 1, not 0, 10 and 2"):
        load("shakespeare", tmp_path, window=0)


class OldMatrix:
    """Pickles like a `csr_matrix` of scipy before version 1.8."""

    def __init__(self, dense):
        rows = sparse.csr_matrix(dense)
        self.state = {"_shape": rows.shape, "data": rows.data, "indices": rows.indices, "indptr": rows.indptr}

    def __reduce__(self):
        return SparseRows, (), self.state


def write_papers(root, words, classes, links, index=(6, 5)):
    (root / "cora").mkdir(exist_ok=True)
    one_hot = np.eye(7, dtype=np.int32)[classes]
    parts = {"allx": OldMatrix(words[:5]), "ally": one_hot[:5], "graph": links}
    parts |= {"tx": OldMatrix(words[list(index)]), "ty": one_hot[list(index)]}
    for part, content in parts.items():
        raw = pickle.dumps(content, 2).replace(b"crewindnet.pickles\nSparseRows\n", b"cscipy.sparse.csr\ncsr_matrix\n")
        (root / "cora" / f"ind.cora.{part}").write_bytes(raw)
    (root / "cora" / "ind.cora.test.index").write_text("".join(f"{paper}\n" for paper in index))


PAPERS = np.random.default_rng(1).integers(0, 2, (7, 12)).astype(np.float32)
SUBJECTS = np.array([0, 1, 2, 3, 4, 5, 6])
CITED = {0: [1], 1: [0, 2], 2: [1, 6], 3: [4], 4: [3], 5: [5], 6: [2]}


def test_papers_keep_their_numbers(tmp_path):
    write_papers(tmp_path, PAPERS, SUBJECTS, CITED)
    data = load("cora", tmp_path)
    np.testing.assert_array_equal(data.x, PAPERS[:5])
    np.testing.assert_array_equal(data.test_x, PAPERS[5:])
    assert (data.client.tolist(), data.test_y.tolist(), data.classes) == ([0, 1, 2, 3, 4], [5, 6], 7)


def test_papers_of_the_largest_part_are_the_nodes_of_its_graph(tmp_path):
    write_papers(tmp_path, PAPERS, SUBJECTS, CITED)
    data = load("cora", tmp_path, split="connected")
    assert data.client.tolist() == [0, 1, 2, 6]
    np.testing.assert_array_equal(data.x, PAPERS[[0, 1, 2, 6]])
    np.testing.assert_array_equal(data.test_y, [3, 4, 5])


def test_papers_and_citations_are_a_graph_of_communities(tmp_path):
    write_papers(tmp_path, PAPERS, SUBJECTS, CITED)
    graph = GRAPHS.build("cora", tmp_path, 0, clients=2, train=0.5)
    np.testing.assert_array_equal(graph.x, PAPERS)
    assert graph.y.tolist() == SUBJECTS.tolist()
    assert {(a, b) for a, b in graph.edges.T.tolist() if a < b} == {(0, 1), (1, 2), (2, 6), (3, 4)}
    assert graph.edges.shape == (2, 8)
    client = graph.client.tolist()
    assert client[3] == client[4]
    assert sorted(client.count(number) for number in (0, 1)) == [3, 4]
    assert int(graph.train.sum()) == 4
    with pytest.raises(DataError, match="at most as many, not 8"):
        GRAPHS.build("cora", tmp_path, 0, clients=8)
    write_papers(tmp_path, PAPERS, SUBJECTS, {0: [7]})
    with pytest.raises(DataError, match="papers are numbered from 0 to 6"):
        GRAPHS.build("cora", tmp_path, 0)


def test_papers_that_do_not_fit_together_are_refused(tmp_path):
    write_papers(tmp_path, PAPERS, SUBJECTS, CITED)
    (tmp_path / "cora" / "ind.cora.test.index").write_text("5\n5\n")
    with pytest.raises(DataError, match="the files of cora do not fit together"):
        load("cora", tmp_path)
    (tmp_path / "cora" / "ind.cora.allx").write_bytes(pickle.dumps(PAPERS, 2))
    with pytest.raises(DataError, match="holds no sparse matrix of words: it is a ndarray"):
        load("cora", tmp_path)
    write_papers(tmp_path, PAPERS, SUBJECTS, [1, 2])
    with pytest.raises(DataError, match="holds no lists of the papers that are linked"):
        load("cora", tmp_path, split="connected")


@pytest.mark.parametrize("source", ["adult", "olivetti", "shakespeare", "cora"])
def test_missing_files_are_named(tmp_path, source):
    with pytest.raises(DataError, match=rf"no such file: {tmp_path}/{source}/.*set data\.root, or .*REWINDNET_DATA"):
        load(source, tmp_path)


@real_data
@pytest.mark.parametrize(
    ("source", "settings", "rows", "test", "clients", "counts"),
    [
        ("adult", {}, 32561, 16281, 15, [24720, 7841]),
        ("adult", {"by": "native-country"}, 32561, 16281, 42, [24720, 7841]),
        ("olivetti", {}, 320, 80, 40, [8] * 40),
        ("cora", {}, 1708, 1000, 1708, [221, 126, 274, 499, 277, 195, 116]),
        ("cora", {"split": "connected"}, 2485, 223, 2485, [344, 214, 406, 726, 379, 285, 131]),
        ("shakespeare", {}, 82201, 20394, 293, None),
    ],
)
@pytest.mark.filterwarnings("ignore::rewindnet.errors.Notice")
def test_the_real_files_are_what_their_authors_say(source, settings, rows, test, clients, counts):
    data = load(source, Path(os.environ["REWINDNET_DATA"]), **settings)
    assert (len(data.x), len(data.test_x), len(np.unique(data.client))) == (rows, test, clients)
    assert counts is None or np.bincount(data.y).tolist() == counts
    if data.mean is not None:
        assert abs(np.concatenate([data.x, data.test_x]).mean() - data.mean) < 1e-4


def test_the_columns_of_adult_are_those_of_the_files():
    names = [scale.split(", ") for scale in _COLUMNS.values() if isinstance(scale, str)]
    assert ([len(values) for values in names], len(_COLUMNS)) == ([8, 16, 7, 14, 6, 5, 2, 41], 14)
