"""Keep computed features on disk, by the hash of all that they follow from, and read them back if they are whole.

The folder is that of the environment variable REWINDNET_CACHE, or else one in the user's own cache folder. Features of
clients' data are as private as the data: only the user may read the folder.
"""

import hashlib
import json
import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from rewindnet.clients.data.dataset import Dataset
from rewindnet.clients.data.encoders.base import Features
from rewindnet.errors import UserError, notice
from rewindnet.reading import located
from rewindnet.user_code import names_code, source_of

CACHE_VARIABLE = "REWINDNET_CACHE"
#: The largest number of bytes that are kept; what was not read for longest is removed first.
MOST_BYTES = 4 << 30
_ARRAYS = ("x", "test_x")
_FACTS = ("radius", "provenance", "shape", "origin", "weights_sha256")


def cached(encoder: Callable[..., Features], dataset: Dataset, seed: int, settings: Mapping[str, Any]) -> Features:
    """Return the features of an encoder: those that are kept, or else computed now and kept.

    Args:
        encoder: called as `encoder(dataset, seed, *, settings)`.
        dataset: the data.
        seed: the scenario's seed.
        settings: the encoder's.
    """
    folder = cache_folder()
    if folder is None:
        return encoder(dataset, seed, **settings)
    place = folder / f"{_key(encoder, dataset, seed, settings)}.safetensors"
    kept = _read(place)
    if kept is None:
        kept = encoder(dataset, seed, **settings)
        _keep(place, kept)
    return kept


def cache_folder() -> Path | None:
    """Return the folder of kept features; None where the environment variable is set to nothing."""
    given = os.environ.get(CACHE_VARIABLE)
    if given == "":
        return None
    if given is not None:
        return located(given, UserError) / "features"
    from platformdirs import user_cache_path

    return user_cache_path("rewindnet", appauthor=False) / "features"


def _key(encoder: Callable[..., Features], dataset: Dataset, seed: int, settings: Mapping[str, Any]) -> str:
    """Return the sha256 of all that the features follow from: data, settings, files, seed and code."""
    public = dataset.public
    facts = {
        "encoder": encoder.__qualname__,
        "settings": {name: _by_content(value) for name, value in settings.items()},
        "seed": seed,
        "layout": dataset.layout,
        "data": [_hash_of(dataset.x), _hash_of(dataset.test_x)],
        "mean": None if dataset.mean is None else _hash_of(np.asarray(dataset.mean)),
        "public": None if public is None else [public.origin, _hash_of(public.x), _hash_of(public.y)],
        "code": _code(encoder),
        "libraries": [sys.version, platform.machine(), *(version(name) for name in ("numpy", "torch"))],
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()


def _code(encoder: Callable[..., Features]) -> str:
    """Return the sha256 of the code of all encoders, and of the file of this one."""
    files = {*Path(__file__).parent.glob("*.py"), Path(encoder.__code__.co_filename)}
    return _digest(file.read_bytes() for file in sorted(files))


def _by_content(value: Any) -> Any:
    """Return a setting, with the sha256 of the file that it names in its place, or beside the name in it."""
    if not isinstance(value, str):
        return value
    file = source_of(value) if names_code(value) else Path(value)
    if file is None or not file.is_file():
        return value
    return [value if names_code(value) else "", _digest([file.read_bytes()])]


def _hash_of(array: NDArray[Any]) -> list[Any]:
    return [str(array.dtype), list(array.shape), _digest([np.ascontiguousarray(array)])]


def _digest(parts: Iterable[Any]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


def _read(place: Path) -> Features | None:
    """Return kept features; None if there are none, or they are not what was kept."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(place, "numpy") as file:
            arrays = [file.get_tensor(name) for name in _ARRAYS]
            facts = (file.metadata() or {}).get("facts", "")
            if (file.metadata() or {}).get("sha256") != _digest([facts.encode(), *arrays]):
                raise ValueError
        os.utime(place)
        known = json.loads(facts)
        return Features(*arrays, **{**known, "shape": tuple(known["shape"])})
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError, SafetensorError):
        notice(f"{place}, which keeps features, is damaged; they are computed again")
        return None


def _keep(place: Path, features: Features) -> None:
    """Write features, so that a reader sees all of them or none; a folder that cannot be written keeps nothing."""
    from safetensors.numpy import save_file

    known = {name: getattr(features, name) for name in _FACTS}
    facts, arrays = json.dumps(known), [features.x, features.test_x]
    metadata = {"facts": facts, "sha256": _digest([facts.encode(), *arrays])}
    unfinished = place.with_name(f".{uuid4().hex}")
    try:
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if sum(part.nbytes for part in arrays) > min(MOST_BYTES, shutil.disk_usage(place.parent).free // 2):
            return
        save_file(dict(zip(_ARRAYS, arrays, strict=True)), unfinished, metadata)
        unfinished.chmod(0o600)
        unfinished.replace(place)
        _remove_oldest(place.parent)
    except OSError as problem:
        notice(f"features are not kept in {place.parent}: {problem.strerror}; set {CACHE_VARIABLE} to another folder")
    finally:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)


def _remove_oldest(folder: Path) -> None:
    """Remove what was not read for longest, until what is kept is within its limit."""
    kept = sorted(folder.glob("*.safetensors"), key=lambda file: file.stat().st_mtime, reverse=True)
    total = 0
    for file in kept:
        total += file.stat().st_size
        if total > MOST_BYTES:
            file.unlink(missing_ok=True)
