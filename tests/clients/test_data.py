import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rewindnet.clients.data import SOURCES, DataError, digits, load
from rewindnet.clients.data.dataset import checked, every_fifth, inferred_layout


def rows(n=6, shape=(3,), seed=0):
    generator = np.random.default_rng(seed)
    return generator.standard_normal((n, *shape)).astype(np.float32), np.arange(n) % 2


def check(**changes):
    x, y = rows()
    arrays = {"x": x, "y": y, "test_x": x, "test_y": y, "layout": "vector"} | changes
    return checked("mine", **arrays)


def broken(value):
    x, _ = rows()
    x[2, 1] = x[4, 0] = value
    return x


def test_sound_arrays_are_taken_as_they_are():
    x, y = rows()
    data = check(client=np.array([5, 5, -1, 2, 2, 5], dtype=np.int16), mean=0.5)
    assert data.x.dtype == np.float32
    assert data.y.dtype == data.test_y.dtype == data.client.dtype == np.int64
    np.testing.assert_array_equal(data.x, x)
    np.testing.assert_array_equal(data.y, y)
    assert (data.classes, data.shape, data.mean) == (2, (3,), 0.5)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"x": broken(np.nan)}, "training rows: 2 feature values are NaN or infinite .*first in row 2"),
        ({"test_x": broken(-np.inf)}, "test rows: 2 feature values are NaN or infinite"),
        ({"x": np.full((6, 3), 1e300)}, "18 feature values are NaN or infinite as float32"),
        ({"x": np.zeros((6, 3), dtype=complex)}, "features must be numbers"),
        ({"x": np.zeros(6)}, "features must be numbers"),
        ({"y": np.zeros(6)}, "labels must be integers"),
        ({"y": np.zeros(6, dtype=bool)}, "labels must be integers"),
        ({"y": np.zeros((6, 2), dtype=int)}, "labels must be integers"),
        ({"y": np.array([0, 1, 0, -3, 1, 0])}, "not be negative, the label of row 3 is -3"),
        ({"y": np.arange(5)}, "6 rows of features but 5 labels"),
        ({"y": np.ones(6, dtype=int)}, "at least 2 classes, all of them are 1"),
        ({"test_x": np.zeros((0, 3)), "test_y": np.zeros(0, dtype=int)}, "test rows: there are none"),
        ({"test_x": np.zeros((6, 4))}, r"shape \(3,\) but a test row \(4,\)"),
        ({"y": np.array([0, 1, 0, 1, 0, 99])}, "coded 0, 1, 2, …, but 12 rows have labels up to 99"),
        ({"y": np.arange(6), "classes": 4}, "must lie in 0 … 3, the largest is 5"),
        ({"layout": "image"}, "an image is"),
        ({"layout": "signal"}, "a signal"),
        ({"mean": np.zeros(2)}, "the mean of shape"),
        ({"mean": float("nan")}, "not finite"),
        ({"client": np.zeros(5, dtype=int)}, "natural clients must be 6 integers"),
        ({"client": np.zeros(6)}, "natural clients must be 6 integers"),
    ],
)
def test_unusable_arrays_are_refused_in_a_sentence(changes, sentence):
    with pytest.raises(DataError, match=sentence):
        check(**changes)


def test_the_first_bad_row_is_counted_from_the_start_of_the_data():
    x, y = rows(9000)
    x[8500, 2] = np.nan
    with pytest.raises(DataError, match=r"1 feature values .* the first in row 8500"):
        check(x=x, y=y)


@given(n=st.integers(2, 30), limit=st.integers(1, 40))
@settings(deadline=None)
def test_limit_keeps_the_first_rows_and_leaves_the_test_alone(n, limit):
    x, y = rows(n)
    data = checked("mine", x=x, y=y, test_x=x, test_y=y, layout="vector", client=np.arange(n))
    kept = data.limited(limit)
    np.testing.assert_array_equal(kept.x, x[:limit])
    np.testing.assert_array_equal(kept.client, np.arange(n)[:limit])
    assert kept.classes == 2
    assert len(kept.test_x) == n


@given(n=st.integers(2, 30), limit=st.integers(1, 40), test_limit=st.integers(1, 40))
@settings(deadline=None)
def test_both_limits_keep_the_first_rows(n, limit, test_limit):
    x, y = rows(n)
    kept = checked("mine", x=x, y=y, test_x=-x, test_y=y, layout="vector").limited(limit, test_limit)
    np.testing.assert_array_equal(kept.x, x[:limit])
    np.testing.assert_array_equal(kept.test_x, -x[:test_limit])
    np.testing.assert_array_equal(kept.test_y, y[:test_limit])
    assert kept.classes == 2


@pytest.mark.parametrize(("key", "kind"), [("limit", "training"), ("test_limit", "test")])
def test_a_limit_without_rows_is_refused(key, kind):
    with pytest.raises(DataError, match=f"at least 1 {kind} row"):
        load("synthetic", **{key: 0})


@pytest.mark.parametrize(
    ("shape", "layout"), [((5,), "vector"), ((4, 4), "image"), ((3, 4, 4), "image"), ((2, 2, 2, 2), "vector")]
)
def test_the_layout_follows_from_the_number_of_dimensions(shape, layout):
    assert inferred_layout(shape) == layout


def test_every_fifth_row_is_a_test_row():
    assert np.flatnonzero(every_fifth(12)).tolist() == [4, 9]


def test_unknown_sources_and_parameters_are_named():
    with pytest.raises(DataError, match=r"unknown data source 'mnits' .did you mean 'mnist'.*there are: digits, mnist"):
        load("mnits")
    with pytest.raises(DataError, match=r"the data source 'digits' has no setting 'colour'"):
        load("digits", colour=1)
    with pytest.raises(DataError, match=r"'npz' needs the setting 'path'"):
        load("npz")


def test_every_source_says_what_it_is_in_one_line():
    assert all(source.__doc__.splitlines()[0].endswith(".") for source in SOURCES.values())


def test_neither_listing_sources_nor_the_digits_load_a_heavy_library():
    program = "import sys; from rewindnet.clients.data import load; load('digits'); "
    program += "print(sorted({'sklearn', 'torch'} & set(sys.modules)))"
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_digits_are_embedded():
    data = load("digits")
    assert data.x.shape == (1438, 8, 8)
    assert data.test_x.shape == (359, 8, 8)
    assert (data.x.min(), data.x.max(), data.classes, data.layout, data.mean) == (0, 1, 10, "image", 0.3)
    assert abs(data.x.mean() - data.mean) < 0.01


@pytest.mark.slow  # scikit-learn takes seconds to import
def test_digits_are_those_of_scikit_learn():
    from sklearn.datasets import load_digits

    data, found, test = load("digits"), load_digits(), np.arange(1797) % 5 == 4
    for part, rows in (((data.x, data.y), ~test), ((data.test_x, data.test_y), test)):
        np.testing.assert_array_equal(part[0], (found.images / 16).astype(np.float32)[rows])
        np.testing.assert_array_equal(part[1], found.target[rows])


def test_digits_that_are_not_there_are_a_sentence(tmp_path, monkeypatch):
    elsewhere = SimpleNamespace(origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(digits, "find_spec", lambda name: elsewhere)
    with pytest.raises(
        DataError, match=r"scikit-learn, with which the digits come, does not have them .*digits.csv.gz"
    ):
        load("digits")
    monkeypatch.setattr(digits, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match="sklearn"):
        load("digits")


def test_synthetic_images_are_a_mixture_in_the_shape_of_images():
    flat = load("synthetic", seed=3, samples=60, dimensions=48, classes=3)
    data = load("synthetic-images", seed=3, samples=60, channels=3, side=4, classes=3)
    assert (data.shape, data.layout, data.name) == ((3, 4, 4), "image", "synthetic-images")
    np.testing.assert_array_equal(data.x.reshape(48, 48), flat.x)
    np.testing.assert_array_equal(data.test_y, flat.test_y)
    with pytest.raises(DataError, match="at least 1 channel and 1 pixel, not 0 and 4 × 4"):
        load("synthetic-images", channels=0, side=4)


def test_synthetic_data_are_a_balanced_mixture_with_the_stated_separation():
    data = load("synthetic", seed=3, samples=20000, dimensions=4, classes=3, separation=5.0)
    assert np.ptp(np.bincount(np.append(data.y, data.test_y))) <= 1
    centers = np.array([data.x[data.y == label].mean(axis=0) for label in range(3)])
    np.testing.assert_allclose(np.linalg.norm(centers, axis=1), 5.0, atol=0.1)
    np.testing.assert_allclose((data.x - centers[data.y]).std(axis=0), 1.0, atol=0.03)


def test_synthetic_data_depend_on_the_seed_alone():
    first, again, other = (load("synthetic", seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.x, again.x)
    assert not np.array_equal(first.x, other.x)
    assert first.x.shape == (1600, 20)


@pytest.mark.parametrize(
    "parameters",
    [{"classes": 1}, {"dimensions": 0}, {"samples": 9}, {"separation": -1.0}, {"separation": float("inf")}],
)
def test_synthetic_parameters_out_of_range_are_refused(parameters):
    with pytest.raises(DataError, match="synthetic data"):
        load("synthetic", **parameters)


def archive(folder, **arrays):
    path = folder / "mine.npz"
    np.savez(path, **arrays)
    return str(path)


def test_npz_without_a_split_tests_on_every_fifth_row(tmp_path):
    x, y = rows(10)
    data = load("npz", path=archive(tmp_path, x=x.astype(np.float64), y=y))
    np.testing.assert_array_equal(data.test_x, x[[4, 9]])
    assert data.client is None
    assert data.layout == "vector"


def test_npz_with_its_own_split_and_clients(tmp_path, monkeypatch):
    x, y = rows(10, (2, 7))
    test = np.arange(10) < 4
    archive(tmp_path, x=x, y=y, test=test, client=np.arange(10) * 3)
    monkeypatch.setenv("HOME", str(tmp_path))
    data = load("npz", path="~/mine.npz", layout="signal")
    np.testing.assert_array_equal(data.x, x[4:])
    np.testing.assert_array_equal(data.test_y, y[:4])
    np.testing.assert_array_equal(data.client, np.arange(4, 10) * 3)
    assert data.layout == "signal"


X, Y = rows(10)


@pytest.mark.parametrize(
    ("arrays", "sentence"),
    [
        ({"x": X}, "lacks y; it holds x"),
        ({"x": X, "y": Y + 0.5}, "labels are classes, and 0.5 is no class"),
        ({"x": X, "y": np.array([{}] * 10)}, "y.npy holds Python objects"),
        ({"x": X, "y": Y[:-1]}, r"y must have the shape \(10,\)"),
        ({"x": X, "y": Y, "test": Y}, "test must be booleans"),
        ({"x": X, "y": Y, "test": np.ones(9, dtype=bool)}, r"test must have the shape \(10,\)"),
        ({"x": X, "y": Y, "client": np.zeros((10, 1), dtype=int)}, "client must have the shape"),
        ({"x": X, "y": Y, "client": np.full(10, np.nan)}, "natural clients: row 0 is NaN or infinite"),
        ({"x": X, "y": Y, "test": np.zeros(10, dtype=bool)}, "test rows: there are none"),
        ({"x": X[:, 0], "y": Y}, "features must be numbers"),
        ({"x": np.float32(1), "y": Y}, "x is a single value"),
        ({"x": np.where(X.max() == X, np.nan, X), "y": Y}, "1 feature values are NaN"),
    ],
)
def test_npz_that_make_no_sense_are_refused_in_a_sentence(tmp_path, arrays, sentence):
    with pytest.raises(DataError, match=sentence):
        load("npz", path=archive(tmp_path, **arrays))


def test_files_that_are_no_archives_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"no such file: .*nowhere\.npz; data\.path must name"):
        load("npz", path=str(tmp_path / "nowhere.npz"))
    text = tmp_path / "text.npz"
    text.write_text("x,y\n1,2\n")
    with pytest.raises(DataError, match=r"not an \.npz archive"):
        load("npz", path=str(text))
    np.save(tmp_path / "single.npy", X)
    with pytest.raises(DataError, match="holds a single array"):
        load("npz", path=str(tmp_path / "single.npy"))


def test_a_truncated_archive_is_refused(tmp_path):
    path = Path(archive(tmp_path, x=X, y=Y))
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(DataError, match="damaged"):
        load("npz", path=str(path))


def test_an_archive_with_a_flipped_byte_is_refused(tmp_path):
    path = Path(archive(tmp_path, x=X, y=Y))
    content = bytearray(path.read_bytes())
    content[content.index(X.tobytes()) + 5] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"is no \.npz archive, or is damaged"):
        load("npz", path=str(path))
