"""Make blocks of clients from their data."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rewindnet.clients.models import Model
from rewindnet.clients.training.bucket import make_buckets
from rewindnet.clients.training.client_block import ClientBlock
from rewindnet.clients.training.joint import ROWS, fills_batches, grouped, joined, separate
from rewindnet.clients.training.local_training import LocalTraining


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
    """Make a block from the data of its clients.

    Args:
        model: the model of every client.
        x: features [n, p] of all clients together, on the device and in the precision to compute in.
        y: class labels [n].
        shards: one array of row numbers for each node of the block.
        step_size: η.
        local_steps: E.
        nodes: the nodes of this block; 0, 1, 2, … by default.
        node_by_node: keep every client in a bucket of its own, without padding, for bitwise reproducible results.
        local_training: the settings of local training.
    """
    nodes = tuple(range(len(shards))) if nodes is None else tuple(nodes)
    sizes = np.array([len(shard) for shard in shards], dtype=np.int64)
    design, targets = model.design(x), torch.from_numpy(model.targets(y)).to(x.device)
    local_training = local_training or LocalTraining()
    # Models are not known to keep every bit side by side in mixed precision.
    node_alone = local_training.mixed_precision is not None
    how, fills = local_training, node_by_node and not node_alone and fills_batches(model, local_training)
    # Products of a few rows in single precision round by where in memory a row begins.
    least = ROWS if node_by_node and model.elementwise is not None and x.dtype == torch.float32 else 1
    multiple = ROWS if fills else 1
    buckets = make_buckets(design, targets, shards, node_by_node=node_by_node, multiple=multiple, least=least)
    # The steps of other optimizers, and of the solver of an envelope, are not known to keep every bit side by side.
    alone = node_alone or how.sampling or how.envelope or how.optimizer.state_size(model.parameters)
    joint = joined(model, buckets) if node_by_node and not alone else None
    filling = grouped(buckets) if fills else None
    together = joint or filling
    buckets = buckets if together is None else separate(together)
    return ClientBlock(nodes, model, step_size, local_steps, sizes, buckets, sizes, local_training, joint, filling)
