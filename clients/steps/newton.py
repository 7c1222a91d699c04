"""The rounds of a Newton correction: sweeps of the whole network, or one client's broadcast; and their residual.

With full gradients and one W, consensus-plus-gradient is gradient descent on Φ'(X) = ½⟨X, (I − W)X⟩ + γ·Σ_i F'_i(x_i),
F' being the objectives on retained data:

    ∇Φ'(X) = (I − W)X + γ∇F'(X)         the residual: 0 where retraining ends
    J'     = (I − W)⊗I + γ·blkdiag(C_i)  its derivative, for C_i the Hessians of the F'_i
"""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.sparse import csr_array
from torch import Tensor

from rewindnet.certificates import Mixing
from rewindnet.clients.steps.base import CommunicationStep
from rewindnet.clients.steps.learning import InitialModel
from rewindnet.clients.training.client_block import ClientBlock
from rewindnet.clients.training.curvature import PRODUCT, product, solve
from rewindnet.clients.training.curvatures import Curvature
from rewindnet.clients.training.probe import Probe
from rewindnet.topologies.routing import adjacency_of_weights, spreading_tree


@dataclass(frozen=True)
class NewtonSweeps(CommunicationStep):
    """X − J'⁻¹∇Φ'(X), solved by the network: one round for ∇Φ'(X), then a Chebyshev sweep in every round.

    A sweep multiplies by J' once, for which neighbours send each other the direction they are searching in; it takes no
    inner product, which a gossip network has no cheap way to sum. After k sweeps what is left of ∇Φ' + J'Δ has shrunk
    by T_k((high + low)/(high − low)) at least, T_k the Chebyshev polynomial, as long as J' lies between low and high.
    Between rounds a client keeps [θ, Δ, rest, direction].

    Saad (2003), "Iterative methods for sparse linear systems", Algorithm 12.1.

    Attributes:
        rounds: one more than there are sweeps.
        curvature: C_i.
        spectrum: (low, high), between which the eigenvalues of J' lie.
        seed: of the simulation; in the last round the clients report how far they then are from where they started.
    """

    rounds: range
    curvature: Curvature
    spectrum: tuple[float, float]
    seed: int

    def message(self, block: ClientBlock, theta: Tensor, round: int, probe: Probe | None) -> Tensor:
        """Return θ in the first round, then the direction of the search [b, d]."""
        return theta if round == self.rounds.start else theta[:, -block.model.parameters :].contiguous()

    def combine(self, block: ClientBlock, theta: Tensor, mixed: Tensor, round: int, probe: Probe | None) -> Tensor:
        """Return what the clients keep after computing ∇Φ', or after a sweep; in the last round θ + Δ."""
        middle, half = sum(self.spectrum) / 2, (self.spectrum[1] - self.spectrum[0]) / 2
        sweep = round - self.rounds.start
        if sweep == 0:
            rest = -(theta - mixed + block.step_size * block.gradient(theta))
            return torch.cat([theta, torch.zeros_like(theta), rest, rest / middle], dim=1)
        start, correction, rest, direction = _parts(block, theta)
        correction = correction + direction
        if round == self.rounds[-1]:
            # All sweeps are charged alike, also the last, whose residual is not worked out.
            block.count(PRODUCT * block.samples)
            return _reported(block, start + correction, round, self.seed, probe)
        rest = rest - (direction - mixed + block.step_size * product(block, start, direction, self.curvature))
        before, now = _ratios(middle / half, sweep)
        return torch.cat([start, correction, rest, now * before * direction + 2 * now / half * rest], dim=1)


def _parts(block: ClientBlock, theta: Tensor) -> tuple[Tensor, ...]:
    """Split what the clients keep into tensors [b, d]."""
    return torch.split(theta, block.model.parameters, dim=1)


def _ratios(centre: float, sweep: int) -> tuple[float, float]:
    """Return ρ_{k−1} and ρ_k, with ρ_k = T_k(centre)/T_{k+1}(centre)."""
    before, now = 0.0, 1 / centre
    for _ in range(sweep):
        before, now = now, 1 / (2 * centre - now)
    return before, now


@dataclass(frozen=True)
class NewtonBroadcast(CommunicationStep):
    """One client works out a correction alone, from its own data, and every client adds it.

    The deletion changes ΣF by that client's F'_u − F_u alone, so it corrects by C_u⁻¹(∇F_u − ∇F'_u)/N, which is
    (m/(N(n − m)))·C_u⁻¹(mean ∇ℓ of the m forgotten − ∇F_u); where it deletes everything, by
    C_u⁻¹(∇F_u − ∇F'_u)/(N − 1). C_u is the curvature on what it retains, or on all it had where it retains nothing. In
    a first round, in which no message is sent, the client computes; then the correction travels along a
    breadth-first tree. Between rounds a client keeps [θ, correction].

    Wu et al. (2026), arXiv 2601.06436, reconstructed: the body of the paper was not available.

    Attributes:
        rounds: one more than the tree has levels below its root.
        clients: N.
        source: the client.
        curvature: C_u.
        iterations: of the conjugate gradients that solve for the correction.
        seed: as for `NewtonSweeps`.
    """

    rounds: range
    clients: int
    source: int
    curvature: Curvature
    iterations: int
    seed: int

    needs_forget_set = True

    def mixing_matrix(self, round: int, mixing: Mixing) -> csr_array:
        """Return the matrix by which every level of the tree is heard by the next; 0 in the first round."""
        N = mixing.nodes
        tree = spreading_tree(adjacency_of_weights(mixing.matrix(round)), self.source)
        parents, levels = np.array(tree.parents), np.array(tree.depths)
        children = (
            np.flatnonzero(levels == round - self.rounds.start) if round > self.rounds.start else np.zeros(0, int)
        )
        return csr_array((np.ones(len(children)), (children, parents[children])), shape=(N, N))

    def message(self, block: ClientBlock, theta: Tensor, round: int, probe: Probe | None) -> Tensor:
        """Return the correction [b, d], if it has come; in the first round no node receives another."""
        return theta if round == self.rounds.start else theta[:, block.model.parameters :].contiguous()

    def combine(self, block: ClientBlock, theta: Tensor, mixed: Tensor, round: int, probe: Probe | None) -> Tensor:
        """Return θ and the correction as it arrives; in the last round their sum."""
        if round == self.rounds.start:
            start, correction = theta, torch.zeros_like(theta)
            if self.source in block.nodes:
                row = block.nodes.index(self.source)
                correction[row] = self._correction(block, theta[row : row + 1].double())[0].to(theta)
        else:
            start, correction = _parts(block, theta)
            correction = correction + mixed
        if round == self.rounds[-1]:
            return _reported(block, start + correction, round, self.seed, probe)
        return torch.cat([start, correction], dim=1)

    def _correction(self, block: ClientBlock, theta: Tensor) -> Tensor:
        """Compute the correction [1, d] at the client that deletes, from θ [1, d], in double precision."""
        assert block.before_erasure is not None
        full, retained = (clients.only((self.source,), torch.float64) for clients in (block.before_erasure, block))
        changed = full.gradient(theta) - retained.gradient(theta)
        if retained.samples[0]:
            return solve(retained, theta, changed / self.clients, self.curvature, self.iterations)
        return solve(full, theta, changed / max(self.clients - 1, 1), self.curvature, self.iterations)


@dataclass(frozen=True)
class NewtonResidual(CommunicationStep):
    """One round in which every client learns ‖∇Φ'(X)_i‖ of where it is, and reports it.

    The certificate rests on this number, so the gradient is computed in double precision; what rounding adds to the
    rest is charged by `rewindnet.certificates.mechanisms.newton`.
    """

    rounds: range

    def combine(self, block: ClientBlock, theta: Tensor, mixed: Tensor, round: int, probe: Probe | None) -> Tensor:
        """Return θ, unchanged, once the residual is reported."""
        point = theta.double()
        pull = block.only(block.nodes, torch.float64).gradient(point).mul_(block.step_size)
        _report(block, pull.add_(point).sub_(mixed.double()), round, probe)
        return theta


def _reported(block: ClientBlock, theta: Tensor, round: int, seed: int, probe: Probe | None) -> Tensor:
    """Return θ, once its distance from where learning started is reported."""
    _report(
        block, theta.double() - InitialModel(seed).initial(block.model, theta.dtype).to(theta).double(), round, probe
    )
    return theta


def _report(block: ClientBlock, vectors: Tensor, round: int, probe: Probe | None) -> None:
    """Report the norm of every client's row; row by row, so that it does not depend on the others in the block."""
    for node, row in zip(block.nodes, vectors, strict=True):
        if probe is not None:
            probe.shift(round, node, float(row.norm()))
