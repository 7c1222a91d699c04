"""Features on disk: read back bit for bit; computed again where they, or anything they follow from, changed."""

import os
from dataclasses import replace

import numpy as np
import pytest

from rewindnet.clients.data.dataset import Dataset, PublicRows
from rewindnet.clients.data.encoders import ENCODERS, Features, cache, encode
from rewindnet.clients.data.encoders.base import costly
from rewindnet.errors import Notice

X = np.random.default_rng(0).random((6, 2, 3)).astype(np.float32)
DATA = Dataset("mine", X, np.arange(6) % 2, X[:2].copy(), np.arange(2), "image", 2, mean=0.5)


@costly
def slow(dataset: Dataset, seed: int, *, power: float = 1.0, path: str | None = None) -> Features:
    """Count how often it is computed."""
    slow.computed += 1  # type: ignore[attr-defined]
    x, test_x = (part.reshape(len(part), -1) ** np.float32(power) for part in (dataset.x, dataset.test_x))
    return Features(x, test_x, 9.0, "proven", (6,), f"It has {dataset.x.shape}.")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("REWINDNET_CACHE", str(tmp_path))
    monkeypatch.setitem(ENCODERS.entries, "slow", slow)
    slow.computed = 0
    return tmp_path / "features"


def computed(dataset=DATA, seed=0, **settings) -> int:
    """How often it was computed to get these features, which are right."""
    before = slow.computed
    found = encode("slow", dataset, seed, settings)
    expected = slow(dataset, seed, **settings)
    slow.computed -= 1
    assert all(np.array_equal(getattr(found, name), getattr(expected, name)) for name in ("x", "test_x"))
    assert (found.radius, found.provenance, found.shape, found.origin) == (9.0, "proven", (6,), "It has (6, 2, 3).")
    return slow.computed - before


def test_what_was_computed_is_read_back_and_only_the_user_may_read_it(folder):
    assert [computed(), computed(), computed()] == [1, 0, 0]
    (kept,) = folder.iterdir()
    assert kept.stat().st_mode & 0o077 == 0


def test_whatever_the_features_follow_from_is_part_of_the_key(folder, tmp_path):
    named = tmp_path / "weights"
    named.write_bytes(b"one")
    public = PublicRows(X, DATA.y, 2, "volunteers", True)
    others = [
        {"dataset": replace(DATA, x=X[::-1].copy())},
        {"dataset": replace(DATA, test_x=X[2:4].copy())},
        {"dataset": replace(DATA, mean=None)},
        {"dataset": replace(DATA, mean=0.25)},
        {"dataset": replace(DATA, layout="signal")},
        {"dataset": replace(DATA, public=public)},
        {"dataset": replace(DATA, public=replace(public, x=X + 1))},
        {"dataset": replace(DATA, public=replace(public, y=1 - DATA.y))},
        {"seed": 1},
        {"power": 2.0},
        {"path": str(named)},
    ]
    assert computed() == 1
    assert [computed(**other) for other in others] == [1] * len(others)
    assert [computed(**other) for other in others] == [0] * len(others)
    named.write_bytes(b"two")
    assert computed(path=str(named)) == 1


def test_other_code_is_not_taken_for_this(folder, monkeypatch):
    assert computed() == 1
    monkeypatch.setattr(cache, "_code", lambda encoder: "other")
    assert computed() == 1


@pytest.mark.parametrize("damage", ["bit", "short", "empty", "facts"])
def test_damaged_features_are_computed_again_and_replaced(folder, damage):
    assert computed() == 1
    (kept,) = folder.iterdir()
    content = bytearray(kept.read_bytes())
    if damage == "bit":
        content[-30] ^= 1
    elif damage == "facts":
        content = content.replace(b"9.0", b"8.0")
    kept.write_bytes(content[:-7] if damage == "short" else b"" if damage == "empty" else content)
    with pytest.warns(Notice, match="is damaged; they are computed again"):
        assert computed() == 1
    assert computed() == 0


def test_who_verifies_computes_again(folder):
    assert computed() == 1
    encode("slow", DATA, 0, {}, from_disk=False)
    assert slow.computed == 2


def test_nothing_is_kept_where_it_is_not_wanted_or_not_possible(folder, monkeypatch, tmp_path):
    monkeypatch.setenv("REWINDNET_CACHE", "")
    assert [computed(), computed()] == [1, 1]
    (tmp_path / "file").touch()
    monkeypatch.setenv("REWINDNET_CACHE", str(tmp_path / "file"))
    with pytest.warns(Notice, match="features are not kept in .*; set REWINDNET_CACHE to another folder"):
        assert computed() == 1


def test_what_was_not_read_for_longest_goes_first(folder, monkeypatch):
    assert [computed(power=power) for power in (1.0, 2.0, 3.0)] == [1, 1, 1]
    size = next(folder.iterdir()).stat().st_size
    for age, file in enumerate(sorted(folder.iterdir(), key=lambda file: file.stat().st_mtime_ns)):
        os.utime(file, (1000 + age, 1000 + age))
    assert computed(power=1.0) == 0
    monkeypatch.setattr(cache, "MOST_BYTES", 3 * size + size // 2)
    assert computed(power=4.0) == 1
    assert [computed(power=power) for power in (1.0, 3.0, 4.0)] == [0, 0, 0]
    assert computed(power=2.0) == 1


def test_rows_that_are_only_scaled_are_not_kept(folder):
    assert {kind for kind in ENCODERS if not getattr(ENCODERS[kind], "costly", False)} == {"raw", "unit-norm"}
    encode("unit-norm", DATA, 0, {})
    assert not folder.exists()
