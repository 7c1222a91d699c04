"""Random number generators by address: a draw is determined by (seed, stream, round, node) and its context alone.

No generator is shared or advanced across calls. So the draws do not depend on the order in which they are made or on
the transport, and a verifier can repeat them.
"""

from enum import IntEnum
from hashlib import sha256

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
    FORGET_SALT = 31
    TUNING = 32
    AUGMENTATION = 33
    REQUEST_ATTACK = 34


def rng_at(seed: int, stream: Stream, round: int = 0, node: int = 0, context: str = "") -> np.random.Generator:
    """Return the generator at the address (seed, stream, round, node) in a context.

    Args:
        seed: the scenario's seed, ≥ 0.
        stream: the purpose of the draw.
        round: the round of the draw; 0 for a draw that is made once.
        node: the node that draws; 0 for a draw of the whole network.
        context: what other computations must not share the draw with; its sha256 is mixed in. Empty for draws that are
            the same whatever is computed, as those of data and minibatches are.

    Raises:
        ValueError: if a coordinate is negative.
    """
    if min(seed, round, node) < 0:
        raise ValueError(f"the address of a random draw is non-negative: seed {seed}, round {round}, node {node}")
    words = np.frombuffer(sha256(context.encode()).digest(), dtype="<u4").tolist() if context else []
    return np.random.default_rng(np.random.SeedSequence([seed, int(stream), round, node, *words]))
