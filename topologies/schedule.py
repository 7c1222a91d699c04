"""Schedules: which mixing matrix is used in which round."""

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import Protocol

import networkx as nx
import numpy as np
from scipy import sparse

from topologies.errors import TopologyError


class Schedule(Protocol):
    """The mixing matrices of a run, round by round; the same round always gives the same matrix."""

    @property
    def nodes(self) -> int:
        """N, the number of nodes."""
        ...

    def matrix(self, round: int) -> sparse.csr_array:
        """W_t [N, N], the mixing matrix of round t ≥ 0."""
        ...

    def fingerprint(self, rounds: int) -> str:
        """The `fingerprint` of the matrices of rounds 0..rounds-1."""
        ...


@dataclass(frozen=True, eq=False)
class Static:
    """The same mixing matrix in every round.

    Args:
        graph: on the nodes 0..N-1.
        weights: its mixing matrix [N, N].

    Raises:
        TopologyError: if the two have not the same number of nodes.
    """

    graph: nx.Graph
    weights: sparse.csr_array

    def __post_init__(self) -> None:
        if self.weights.shape != (len(self.graph), len(self.graph)):
            shape = " × ".join(map(str, self.weights.shape))
            raise TopologyError(f"a graph of {len(self.graph)} nodes has no mixing matrix of {shape}")

    @property
    def nodes(self) -> int:
        """N, the number of nodes."""
        return len(self.graph)

    def matrix(self, round: int) -> sparse.csr_array:
        """W [N, N], whatever the round."""
        return self.weights

    def fingerprint(self, rounds: int) -> str:
        """The `fingerprint` of the matrices of rounds 0..rounds-1; the matrix is read once."""
        return fingerprint([digest(self.weights)] * rounds)


def digest(W: sparse.csr_array) -> bytes:
    """The sha256 of a matrix: shape, row pointers and columns (int64), values (float64), little-endian."""
    hashed = sha256(np.asarray(W.shape, dtype="<i8").tobytes())
    for part in (W.indptr.astype("<i8"), W.indices.astype("<i8"), W.data.astype("<f8")):
        hashed.update(part.tobytes())
    return hashed.digest()


def fingerprint(digests: Iterable[bytes]) -> str:
    """The sha256, in hexadecimal, of the rounds' digests in order; equal for equal matrices."""
    return sha256(b"".join(digests)).hexdigest()
