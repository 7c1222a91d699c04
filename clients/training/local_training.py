"""The settings of local training."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rewindnet.clients.training.augmentation import Augmentation
from rewindnet.clients.training.envelope import Envelope
from rewindnet.clients.training.mixed_precision import MixedPrecision
from rewindnet.clients.training.optimizers import SGD, Optimizer
from rewindnet.clients.training.sampling import Sampling


@dataclass(frozen=True)
class LocalTraining:
    """The settings of local training, apart from the data.

    Attributes:
        sampling: how clients draw minibatches; None: they use all samples.
        participating: [N] for a round, which nodes of the network take local steps; None: all of them.
        radius: the radius of the ball onto which clients project their parameters; None for no projection.
        optimizer: how a gradient becomes a step.
        step_sizes: η of each round, where it changes; rounds after those take the last.
        gradient_clip: the largest norm of the gradient of a step; None for any.
        envelope: the Lipschitz envelope that clients learn from; None: they learn from their data loss.
        augmentation: how images change from step to step; None: they do not.
        mixed_precision: the type of the products and convolutions of local steps, while parameters and sums keep
            theirs; None: everything keeps it. For models that are torch modules, in single precision.
    """

    sampling: Sampling | None = None
    participating: Callable[[int], NDArray[np.bool_] | None] = lambda round: None
    radius: float | None = None
    optimizer: Optimizer = SGD()  # noqa: RUF009
    step_sizes: tuple[float, ...] = ()
    gradient_clip: float | None = None
    envelope: Envelope | None = None
    augmentation: Augmentation | None = None
    mixed_precision: MixedPrecision = None

    @property
    def plain(self) -> bool:
        """Whether every local step is a plain gradient step."""
        return self.gradient_clip is None and self.envelope is None and self.optimizer.plain

    @property
    def times_cached(self) -> int:
        """How many times as many clients are computed at once as keep their samples in cache.

        Envelopes take many small operations, whose calls cost more than the cache saves.
        """
        return 1 if self.envelope is None else 2
