"""What is known of learning and a deletion before anything is learned."""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from rewindnet.certificates import Arithmetic, Batches, Constants, Mixing, Order, TrainingRun, forget_digest
from rewindnet.clients.models import Model
from rewindnet.clients.steps.learning import InitialModel


def training_facts(
    *,
    model: Model,
    dtype: torch.dtype,
    mixing: Mixing,
    order: Order,
    constants: Constants,
    rounds: int,
    step_size: float,
    local_steps: int,
    samples: NDArray[np.int64],
    forget: Mapping[int, NDArray[np.int64]],
    seed: int,
    earlier_deletions: tuple[tuple[int, NDArray[np.int64]], ...] = (),
    batches: Batches | None = None,
    radius: float | None = None,
    departed: tuple[int, ...] = (),
    mixing_before: Mixing | None = None,
) -> TrainingRun:
    """What is known of learning and the deletion before anything is learned: all but the ledger.

    Args:
        model: of every client.
        dtype: to compute in.
        mixing: the mixing matrices; where clients leave, of what remains.
        order: of the learning rounds.
        constants: of every local objective.
        rounds: T.
        step_size: η.
        local_steps: E.
        samples: [N], how many samples each node holds.
        forget: for each deleting node, the positions of the erased samples in its own data.
        seed: of every coin.
        earlier_deletions: of the erased samples, those that earlier requests had taken out of learning, as in
            `TrainingRun`.
        batches: the minibatches that the clients read; None: every sample in every step.
        radius: of the ball onto which they project their parameters; None: they do not.
        departed: the nodes that leave when they delete.
        mixing_before: the mixing matrices while those were there.
    """
    deleted = counted(forget, len(samples))
    start = InitialModel(seed).initial(model, dtype)
    return TrainingRun(
        mixing=mixing,
        rounds=rounds,
        step_size=step_size,
        local_steps=local_steps,
        order=order,
        constants=constants,
        samples=samples,
        deleted=deleted,
        arithmetic=Arithmetic(
            unit_roundoff=float(torch.finfo(dtype).eps) / 2,
            inputs=model.inputs,
            outputs=model.outputs,
            parameters=model.parameters,
            initial_norm=float(start.double().norm()),
        ),
        forget_sha256=forget_digest({node: positions.tolist() for node, positions in forget.items()}),
        batches=batches,
        radius=radius,
        departed=departed,
        mixing_before=mixing_before,
        earlier_deletions=earlier_deletions,
    )


def counted(forget: Mapping[int, NDArray[np.int64]], nodes: int) -> NDArray[np.int64]:
    """[N], how many samples a forget set names at each node."""
    counts = np.zeros(nodes, dtype=np.int64)
    for node, positions in forget.items():
        counts[node] = len(positions)
    return counts
