"""Files of users: what is no regular file is refused at once, and nothing is read beyond what was announced."""

import gzip
import io
import os
import struct
import zipfile

import numpy as np
import pytest

from rewindnet import reading
from rewindnet.arrays import load_npy
from rewindnet.clients.data import DataError, load
from rewindnet.clients.data.idx import IMAGES, LABELS, read_idx
from rewindnet.errors import UserError
from rewindnet.topologies import TopologyError, build


def test_what_is_no_regular_file_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe.txt")
    for path in (tmp_path / "pipe.txt", "/dev/zero"):
        with pytest.raises(UserError, match="is not a regular file"), reading.opened(path):
            pass
    with pytest.raises(TopologyError, match="is not a regular file"):
        build("file", 2, 0, path=str(tmp_path / "pipe.txt"))
    with pytest.raises(UserError, match=r"cannot be read: (Is a directory|it is not)"), reading.opened(tmp_path):
        pass


@pytest.mark.parametrize(
    ("path", "sentence"), [("a\0b.txt", "NUL character"), ("~none-such/x.txt", "does not exist here")]
)
def test_paths_that_cannot_be_are_refused(path, sentence):
    with pytest.raises(TopologyError, match=sentence):
        build("file", 2, 0, path=path)
    with pytest.raises(DataError, match=sentence):
        load("npz", path=path)
    with pytest.raises(DataError, match=sentence):
        load("mnist", path)


def test_gzip_files_of_several_members_are_read(tmp_path):
    labels = np.arange(50, dtype=np.uint8)
    content = struct.pack(">HBBI", 0, 8, 1, 50) + labels.tobytes()
    (tmp_path / "labels").write_bytes(gzip.compress(content[:20]) + gzip.compress(content[20:]) + gzip.compress(b""))
    np.testing.assert_array_equal(read_idx(tmp_path / "labels", LABELS), labels)


def test_of_a_gzip_bomb_no_more_is_read_than_its_header_announces(tmp_path, monkeypatch):
    bomb = gzip.compress(struct.pack(">HBBIII", 0, 8, 3, 2, 3, 4) + bytes(2**24), 1)
    (tmp_path / "images").write_bytes(bomb)
    read = []
    whole = gzip.GzipFile.read
    monkeypatch.setattr(gzip.GzipFile, "read", lambda file, size=-1: read.append(size) or whole(file, size))
    with pytest.raises(DataError, match="does not match its header: 40 bytes expected for 2×3×4 values, more than 40"):
        read_idx(tmp_path / "images", IMAGES)
    assert 0 < min(read) <= sum(read) < 100
    (tmp_path / "bomb.txt.gz").write_bytes(bomb)
    monkeypatch.setattr(reading, "MOST_TEXT", 1000)
    with pytest.raises(UserError, match="holds more than 1,000 bytes"):
        reading.content_of(tmp_path / "bomb.txt.gz", most=1000)


def lying(shape, dtype="<f8", values=8):
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"shape": shape, "fortran_order": False, "descr": dtype})
    return stream.getvalue() + bytes(values)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (lying((10**13, 784)), "does not match its header: 62720000000000000 bytes expected"),
        (lying((2,)), "16 bytes expected for"),
        (lying((1,), "|O"), "holds Python objects"),
        (b"\x93NUMPY\x09\x00", "its format has the version"),
        (b"", "is no numpy array"),
    ],
)
def test_headers_of_arrays_that_lie_are_refused_before_memory_is_taken(tmp_path, content, sentence):
    with pytest.raises(UserError, match=sentence):
        load_npy(content, "a")
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        for name in ("x.npy", "y.npy"):
            archive.writestr(name, content)
    with pytest.raises(DataError, match=sentence):
        load("npz", path=str(tmp_path / "a.npz"))
