"""Blocks of clients: the data of some nodes, and the local computations on it.

A process that simulates a whole network has one block with all N nodes; other transports give each process a block of
its own. Parameters of a block are one flat buffer [b, d], nodes in the order of `ClientBlock.nodes`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rewindnet.certificates.training import step_size_of
from rewindnet.clients.models import Model
from rewindnet.clients.models.logistic import Logistic
from rewindnet.clients.training.bucket import Batch, Bucket
from rewindnet.clients.training.clipping import clipped
from rewindnet.clients.training.envelope import Samples
from rewindnet.clients.training.gradient_counter import GradientCounter
from rewindnet.clients.training.joint import MULTIPLE, filled_parts, separate
from rewindnet.clients.training.local_training import LocalTraining
from rewindnet.clients.training.minibatch import BlockPart, Minibatch, most_used
from rewindnet.clients.training.mixed_precision import products_in
from rewindnet.clients.training.noise_meter import NoiseMeter
from rewindnet.clients.training.parallel import each
from rewindnet.clients.training.probe import Probe
from rewindnet.late import torch

if TYPE_CHECKING:
    from torch import Tensor

#: Entries of x in a part from which on threads share the parts.
_SHARED = 1 << 15


@dataclass(frozen=True)
class ClientBlock:
    """The clients of one block of nodes: their data and their local computations.

    Attributes:
        nodes: [b], the nodes of this block.
        model: the model of every client.
        step_size: η.
        local_steps: E.
        samples: [b], the number of samples of each client.
        buckets: the data.
        joint: the same data, where every client has a bucket of its own: the buckets in which several can be computed
            with all of their samples, bit for bit as by themselves; None where there are none.
        filling: the same data, where batches that are drawn are filled (`joint`): the buckets that draw them; None
            where batches are as drawn.
        samples_held: [b], how many samples each client held before anything was erased.
        local_training: the settings of local training.
        before_erasure: the same clients before they erased what is to be forgotten, for steps that read it.
        recalled_checkpoints: states [b, d] that the clients have kept, for steps that ask for them.
        counter: counts the per-sample gradients that the clients take; None where only a study takes them.
        noise_meter: measures the noise that the clients add; None where nothing is audited.
        public: one client that holds the public rows; None where none with labels of the task are declared.
        optimizer_state: [b, s], what the optimizer carries on from step to step, changed in place; None: it begins
            anew with every descent.
        watched_alone: whether only clients that a probe watches take local steps, and those computed along with them.
        memory: what clients keep beside their states from round to round of a step that is not resumable.
    """

    nodes: tuple[int, ...]
    model: Model
    step_size: float
    local_steps: int
    samples: NDArray[np.int64]
    buckets: tuple[Bucket, ...]
    samples_held: NDArray[np.int64]
    local_training: LocalTraining
    joint: tuple[Bucket, ...] | None = None
    filling: tuple[Bucket, ...] | None = None
    before_erasure: ClientBlock | None = None
    recalled_checkpoints: tuple[Tensor, ...] = ()
    counter: GradientCounter | None = None
    noise_meter: NoiseMeter | None = None
    public: ClientBlock | None = None
    optimizer_state: Tensor | None = None
    watched_alone: bool = False
    memory: MutableMapping[str, Tensor] = field(default_factory=dict)

    @property
    def state_size(self) -> int:
        """s, the number of entries of the optimizer's state of a client."""
        return self.local_training.optimizer.state_size(self.model.parameters)

    def step_size_at(self, round: int) -> float:
        """Return η of the local steps of a round."""
        return step_size_of(round, self.step_size, self.local_training.step_sizes)

    def new_state(self) -> Tensor:
        """Return the state [b, s] of the optimizer before the first step."""
        return self.buckets[0].x.new_zeros(len(self.nodes), self.state_size)

    def blank(self) -> Tensor:
        """Return an uninitialised buffer [b, d] in the precision and on the device of the data."""
        return self.buckets[0].x.new_empty(len(self.nodes), self.model.parameters)

    def gradient(self, theta: Tensor, minibatch: Minibatch | None = None) -> Tensor:
        """Compute ∇f_i(θ_i) of every client that takes the step, 0 of the others: [b, d] → [b, d].

        Args:
            theta: [b, d].
            minibatch: what the clients read; by default all that they hold.
        """
        minibatch = minibatch or Minibatch()
        self._count_steps([minibatch])
        out = torch.empty_like(theta) if minibatch.participating is None else torch.zeros_like(theta)

        def compute(part: BlockPart) -> None:
            rows = part.bucket.rows[part.clients]
            ((x, y, weight),) = part.batches([minibatch])
            out[rows] = self.model.gradient(theta[rows], x, y, weight)

        self._on_each_part([minibatch], compute)
        return out

    def _on_each_part(self, minibatches: Sequence[Minibatch], compute: Callable[[BlockPart], None]) -> None:
        """Compute something on each part of the clients that take the steps on these minibatches."""
        everything = all(minibatch.weights is None and minibatch.participating is None for minibatch in minibatches)
        filled = self.filling is not None and minibatches[0].places is not None
        buckets = self.drawing if filled else self.joint if everything and self.joint is not None else self.buckets
        used = [most_used(minibatches, at, bucket) for at, bucket in enumerate(buckets)]
        device, first = self.buckets[0].x.device, minibatches[0]
        parts = [
            BlockPart(at, bucket, k)
            for at, bucket in enumerate(buckets)
            for k in (
                filled_parts(self.model, bucket, first.drawn[at], bucket.acting(first.participating))
                if filled
                else bucket.participating_parts(
                    first.participating,
                    used[at],
                    self.model.nodes_at_once(device, used[at]),
                    self.local_training.times_cached,
                )
            )
        ]
        entries = sum(len(bucket.rows) * n * bucket.x.shape[2] for n, bucket in zip(used, buckets, strict=True))
        # Threads do not make a GPU faster, and would need its memory for several parts at a time.
        each(compute, parts, alone=device.type != "cpu" or entries * len(minibatches) < _SHARED * len(parts))

    def _count_steps(self, minibatches: Sequence[Minibatch]) -> None:
        if self.counter is not None:
            for minibatch in minibatches:
                self.counter.add(self._gradients_taken(minibatch))

    def _gradients_taken(self, minibatch: Minibatch) -> NDArray[np.int64]:
        """[b], the per-sample gradients that a step on this minibatch takes."""
        taken = minibatch.gradients
        if taken is None and minibatch.weights is None:
            taken = self.samples
        elif taken is None and minibatch.weights is not None:
            taken = np.zeros(len(self.nodes), dtype=np.int64)
            for bucket, weight in zip(self.buckets, minibatch.weights, strict=True):
                taken[bucket.row_numbers] = weight.count_nonzero(dim=1).cpu().numpy()
        assert taken is not None
        return taken if minibatch.participating is None else np.where(minibatch.participating, taken, 0)

    def count(self, gradients: NDArray[np.int64]) -> None:
        """Count per-sample gradients [b] that are taken otherwise than by `gradient`."""
        if self.counter is not None:
            self.counter.add(gradients)

    def _count_evaluations(self, evaluations: NDArray[np.int64], steps: int) -> None:
        """Count how often [b] clients evaluated the gradients of their samples in so many steps."""
        if self.counter is not None:
            inner = np.maximum(evaluations - steps, 0)
            self.counter.add(evaluations * self.samples, inner * self.samples)

    def counted_at(self, rows: Sequence[int]) -> ClientBlock:
        """Return the same block, with gradients counted at some of its rows only."""
        return replace(self, counter=None if self.counter is None else self.counter.at(rows))

    def uncounted(self) -> ClientBlock:
        """Return the same block for measurements, with gradients that are not counted."""
        before = self.before_erasure
        return replace(self, counter=None, before_erasure=None if before is None else replace(before, counter=None))

    def minibatches(self, round: int) -> list[Minibatch]:
        """Return the minibatch of each of the E local steps of a round."""
        network, sampling = self.local_training.participating(round), self.local_training.sampling
        participating = None if network is None else network[list(self.nodes)]
        if sampling is None:
            return [Minibatch(None, participating)] * self.local_steps
        masks = [sampling.masks(round, node, int(n)) for node, n in zip(self.nodes, self.samples_held, strict=True)]
        sizes = [sampling.size(int(n)) for n in self.samples_held]
        batches = [
            bucket.batches(
                [masks[row] for row in bucket.row_numbers],
                [sizes[row] for row in bucket.row_numbers],
                None if self.filling is None else MULTIPLE,
            )
            for bucket in self.drawing
        ]
        return [self._minibatch(of_step, participating) for of_step in zip(*batches, strict=True)]

    @property
    def drawing(self) -> tuple[Bucket, ...]:
        """The buckets for which `minibatches` draws."""
        return self.buckets if self.filling is None else self.filling

    def _minibatch(self, batches: Sequence[Batch], participating: NDArray[np.bool_] | None) -> Minibatch:
        """Return the minibatch of a local step that is made of a batch for each bucket."""
        read = np.zeros(len(self.nodes), dtype=np.int64)
        for bucket, batch in zip(self.drawing, batches, strict=True):
            read[bucket.row_numbers] = batch.read
        weights, places = tuple(batch.weight for batch in batches), tuple(batch.places for batch in batches)
        return Minibatch(weights, participating, read, places, tuple(batch.drawn for batch in batches))

    def project(self, theta: Tensor) -> Tensor:
        """Project every client's parameters [b, d] onto the ball, in place; leave them as they are without a ball."""
        radius = self.local_training.radius
        return theta if radius is None else clipped(theta, radius)

    def step_gradient(self, theta: Tensor, minibatch: Minibatch) -> Tensor:
        """Compute the gradients [b, d] that a local step at θ [b, d] takes: of the envelopes, where clients clip."""
        if self.local_training.envelope is None:
            return self.gradient(theta, minibatch)
        out, evaluations = torch.zeros_like(theta), np.zeros(len(self.nodes), dtype=np.int64)

        def compute(part: BlockPart) -> None:
            rows = part.bucket.rows[part.clients]
            for x, y, weight in part.batches([minibatch]):
                out[rows], times = self._step_gradient(part, theta[rows], x, y, weight)
                evaluations[rows.tolist()] = times.cpu().numpy()

        self._on_each_part([minibatch], compute)
        self._count_evaluations(evaluations, 1)
        return out

    def _step_gradient(self, part: BlockPart, theta: Tensor, *samples: Tensor) -> tuple[Tensor, Tensor]:
        """Return the gradients [k, d] of a local step at some clients, and how often they computed ∇f for it, [k]."""
        if (envelope := self.local_training.envelope) is None:
            return self.model.gradient(theta, *samples), torch.ones(len(theta), dtype=torch.int64)
        assert isinstance(self.model, Logistic)
        return envelope.gradient(self.model, theta, Samples._make((*samples, part.bucket.reduced[part.clients])))

    def descend(self, theta: Tensor, round: int, probe: Probe | None = None) -> Tensor:
        """Take the E local steps of a round from θ [b, d], which is left as it is: θ ← θ − η∇f(θ) by plain descent."""
        minibatches = self.minibatches(round)
        if self.local_training.envelope is None:
            self._count_steps(minibatches)
        evaluations = np.zeros(len(self.nodes), dtype=np.int64)
        watched = [] if probe is None else list(probe.watched_rows)
        points = theta[watched].repeat(len(minibatches), 1, 1)
        every = minibatches[0].participating is None and not self.watched_alone
        out = torch.empty_like(theta) if every else theta.clone()
        states, how = self.new_state() if self.optimizer_state is None else self.optimizer_state, self.local_training

        def compute(part: BlockPart) -> None:
            rows = part.bucket.rows[part.clients]
            inside = part.found(watched)
            if self.watched_alone and not inside:
                return
            own, state = theta[rows], states[rows]
            for step, (x, y, weight) in enumerate(part.batches(minibatches)):
                for at, row in inside:
                    points[step, at] = own[row]
                x = self._augmented(part, x, minibatches[step], round, step)
                if how.plain:
                    with products_in(how.mixed_precision, x.device):
                        self.model.descend(own, x, y, weight, self.step_size_at(round))
                    continue
                with products_in(how.mixed_precision, x.device):
                    gradient, times = self._step_gradient(part, own, x, y, weight)
                if how.gradient_clip is not None:
                    clipped(gradient, how.gradient_clip)
                how.optimizer.step(own, gradient, state, self.step_size_at(round))
                evaluations[rows.tolist()] += times.cpu().numpy()
            out[rows], states[rows] = own, state

        self._on_each_part(minibatches, compute)
        if self.local_training.envelope is not None:
            self._count_evaluations(evaluations, len(minibatches))
        if probe is not None:
            probe.local_steps(round, points)
        return out

    def _augmented(self, part: BlockPart, x: Tensor, minibatch: Minibatch, round: int, step: int) -> Tensor:
        """Return the images [k, B, q] of a local step, changed where learning does so."""
        if (augmentation := self.local_training.augmentation) is None:
            return x
        rows = part.bucket.rows[part.clients].tolist()
        places = None if minibatch.places is None else minibatch.places[part.at]
        if places is not None:
            places = places[part.clients][:, : x.shape[1]] % part.bucket.x.shape[1]
        held = [int(self.samples_held[row]) for row in rows]
        return augmentation.apply(x, [self.nodes[row] for row in rows], held, places, round, step)

    def without(self, forget: Mapping[int, NDArray[np.int64]]) -> ClientBlock:
        """Return the same block after the clients have erased their forget sets.

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
        kept = tuple(bucket.without(erased) for bucket in self.joint or self.filling or self.buckets)
        joint, filling = (None if own is None else kept for own in (self.joint, self.filling))
        buckets = separate(kept) if joint or filling else kept
        return replace(self, samples=samples, buckets=buckets, joint=joint, filling=filling)

    def only(self, nodes: Sequence[int], dtype: torch.dtype) -> ClientBlock:
        """Return a block of some of these clients alone, in the given precision; its gradients count as here."""
        rows = [self.nodes.index(node) for node in nodes]
        row_of = {row: at for at, row in enumerate(rows)}
        buckets = tuple(part for bucket in self.buckets if (part := bucket.only(row_of, dtype)) is not None)
        return replace(
            self,
            nodes=tuple(nodes),
            samples=self.samples[rows],
            samples_held=self.samples_held[rows],
            buckets=buckets,
            optimizer_state=None,
            joint=None,
            filling=None if self.filling is None else buckets,
            counter=None if self.counter is None else self.counter.of(rows),
        )
