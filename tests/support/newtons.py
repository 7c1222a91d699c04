"""Networks that Newton corrections are tried on."""

from dataclasses import replace

import learnings
import numpy as np
from networks import Network


def network(**changes):
    """A ring of six that learns by consensus-plus-gradient."""
    ring = Network(
        family="ring",
        nodes=6,
        mixing="metropolis-hastings",
        order="consensus-plus-gradient",
        model="logistic",
        l2=0.1,
        step=0.3,
        local_steps=1,
        rounds=200,
        client=2,
        deleted="half",
        sizes=(12, 9, 14, 20, 7, 11),
        dtype="float64",
        seed=5,
    )
    return replace(ring, **changes)


def small(**changes):
    changed = {"order": "consensus-plus-gradient", "step_size": 0.4, "rounds": 30} | changes
    return learnings.small_learning(**changed)


def measured(learning, method, residual=0.01, moved=0.7):
    """A plan as it is after the nodes have measured this."""
    plan, N = method.plan(learning), learning.mixing.nodes
    mechanism = plan.release.mechanism
    end = learning.rounds + mechanism.rounds + 1
    numbers = np.zeros(end)
    numbers[-2:] = moved, residual
    return method.refine(plan, learning, dict.fromkeys(range(N), numbers))
