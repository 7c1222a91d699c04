"""A block of clients: the data of some nodes, and the local computations on it.

One process that simulates a whole network has one block with all N nodes; other transports give each process a block
of its own. Parameters of a block are one flat buffer [b, d], nodes in the order of `Block.nodes`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rewindnet.clients.models import Model
from rewindnet.clients.training.clipping import clipped
from rewindnet.clients.training.parallel import each, split
from rewindnet.clients.training.sampling import Sampling

#: Entries of x that are computed at once on a CPU.
_CACHED = 1 << 20

#: Entries of x in a part from which on threads share the parts.
_SHARED = 1 << 15

#: Nodes share a padded bucket while the smallest has at least this share of the largest's samples.
_FULLNESS = 0.8


#: Some clients of a bucket.
Part = slice | Tensor


class Probe(Protocol):
    """Sees every local step, at the very point where its gradient is taken."""

    def local_step(self, round: int, step: int, theta: Tensor, gradient: Tensor) -> None:
        """θ [b, d] before local step `step` of `round`, and the gradients [b, d] taken there."""

    def shift(self, round: int, node: int, value: float) -> None:
        """What node `node` adds noise to, or works out, in `round` is this far from what it would have been."""


@dataclass(frozen=True)
class Bucket:
    """Clients of similar size, padded to the largest.

    Attributes:
        rows: [k], their rows in the block's buffers.
        x: [k, n, q], designs; padding and erased samples are zero.
        y: [k, n], targets.
        weight: [k, n], 1/n_i for the samples client i holds, 0 for padding and erased samples.
    """

    rows: Tensor
    x: Tensor
    y: Tensor
    weight: Tensor

    def drawn(self, masks: Sequence[NDArray[np.bool_]], sizes: Sequence[float]) -> Tensor:
        """[k, n], 1/B_i for the samples of client i's batch that it holds; masks and sizes are those of its rows."""
        weight = torch.zeros_like(self.weight)
        for k, (mask, size) in enumerate(zip(masks, sizes, strict=True)):
            if mask.any():
                weight[k, : len(mask)] = torch.from_numpy(mask / size).to(weight)
        return weight.mul_(self.weight > 0)

    @property
    def parts(self) -> list[slice]:
        """Clients that are computed at once: as many as keep their samples in cache; on a GPU all of them."""
        clients, samples, inputs = self.x.shape
        together = max(1, _CACHED // (samples * inputs)) if self.x.device.type == "cpu" else clients
        return split(clients, together)


class Minibatch(NamedTuple):
    """What the clients of a block read in one local step.

    Attributes:
        weights: of the samples of each bucket, [k, n]; None: all samples that they hold.
        participating: [b], who steps; None: everyone.
    """

    weights: tuple[Tensor, ...] | None = None
    participating: NDArray[np.bool_] | None = None


@dataclass(frozen=True)
class LocalTraining:
    """What the rounds of clients are like, apart from their data.

    Attributes:
        sampling: how they draw minibatches; None: they read every sample.
        participating: [N] for a round, who of the network takes local steps; None: everyone.
        radius: of the ball onto which they project their parameters; None: they do not.
    """

    sampling: Sampling | None = None
    participating: Callable[[int], NDArray[np.bool_] | None] = lambda round: None
    radius: float | None = None


@dataclass(frozen=True)
class ClientBlock:
    """The clients of one block of nodes, and how each of them steps.

    Attributes:
        nodes: [b], the nodes of this block.
        model: of every client.
        step_size: η.
        local_steps: E.
        samples: [b], how many samples each client holds.
        buckets: the data.
        held: [b], how many samples each client held before anything was erased.
        local_training: what their rounds are like.
        before_erasure: the same clients before they erased what is to be forgotten, for steps that read it.
        recalled_checkpoints: states [b, d] that the clients have kept, for steps that ask for them.
    """

    nodes: tuple[int, ...]
    model: Model
    step_size: float
    local_steps: int
    samples: NDArray[np.int64]
    buckets: tuple[Bucket, ...]
    held: NDArray[np.int64]
    local_training: LocalTraining
    before_erasure: "ClientBlock | None" = None
    recalled_checkpoints: tuple[Tensor, ...] = ()

    def blank(self) -> Tensor:
        """An uninitialised buffer [b, d] in the precision and on the device of the data."""
        return self.buckets[0].x.new_empty(len(self.nodes), self.model.parameters)

    def gradient(self, theta: Tensor, minibatch: Minibatch | None = None) -> Tensor:
        """∇f_i(θ_i) of every client of the block that is awake, 0 of the others: [b, d] → [b, d]."""
        minibatch = minibatch or Minibatch()
        weights = minibatch.weights or [bucket.weight for bucket in self.buckets]
        parts = [
            (bucket, weight, k)
            for bucket, weight in zip(self.buckets, weights, strict=True)
            for k in _participating_parts(bucket, minibatch.participating)
        ]
        out = torch.empty_like(theta) if minibatch.participating is None else torch.zeros_like(theta)

        def compute(part: tuple[Bucket, Tensor, Part]) -> None:
            bucket, weight, k = part
            rows = bucket.rows[k]
            out[rows] = self.model.gradient(theta[rows], bucket.x[k], bucket.y[k], weight[k])

        entries = sum(bucket.x.numel() for bucket in self.buckets)
        each(compute, parts, alone=entries < _SHARED * len(parts))
        return out

    def minibatches(self, round: int) -> list[Minibatch]:
        """What each of the E local steps of a round reads."""
        everyone, sampling = self.local_training.participating(round), self.local_training.sampling
        participating = None if everyone is None else everyone[list(self.nodes)]
        if sampling is None:
            return [Minibatch(None, participating)] * self.local_steps
        masks = [sampling.masks(round, node, int(n)) for node, n in zip(self.nodes, self.held, strict=True)]
        sizes = [sampling.size(int(n)) for n in self.held]
        minibatches = []
        for step in range(self.local_steps):
            weights = []
            for bucket in self.buckets:
                rows = bucket.rows.tolist()
                weights.append(bucket.drawn([masks[row][step] for row in rows], [sizes[row] for row in rows]))
            minibatches.append(Minibatch(tuple(weights), participating))
        return minibatches

    def project(self, theta: Tensor) -> Tensor:
        """θ [b, d] with every client's parameters in the ball, in place; as it is where there is none."""
        radius = self.local_training.radius
        return theta if radius is None else clipped(theta, radius)

    def descend(self, theta: Tensor, round: int, probe: Probe | None = None) -> Tensor:
        """E local steps θ ← θ − η∇f(θ) from θ [b, d], which is left as it is."""
        for step, minibatch in enumerate(self.minibatches(round)):
            gradient = self.gradient(theta, minibatch)
            if probe is not None:
                probe.local_step(round, step, theta, gradient)
            theta = torch.add(theta, gradient, alpha=-self.step_size, out=gradient)
        return theta

    def without(self, forget: Mapping[int, NDArray[np.int64]]) -> "ClientBlock":
        """The same block after the clients have erased their forget sets.

        Erased samples leave holes of zeros with weight zero, so that clients that erase nothing compute, bit for bit,
        what they computed before.

        Args:
            forget: for each node that deletes, the positions of the erased samples in its own data.
        """
        rows = {node: row for row, node in enumerate(self.nodes) if node in forget}
        samples = self.samples.copy()
        for node, row in rows.items():
            samples[row] -= len(forget[node])
        erased = {row: torch.from_numpy(forget[node]) for node, row in rows.items()}
        return replace(self, samples=samples, buckets=tuple(_erase(bucket, erased) for bucket in self.buckets))

    def only(self, nodes: Sequence[int], dtype: torch.dtype) -> "ClientBlock":
        """A block of these clients alone, in the given precision."""
        rows = [self.nodes.index(node) for node in nodes]
        place = {row: at for at, row in enumerate(rows)}
        kept = []
        for bucket in self.buckets:
            inside = [k for k, row in enumerate(bucket.rows.tolist()) if row in place]
            if inside:
                kept.append(
                    Bucket(
                        rows=torch.tensor([place[int(bucket.rows[k])] for k in inside], device=bucket.rows.device),
                        x=bucket.x[inside].to(dtype),
                        y=bucket.y[inside],
                        weight=bucket.weight[inside].to(dtype),
                    )
                )
        samples, held = self.samples[rows], self.held[rows]
        return replace(self, nodes=tuple(nodes), samples=samples, held=held, buckets=tuple(kept))


def _participating_parts(bucket: Bucket, participating: NDArray[np.bool_] | None) -> list[Part]:
    """The parts of a bucket, with those left out who are not awake."""
    if participating is None:
        return list(bucket.parts)
    acts = participating[bucket.rows.cpu().numpy()]
    parts: list[Part] = []
    for k in bucket.parts:
        if acts[k].all():
            parts.append(k)
        elif acts[k].any():
            parts.append(torch.from_numpy(np.flatnonzero(acts[k]) + k.start).to(bucket.rows.device))
    return parts


def _erase(bucket: Bucket, erased: Mapping[int, Tensor]) -> Bucket:
    """The bucket without the erased samples of its rows; itself if it holds none of them."""
    touched = [(k, erased[row]) for k, row in enumerate(bucket.rows.tolist()) if row in erased]
    if not touched:
        return bucket
    x, y, weight = bucket.x.clone(), bucket.y.clone(), bucket.weight.clone()
    for k, gone in touched:
        x[k, gone], y[k, gone], weight[k, gone] = 0.0, 0, 0.0
        held = weight[k] > 0
        weight[k, held] = 1.0 / max(int(held.sum()), 1)
    return replace(bucket, x=x, y=y, weight=weight)


def make_block(
    model: Model,
    x: Tensor,
    y: NDArray[np.int64],
    shards: Sequence[NDArray[np.int64]],
    *,
    step_size: float,
    local_steps: int = 1,
    nodes: Sequence[int] | None = None,
    node_by_node: bool = False,
    local_training: LocalTraining | None = None,
) -> ClientBlock:
    """Lay out the clients' data.

    Args:
        model: of every client.
        x: features [n, p] of all clients together, on the device and in the precision to compute in.
        y: class labels [n].
        shards: one array of row numbers for each node of the block.
        step_size: η.
        local_steps: E.
        nodes: the nodes of this block; 0, 1, 2, … by default.
        node_by_node: keep every client in a bucket of its own, without padding, for bitwise reproducible results.
        local_training: what the clients' rounds are like.
    """
    nodes = tuple(range(len(shards))) if nodes is None else tuple(nodes)
    sizes = np.array([len(shard) for shard in shards], dtype=np.int64)
    design, targets = model.design(x), torch.from_numpy(model.targets(y)).to(x.device)
    buckets = []
    for group in _groups(sizes, alone=node_by_node):
        rows = [np.asarray(shards[row]) for row in group]
        buckets.append(_bucket(design, targets, group, rows))
    return ClientBlock(
        nodes, model, step_size, local_steps, sizes, tuple(buckets), sizes, local_training or LocalTraining()
    )


def _groups(sizes: NDArray[np.int64], alone: bool) -> list[list[int]]:
    """Rows of similar size together, each group in increasing order of row."""
    if alone:
        return [[row] for row in range(len(sizes))]
    groups: list[list[int]] = []
    largest = -1
    for row in np.argsort(-sizes, kind="stable").tolist():
        if not groups or sizes[row] < _FULLNESS * largest:
            groups.append([])
            largest = int(sizes[row])
        groups[-1].append(row)
    return [sorted(group) for group in groups]


def _bucket(design: Tensor, targets: Tensor, group: list[int], rows: list[NDArray[np.int64]]) -> Bucket:
    longest = max(1, max(len(own) for own in rows))
    x = design.new_zeros(len(group), longest, design.shape[1])
    y = targets.new_zeros(len(group), longest)
    weight = design.new_zeros(len(group), longest)
    for k, own in enumerate(rows):
        where = torch.from_numpy(own).to(design.device)
        x[k, : len(own)], y[k, : len(own)] = design[where], targets[where]
        weight[k, : len(own)] = 1.0 / max(len(own), 1)
    return Bucket(torch.tensor(group, device=design.device), x, y, weight)
