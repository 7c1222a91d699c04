"""The part of a network that the arithmetic of a certificate needs: recorded while it is used, and read back."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array

from rewindnet.certificates.errors import CertificateError
from rewindnet.certificates.network import Mixing

#: The largest number of weights that is recorded.
_MOST_WEIGHTS = 200_000


class MissingRoundError(CertificateError):
    """The mixing matrix of a round is needed, and is not in the file."""


class UsedNetwork:
    """A network that notes which of its mixing matrices are asked for.

    Args:
        mixing: the network.
    """

    def __init__(self, mixing: Mixing) -> None:
        self._mixing = mixing
        self._matrices: dict[int, csr_array] = {}
        self._participating: dict[int, NDArray[np.bool_]] = {}

    @property
    def nodes(self) -> int:
        """N, the number of nodes."""
        return self._mixing.nodes

    def matrix(self, round: int) -> csr_array:
        """Return W_t [N, N] of a round, and note it."""
        self._matrices[round] = self._mixing.matrix(round)
        return self._matrices[round]

    def participating(self, round: int) -> NDArray[np.bool_] | None:
        """Return the mask [N] of the nodes that participate in a round, and note it."""
        mask = self._mixing.participating(round)
        if mask is not None:
            self._participating[round] = mask
        return mask

    def to_record(self) -> dict[str, Any] | None:
        """Return what was asked for as plain JSON, each matrix once; None where that is too large."""
        numbers: dict[bytes, int] = {}
        matrices: list[dict[str, list[Any]]] = []
        rounds: list[dict[str, int]] = []
        for t, W in sorted(self._matrices.items()):
            entries = W.tocoo()
            key = b"".join(part.tobytes() for part in (entries.row, entries.col, entries.data))
            if key not in numbers:
                numbers[key] = len(matrices)
                matrices.append(
                    {"rows": entries.row.tolist(), "columns": entries.col.tolist(), "values": entries.data.tolist()}
                )
            if rounds and rounds[-1]["matrix"] == numbers[key] and rounds[-1]["last"] == t - 1:
                rounds[-1]["last"] = t
            else:
                rounds.append({"first": t, "last": t, "matrix": numbers[key]})
        participating = [
            {"round": t, "nodes": np.flatnonzero(mask).tolist()} for t, mask in sorted(self._participating.items())
        ]
        marks = sum(int(mask.sum()) for mask in self._participating.values())
        if sum(len(matrix["values"]) for matrix in matrices) + marks > _MOST_WEIGHTS:
            return None
        return {"matrices": matrices, "rounds": rounds, "participating": participating}


class StoredNetwork:
    """The network of a certificate's file, which has the mixing matrices that its arithmetic needs and no others.

    Args:
        nodes: N.
        record: the member `network` of the file; None if the file has none.

    Raises:
        CertificateError: if the record is damaged.
    """

    def __init__(self, nodes: int, record: Mapping[str, Any] | None) -> None:
        self.nodes = nodes
        stored = record or {"matrices": [], "rounds": [], "participating": []}
        self._matrices = [_matrix(nodes, matrix) for matrix in stored["matrices"]]
        self._rounds = [(span["first"], span["last"], span["matrix"]) for span in stored["rounds"]]
        if any(matrix >= len(self._matrices) for _, _, matrix in self._rounds):
            raise CertificateError("network.rounds names a matrix that is not in the file")
        self._participating = {one["round"]: _mask(nodes, one["nodes"]) for one in stored["participating"]}

    def matrix(self, round: int) -> csr_array:
        """Return W_t [N, N] of a round.

        Raises:
            MissingRoundError: if the file does not have it.
        """
        for first, last, matrix in self._rounds:
            if first <= round <= last:
                return self._matrices[matrix]
        raise MissingRoundError(f"the mixing matrix of round {round} is not in the file")

    def participating(self, round: int) -> NDArray[np.bool_] | None:
        """Return the mask [N] of the nodes that participate in a round; None for all nodes."""
        return self._participating.get(round)


def _matrix(nodes: int, record: Mapping[str, Any]) -> csr_array:
    """Return the matrix [N, N] of a record."""
    rows, columns, values = (np.array(record[name]) for name in ("rows", "columns", "values"))
    if not len(rows) == len(columns) == len(values) > 0 or max(rows.max(), columns.max()) >= nodes:
        raise CertificateError("network.matrices has a matrix with entries outside of the network")
    entries = coo_array((values.astype(np.float64), (rows, columns)), shape=(nodes, nodes))
    matrix: csr_array = csr_array(entries.tocsr())
    matrix.sort_indices()
    if np.abs(matrix.sum(axis=1) - 1).max() > 1e-6:
        raise CertificateError("network.matrices has a matrix whose rows do not sum to 1")
    return matrix


def _mask(nodes: int, members: list[int]) -> NDArray[np.bool_]:
    """Return the mask [N] of a list of nodes."""
    if any(node >= nodes for node in members):
        raise CertificateError("network.participating names a node outside of the network")
    mask = np.zeros(nodes, dtype=bool)
    mask[members] = True
    return mask
