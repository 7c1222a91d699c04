"""Bounds on the divergence of two coupled runs."""

from dataclasses import dataclass, field

import numpy as np

from rewindnet.certificates.network import Vector


@dataclass(frozen=True)
class DivergenceBounds:
    """Bounds on the divergence of two coupled runs, of which only one has seen the forget set.

    An audit passes the measured divergences in the same form.

    Attributes:
        nodes: [N], for each node's model in the noise round, before the noise; empty where no bound is known.
        rounding: [N], the part of `nodes` that is charged for finite precision.
        shifts: [events], for the values to which noise is added at each further event, conditional on everything that
            was seen before that event.
    """

    nodes: Vector
    rounding: Vector = field(default_factory=lambda: np.zeros(0))
    shifts: Vector = field(default_factory=lambda: np.zeros(0))
