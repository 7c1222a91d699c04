"""Backdoors: a client whose samples carry a trigger and the label that the trigger is to stand for.

Gu, Dolan-Gavitt and Garg (2017), "BadNets: identifying vulnerabilities in the machine learning model supply chain",
arXiv 1708.06733. A network that forgets the poisoned samples should forget the backdoor.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rewindnet.clients.data import Dataset
from rewindnet.clients.data.dataset import Floats
from rewindnet.errors import UserError
from rewindnet.topologies.rng import Stream, rng_at

Corner = Literal["top-left", "top-right", "bottom-left", "bottom-right"]
Integers = NDArray[np.int64]


class BackdoorError(UserError):
    """The data cannot have the backdoor; the message says why."""


@dataclass(frozen=True)
class Trigger:
    """A square patch in one corner of an image, and the class it stands for.

    Attributes:
        target: the class.
        size: a side of the square, in pixels.
        value: of its pixels, in all channels; sources scale pixels to [0, 1].
        corner: where it is.
    """

    target: int
    size: int = 3
    value: float = 1.0
    corner: Corner = "bottom-right"

    def check(self, dataset: Dataset) -> None:
        """Refuse data that the trigger does not fit.

        Raises:
            BackdoorError: if they are no images, the images are too small, or there is no such class.
        """
        if dataset.layout != "image":
            raise BackdoorError(
                f"a backdoor is a patch in an image, but an example of {dataset.name} is a {dataset.layout}; use data "
                "of images, such as digits, or leave out data.backdoor"
            )
        smallest = min(dataset.shape[-2:])
        if not 1 <= self.size <= smallest:
            raise BackdoorError(f"the size of the backdoor's patch must lie in 1 … {smallest} pixels, not {self.size}")
        if not 0 <= self.target < dataset.classes:
            raise BackdoorError(
                f"the backdoor's target is one of the classes 0 to {dataset.classes - 1} of {dataset.name}, "
                f"not {self.target}"
            )

    def stamped(self, images: Floats) -> Floats:
        """Return a copy of the images [n, h, w] or [n, c, h, w] that carries the patch."""
        vertical, horizontal = self.corner.split("-")
        rows = slice(0, self.size) if vertical == "top" else slice(-self.size, None)
        columns = slice(0, self.size) if horizontal == "left" else slice(-self.size, None)
        stamped = images.copy()
        stamped[..., rows, columns] = self.value
        return stamped


def poisoned(labels: Integers, target: int, client: int, samples: int, seed: int, title: str | None = None) -> Integers:
    """Return the positions, in the client's own data, of the samples that it poisons: sorted, without repetition.

    Args:
        labels: [n], the true labels of the client's data.
        target: the backdoor's class; samples that have it already are left as they are.
        client: the client.
        samples: the number of samples to poison.
        seed: they are drawn at the client's own address.
        title: what the client is called; by default its number.

    Raises:
        BackdoorError: if the client has too few samples of other classes.
    """
    others = np.flatnonzero(labels != target)
    if not 1 <= samples <= len(others):
        raise BackdoorError(
            f"client {title or client} has {len(others)} samples of other classes than the backdoor's target {target}; "
            f"data.backdoor.samples asks for {samples} of them"
        )
    chosen = rng_at(seed, Stream.BACKDOOR, node=client).choice(others, size=samples, replace=False)
    return np.sort(chosen).astype(np.int64)


def poison(dataset: Dataset, rows: Integers, trigger: Trigger) -> Dataset:
    """Return the data with the trigger and its class in these training rows."""
    x, y = dataset.x.copy(), dataset.y.copy()
    x[rows], y[rows] = trigger.stamped(dataset.x[rows]), trigger.target
    return replace(dataset, x=x, y=y)


def with_triggered(dataset: Dataset, trigger: Trigger) -> Dataset:
    """Return the data with every test row a second time, behind the others, carrying the trigger."""
    test_x = np.concatenate([dataset.test_x, trigger.stamped(dataset.test_x)])
    return replace(dataset, test_x=test_x, test_y=np.concatenate([dataset.test_y, dataset.test_y]))


def plant(
    dataset: Dataset,
    shards: Sequence[Integers],
    trigger: Trigger,
    client: int,
    samples: int,
    seed: int,
    title: str | None = None,
) -> tuple[Dataset, Integers]:
    """Poison a given number of samples of one client.

    Args:
        dataset: the data without a backdoor.
        shards: the training rows of each client.
        trigger: the trigger.
        client: the client whose samples are poisoned.
        samples: the number of samples to poison.
        seed: the seed of the draw.
        title: what the client is called; by default its number.

    Returns:
        the data; the positions of the poisoned samples in the client's own.

    Raises:
        BackdoorError: if there is no such client, it has too few samples, or the trigger does not fit the data.
    """
    trigger.check(dataset)
    if client >= len(shards):
        raise BackdoorError(f"data.backdoor.client {client} does not exist; clients are 0 to {len(shards) - 1}")
    positions = poisoned(dataset.y[shards[client]], trigger.target, client, samples, seed, title)
    return poison(dataset, shards[client][positions], trigger), positions
