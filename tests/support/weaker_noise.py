"""Noise that is not what it says: ways to break the samplers that the steps use.

As a script it is the command line with a sampler broken in every process: WAY, and then the words after `rewindnet`.
"""

import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from rewindnet.clients.steps import learning, noisy
from rewindnet.clients.training.noise import NoiseAddress

#: A change of what is drawn, given the sampler and its arguments by name.
Way = Callable[[Callable[..., Any], dict[str, Any]], Any]


def _at(**changes: int) -> Way:
    """Draw elsewhere: whatever the node or the round, the same."""
    return lambda draw, asked: draw(**{**asked, **{key: at for key, at in changes.items() if key in asked}})


def _of_first_release(draw: Callable[..., Any], asked: dict[str, Any]) -> Any:
    """Draw at the address of release 0, whatever the release."""
    return draw(**{**asked, "address": replace(asked["address"], release=0)})


WAYS: dict[str, Way] = {
    "no noise": lambda draw, asked: np.zeros(asked["size"]),
    "half the noise": lambda draw, asked: 0.5 * draw(**asked),
    "one vector for all nodes": _at(node=0),
    "one vector for all rounds": _at(round=3),
    "one vector for all releases": _of_first_release,
}


def broken(way: str) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """The two samplers, broken in this way: of noise that is added once, and of noise in a round."""
    draw, draw_in_round, change = learning.draw, noisy.draw_in_round, WAYS[way]

    def once(size: int, address: NoiseAddress, node: int) -> Any:
        return change(draw, {"size": size, "address": address, "node": node})

    def in_round(size: int, address: NoiseAddress, round: int, node: int) -> Any:
        return change(draw_in_round, {"size": size, "address": address, "round": round, "node": node})

    return once, in_round


if __name__ == "__main__":
    from rewindnet.experiments.cli import main

    vars(learning)["draw"], vars(noisy)["draw_in_round"] = broken(sys.argv.pop(1))
    main()
