"""The outputs of a frozen neural network as features."""

import inspect
import math
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from rewindnet.clients.data.dataset import Dataset, Floats, chunks
from rewindnet.clients.data.encoders.base import IMAGES_AT_ONCE, FeatureError, Features, costly, normalized
from rewindnet.clients.data.tensor_files import sha256_of_tensors, tensors_of
from rewindnet.user_code import load_code

if TYPE_CHECKING:
    import torch
    from torch import nn


@costly
def network(
    dataset: Dataset,
    seed: int,
    *,
    path: str | None = None,
    settings: dict[str, Any] | None = None,
    weights_path: str | None = None,
    width: int = 64,
    epochs: int = 5,
    center: Literal["public", "zero"] = "public",
) -> Features:
    """The outputs of a frozen network, minus their mean over public rows, then unit norm: ‖x‖ ≤ 1, proven.

    The network is trained in the run itself, on the rows that `data.public` declares; or its weights are in a file, and
    that no client's data went into them is then declared. Training depends on the public rows and the seed alone; the
    weights have the same bits wherever the processor and torch are the same. The norm is proven whatever the weights.

    Args:
        dataset: the data.
        seed: the scenario's seed.
        path: the network, a torch module as package.module:Net or file.py:Net, whose outputs are the features; `shape`
            is passed if its constructor has such a parameter. By default a small network of our own: three
            convolutions of images and signals, two layers of vectors.
        settings: what the class is called with.
        weights_path: a file of its weights (safetensors, or a state_dict); by default it is trained.
        width: the number of channels or outputs of the last layer of our own network.
        epochs: how often training reads every public row.
        center: what is subtracted from the outputs: their mean over the public rows (zero if there are none), or zero.

    Raises:
        FeatureError: if there are neither weights nor public rows, or the network does not take the data.
    """
    import torch

    if weights_path is None and dataset.public is None:
        raise FeatureError(
            "network needs data.public, the rows that it is trained on, or weights_path, a file of weights that were "
            "made without any client's data"
        )
    if width < 1 or epochs < 0:
        raise FeatureError(f"network needs width ≥ 1 and epochs ≥ 0, not {width} and {epochs}")
    module = _made(dataset, seed, path, settings, width)
    if weights_path is not None:
        _take_weights(module, weights_path)
        origin = "The features are those of a network whose weights come from a file. That no client's data went into "
        origin += "them is declared."
    else:
        _trained(module, dataset, seed, epochs)
        origin = f"The features are those of a network that was trained on public rows alone, for {epochs} epochs."
    module.requires_grad_(False).eval()
    with torch.no_grad():
        middle: NDArray[np.float64] | float = 0.0
        if center == "public" and dataset.public is not None:
            middle = _outputs(module, dataset, dataset.public.x).astype(np.float64).mean(axis=0)
        x, test_x = (normalized(_outputs(module, dataset, part), middle) for part in (dataset.x, dataset.test_x))
    return Features(x, test_x, 1.0, "proven", (x.shape[1],), origin, sha256_of_tensors(module.state_dict()))


def _made(dataset: Dataset, seed: int, path: str | None, settings: dict[str, Any] | None, width: int) -> "nn.Module":
    """Return the network before it has its weights."""
    import torch
    from torch import nn

    from rewindnet.clients.data.encoders.pretraining import small_network

    if path is None:
        if settings:
            raise FeatureError("settings are those of a network of your own, which path names; leave them out")
        rows = dataset.x[:1] if dataset.public is None else dataset.public.x
        return small_network(_inputs(dataset, rows), dataset.layout, width, seed)
    made = load_code(path, "data.features.path", FeatureError)
    try:
        names = inspect.signature(made).parameters
        supplied = {"shape": tuple(_inputs(dataset, dataset.x[:1]).shape[1:])} if "shape" in names else {}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            module = made(**{**supplied, **(settings or {})})
    except Exception as problem:
        raise FeatureError(f"the network {path} cannot be built: {type(problem).__name__}: {problem}") from None
    if not isinstance(module, nn.Module):
        raise FeatureError(f"data.features.path {path} makes a {type(module).__name__}, which is no torch.nn.Module")
    return module


def _take_weights(module: "nn.Module", path: str) -> None:
    """Put the weights of a file into a network."""
    try:
        module.load_state_dict(tensors_of(path, "data.features.weights_path", FeatureError))
    except RuntimeError as problem:
        what = " ".join(str(problem).split())
        raise FeatureError(f"data.features.weights_path: '{path}' does not fit the network: {what}") from None


def _trained(module: "nn.Module", dataset: Dataset, seed: int, epochs: int) -> None:
    """Train a network on the public rows."""
    from rewindnet.clients.data.encoders.pretraining import train

    assert dataset.public is not None
    try:
        train(module, dataset.public, _inputs(dataset, dataset.public.x), epochs, seed)
    except (RuntimeError, ValueError, IndexError) as problem:
        raise FeatureError(f"the network cannot be trained on the public rows: {problem}") from None


def _inputs(dataset: Dataset, x: Floats) -> "torch.Tensor":
    """Return rows as a network takes them: images as [n, c, h, w], signals [n, c, t], vectors as they are."""
    import torch

    rows = torch.from_numpy(x)
    if dataset.layout == "image" and x.ndim == 3:
        return rows[:, None]
    return rows.flatten(1) if dataset.layout == "vector" else rows


def _outputs(module: "nn.Module", dataset: Dataset, x: Floats) -> Floats:
    """Return the outputs of a network, float32 [n, p]."""
    out: list[Floats] = []
    try:
        for rows in chunks(len(x), IMAGES_AT_ONCE):
            found = module(_inputs(dataset, x[rows])).flatten(1).numpy()
            if not np.isfinite(found).all():
                raise FeatureError("the network has outputs that are not finite numbers")
            out.append(found.astype(np.float32))
    except (RuntimeError, ValueError, IndexError, AttributeError, TypeError) as problem:
        if isinstance(problem, FeatureError):
            raise
        raise FeatureError(
            f"the network does not take examples of the shape {list(x.shape[1:])} as it should: {problem}"
        ) from None
    if not out:
        width = math.prod(module(_inputs(dataset, np.zeros((1, *x.shape[1:]), dtype=np.float32))).shape[1:])
        return np.empty((0, width), dtype=np.float32)
    return np.concatenate(out)
