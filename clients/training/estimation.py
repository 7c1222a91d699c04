"""Estimate G, L and the lowest curvature at models that a network has learned: the basis of conditional certificates.

These are the largest of what was found at some models, and no bounds: between those rounds, in retraining and while
unlearning they may be larger. Eigenvalues come from the power method (von Mises and Pollaczek-Geiringer, 1929), which
approaches them from inside.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from rewindnet.clients.training.client_block import ClientBlock
from rewindnet.clients.training.curvature import product
from rewindnet.clients.training.parallel import split
from rewindnet.topologies.rng import Stream, rng_at

#: Numbers of per-sample gradients that are held at a time.
_AT_ONCE = 1 << 22

#: Products of each power method.
_PRODUCTS = 12


class Estimates(NamedTuple):
    """What was found: the largest gradient of a sample, and the outermost eigenvalues, l2 term included."""

    G: float
    highest: float
    lowest: float

    @property
    def smoothness(self) -> float:
        """The largest absolute value of an eigenvalue."""
        return max(self.highest, -self.lowest)

    def joined(self, other: "Estimates") -> "Estimates":
        """Return what was found in both places together."""
        return Estimates(max(self.G, other.G), max(self.highest, other.highest), min(self.lowest, other.lowest))


def estimate(block: ClientBlock, theta: Tensor, seed: int) -> Estimates:
    """Return the largest gradient of any client's sample, and the outermost eigenvalues of any objective's Hessian.

    This is a study's tool: it reads every client's data at once.

    Args:
        block: all clients, whose gradients are not counted.
        theta: [b, d], where to look.
        seed: where the power methods begin.
    """
    start = rng_at(seed, Stream.EVALUATION, context="estimated constants").standard_normal(theta.shape[1])
    vectors = torch.from_numpy(start).to(theta).expand_as(theta).clone()
    first = _dominant(block, theta, vectors, torch.zeros_like(theta[:, 0]))
    # Seen from the eigenvalue of the largest absolute value, that at the other end is the largest.
    second = first + _dominant(block, theta, vectors, first)
    both = torch.cat([first, second])
    return Estimates(_largest_gradient(block, theta), float(both.max()), float(both.min()))


def _dominant(block: ClientBlock, theta: Tensor, start: Tensor, shift: Tensor) -> Tensor:
    """Return the eigenvalue [b] of H_i(θ_i) − shift_i of the largest absolute value, by the power method."""
    vectors, found = start, torch.zeros_like(shift)
    for _ in range(_PRODUCTS):
        vectors = vectors / vectors.norm(dim=1, keepdim=True).clamp(min=torch.finfo(theta.dtype).tiny)
        images = product(block, theta, vectors, "hessian").sub_(vectors * shift[:, None])
        found, vectors = (vectors * images).sum(dim=1), images
    return found


def _largest_gradient(block: ClientBlock, theta: Tensor) -> float:
    """Return the largest norm of the gradient of a held sample's loss at its client's model."""
    largest = 0.0
    for bucket in block.buckets:
        for k, row in enumerate(bucket.rows.tolist()):
            held = np.flatnonzero(bucket.holds[k])
            for places in split(len(held), max(1, _AT_ONCE // theta.shape[1])):
                at = torch.from_numpy(held[places]).to(theta.device)
                gradients = block.model.sample_gradients(theta[row], bucket.x[k][at], bucket.y[k][at])
                largest = max(largest, float(gradients.norm(dim=1).max()))
    return largest
