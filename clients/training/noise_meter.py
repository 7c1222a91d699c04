"""Measures the noise that clients add to their models, where they add it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rewindnet.certificates.audits.noise.log import NoiseLog, NoiseLogs, measure_addition
from rewindnet.certificates.network import Vector
from rewindnet.late import torch

if TYPE_CHECKING:
    from torch import Tensor


class NoiseMeter:
    """Measures the noise that clients add, by the difference of their models before and after.

    It keeps one vector [d] for each node, the noise that the node added last, and a few numbers for each addition. The
    vector is a secret of the node and is not part of what is reported when a release is audited.

    Args:
        logs: what the nodes have measured of this task already.
    """

    def __init__(self, logs: NoiseLogs) -> None:
        self._rows = {node: list(log.rows) for node, log in logs.items()}
        self._last = {node: log.last for node, log in logs.items()}

    def added(self, round: int, node: int, centre: Tensor, noised: Tensor, begin: Tensor | None = None) -> None:
        """Measure an addition of noise.

        Args:
            round: of the addition.
            node: the node.
            centre: [d], the value without the noise.
            noised: [d], the value with it.
            begin: [d], the value from which the step with the noise began; None: it is `centre`.
        """
        roundoff = torch.finfo(noised.dtype).eps / 2
        last = self._last.get(node, np.zeros(0))
        start = None if begin is None else _double(begin)
        row, self._last[node] = measure_addition(_double(centre), _double(noised), last, round, roundoff, start)
        self._rows.setdefault(node, []).append(row)

    def logs(self) -> NoiseLogs:
        """Return what each node has measured."""
        return {node: NoiseLog(np.stack(rows), self._last[node]) for node, rows in self._rows.items()}


def _double(vector: Tensor) -> Vector:
    result: Vector = vector.to(torch.float64).cpu().numpy()
    return result
