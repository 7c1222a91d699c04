"""Learning on one machine, or averaged over all clients: what the bounds of the literature are stated for."""

import numpy as np
from learnings import SETTINGS
from scipy.sparse import csr_array

from rewindnet.certificates import Constant, TrainingRun, derive


class One:
    """A single machine."""

    nodes = 1

    def matrix(self, round: int) -> csr_array:
        return csr_array(np.ones((1, 1)))

    def participating(self, round: int) -> None:
        return None


class Everyone:
    """Federated averaging over N clients."""

    def __init__(self, nodes: int) -> None:
        self.nodes = nodes

    def matrix(self, round: int) -> csr_array:
        return csr_array(np.full((self.nodes, self.nodes), 1 / self.nodes))

    def participating(self, round: int) -> None:
        return None


def machine(
    model: str, l2: float, *, n: int, m: int, eta: float, T: int, E: int = 1, mixing: object = None
) -> TrainingRun:
    mixing = mixing or One()
    N = mixing.nodes  # type: ignore[attr-defined]
    deleted = np.zeros(N, dtype=np.int64)
    deleted[0] = m
    return TrainingRun(
        mixing=mixing,  # type: ignore[arg-type]
        rounds=T,
        step_size=eta,
        local_steps=E,
        order="adapt-then-combine",
        constants=derive(model, Constant(1.0, "proven"), l2=l2, **SETTINGS[model]),
        samples=np.full(N, n),
        deleted=deleted,
    )
