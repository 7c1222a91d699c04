"""Labels and clients are known by the names that they have in the data, and what was understood is said."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest

from rewindnet.clients.data import DataError, Dataset, load
from rewindnet.errors import Notice

N = 20
X = np.random.default_rng(0).standard_normal((N, 3))


def own(folder: Path, **arrays: Any) -> Dataset:
    np.savez(folder / "own.npz", **{"x": X, "y": np.arange(N) % 2, **arrays})
    return load("npz", path=str(folder / "own.npz"))


TWICE = np.arange(N) % 2
HUGE = np.where(TWICE, np.uint64(2**64 - 1), np.uint64(7))


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (np.where(TWICE, 150, 50), ("50", "150")),
        (np.where(TWICE, 1, -1), ("-1", "1")),
        (np.where(TWICE, 1.0, -1.0), ("-1", "1")),
        (TWICE.astype(bool), ("false", "true")),
        (np.where(TWICE, "dog", "cat"), ("cat", "dog")),
        (np.where(TWICE, "class 10", "class 9"), ("class 9", "class 10")),
        (np.where(TWICE, b"dog", b"cat"), ("cat", "dog")),
        (HUGE, ("7", str(2**64 - 1))),
    ],
)
def test_labels_of_any_kind_are_classes_with_names(tmp_path: Path, labels: Any, names: tuple[str, ...]) -> None:
    with pytest.warns(Notice, match=f"the labels {', '.join(names)} are 2 classes, known by these names"):
        data = own(tmp_path, y=labels)
    assert (data.classes, data.class_names) == (2, names)
    np.testing.assert_array_equal(data.y, TWICE[np.arange(N) % 5 != 4])


@pytest.mark.parametrize("labels", [TWICE, TWICE.astype(float), TWICE[:, None], TWICE.astype(np.uint64)])
def test_labels_that_are_numbered_from_0_are_what_they_are(tmp_path: Path, labels: Any) -> None:
    data = own(tmp_path, y=labels)
    assert (data.classes, data.class_names) == (2, None)
    np.testing.assert_array_equal(data.y, TWICE[np.arange(N) % 5 != 4])


def test_one_hot_labels_are_the_column_of_the_1(tmp_path: Path) -> None:
    labels = np.eye(3)[np.arange(N) % 3]
    with pytest.warns(Notice, match="the one-hot labels of shape .20, 3. are 3 classes"):
        assert own(tmp_path, y=labels).classes == 3
    labels[4] = 0
    with pytest.raises(DataError, match="are not one-hot"):
        own(tmp_path, y=labels)


@pytest.mark.parametrize(
    ("ids", "names"),
    [
        (np.where(TWICE, 30, -2), ["-2", "30"]),
        (np.where(TWICE, 30.0, 2.0), ["2", "30"]),
        (np.where(TWICE, 1.5, 0.25), ["0.25", "1.5"]),
        (np.where(TWICE, "writer 10", "writer 9"), ["writer 9", "writer 10"]),
        (TWICE.astype(bool), ["false", "true"]),
        (HUGE, ["7", str(2**64 - 1)]),
    ],
)
def test_clients_of_any_kind_keep_their_names(tmp_path: Path, ids: Any, names: list[str]) -> None:
    data = own(tmp_path, client=ids)
    assert data.client is not None
    assert [data.client_name(int(number)) for number in np.unique(data.client)] == names
    first = data.client_name(int(data.client[0]))
    assert first == names[0]
    assert data.without_training == ()


def test_clients_without_training_rows_are_known(tmp_path: Path) -> None:
    ids = np.arange(N) % 4
    ids[4] = 9
    data = own(tmp_path, client=ids)
    assert data.without_training == (9,)
    assert data.limited(3).without_training == (3, 9)


# Tables


def frame(**columns: Any) -> pandas.DataFrame:
    features = {f"f{at}": X[:, at] for at in range(3)}
    return pandas.DataFrame({**features, "label": np.where(TWICE, "dog", "cat"), **columns})


WRITERS = [f"{number:03d}" for number in np.arange(N) % 4]


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_tables_are_read_with_their_names(tmp_path: Path, kind: str) -> None:
    split = np.where(np.arange(N) < 5, "test", "train")
    table, file = frame(client=WRITERS, split=split), tmp_path / f"own.{kind}"
    table.to_csv(file, index=False) if kind == "csv" else table.to_parquet(file)
    with pytest.warns(Notice, match="the labels cat, dog are 2 classes"):
        data = load(kind, path=str(file))
    assert (data.class_names, data.client_names) == (("cat", "dog"), ("000", "001", "002", "003"))
    np.testing.assert_allclose(data.x, X[5:].astype(np.float32))
    np.testing.assert_array_equal(data.y, TWICE[5:])
    assert [data.client_names[number] for number in data.client] == WRITERS[5:]  # type: ignore[index, union-attr]


@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.filterwarnings("ignore::rewindnet.errors.Notice")
def test_categories_are_features_in_the_order_in_which_they_are_listed(tmp_path: Path, kind: str) -> None:
    words, codes = ["NA", "no", "yes", "no"] * 5, ["07", "7"] * 10
    table, file = frame(word=words, code=codes), tmp_path / f"own.{kind}"
    table = table[["f0", "word", "f1", "code", "label"]]
    table.to_csv(file, index=False) if kind == "csv" else table.astype({"word": "category"}).to_parquet(file)
    data = load(kind, path=str(file), categories={"word": ["yes", "no", "maybe", "NA"], "code": [7, "07"]})
    x = np.concatenate([data.x, data.test_x])
    order = [*np.flatnonzero(np.arange(N) % 5 < 4), *np.arange(4, N, 5)]
    expected = [
        [X[at, 0], *(words[at] == word for word in ("yes", "no", "maybe", "NA")), X[at, 1], at % 2 == 1, at % 2 == 0]
        for at in order
    ]
    np.testing.assert_allclose(x, np.array(expected, dtype=np.float32))


def test_words_that_mean_nothing_to_pandas_are_names(tmp_path: Path) -> None:
    frame(label=TWICE, client=np.where(TWICE, "NA", "null")).to_csv(tmp_path / "own.csv", index=False)
    assert load("csv", path=str(tmp_path / "own.csv")).client_names == ("NA", "null")


def test_whole_numbers_of_a_table_are_numbers(tmp_path: Path) -> None:
    frame(label=TWICE, client=np.arange(N) % 3).to_csv(tmp_path / "own.csv", index=False)
    data = load("csv", path=str(tmp_path / "own.csv"))
    assert (data.class_names, data.client_names) == (None, None)
    assert np.unique(data.client).tolist() == [0, 1, 2]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("columns", "settings", "sentence"),
    [
        ({}, {"label": "y"}, r"has no column 'y' of labels .data.label.; its columns are f0, f1, f2, label"),
        (
            {"word": ["a"] * N, "n": np.arange(N), "other": ["7"] * 19 + ["x"]},
            {},
            r"features are numbers, and text is in the columns 'word' \(like 'a'\), 'other' \(like '7'\); remove .*"
            r"data\.categories={word: \[…\], …}",
        ),
        (
            {"word": ["a", "b"] * 9 + ["c", "a"]},
            {"categories": {"word": ["a", "b"]}},
            "the column 'word' is 'c' in row 18, which data.categories.word does not list: a, b",
        ),
        ({"word": ["a", ""] * 10}, {"categories": {"word": ["a", "b"]}}, "the column 'word' is '' in row 1, which"),
        ({}, {"categories": {"sex": ["a", "b"]}}, r"has no column 'sex' of features .data.categories.; its columns"),
        ({"word": ["a"] * N}, {"categories": {"word": ["a", "a"]}}, "lists values, each of them once, not a, a"),
        ({"word": ["a"] * N}, {"categories": {"word": []}}, "lists values, each of them once, not none"),
        ({"split": ["train"] * 19 + ["dev"]}, {}, "says train or test in each row, not 'dev'"),
        ({"client": ["a"] * 19 + [""]}, {}, "natural clients: row 19 is empty"),
        ({"f1": [1.0] * 9 + [None] * 11}, {}, r"values are missing in the columns 'f1' \(row 9\); fill them in, or"),
        ({"f1": [1.0] * 19 + [np.inf]}, {}, "feature values are NaN or infinite"),
    ],
)
@pytest.mark.filterwarnings("ignore::rewindnet.errors.Notice")
def test_tables_that_make_no_sense_are_refused(
    tmp_path: Path, columns: dict[str, Any], settings: dict[str, str], sentence: str
) -> None:
    frame(**columns).to_csv(tmp_path / "own.csv", index=False)
    with pytest.raises(DataError, match=sentence):
        load("csv", path=str(tmp_path / "own.csv"), **settings)


def test_files_that_are_no_tables_are_refused(tmp_path: Path) -> None:
    (tmp_path / "own.parquet").write_text("no table")
    (tmp_path / "own.csv").write_text('a,b\n"1,2\n3')
    for kind, sentence in (("parquet", "is no Parquet table"), ("csv", "is no CSV table|has no column")):
        with pytest.raises(DataError, match=sentence):
            load(kind, path=str(tmp_path / f"own.{kind}"))
        with pytest.raises(DataError, match="no such file"):
            load(kind, path=str(tmp_path / "nowhere"))


@pytest.mark.parametrize(
    "text",
    [
        ',a,label\n1,0.5,x\n2,1.5,y\n3,2.5,x\n4,0.1,y\n5,0.2,x\n',
        '"","a","label"\n"Mazda",0.5,"x"\n"Fiat",1.5,"y"\n"Audi",2.5,"x"\n"Opel",0.1,"y"\n"Saab",0.2,"x"\n',
        'a,label\nm,0.5,x\nf,1.5,y\na,2.5,x\no,0.1,y\ns,0.2,x\n',
    ],
)  # fmt: skip
def test_names_of_rows_are_no_feature(tmp_path, text):
    (tmp_path / "a.csv").write_text(text)
    with pytest.warns(Notice) as told:
        data = load("csv", path=str(tmp_path / "a.csv"))
    assert data.x.tolist() == [[np.float32(value)] for value in (0.5, 1.5, 2.5, 0.1)]
    assert "the first column has no name and holds the names of rows" in str(told[0].message)


def test_rows_with_more_fields_than_the_first_line_names_are_refused(tmp_path):
    (tmp_path / "a.csv").write_text("a,label\n1,2,3,x\n1,2,4,y\n")
    with pytest.raises(DataError, match="its rows have 4 fields, and its first line names 2 columns"):
        load("csv", path=str(tmp_path / "a.csv"))


def test_a_table_of_one_column_is_told_of_the_separator(tmp_path):
    (tmp_path / "a.csv").write_text("a;label\n1;x\n2;y\n")
    with pytest.raises(DataError, match=r"its columns are a;label; data\.separator says what separates columns"):
        load("csv", path=str(tmp_path / "a.csv"))
