"""Random crops and flips of images, drawn by address, so that retraining and replays see the same ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rewindnet.errors import UserError
from rewindnet.late import torch
from rewindnet.topologies.rng import Stream, rng_at

if TYPE_CHECKING:
    from torch import Tensor

#: Why no bound is proven of learning with it, as the part of a sentence after a colon.
UNCOVERED = (
    "the network learned with learning.augmentation, and a loss that is of other images in every step is not the one "
    "on which the bound rests"
)


class AugmentationError(UserError):
    """The samples cannot be augmented; the message says why."""


@dataclass(frozen=True)
class Augmentation:
    """In every local step each image is moved by up to `crop` pixels each way, zeros beside it, and flipped or not.

    A sample's draw is at the address of the round, the client and the local step, at its own place among all samples
    that the client ever held: a deletion changes no other draw.

    Attributes:
        seed: the seed of all random numbers.
        shape: of a sample: [h, w] or [channels, h, w].
        crop: the largest move, in pixels.
        flip: whether every second image, by chance, is turned left to right.

    Raises:
        AugmentationError: if samples are no images, or smaller than the crop.
    """

    seed: int
    shape: tuple[int, ...]
    crop: int
    flip: bool

    def __post_init__(self) -> None:
        """Refuse what cannot be cropped."""
        if len(self.shape) not in (2, 3):
            raise AugmentationError(
                "learning.augmentation takes images, and features that keep their shape, raw or unit-norm; samples "
                f"here have the shape {list(self.shape)}"
            )
        if self.crop >= min(self.shape[-2:]):
            raise AugmentationError(
                f"learning.augmentation.crop must be smaller than the images, {list(self.shape[-2:])}, not {self.crop}"
            )

    def apply(
        self, x: Tensor, nodes: Sequence[int], held: Sequence[int], places: Tensor | None, round: int, step: int
    ) -> Tensor:
        """Return the images of a local step.

        Args:
            x: [k, B, q], flat.
            nodes: [k], whose they are.
            held: [k], how many samples each of them ever held.
            places: [k, B], which of its samples each image is; None: the first B places.
            round: the round.
            step: the local step of the round.
        """
        k, count, size = x.shape
        assert size == prod(self.shape)
        where = np.broadcast_to(np.arange(count), (k, count)) if places is None else places.cpu().numpy()
        draws = np.stack(
            [self._drawn(node, most, round, step, at) for node, most, at in zip(nodes, held, where, strict=True)]
        )
        down, right, turned = torch.from_numpy(draws).to(x.device).flatten(0, 1).unbind(dim=1)
        height, width = self.shape[-2:]
        images = torch.nn.functional.pad(x.reshape(k * count, -1, height, width), (self.crop,) * 4)
        rows = down[:, None] + torch.arange(height, device=x.device)
        columns = right[:, None] + torch.arange(width, device=x.device)
        columns = torch.where(turned[:, None] > 0, columns.flip(1), columns)
        every = torch.arange(len(images), device=x.device)
        moved = images.permute(0, 2, 3, 1)[every[:, None, None], rows[:, :, None], columns[:, None, :]]
        return moved.permute(0, 3, 1, 2).reshape(k, count, size)

    def _drawn(self, node: int, held: int, round: int, step: int, at: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return where each image begins in its frame, and whether it is turned, [B, 3]; padding stays as it is."""
        generator = rng_at(self.seed, Stream.AUGMENTATION, round, node, context=f"step {step}")
        moves = generator.integers(2 * self.crop + 1, size=(held, 2))
        turned = generator.integers(2, size=(held, 1)) * self.flip
        drawn = np.concatenate([moves, turned], axis=1)
        nothing = np.array([[self.crop, self.crop, 0]])
        chosen: NDArray[np.int64] = np.concatenate([drawn, nothing])[np.minimum(at, held)]
        return chosen
