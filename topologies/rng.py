"""Random number generators by address: a draw is determined by (seed, stream, round, node) alone.

No generator is shared or advanced across calls. So the draws do not depend on the order in which they are made or on
the transport, and a verifier can repeat them.
"""

from enum import IntEnum

import numpy as np


class Stream(IntEnum):
    """The purpose of a random draw. The numbers are part of every recorded run: append new ones, never renumber."""

    GRAPH = 1
    DATA = 2
    FEATURES = 3
    PARTITION = 4
    INITIAL_MODEL = 5
    FORGET_SET = 6
    NOISE = 7
    EVALUATION = 8
    NETWORK_MODEL = 9
    STRAGGLERS = 10
    LINK_FAILURES = 11
    MATCHING = 12
    SLEEP = 13
    ACTIVATION = 14
    WALK = 15
    BATCH = 16
    TOKEN = 17
    ROUND_NOISE = 18
    BACKDOOR = 19
    AUDIT = 20
    PLAN = 30


def rng_at(seed: int, stream: Stream, round: int = 0, node: int = 0) -> np.random.Generator:
    """Return the generator at the address (seed, stream, round, node).

    Args:
        seed: the scenario's seed, ≥ 0.
        stream: the purpose of the draw.
        round: the round of the draw; 0 for a draw that is made once.
        node: the node that draws; 0 for a draw of the whole network.

    Raises:
        ValueError: if a coordinate is negative.
    """
    if min(seed, round, node) < 0:
        raise ValueError(f"the address of a random draw is non-negative: seed {seed}, round {round}, node {node}")
    return np.random.default_rng(np.random.SeedSequence([seed, int(stream), round, node]))
