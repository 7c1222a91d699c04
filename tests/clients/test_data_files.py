import contextlib
import gzip
import io
import os
import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rewindnet.clients.data import DataError, load
from rewindnet.clients.data.files import read_pickle
from rewindnet.clients.data.idx import IMAGES, INTEGER_TABLE, LABELS, read_idx

real_data = pytest.mark.skipif("REWINDNET_DATA" not in os.environ, reason="REWINDNET_DATA is not set")


def idx(array):
    code = {"u": 0x08, "i": 0x0C}[array.dtype.kind]
    header = struct.pack(f">HBB{array.ndim}I", 0, code, array.ndim, *array.shape)
    return header + array.astype({8: ">u1", 12: ">i4"}[code]).tobytes()


def images(n, seed):
    generator = np.random.default_rng(seed)
    return generator.integers(0, 256, (n, 5, 4), dtype=np.uint8), (np.arange(n) % 10).astype(np.uint8)


def mnist_files(folder, *, zipped=True):
    folder.mkdir(parents=True, exist_ok=True)
    for part, n in {"train": 30, "t10k": 12}.items():
        x, y = images(n, n)
        for name, array in {f"{part}-images-idx3-ubyte": x, f"{part}-labels-idx1-ubyte": y}.items():
            content = idx(array)
            (folder / (name + ".gz" * zipped)).write_bytes(gzip.compress(content) if zipped else content)


def write_writers(root, labels):
    table = np.zeros((len(labels), 8), dtype=np.int32)
    table[:, 0], table[:, 2] = labels, 2000 + np.arange(len(labels)) // 7
    (root / "qmnist").mkdir()
    (root / "qmnist" / "qmnist-train-labels-idx2-int.gz").write_bytes(gzip.compress(idx(table)))
    return table[:, 2]


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("folder", ["MNIST/raw", "MNIST", "."])
def test_mnist_is_read_from_each_of_its_places(tmp_path, folder, zipped):
    mnist_files(tmp_path / folder, zipped=zipped)
    data = load("mnist", tmp_path)
    x, y = images(30, 30)
    np.testing.assert_array_equal(data.x, x.astype(np.float32) / np.float32(255))
    np.testing.assert_array_equal(data.y, y)
    np.testing.assert_array_equal(data.test_y, images(12, 12)[1])
    assert (data.client, data.mean, data.layout, data.classes) == (None, 0.1307, "image", 10)


def test_writers_are_the_natural_clients_of_mnist(tmp_path):
    mnist_files(tmp_path / "MNIST" / "raw")
    writers = write_writers(tmp_path, images(30, 30)[1])
    np.testing.assert_array_equal(load("mnist", str(tmp_path)).client, writers)
    np.testing.assert_array_equal(load("mnist", tmp_path, limit=9).client, writers[:9])


def test_writers_of_other_images_are_refused(tmp_path):
    mnist_files(tmp_path)
    write_writers(tmp_path, images(30, 30)[1][::-1])
    with pytest.raises(DataError, match="labels are not those of the 30 MNIST training images"):
        load("mnist", tmp_path)


def test_fashion_mnist_never_takes_mnist_for_itself(tmp_path):
    mnist_files(tmp_path)
    with pytest.raises(DataError, match=r"no such file: .*FashionMNIST/raw/train-images-idx3-ubyte\.gz"):
        load("fashion-mnist", tmp_path)
    mnist_files(tmp_path / "FashionMNIST" / "raw")
    data = load("fashion-mnist", tmp_path)
    assert (data.name, data.mean, data.client) == ("fashion-mnist", 0.2860, None)


def test_the_root_is_the_environment_variable_or_the_folder_data(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("REWINDNET_DATA", raising=False)
    with pytest.raises(DataError, match="no such file: data/MNIST/raw/train-images"):
        load("mnist")
    mnist_files(tmp_path / "elsewhere")
    monkeypatch.setenv("REWINDNET_DATA", "elsewhere")
    assert len(load("mnist").x) == 30


@pytest.mark.parametrize("source", ["mnist", "fashion-mnist", "cifar-10", "uci-har"])
def test_missing_files_say_where_they_were_looked_for_and_what_to_set(tmp_path, source):
    with pytest.raises(DataError, match=rf"no such file: {tmp_path}.*set data\.root, or .*REWINDNET_DATA"):
        load(source, tmp_path)


@given(shape=st.lists(st.integers(1, 6), min_size=3, max_size=3), zipped=st.booleans(), cut=st.integers(1, 1000))
@settings(deadline=None)
def test_an_idx_file_is_read_whole_or_refused(tmp_path_factory, shape, zipped, cut):
    array = np.random.default_rng(cut).integers(0, 256, shape, dtype=np.uint8)
    content = gzip.compress(idx(array)) if zipped else idx(array)
    path = tmp_path_factory.mktemp("idx") / "file"
    path.write_bytes(content)
    np.testing.assert_array_equal(read_idx(path, IMAGES), array)
    path.write_bytes(content[: -min(cut, len(content))])
    with pytest.raises(DataError, match=f"{path} .*found"):
        read_idx(path, IMAGES)


def test_idx_integers_are_big_endian(tmp_path):
    table = np.array([[1, -2], [2**31 - 1, 258]], dtype=np.int32)
    (tmp_path / "table").write_bytes(idx(table))
    np.testing.assert_array_equal(read_idx(tmp_path / "table", INTEGER_TABLE), table)


def test_damaged_idx_files_are_told_apart(tmp_path):
    path = tmp_path / "file"
    x, y = images(3, 0)
    path.write_bytes(idx(y))
    with pytest.raises(DataError, match="magic number 2049, 2051 was expected"):
        read_idx(path, IMAGES)
    path.write_bytes(idx(x) + b"\0")
    with pytest.raises(DataError, match="76 bytes expected for 3×5×4 values, more than 76 found"):
        read_idx(path, IMAGES)
    path.write_bytes(gzip.compress(idx(x))[:-8])
    with pytest.raises(DataError, match="gzip file that ends early: 76 bytes expected"):
        read_idx(path, IMAGES)
    damaged = bytearray(gzip.compress(idx(x)))
    damaged[-6] ^= 0xFF
    path.write_bytes(damaged)
    with pytest.raises(DataError, match="damaged gzip file"):
        read_idx(path, IMAGES)
    with pytest.raises(DataError, match="cannot be read"):
        read_idx(tmp_path, LABELS)


def cifar_files(root, protocol=2, batches=(1, 3)):
    folder = root / "cifar-10-batches-py"
    folder.mkdir()
    parts = {}
    for name in [*(f"data_batch_{number}" for number in batches), "test_batch"]:
        generator = np.random.default_rng(len(parts))
        content = {"data": generator.integers(0, 256, (10, 3072), dtype=np.uint8), "labels": list(range(10))}
        (folder / name).write_bytes(pickle.dumps(content | {"filenames": ["a.png"] * 10}, protocol))
        parts[name] = content["data"]
    return parts


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_cifar_is_read_from_the_batches_there_are(tmp_path, protocol):
    parts = cifar_files(tmp_path, protocol)
    data = load("cifar-10", tmp_path)
    pixels = np.concatenate([parts["data_batch_1"], parts["data_batch_3"]]).reshape(20, 3, 32, 32)
    np.testing.assert_array_equal(data.x, pixels.astype(np.float32) / np.float32(255))
    np.testing.assert_array_equal(data.y, list(range(10)) * 2)
    assert data.test_x.shape == (10, 3, 32, 32)
    np.testing.assert_allclose(np.ravel(data.mean), [0.4914, 0.4822, 0.4465])


class Malice:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    ("malice", "name"),
    [
        (Malice(os.system, "true"), r"(posix|nt)\.system"),
        (Malice(eval, "1"), r"builtins\.eval"),
        (Malice(np.load, "x"), r"numpy\.load"),
        (Malice(getattr, np.ndarray, "tofile"), r"builtins\.getattr"),
        (io.BytesIO(b""), r"_io\.BytesIO"),
    ],
)
def test_pickles_that_ask_for_anything_but_arrays_are_refused(tmp_path, malice, name):
    cifar_files(tmp_path)
    path = tmp_path / "cifar-10-batches-py" / "data_batch_1"
    path.write_bytes(pickle.dumps({"data": malice, "labels": []}))
    with pytest.raises(DataError, match=rf"asks for {name}; only plain values and numpy arrays are read"):
        load("cifar-10", tmp_path)


def test_other_codecs_are_refused(tmp_path):
    (tmp_path / "file").write_bytes(b"c_codecs\nencode\n(Vabc\nVzip\ntR.")
    with pytest.raises(DataError, match="asks for the codec zip"):
        read_pickle(tmp_path / "file")


@given(content=st.binary(max_size=60))
@settings(deadline=None)
def test_no_byte_string_gives_anything_but_a_value_or_a_sentence(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("pickle") / "file"
    path.write_bytes(content)
    with contextlib.suppress(DataError):
        assert not callable(read_pickle(path))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ([1, 2], "not a CIFAR-10 batch"),
        ({"data": np.zeros((2, 3072)), "labels": [0, 1]}, "data must be a uint8 array"),
        ({"data": np.zeros((2, 100), dtype=np.uint8), "labels": [0, 1]}, "data must be a uint8 array"),
        ({"data": np.zeros((2, 3072), dtype=np.uint8), "labels": [0, 1.5]}, "labels must be a list of integers"),
        ({"data": np.zeros((2, 3072), dtype=np.uint8), "labels": [0]}, "2 images but 1 labels"),
        ({"data": np.zeros((2, 3072), dtype=np.uint8), "labels": [0, 10]}, "must lie in 0 … 9"),
    ],
)
def test_batches_of_another_form_are_refused(tmp_path, content, sentence):
    cifar_files(tmp_path, batches=(1,))
    (tmp_path / "cifar-10-batches-py" / "data_batch_1").write_bytes(pickle.dumps(content, 2))
    with pytest.raises(DataError, match=sentence):
        load("cifar-10", tmp_path)


def test_a_truncated_batch_is_refused(tmp_path):
    cifar_files(tmp_path)
    path = tmp_path / "cifar-10-batches-py" / "test_batch"
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(DataError, match="test_batch is a damaged pickle"):
        load("cifar-10", tmp_path)


def har_arrays():
    halves = np.random.default_rng(0).standard_normal((9, 31, 64)).astype("<f4")
    planes = np.moveaxis(halves[..., None].view(np.uint8), -1, 0)
    return halves, {
        "planes": planes,
        "win": np.arange(30, dtype=np.int16),
        "subject": np.arange(30) + 1,
        "y": np.arange(30) % 6,
    }


def write_har(root, arrays):
    (root / "uci-har").mkdir()
    np.savez(root / "uci-har" / "uci_har_windows.npz", **arrays)


def test_har_windows_are_pairs_of_halves_and_its_clients_people(tmp_path):
    halves, arrays = har_arrays()
    write_har(tmp_path, arrays)
    data = load("uci-har", tmp_path)
    subject = 1 + np.arange(30)
    test = np.isin(subject, [2, 4, 9, 10, 12, 13, 18, 20, 24])
    windows = np.array([np.concatenate([halves[:, i], halves[:, i + 1]], axis=1) for i in range(30)])
    np.testing.assert_array_equal(data.x, windows[~test])
    np.testing.assert_array_equal(data.test_x, windows[test])
    np.testing.assert_array_equal(data.client, subject[~test])
    assert (data.layout, data.mean, data.shape) == ("signal", None, (9, 128))


def test_everybody_learns_where_the_last_windows_of_everybody_are_held_out(tmp_path):
    halves, arrays = har_arrays()
    # Two people with two activities of 10 and 5 windows, in turns; the order of the windows is that of time.
    arrays |= {"subject": np.repeat([3, 2], 15), "y": np.tile([0, 1, 0], 10)}
    write_har(tmp_path, arrays)
    data = load("uci-har", tmp_path, held_out="windows")
    expected = [12, 13, 14, 27, 28, 29]
    windows = np.array([np.concatenate([halves[:, i], halves[:, i + 1]], axis=1) for i in range(30)])
    np.testing.assert_array_equal(data.test_x, windows[expected])
    np.testing.assert_array_equal(data.client, [3] * 12 + [2] * 12)


@pytest.mark.parametrize(
    ("name", "array", "sentence"),
    [
        ("planes", np.zeros((4, 9, 31, 32), dtype=np.uint8), "planes must be uint8"),
        ("win", np.arange(30) + 1, "win must lie in 0 … 29, it spans 1 … 30"),
        ("win", np.arange(30.0), "win must be integers"),
        ("subject", np.arange(29), "30 windows, but subject and y have shapes"),
        ("y", np.full(30, 7), "at least 2 classes"),
    ],
)
def test_har_arrays_that_do_not_fit_are_refused(tmp_path, name, array, sentence):
    write_har(tmp_path, har_arrays()[1] | {name: array})
    with pytest.raises(DataError, match=sentence):
        load("uci-har", tmp_path)


def test_har_without_an_array_is_refused(tmp_path):
    write_har(tmp_path, {"win": np.arange(3)})
    with pytest.raises(DataError, match="lacks planes, subject, y; it holds win"):
        load("uci-har", tmp_path)
    with zipfile.ZipFile(tmp_path / "uci-har" / "uci_har_windows.npz", "w") as archive:
        archive.writestr("planes.txt", "")
    with pytest.raises(DataError, match=r"lacks planes, win, subject, y; it holds planes\.txt"):
        load("uci-har", tmp_path)


@real_data
def test_the_real_files_are_what_their_authors_describe():
    mnist = load("mnist", Path(os.environ["REWINDNET_DATA"]))
    assert np.bincount(mnist.y).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert abs(mnist.x.mean() - mnist.mean) < 1e-4
    if mnist.client is not None:
        sizes = np.unique(mnist.client, return_counts=True)[1]
        assert (len(sizes), sizes.min(), sizes.max()) == (539, 19, 131)
