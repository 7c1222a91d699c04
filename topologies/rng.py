"""Coins: every random draw has an address, and the address alone decides it.

No generator is ever shared or advanced across calls, so the draws do not depend on the order in which they are
made or on the transport, and a verifier can draw them again.
"""

from enum import IntEnum

import numpy as np


class Stream(IntEnum):
    """What a draw is for. The numbers are part of every recorded run: append, never renumber."""

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
    """The generator at the address (seed, purpose, round, node).

    Args:
        seed: the scenario's seed, ≥ 0.
        stream: what is drawn.
        round: the round of the draw; 0 for what is drawn once.
        node: the node that draws; 0 for what the whole network shares.

    Raises:
        ValueError: if a coordinate is negative.
    """
    if min(seed, round, node) < 0:
        raise ValueError(f"a coin's address is non-negative: seed {seed}, round {round}, node {node}")
    return np.random.default_rng(np.random.SeedSequence([seed, int(stream), round, node]))
