"""Training runs: how a network learned and what was deleted from it, the input of every certificate."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from rewindnet.certificates.constants import Constants
from rewindnet.certificates.errors import CertificateError
from rewindnet.certificates.measurements import Arithmetic, EarlierRelease, Ledger
from rewindnet.certificates.network import ORDERS, Batches, Mixing, Order
from rewindnet.certificates.public_facts import PublicFacts
from rewindnet.certificates.view import View

#: The default of the largest error of a clipped gradient, in units of the clip.
CLIP_TOLERANCE = 1e-4


def step_size_of(round: int, step_size: float, step_sizes: Sequence[float]) -> float:
    """Return η of the local steps of a round.

    Args:
        round: t.
        step_size: η, where it never changes.
        step_sizes: that of each round, where it changes; rounds after those take the last.
    """
    return step_sizes[min(round, len(step_sizes) - 1)] if step_sizes else step_size


@dataclass(frozen=True)
class TrainingRun:
    """How a network learned, and what was deleted from which node.

    Attributes:
        mixing: the realised mixing matrices.
        rounds: T.
        step_size: η.
        local_steps: E, the number of local steps in a round.
        order: the order of adapting and combining in a round.
        constants: the constants of every local objective.
        samples: [N], the number of samples that each node learned from.
        deleted: [N], the number of deleted samples of each node.
        ledger: measurements made during learning; None where there are none, and then no instance bound.
        arithmetic: the arithmetic whose rounding is charged for; None if it is assumed to be exact.
        forget_commitment: a salted commitment to the forget set; empty where it is not known.
        batches: the minibatches of the local steps; None if every step uses all samples.
        radius: the radius of the ball around 0 onto which every client projects its parameters in each round; None for
            no projection.
        departed: the nodes that have left the network with their data; they hold nothing and send nothing.
        mixing_before: the mixing matrices of learning, where a departure has changed them since (`mixing` is then what
            remains); None without a departure.
        earlier_deletions: the deleted samples that earlier requests had already removed from learning, as pairs (first
            round without them, their number at each node [N]); rounds and numbers increase.
        continued: whether learning goes on after the request.
        from_release: whether it then goes on from the released models, and not from models that carry no noise.
        earlier_releases: the releases from which learning went on after earlier requests; empty where it went on
            without noise. `earlier_deletions` then begin where those releases began to do without the samples.
        client_clip: C, the norm to which clients clip the gradient of their whole data loss, by its Lipschitz
            envelope; None where they do not.
        clip_tolerance: the largest error of a clipped gradient, in units of C.
        checkpoints_sha256: the hash of the folder that the checkpoints come from, where the network learned elsewhere;
            empty where it learned here.
        step_sizes: the step size of each round, where a public schedule changes it; rounds after those take the last.
            Empty where every round takes η.
        uncovered: why no bound is proven of learning of this kind, as the part of a sentence that follows a colon;
            empty where local steps are plain gradient steps.
        recovery_error: by how much the model of any node may be off where a release begins from models that were
            recovered from the last ones (0 < round < T): charged at every node. 0 where checkpoints are kept.
        storage_error: by how much it may be off where they were kept in half precision, charged in the same way.
        public: the rows that are public, and what the features were made from; None if nothing of the kind.

    Raises:
        CertificateError: if the description is inconsistent or cannot be certified.
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
    forget_commitment: str = ""
    batches: Batches | None = None
    radius: float | None = None
    departed: tuple[int, ...] = ()
    mixing_before: Mixing | None = None
    earlier_deletions: tuple[tuple[int, NDArray[np.int64]], ...] = ()
    continued: bool = False
    from_release: bool = False
    earlier_releases: tuple[EarlierRelease, ...] = ()
    client_clip: float | None = None
    clip_tolerance: float = CLIP_TOLERANCE
    checkpoints_sha256: str = ""
    step_sizes: tuple[float, ...] = ()
    uncovered: str = ""
    recovery_error: float = 0.0
    storage_error: float = 0.0
    public: PublicFacts | None = None

    def __post_init__(self) -> None:
        """Refuse a description that is inconsistent or cannot be certified."""
        if self.order not in ORDERS:
            raise CertificateError(f"unknown order {self.order!r}; it is one of: {', '.join(ORDERS)}")
        if self.rounds < 1 or self.local_steps < 1:
            raise CertificateError("learning takes at least one round of at least one local step")
        if not (np.isfinite(self.step_size) and self.step_size > 0):
            raise CertificateError(f"step_size must be a positive number, not {self.step_size}")
        if not all(np.isfinite(size) and size > 0 for size in self.step_sizes):
            raise CertificateError("the step size of every round must be a positive number")
        for error in ("recovery_error", "storage_error"):
            if not (np.isfinite(getattr(self, error)) and getattr(self, error) >= 0):
                raise CertificateError(f"{error} must be a non-negative number, not {getattr(self, error)}")
        self._check_counts()
        if self.radius is not None and not (np.isfinite(self.radius) and self.radius > 0):
            raise CertificateError(f"the radius of a projection must be a positive number, not {self.radius}")
        if bool(self.departed) != (self.mixing_before is not None):
            raise CertificateError(
                "where nodes have left, the mixing matrices of before are needed; without departures they must be None"
            )
        if self.radius is not None and self.arithmetic is not None and self.arithmetic.initial_norm > self.radius:
            raise CertificateError(
                f"the initial model, of norm {self.arithmetic.initial_norm:.4g}, lies outside the ball of radius "
                f"{self.radius:g} onto which clients project"
            )
        self._check_deletions()
        self._check_client_clip()

    def _check_counts(self) -> None:
        """Convert the numbers of samples to integers, and refuse those that do not fit."""
        for name in ("samples", "deleted"):
            counts = np.asarray(getattr(self, name))
            if counts.dtype.kind not in "iu":
                raise CertificateError("samples and deleted are whole numbers, one for each node")
            object.__setattr__(self, name, counts.astype(np.int64))
        shapes = {np.shape(self.samples), np.shape(self.deleted), (self.mixing.nodes,)}
        if len(shapes) > 1:
            raise CertificateError(f"samples and deleted must have one entry for each of {self.mixing.nodes} nodes")
        if np.any(self.deleted < 0) or np.any(self.deleted > self.samples):
            node = int(np.argmax((self.deleted < 0) | (self.deleted > self.samples)))
            held, deleted = int(self.samples[node]), int(self.deleted[node])
            raise CertificateError(f"node {node} has {held} samples, so {deleted} of them cannot be deleted")

    def _check_deletions(self) -> None:
        """Refuse earlier deletions and departures that do not fit the deleted samples."""
        earlier = np.zeros_like(self.deleted)
        for start, counts in self.earlier_deletions:
            if not 0 <= start <= self.rounds or np.any(counts < earlier) or np.any(counts > self.deleted):
                raise CertificateError(
                    "the samples that earlier requests removed from learning must be part of the deleted samples"
                )
            earlier = counts
        for node in self.departed:
            if not 0 <= node < self.mixing.nodes or self.deleted[node] < self.samples[node]:
                raise CertificateError(f"node {node} cannot have left: a node that leaves deletes all of its samples")

    def _check_client_clip(self) -> None:
        """Refuse a clip of clients where its bound is not proven: it takes convex losses, and all samples in each step.

        A batch of another weight each time has another envelope, of another smoothness, which nothing here bounds.
        """
        clip, constants = self.client_clip, self.constants
        if clip is None:
            return
        if not (np.isfinite(clip) and clip > 0 and 0 < self.clip_tolerance < 1):
            raise CertificateError(
                f"client_clip must be positive and clip_tolerance between 0 and 1, not {clip} and {self.clip_tolerance}"
            )
        if clip >= constants.G.value:
            raise CertificateError(
                f"client_clip {clip:g} is never reached, for no gradient is longer than G = {constants.G.value:.6g}; "
                "choose less, or leave it out"
            )
        if constants.strong_convexity.value < constants.l2.value:
            raise CertificateError(
                f"client_clip takes a convex loss, and that of {constants.model} is not proven to be"
            )
        if self.batches is not None:
            raise CertificateError("client_clip is proven for local steps that read all samples; use sampling full")
        if self.step_sizes or self.uncovered:
            raise CertificateError(
                "client_clip is proven for plain gradient steps of one size; leave out learning.step_sizes, "
                "learning.gradient_clip and the momentum or other state of learning.optimizer"
            )

    @property
    def present(self) -> NDArray[np.bool_]:
        """The mask [N] of the nodes that have not left."""
        mask = np.ones(self.mixing.nodes, dtype=bool)
        mask[list(self.departed)] = False
        return mask

    def error_of_checkpoint(self, round: int) -> float:
        """Return by how much a model of the checkpoint after a round may be off: those of 0 and T never are.

        Args:
            round: the number of rounds before the checkpoint.
        """
        return self.recovery_error + self.storage_error if 0 < round < self.rounds else 0.0

    def step_size_at(self, round: int) -> float:
        """Return η of the local steps of a round.

        Args:
            round: t.
        """
        return step_size_of(round, self.step_size, self.step_sizes)

    def with_step_size_of(self, round: int) -> "TrainingRun":
        """Return the run as if every round took the step size of this one.

        Args:
            round: t.
        """
        return replace(self, step_size=self.step_size_at(round), step_sizes=()) if self.step_sizes else self

    def already_deleted(self, round: int) -> NDArray[np.int64]:
        """Return how many of the deleted samples [N] were no longer used in that round, because of earlier requests.

        Args:
            round: t.
        """
        result = np.zeros_like(self.deleted)
        for start, counts in self.earlier_deletions:
            if start <= round:
                result = counts
        return result

    def check_view(self, view: View) -> None:
        """Refuse a view that this network does not have.

        Args:
            view: the view.

        Raises:
            CertificateError: if there is no such view or node, or the node has left.
        """
        node = view.within(self.mixing.nodes).node
        if node in self.departed:
            raise CertificateError(f"the view {view} shows nothing: node {node} has left; choose one that stays")

    def gradients(self, round: int, retained: bool) -> NDArray[np.int64]:
        """Return how many per-sample gradients [N] the local steps of a round compute.

        Args:
            round: t.
            retained: whether the steps use retained data only, rather than all data.
        """
        if self.batches is not None:
            result = self.batches.read(round, retained)
        else:
            result = self.local_steps * (self.samples - (self.deleted if retained else self.already_deleted(round)))
        participating = self.mixing.participating(round)
        return result if participating is None else np.where(participating, result, 0)
