"""Low-rank adapters: changes (α/r)·B·A of the matrices in θ, which are stacked on a model and taken off again.

Hu et al. (2022), "LoRA: low-rank adaptation of large language models", arXiv 2106.09685.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

#: Where a matrix begins in θ, and its shape.
Matrix = tuple[int, tuple[int, int]]


@dataclass(frozen=True)
class LowRank:
    """The shape of the adapters of a model: A [r, in] and B [out, r] of each matrix, behind each other in one row.

    A matrix has at most the rank at which its adapter has no more numbers than itself; one that has no such rank, none.

    Attributes:
        parameters: d.
        matrices: the matrices in θ that are adapted, by their names.
        rank: r.
        alpha: α.
    """

    parameters: int
    matrices: Mapping[str, Matrix]
    rank: int
    alpha: float

    @cached_property
    def ranks(self) -> dict[str, int]:
        """The rank of each adapted matrix."""
        largest = {name: rows * columns // (rows + columns) for name, (_, (rows, columns)) in self.matrices.items()}
        return {name: min(self.rank, most) for name, most in largest.items() if most}

    @property
    def size(self) -> int:
        """The numbers in an adapter."""
        return sum(rank * sum(self.matrices[name][1]) for name, rank in self.ranks.items())

    def change(self, adapter: Tensor) -> Tensor:
        """Compute by what an adapter [size] changes θ, [d]."""
        changed = adapter.new_zeros(self.parameters)
        for name, (A, B) in self.parts(adapter).items():
            at, (rows, columns) = self.matrices[name]
            changed[at : at + rows * columns] = (B @ A).mul_(self._scale(name)).flatten()
        return changed

    def gradient(self, adapter: Tensor, gradient: Tensor) -> Tensor:
        """Compute the gradient [size] by an adapter, from that by θ [d]."""
        found = torch.zeros_like(adapter)
        own = self.parts(found)
        for name, (A, B) in self.parts(adapter).items():
            at, (rows, columns) = self.matrices[name]
            G = gradient[at : at + rows * columns].view(rows, columns) * self._scale(name)
            own[name][0].copy_(B.T @ G)
            own[name][1].copy_(G @ A.T)
        return found

    def parts(self, adapter: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
        """Return A [r, in] and B [out, r] of each matrix, as views of an adapter [size]."""
        found, at = {}, 0
        for name, rank in self.ranks.items():
            rows, columns = self.matrices[name][1]
            A, B = adapter[at : at + rank * columns], adapter[at + rank * columns : at + rank * (rows + columns)]
            found[name] = A.view(rank, columns), B.view(rows, rank)
            at += rank * (rows + columns)
        return found

    def _scale(self, name: str) -> float:
        return self.alpha / self.ranks[name]


@dataclass
class AdapterStack:
    """Adapters that are stacked on a model, each under a name, and can be revoked.

    The model itself is never changed: what is computed with a stack is its sum with their changes, in the order in
    which they were added. So after a revocation it has the bits that it would have without that adapter.

    Attributes:
        theta: [d], the model below.
        form: the shape of the adapters.
        adapters: those there are, [size] each.
    """

    theta: Tensor
    form: LowRank
    adapters: dict[str, Tensor] = field(default_factory=dict)

    def add(self, name: str, adapter: Tensor) -> None:
        """Put an adapter on top.

        Raises:
            ValueError: if there is one of that name.
        """
        if name in self.adapters:
            raise ValueError(f"there is an adapter {name!r} already; revoke it first")
        self.adapters[name] = adapter

    def revoke(self, name: str) -> None:
        """Take an adapter off.

        Raises:
            ValueError: if there is none of that name.
        """
        if name not in self.adapters:
            raise ValueError(f"there is no adapter {name!r}; there are: {', '.join(self.adapters) or 'none'}")
        del self.adapters[name]

    def merged(self) -> Tensor:
        """Return the model [d] with all adapters."""
        theta = self.theta.clone()
        for adapter in self.adapters.values():
            theta += self.form.change(adapter)
        return theta
