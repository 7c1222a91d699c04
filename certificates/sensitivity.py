"""How far the deletion can have travelled: the coupled divergence of learning and retraining, node by node.

Learning on D and retraining on the retained data D' are coupled: same initial model, same mixing matrices, same coins.
e_i^t bounds ‖θ_i^t(D) − θ_i^t(D')‖₂. A round contracts or expands what is there by the local step (γ), mixes it along
the edges (W_t), and, as long as learning reads the forget set, adds a disturbance b at the deleting nodes.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from certificates.constants import Regime
from certificates.errors import CertificateError
from certificates.records import Bound, Learning, Vector

Matrix = NDArray[np.float64]

#: How far a row of a mixing matrix may be from summing to 1.
_ROW_SUM = 1e-9


@dataclass(frozen=True)
class Sensitivity:
    """e, node by node: `total` [N], and `rounding` [N], the part of it charged for finite precision."""

    total: Vector
    rounding: Vector


def strongest_regime(learning: Learning) -> Regime:
    """The regime with the smallest growth that the constants prove."""
    return learning.constants.regimes()[-1]


def local_growth(learning: Learning, regime: Regime) -> float:
    """γ, the Lipschitz constant of a local step θ ↦ θ − η∇f'(θ) with Hessians between the regime's curvature and L."""
    eta, L = learning.step_size, learning.constants.L.value
    return max(1 - eta * learning.constants.lowest_curvature(regime), eta * L - 1)


def worst_case_disturbance(learning: Learning) -> Vector:
    """b [N] of one local step: 2ηmG/n where m of n samples are deleted, ηG where all are, 0 elsewhere."""
    eta, G = learning.step_size, learning.constants.G.value
    n, m = learning.samples.astype(float), learning.deleted.astype(float)
    share = np.divide(2 * m, n, out=np.zeros_like(m), where=n > 0)
    return eta * G * np.where((m == n) & (m > 0), 1.0, share)


def _powers(base: float, E: int) -> Vector:
    """base^0 … base^E; what is too large for a float is infinite, not an error."""
    with np.errstate(over="ignore"):
        return np.asarray(np.float64(base) ** np.arange(E + 1))


def _round_disturbance(learning: Learning, bound: Bound, growth: float) -> Callable[[int], Vector]:
    """b_E of round t: the disturbances of the E local steps, each grown by the steps after it, summed."""
    powers = _powers(growth, learning.local_steps)[:-1][::-1]
    if bound == "worst-case":
        constant = worst_case_disturbance(learning) * powers.sum()
        return lambda t: constant
    if learning.ledger is None:
        raise CertificateError("an instance bound needs the ledger of measured disturbances that learning keeps")
    nodes, measured = list(learning.ledger.nodes), learning.ledger.disturbance
    if set(nodes) != set(np.flatnonzero(learning.deleted).tolist()):
        raise CertificateError("the ledger's disturbances are not those of the nodes whose samples are deleted")
    if measured.shape != (learning.rounds, learning.local_steps, len(nodes)):
        raise CertificateError(
            f"the ledger's disturbances have the shape {measured.shape}, not [rounds, local steps, nodes]"
        )

    def at(t: int) -> Vector:
        b = np.zeros(learning.mixing.nodes)
        b[nodes] = powers @ measured[t]
        return b

    return at


def _charges(learning: Learning, regime: Regime, rounds: int) -> Iterator[float]:
    """What rounding may add in each round at a node that the deletion has reached, in both coupled runs together.

    Standard error analysis (Higham 2002, "Accuracy and stability of numerical algorithms", §3.1): a sum of k terms, in
    any order, is off by at most k·u times the sum of their absolute values. With ‖θ‖ ≤ M (bounded beforehand, so that
    nothing measured enters), n samples, q inputs and C outputs, one local step is off by at most

        u·(η·((n + C + 10)·G + ((q + 4)·L + 4·l2)·M) + 4·M + 4η·(G + l2·M))

    where (q + 4)·L·M is the rounding of the scores carried through the gradient; and mixing k messages by (k + 6)·u·M.
    """
    arithmetic = learning.arithmetic
    if arithmetic is None:
        yield from (0.0 for _ in range(rounds))
        return
    eta, E, u = learning.step_size, learning.local_steps, arithmetic.unit_roundoff
    G, L, l2 = learning.constants.G.value, learning.constants.L.value, learning.constants.l2.value
    n, grown = int(learning.samples.max(initial=0)), _powers(max(1.0, local_growth(learning, regime)), E)
    terms = (n + arithmetic.outputs + 10) * G
    for M, W in _norms(learning, rounds):
        step = eta * (terms + ((arithmetic.inputs + 4) * L + 4 * l2) * M) + 4 * M + 4 * eta * (G + l2 * M)
        mixing = (int(np.diff(W.indptr).max()) + 6) * M
        # The two runs err independently, hence twice. With combine-then-adapt the steps grow what mixing rounded.
        yield 2 * u * (step * float(grown[:-1].sum()) + mixing * float(grown[-1]))


def rounding_of_average(learning: Learning, round: int) -> float:
    """What summing the average of all nodes after so many rounds may add, in both coupled runs together."""
    if learning.arithmetic is None:
        return 0.0
    return 2 * learning.arithmetic.unit_roundoff * (learning.mixing.nodes + 6) * _largest_norm(learning, round)


def least_noise(learning: Learning, round: int) -> float:
    """The smallest σ whose draws the arithmetic still resolves beside parameters as large as they can be."""
    if learning.arithmetic is None:
        return 0.0
    return 1024 * learning.arithmetic.unit_roundoff * _largest_norm(learning, round)


def _largest_norm(learning: Learning, rounds: int) -> float:
    assert learning.arithmetic is not None
    return max([learning.arithmetic.initial_norm, *(M for M, _ in _norms(learning, rounds))])


def _norms(learning: Learning, rounds: int) -> Iterator[tuple[float, csr_array]]:
    """A bound on every ‖θ_i‖ that occurs in each round, and the round's matrix: gradients are at most G + l2·‖θ‖."""
    assert learning.arithmetic is not None
    eta, E, l2, G = learning.step_size, learning.local_steps, learning.constants.l2.value, learning.constants.G.value
    signed = float(_powers(1 - eta * l2, E)[-1])
    shrunk, moved = abs(signed), eta * G * float(_powers(abs(1 - eta * l2), E)[:-1].sum())
    M = learning.arithmetic.initial_norm
    for t in range(rounds):
        W = learning.mixing.matrix(t)
        yield (max(1.0, shrunk) * M + moved) * (1 + 1e-3), W  # what rounding adds to a norm is far less
        if learning.order == "consensus-plus-gradient":
            kept = W.diagonal()
            M = float(((1 - kept) + np.abs(kept + signed - 1)).max()) * M + moved
        else:
            M = shrunk * M + moved


def _mixed(learning: Learning, regime: Regime, W: csr_array) -> Callable[[Matrix], Matrix]:
    """The linear map that a round with mixing matrix W applies to sensitivities [N, k], disturbances aside."""
    growth = float(_powers(local_growth(learning, regime), learning.local_steps)[-1])
    if learning.order != "consensus-plus-gradient":
        return lambda e: growth * (W @ e)
    kept = W.diagonal()
    held = _held(learning, regime, kept)
    return lambda e: W @ e + (held - kept)[:, None] * e


def _held(learning: Learning, regime: Regime, kept: Vector) -> Vector:
    """κ [N], the Lipschitz constant of θ ↦ W_ii·θ + (D(θ) − θ), with D the E local steps.

    With Hessians between `lowest` and L a step's Jacobian is p·I + a·R with ‖R‖ ≤ 1, p = 1 − η(L + lowest)/2 and
    a = η(L − lowest)/2, so that |p| + a = γ. The product of E of them is p^E·I plus a rest of norm at most
    γ^E − |p|^E, hence κ_i = |p^E − (1 − W_ii)| + γ^E − |p|^E. For E = 1 this is ‖W_ii·I − ηH‖ exactly.
    """
    eta, E = learning.step_size, learning.local_steps
    centre = 1 - eta * (learning.constants.L.value + learning.constants.lowest_curvature(regime)) / 2
    centred = float(_powers(centre, E)[-1])
    rest = float(_powers(local_growth(learning, regime), E)[-1]) - abs(centred)
    return np.asarray(np.abs(centred - (1 - kept)) + rest)


def propagate(
    learning: Learning,
    *,
    disturbed: int,
    quiet: int,
    bound: Bound = "worst-case",
    regime: Regime | None = None,
) -> Sensitivity:
    """Sensitivity after `disturbed` rounds that read the forget set and `quiet` rounds that do not.

    The recursion of each order (γ_E = γ^E, b_E = Σ_k γ^(E−1−k) b_k), from e⁰ = 0 and with b = 0 in quiet rounds:

        adapt-then-combine          e⁺ = W (γ_E e + b_E)
        combine-then-adapt          e⁺ = γ_E W e + b_E
        consensus-plus-gradient     e⁺ = (W − diag W) e + κ ∘ e + b_E

    Nodes that the influence cannot have reached are computed identically on both sides and keep e = 0 exactly.

    Args:
        learning: how the network learned and what was deleted.
        disturbed: s, rounds 0 … s−1 see the forget set.
        quiet: q, rounds s … s+q−1 run on retained data.
        bound: `worst-case` from the constants, `instance` from the ledger, `published` for the topology-blind
            formula of the R2D paper.
        regime: which curvature to assume; by default the strongest that the constants prove.

    Raises:
        CertificateError: if the rounds lie outside learning, the regime is not proven, or the result is not finite.
    """
    if not 0 <= disturbed <= learning.rounds or quiet < 0:
        raise CertificateError(
            f"learning has {learning.rounds} rounds; {disturbed} disturbed and {quiet} quiet do not fit"
        )
    regime = regime or strongest_regime(learning)
    with np.errstate(over="ignore", invalid="ignore"):
        if bound == "published":
            result = _published(learning, disturbed, quiet)
        else:
            result = _propagate(learning, disturbed, quiet, bound, regime)
    if not np.all(np.isfinite(result.total)):
        raise CertificateError(_too_large(learning, regime))
    return result


def _propagate(learning: Learning, disturbed: int, quiet: int, bound: Bound, regime: Regime) -> Sensitivity:
    growth = local_growth(learning, regime)
    disturbance = _round_disturbance(learning, bound, growth)
    source = (learning.deleted > 0).astype(float)
    N = learning.mixing.nodes
    e, rounding, reached = np.zeros(N), np.zeros(N), np.zeros(N)
    checked: csr_array | None = None
    before = learning.order == "adapt-then-combine"
    for t, charge in enumerate(_charges(learning, regime, disturbed + quiet)):
        W = learning.mixing.matrix(t)
        if W is not checked:
            _check_matrix(W, N, t)
            checked = W
        b, fresh = (disturbance(t), source) if t < disturbed else (np.zeros(N), np.zeros(N))
        # With adapt-then-combine the disturbance is mixed in the round that makes it; in the other orders it stays put.
        moved = _mixed(learning, regime, W)(np.stack([e, rounding], axis=1))
        e = moved[:, 0] + (W @ b if before else b)
        spread = W @ (reached + fresh) if before else W @ reached + reached + fresh
        reached = (spread > 0).astype(float)
        rounding = moved[:, 1] + charge * reached
        # However small, what was reached is not untouched: an underflow must not read as certainty.
        e = np.where((reached > 0) & (e == 0), np.finfo(float).tiny, e)
    return Sensitivity(total=e + rounding, rounding=rounding)


def _check_matrix(W: csr_array, nodes: int, round: int) -> None:
    """Everything here rests on rows of non-negative weights that sum to 1."""
    if W.shape != (nodes, nodes):
        raise CertificateError(f"the mixing matrix of round {round} has the shape {W.shape}, not {(nodes, nodes)}")
    if not np.all(np.isfinite(W.data)) or np.any(W.data < 0):
        raise CertificateError(f"the mixing matrix of round {round} has a weight that is negative or no number")
    worst = float(np.abs(np.asarray(W.sum(axis=1)) - 1).max())
    if worst > _ROW_SUM:
        raise CertificateError(f"a row of the mixing matrix of round {round} is {worst:.3g} away from summing to 1")


def _published(learning: Learning, disturbed: int, quiet: int) -> Sensitivity:
    """(2mG/(Ln))·((1 + ηLn/(n−m))^s − 1)·(1 + ηL)^q, the same at every node, with E local steps counted as rounds.

    Mu and Klabjan (2025), arXiv 2409.09778. For one machine this is their theorem. On a network it is the bound that
    knows no topology: W has rows that sum to 1, so the largest e_i obeys the one-machine recursion of the worst node.
    """
    eta, G, L = learning.step_size, learning.constants.G.value, learning.constants.L.value
    worst = 0.0
    for n, m in zip(learning.samples.tolist(), learning.deleted.tolist(), strict=True):
        if m == 0 or disturbed == 0:
            continue
        if m == n:
            raise CertificateError(
                "the published bound does not cover a client that deletes everything; use worst-case"
            )
        limit = min(1 / L, n / (2 * (n - m) * L))
        if eta > limit:
            raise CertificateError(
                f"step_size {eta:g} is beyond what the published bound allows: "
                f"at most min(1/L, n/(2(n−m)L)) = {limit:.6g}"
            )
        s, q = disturbed * learning.local_steps, quiet * learning.local_steps
        growth = np.expm1(s * np.log1p(eta * L * n / (n - m))) * np.exp(q * np.log1p(eta * L))
        worst = max(worst, float(2 * m * G / (L * n) * growth))
    charged = _propagate(learning, disturbed, quiet, "worst-case", "nonconvex").rounding
    rounding = np.full_like(charged, charged.max(initial=0.0))
    return Sensitivity(total=np.full(learning.mixing.nodes, worst) + rounding, rounding=rounding)


def _too_large(learning: Learning, regime: Regime) -> str:
    growth = local_growth(learning, regime)
    advice = f"in the regime {regime} a local step may expand differences by {growth:.4g}"
    if regime in ("convex", "strongly-convex"):
        advice += f"; step_size up to 2/L = {2 / learning.constants.L.value:.6g} keeps it at most 1"
    else:
        limit = 700 / (learning.rounds * learning.local_steps * learning.constants.L.value)
        advice += f"; with {learning.rounds} rounds keep step_size below about {limit:.3g}"
    return f"step_size {learning.step_size:g} allows no finite certificate: {advice}"
