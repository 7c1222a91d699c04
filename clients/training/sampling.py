"""Minibatches: which of its samples a client uses in a local step.

What is drawn belongs to a sample's own place in its client's data, so that a sample that is deleted leaves a hole and
changes no other sample's draw: learning with and without it are coupled. A batch is averaged over its expected size,
which stays what it was before the deletion.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from rewindnet.errors import UserError
from rewindnet.registry import Registry
from rewindnet.topologies.rng import Stream, rng_at

Masks = NDArray[np.bool_]

#: For each deleting node, the positions of the deleted samples in its own data.
Forget = Mapping[int, NDArray[np.int64]]


class SamplingError(UserError):
    """A setting of the sampling is not valid; the message says why."""


class Sampling(ABC):
    """How a client draws its batches; built as `Kind(seed, local_steps, *, settings)`."""

    @abstractmethod
    def masks(self, round: int, node: int, samples: int) -> Masks:
        """Return [E, n], which of its n samples a node reads in each local step of the round."""

    @abstractmethod
    def size(self, samples: int) -> float:
        """Return B, the expected number of samples in a batch of a node with n; the batch's sum is divided by it."""


def full(seed: int, local_steps: int) -> None:
    """Use every sample in every step, without minibatches."""


class Poisson(Sampling):
    """Every sample is in every batch with the same probability, independently: `batch` samples on average.

    Raises:
        SamplingError: if the batch is empty.
    """

    def __init__(self, seed: int, local_steps: int, *, batch: int = 32) -> None:
        if batch < 1:
            raise SamplingError(f"learning.sampling.batch is at least 1, not {batch}")
        self._seed, self._local_steps, self._batch = seed, local_steps, batch

    def masks(self, round: int, node: int, samples: int) -> Masks:
        """Draw anew at the address of the round and the node."""
        drawn = rng_at(self._seed, Stream.BATCH, round, node).random((self._local_steps, samples))
        return drawn * samples < self.size(samples)

    def size(self, samples: int) -> float:
        """Return the size of the batch that is set, or all samples where there are fewer."""
        return float(min(self._batch, samples))


class Keyed(Sampling):
    """Every sample's own key puts it into one of `batches` batches, which take turns; new keys when all had theirs.

    Raises:
        SamplingError: if there is no batch.
    """

    def __init__(self, seed: int, local_steps: int, *, batches: int = 8) -> None:
        if batches < 1:
            raise SamplingError(f"learning.sampling.batches is at least 1, not {batches}")
        self._seed, self._local_steps, self._batches = seed, local_steps, batches

    def masks(self, round: int, node: int, samples: int) -> Masks:
        """Return the batches whose turn it is in the round's steps, each of its epoch."""
        turns = range(round * self._local_steps, (round + 1) * self._local_steps)
        return np.stack(
            [self._batch_of(turn // self._batches, node, samples) == turn % self._batches for turn in turns]
        )

    def _batch_of(self, epoch: int, node: int, samples: int) -> NDArray[np.int64]:
        keys = rng_at(self._seed, Stream.BATCH, epoch, node).random(samples)
        return (keys * self._batches).astype(np.int64)

    def size(self, samples: int) -> float:
        """Return n over the number of batches."""
        return samples / self._batches


def reshuffle(seed: int, local_steps: int) -> None:
    """Refused: in a plain reshuffle one deleted sample shifts all the others, and nothing can be certified.

    Raises:
        SamplingError: always.
    """
    raise SamplingError(
        "learning.sampling reshuffle cannot be certified: without the deleted samples every other sample would come "
        "into another batch, so that learning and retraining have nothing in common; use poisson or keyed"
    )


#: Called as `kind(seed, local_steps, *, settings)`.
SAMPLINGS: Registry[Callable[..., Sampling | None]] = Registry(
    "sampling",
    {
        "full": full,
        "poisson": Poisson,
        "keyed": Keyed,
        "reshuffle": reshuffle,
    },
    SamplingError,
)


class Realised:
    """The batches that a network has drawn, as certificates need them: `certificates.Batches`.

    Args:
        sampling: how they were drawn.
        samples: [N], the number of samples of each node.
        forget: for each deleting node, the positions of the deleted samples in its own data.
        earlier: those that earlier requests had taken out of learning, each from a round on; increasing.
    """

    def __init__(
        self,
        sampling: Sampling,
        samples: NDArray[np.int64],
        forget: Forget,
        earlier: Sequence[tuple[int, Forget]] = (),
    ) -> None:
        self._sampling, self._samples, self._forget, self._earlier = sampling, samples.tolist(), forget, earlier
        self._counted = lru_cache(None)(self._counts)

    def shares(self, round: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return [E, N] each: (retained, deleted) samples in each batch, over its expected size."""
        sizes = np.array([self._sampling.size(n) if n else 1.0 for n in self._samples])
        retained, deleted = self._counted(round)
        return retained / sizes, deleted / sizes

    def read(self, round: int, retained: bool) -> NDArray[np.int64]:
        """Return [N], the per-sample gradients of the round's local steps, on all data or on what is retained."""
        of_retained, of_deleted = self._counted(round)
        return np.asarray((of_retained if retained else of_retained + of_deleted).sum(axis=0))

    def without_from(self, starts: Sequence[int]) -> "Realised":
        """Return the same batches, where the samples of each earlier request are left out from another round on."""
        earlier = [(start, forget) for start, (_, forget) in zip(starts, self._earlier, strict=True)]
        return Realised(self._sampling, np.array(self._samples, dtype=np.int64), self._forget, earlier)

    def _counts(self, round: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """[E, N] each: the retained samples in each batch, and those that are deleted later than this round."""
        retained, deleted = [], []
        taken_out: Forget = next((forget for start, forget in reversed(self._earlier) if start <= round), {})
        for node, n in enumerate(self._samples):
            masks = self._sampling.masks(round, node, n)
            in_all, already = (
                masks[:, forget[node]].sum(axis=1) if node in forget else np.zeros(len(masks), np.int64)
                for forget in (self._forget, taken_out)
            )
            retained.append(masks.sum(axis=1) - in_all)
            deleted.append(in_all - already)
        return np.stack(retained, axis=1), np.stack(deleted, axis=1)
