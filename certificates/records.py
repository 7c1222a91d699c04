"""What a certificate is made from, and what it is: frozen records, plain data in and out.

A `Learning` says how a network learned and what was deleted; a `Release` says what an unlearning method did; a
`Claim` says what is asked of it. Nothing here has seen a model or a sample.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from rewindnet.certificates.accounting.gaussian import check_delta
from rewindnet.certificates.constants import Constants, Regime
from rewindnet.certificates.errors import CertificateError

if TYPE_CHECKING:
    from rewindnet.certificates.mechanisms.base import Mechanism

Order = Literal["adapt-then-combine", "combine-then-adapt", "consensus-plus-gradient"]
Bound = Literal["published", "worst-case", "instance"]
Placement = Literal["output", "rewind"]
Allocation = Literal["uniform", "optimal"]
NoiseSource = Literal["seed", "os"]
ORDERS: tuple[Order, ...] = get_args(Order)
VIEWS = ("node", "node:v", "joint", "average", "transcript", "transcript:v", "transcript:all")

Vector = NDArray[np.float64]


class Mixing(Protocol):
    """The realised mixing matrices of a network of `nodes` nodes, one a round."""

    @property
    def nodes(self) -> int:
        """N, the number of nodes."""

    def matrix(self, round: int) -> csr_array:
        """W_t [N, N] of that round: non-negative, rows that sum to 1."""

    def awake(self, round: int) -> NDArray[np.bool_] | None:
        """[N], which nodes take their local steps in that round; None: all of them."""


class Batches(Protocol):
    """The realised minibatches of learning: what share of each node's gradient is whose.

    A local step reads (1/B)·Σ_{samples in the batch} ∇loss, with B the expected size of a batch, whatever is deleted.
    """

    def shares(self, round: int) -> tuple[Vector, Vector]:
        """[E, N] each, for every local step of the round: (retained, deleted) samples in the batch, over B."""

    def read(self, round: int, retained: bool) -> NDArray[np.int64]:
        """[N], the per-sample gradients that the round's local steps take, on all data or on what is retained."""


@dataclass(frozen=True)
class Ledger:
    """What learning measured, round by round, for instance bounds.

    Attributes:
        nodes: the deleting nodes, U of them.
        disturbance: [T, E, U], η‖∇f_u(θ) − ∇f'_u(θ)‖ at the very points where learning took its gradients.
        hearers: the nodes whose mixing weights have changed since a client left, V of them.
        drift: [T, V], ‖Σ_j (W_t − W'_t)_ij·x_j‖ of the messages x that they were sent.
    """

    nodes: tuple[int, ...]
    disturbance: Vector
    hearers: tuple[int, ...] = ()
    drift: Vector | None = None

    def __post_init__(self) -> None:
        """Refuse what is no ledger."""
        if len(set(self.nodes)) < len(self.nodes) or len(set(self.hearers)) < len(self.hearers):
            raise CertificateError("the ledger names a node twice")
        for measured in (self.disturbance, self.drift):
            if measured is not None and (not np.all(np.isfinite(measured)) or np.any(measured < 0)):
                raise CertificateError("the ledger holds a disturbance that is not a non-negative number")


@dataclass(frozen=True)
class Arithmetic:
    """The arithmetic that learned, as far as its rounding must be charged for.

    Attributes:
        unit_roundoff: u, 2⁻⁵³ for float64 and 2⁻²⁴ for float32.
        inputs: q, the number of terms in a score.
        outputs: C, the number of scores of a sample.
        initial_norm: ‖θ⁰‖.
    """

    unit_roundoff: float
    inputs: int
    outputs: int
    initial_norm: float

    def __post_init__(self) -> None:
        """Refuse what no arithmetic can be."""
        sound = 0 < self.unit_roundoff < 1 and self.inputs >= 1 and self.outputs >= 1
        if not (sound and 0 <= self.initial_norm < float("inf")):
            raise CertificateError(f"this describes no arithmetic: {self}")


@dataclass(frozen=True)
class Learning:
    """How the network learned, and what was deleted from which node.

    Attributes:
        mixing: the realised mixing matrices.
        rounds: T.
        step_size: η.
        local_steps: E, local steps in a round.
        order: how a round orders adapting and combining.
        constants: of every local objective.
        samples: [N], how many samples each node learned from.
        deleted: [N], how many of them are deleted.
        ledger: measurements; without it there are no instance bounds.
        arithmetic: what rounding is charged by; without it the arithmetic is taken to be exact.
        forget_sha256: of the forget set, where it is known.
        batches: what each local step reads; without it, every sample.
        radius: of the ball around 0 onto which every client projects its parameters in each round, if it does.
        left: the nodes that have left the network with their data; they hold nothing and send nothing.
        before: the mixing matrices of learning, where `left` has changed them since; `mixing` is what remains.
        gone: of the deleted samples, those that earlier requests had taken out of learning: from which round on, and
            how many at each node [N]; increasing.
    """

    mixing: Mixing
    rounds: int
    step_size: float
    local_steps: int
    order: Order
    constants: Constants
    samples: NDArray[np.int64]
    deleted: NDArray[np.int64]
    ledger: Ledger | None = None
    arithmetic: Arithmetic | None = None
    forget_sha256: str = ""
    batches: Batches | None = None
    radius: float | None = None
    left: tuple[int, ...] = ()
    before: Mixing | None = None
    gone: tuple[tuple[int, NDArray[np.int64]], ...] = ()

    def __post_init__(self) -> None:
        """Refuse what cannot be certified."""
        if self.order not in ORDERS:
            raise CertificateError(f"unknown order {self.order!r}; it is one of: {', '.join(ORDERS)}")
        if self.rounds < 1 or self.local_steps < 1:
            raise CertificateError("learning takes at least one round of at least one local step")
        if not (np.isfinite(self.step_size) and self.step_size > 0):
            raise CertificateError(f"step_size must be a positive number, not {self.step_size}")
        for name in ("samples", "deleted"):
            counts = np.asarray(getattr(self, name))
            if counts.dtype.kind not in "iu":
                raise CertificateError("samples and deleted are whole numbers, one a node")
            object.__setattr__(self, name, counts.astype(np.int64))
        shapes = {np.shape(self.samples), np.shape(self.deleted), (self.mixing.nodes,)}
        if len(shapes) > 1:
            raise CertificateError(f"samples and deleted must have one entry for each of {self.mixing.nodes} nodes")
        if np.any(self.deleted < 0) or np.any(self.deleted > self.samples):
            node = int(np.argmax((self.deleted < 0) | (self.deleted > self.samples)))
            have, gone = int(self.samples[node]), int(self.deleted[node])
            raise CertificateError(f"node {node} has {have} samples, so {gone} of them cannot be deleted")
        if self.radius is not None and not (np.isfinite(self.radius) and self.radius > 0):
            raise CertificateError(f"the radius of a projection must be a positive number, not {self.radius}")
        if bool(self.left) != (self.before is not None):
            raise CertificateError("where nodes have left, the mixing matrices of before are needed, and only there")
        if self.radius is not None and self.arithmetic is not None and self.arithmetic.initial_norm > self.radius:
            raise CertificateError(
                f"the initial model, of norm {self.arithmetic.initial_norm:.4g}, lies outside the ball of radius "
                f"{self.radius:g} onto which clients project"
            )
        lost = np.zeros_like(self.deleted)
        for start, counts in self.gone:
            if not 0 <= start <= self.rounds or np.any(counts < lost) or np.any(counts > self.deleted):
                raise CertificateError("what earlier requests took out of learning is part of what is deleted by now")
            lost = counts
        for node in self.left:
            if not 0 <= node < self.mixing.nodes or self.deleted[node] < self.samples[node]:
                raise CertificateError(f"node {node} cannot have left: a node that leaves deletes all of its samples")

    @property
    def present(self) -> NDArray[np.bool_]:
        """[N], the nodes that have not left."""
        there = np.ones(self.mixing.nodes, dtype=bool)
        there[list(self.left)] = False
        return there

    def taken(self, round: int) -> NDArray[np.int64]:
        """[N], how many of the deleted samples were no longer read in that round, for earlier requests."""
        found = np.zeros_like(self.deleted)
        for start, counts in self.gone:
            if start <= round:
                found = counts
        return found

    def check_view(self, view: str) -> None:
        """Refuse what is no view of this network.

        Raises:
            CertificateError: if there is no such view or node, or the node has left.
        """
        _, node = parse_view(view, self.mixing.nodes)
        if node in self.left:
            raise CertificateError(f"the view {view} shows nothing: node {node} has left; choose one that stays")

    def gradients(self, round: int, retained: bool) -> NDArray[np.int64]:
        """[N], the per-sample gradients of a round's local steps, on all data or on what is retained."""
        if self.batches is not None:
            taken = self.batches.read(round, retained)
        else:
            taken = self.local_steps * (self.samples - (self.deleted if retained else self.taken(round)))
        awake = self.mixing.awake(round)
        return taken if awake is None else np.where(awake, taken, 0)

    def to_record(self) -> dict[str, Any]:
        """Plain JSON; the mixing matrices are recorded with the topology."""
        ledger = self.ledger
        return {
            "rounds": self.rounds,
            "step_size": self.step_size,
            "local_steps": self.local_steps,
            "order": self.order,
            "constants": self.constants.to_record(),
            "samples": self.samples.tolist(),
            "deleted": self.deleted.tolist(),
            "forget_sha256": self.forget_sha256,
            "ledger": ledger
            and {
                "nodes": list(ledger.nodes),
                "disturbance": ledger.disturbance.tolist(),
                "hearers": list(ledger.hearers),
                "drift": None if ledger.drift is None else ledger.drift.tolist(),
            },
            "arithmetic": self.arithmetic and asdict(self.arithmetic),
            "radius": self.radius,
            "left": list(self.left),
            "gone": [[start, counts.tolist()] for start, counts in self.gone],
        }

    @classmethod
    def from_record(
        cls,
        record: Mapping[str, Any],
        mixing: Mixing,
        before: Mixing | None = None,
        batches: Batches | None = None,
    ) -> "Learning":
        """The inverse of `to_record`, on the network and with the batches given.

        Raises:
            CertificateError: if the record is damaged or cannot be certified.
        """
        try:
            kept = record["ledger"]
            ledger = kept and Ledger(
                nodes=tuple(kept["nodes"]),
                disturbance=np.array(kept["disturbance"], dtype=np.float64),
                hearers=tuple(kept["hearers"]),
                drift=None if kept["drift"] is None else np.array(kept["drift"], dtype=np.float64),
            )
            return cls(
                mixing=mixing,
                rounds=int(record["rounds"]),
                step_size=float(record["step_size"]),
                local_steps=int(record["local_steps"]),
                order=record["order"],
                constants=Constants.from_record(record["constants"]),
                samples=np.array(record["samples"], dtype=np.int64),
                deleted=np.array(record["deleted"], dtype=np.int64),
                ledger=ledger,
                arithmetic=record["arithmetic"] and Arithmetic(**record["arithmetic"]),
                forget_sha256=str(record["forget_sha256"]),
                batches=batches,
                radius=None if record["radius"] is None else float(record["radius"]),
                left=tuple(int(node) for node in record["left"]),
                before=before,
                gone=tuple((int(start), np.array(counts, dtype=np.int64)) for start, counts in record["gone"]),
            )
        except (KeyError, TypeError, ValueError) as problem:
            if isinstance(problem, CertificateError):
                raise
            raise CertificateError(f"the record of learning is damaged: {problem!r}") from None


@dataclass(frozen=True)
class Release:
    """What an unlearning method did: all that its certificate may depend on.

    Attributes:
        method: its name.
        restored: the round s of the checkpoint it started from (T: the learned model; 0: the initial one).
        descended: the rounds q of descent on retained data after that.
        placement: whether the noise was added to the result of the descent or to the checkpoint before it.
        sigma: [N], the standard deviation of each node's noise (0: none). With `averaged` all entries are equal.
        settle: gossip-only rounds at the end.
        averaged: whether only the network average was released, under one noise vector.
        noise_source: whether the noise can be drawn again from the seed.
        mechanism: how the noise hides, where it is more than one Gaussian vector a node, added at one place; then
            `sigma` is what each node's noise amounts to where it first acts.
    """

    method: str
    restored: int
    descended: int
    placement: Placement
    sigma: Vector
    settle: int = 0
    averaged: bool = False
    noise_source: NoiseSource = "seed"
    mechanism: "Mechanism | None" = None

    def __post_init__(self) -> None:
        """Refuse what nobody can have done."""
        for name in ("restored", "descended", "settle"):
            value = getattr(self, name)
            if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < 0:
                raise CertificateError(f"{name} is a number of rounds, not {value!r}")
            object.__setattr__(self, name, int(value))
        object.__setattr__(self, "sigma", np.asarray(self.sigma, dtype=np.float64))
        for name, allowed in (("placement", get_args(Placement)), ("noise_source", get_args(NoiseSource))):
            if getattr(self, name) not in allowed:
                raise CertificateError(f"unknown {name} {getattr(self, name)!r}; it is one of: {', '.join(allowed)}")
        if not np.all(np.isfinite(self.sigma)) or np.any(np.asarray(self.sigma) < 0):
            raise CertificateError("sigma must be finite and non-negative at every node")
        if self.averaged and (self.placement != "output" or self.settle or np.unique(self.sigma).size > 1):
            raise CertificateError("a released average carries one noise vector, with placement output and no settling")

    @property
    def site(self) -> int:
        """The round at which the noise is added: what is compared with retraining is the state there, before it."""
        return self.restored + (self.descended if self.placement == "output" else 0)

    @property
    def rounds_after_noise(self) -> int:
        """How many rounds follow the noise: where there are none, what is noised is what is released."""
        return self.settle + (self.descended if self.placement == "rewind" else 0)


@dataclass(frozen=True)
class Claim:
    """What is asked of a certificate: for whom (`view`), at which δ, by which bound, under which regime.

    `claimed_epsilon` is what the method's own paper would print, by the formula that `claimed_by` names.
    """

    view: str
    delta: float
    bound: Bound = "worst-case"
    allocation: Allocation = "uniform"
    regime: Regime | None = None
    claimed_epsilon: float | None = None
    claimed_by: str | None = None

    def __post_init__(self) -> None:
        """Refuse an unknown bound, allocation or view, and a δ without a meaning."""
        for what, value, allowed in (
            ("bound", self.bound, get_args(Bound)),
            ("allocation", self.allocation, get_args(Allocation)),
        ):
            if value not in allowed:
                raise CertificateError(f"unknown {what} {value!r}; it is one of: {', '.join(allowed)}")
        parse_view(self.view)
        check_delta(self.delta)


def forget_digest(forget: Mapping[int, Sequence[int]]) -> str:
    """sha256 of a forget set: for each deleting node, the positions of the deleted samples in its own data."""
    plain = {str(node): sorted(int(position) for position in forget[node]) for node in sorted(forget)}
    return hashlib.sha256(json.dumps(plain).encode()).hexdigest()


def parse_view(view: str, nodes: int | None = None) -> tuple[str, int | None]:
    """Split a view into its kind and, for `node:v` and `transcript:v`, the node.

    Raises:
        CertificateError: for a view that does not exist, or a node outside the network.
    """
    kind, _, which = view.partition(":")
    if view in ("node", "joint", "average", "transcript", "transcript:all"):
        return view, None
    one = kind in ("node", "transcript") and which.isascii() and which.isdigit()
    if one and (nodes is None or int(which) < nodes):
        return kind, int(which)
    if one:
        raise CertificateError(f"view {view!r} names a node that does not exist; nodes are 0 to {(nodes or 0) - 1}")
    raise CertificateError(f"unknown view {view!r}; it is one of: {', '.join(VIEWS)}")


@dataclass(frozen=True)
class Certificate:
    """What may be claimed. `certificate.json` is exactly these fields.

    `epsilon` is None where nothing can be claimed, and then `reason` says why. `sensitivity` is [N], at the place
    where the noise is added (empty where nothing is known of it); `rounding` is the part of it charged for finite
    precision. `shifts` bounds what the noise of each further event of the `mechanism` is added to.
    """

    method: str
    epsilon: float | None
    delta: float
    claimed_epsilon: float | None
    claimed_by: str | None
    view: str
    placement: Placement
    bound: Bound
    allocation: Allocation
    regime: Regime
    sensitivity: tuple[float, ...]
    rounding: tuple[float, ...]
    shifts: tuple[float, ...]
    sigma: tuple[float, ...]
    mechanism: Mapping[str, Any]
    mu: float | None
    constants: Constants
    rounds: int
    rewound: int
    restored: int
    descended: int
    settle: int
    averaged: bool
    step_size: float
    local_steps: int
    order: Order
    noise_source: NoiseSource
    mixing_sha256: str
    forget_sha256: str
    conditional: bool
    assumptions: tuple[str, ...]
    reason: str | None = None

    @property
    def release(self) -> Release:
        """What was done, as the certificate has it."""
        # Mechanisms are made of these records.
        from rewindnet.certificates.mechanisms import from_record

        return Release(
            method=self.method,
            restored=self.restored,
            descended=self.descended,
            placement=self.placement,
            sigma=np.array(self.sigma),
            settle=self.settle,
            averaged=self.averaged,
            noise_source=self.noise_source,
            mechanism=from_record(self.mechanism),
        )

    @property
    def claim(self) -> Claim:
        """What was asked of it."""
        return Claim(
            self.view, self.delta, self.bound, self.allocation, self.regime, self.claimed_epsilon, self.claimed_by
        )

    def to_record(self) -> dict[str, Any]:
        """Plain JSON."""
        return asdict(self)

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> "Certificate":
        """The inverse of `to_record`.

        Raises:
            CertificateError: if a field is missing or a field is there that no certificate has.
        """
        names = {field.name for field in fields(cls)}
        if names != set(record):
            odd = ", ".join(sorted(names ^ set(record)))
            raise CertificateError(f"the record of the certificate is damaged; fields missing or unknown: {odd}")
        plain: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in record.items()
        }
        plain["constants"] = Constants.from_record(record["constants"])
        return cls(**plain)
