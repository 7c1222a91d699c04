"""The facts about learning and its deletions that are known before learning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rewindnet.certificates import AfterRequest, Arithmetic, Constants, Mixing, Order, TrainingRun, forget_commitment
from rewindnet.certificates.public_facts import PublicFacts
from rewindnet.certificates.training import CLIP_TOLERANCE
from rewindnet.clients.data.deletion import Arrival
from rewindnet.clients.models import Model
from rewindnet.clients.steps.learning import InitialModel
from rewindnet.clients.training import mixed_precision as mixed
from rewindnet.clients.training.augmentation import UNCOVERED, Augmentation
from rewindnet.clients.training.optimizers import SGD, Optimizer
from rewindnet.clients.training.sampling import Realised, Sampling


@dataclass(frozen=True, eq=False)
class TrainingSetup:
    """How a network learns, independently of deletions.

    Attributes:
        model: the model of every client.
        dtype: that clients compute in.
        mixing: the mixing matrices of learning.
        order: how a round orders adapting and combining.
        constants: of every local objective.
        step_size: η.
        local_steps: E, local steps in a round.
        samples: [N], the number of samples of each node.
        seed: the seed of all random numbers.
        sampling: which samples a local step reads; None: all of them.
        radius: of the ball onto which clients project their parameters; None: they do not.
        client_clip: C, to which clients clip the gradient of their data loss; None: they do not.
        clip_tolerance: the largest error of a clipped gradient, in units of C.
        departed: the nodes that leave when they delete.
        remaining: the mixing matrices once those have left; None where no node leaves.
        after_request: from which models learning goes on after a request.
        optimizer: how a gradient becomes a step.
        step_sizes: η of each round, where it changes.
        gradient_clip: the largest norm of the gradient of a step; None for any.
        augmentation: how images are changed from step to step; None: they are not.
        recovery_error: what is charged where models of earlier rounds are recovered; 0 where checkpoints are kept.
        mixed_precision: the type of the products of local steps; None: that of everything.
        storage_error: what is charged where checkpoints are kept in half precision; 0 where they are kept as they are.
        public: the rows that are public, and what the features were made from; None if nothing of the kind.
    """

    model: Model
    dtype: np.dtype[np.floating[Any]]
    mixing: Mixing
    order: Order
    constants: Constants
    step_size: float
    local_steps: int
    samples: NDArray[np.int64]
    seed: int
    sampling: Sampling | None = None
    radius: float | None = None
    client_clip: float | None = None
    clip_tolerance: float = CLIP_TOLERANCE
    departed: tuple[int, ...] = ()
    remaining: Mixing | None = None
    after_request: AfterRequest = "continue-unnoised"
    optimizer: Optimizer = SGD()  # noqa: RUF009
    step_sizes: tuple[float, ...] = ()
    gradient_clip: float | None = None
    augmentation: Augmentation | None = None
    recovery_error: float = 0.0
    storage_error: float = 0.0
    mixed_precision: mixed.MixedPrecision = None
    public: PublicFacts | None = None

    @property
    def uncovered(self) -> str:
        """Why no bound is proven of this learning, as the part of a sentence after a colon; empty if one is."""
        augmented, in_two_types = self.augmentation is not None, self.mixed_precision is not None
        return uncovered(self.optimizer, self.gradient_clip, augmented, in_two_types)


def uncovered(
    optimizer: Optimizer, gradient_clip: float | None, augmented: bool = False, mixed_precision: bool = False
) -> str:
    """Return why no bound is proven of learning with these settings; empty if one is.

    Args:
        optimizer: how a gradient becomes a step.
        gradient_clip: the largest norm of the gradient of a step; None for any.
        augmented: whether images change from step to step.
        mixed_precision: whether products of local steps are of another type than the parameters.
    """
    if optimizer.uncovered or gradient_clip is None:
        return optimizer.uncovered or UNCOVERED * augmented or mixed.UNCOVERED * mixed_precision
    return (
        "the network learned with learning.gradient_clip, and a mean gradient that is clipped as a whole is not the "
        "gradient of a smooth or convex loss, on which the bound rests"
    )


def training_facts(setup: TrainingSetup, arrivals: Sequence[Arrival]) -> tuple[TrainingRun, ...]:
    """Describe, for each request, how the network learns up to it and what is deleted by then: all but the ledger.

    Args:
        setup: how it learns.
        arrivals: the requests, in the order in which they arrive.

    Raises:
        CertificateError: if this cannot be certified.
    """
    arithmetic = _arithmetic(setup)
    runs = []
    for at, (rounds, forget, salt) in enumerate(arrivals):
        earlier = [(arrival.round, arrival.forget) for arrival in arrivals[:at]]
        sampling, samples = setup.sampling, setup.samples
        run = TrainingRun(
            mixing=setup.mixing if setup.remaining is None else setup.remaining,
            rounds=rounds,
            step_size=setup.step_size,
            local_steps=setup.local_steps,
            order=setup.order,
            constants=setup.constants,
            samples=samples,
            deleted=counted(forget, len(samples)),
            arithmetic=arithmetic,
            forget_commitment=forget_commitment(salt, {node: taken.tolist() for node, taken in forget.items()}),
            batches=None if sampling is None else Realised(sampling, samples, forget, earlier),
            radius=setup.radius,
            client_clip=setup.client_clip,
            clip_tolerance=setup.clip_tolerance,
            departed=setup.departed,
            mixing_before=None if setup.remaining is None else setup.mixing,
            earlier_deletions=tuple((round, counted(taken, len(samples))) for round, taken in earlier),
            continued=rounds < arrivals[-1].round,
            step_sizes=setup.step_sizes,
            uncovered=setup.uncovered,
            recovery_error=setup.recovery_error,
            storage_error=setup.storage_error,
            public=setup.public,
            from_release=rounds < arrivals[-1].round and setup.after_request == "continue-from-release",
        )
        runs.append(run)
    return tuple(runs)


def _arithmetic(setup: TrainingSetup) -> Arithmetic:
    """Describe the arithmetic that rounding is charged by."""
    start = InitialModel(setup.seed).drawn(setup.model).astype(setup.dtype)
    return Arithmetic(
        unit_roundoff=float(np.finfo(setup.dtype).eps) / 2,
        inputs=setup.model.inputs,
        outputs=setup.model.outputs,
        parameters=setup.model.parameters,
        initial_norm=float(np.linalg.norm(start.astype(np.float64))),
    )


def counted(forget: Mapping[int, NDArray[np.int64]], nodes: int) -> NDArray[np.int64]:
    """Count the samples that a forget set names at each node: [N]."""
    counts = np.zeros(nodes, dtype=np.int64)
    for node, positions in forget.items():
        counts[node] = len(positions)
    return counts
