"""What an unlearning method is: it plans what to do, as data, and the steps by which clients do it."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from rewindnet.certificates import Certificate, Claim, Release, TrainingRun, Uncertified, View
from rewindnet.certificates.claim import Bound
from rewindnet.certificates.network import Vector
from rewindnet.clients.steps.program import Program
from rewindnet.errors import UserError


class MethodError(UserError):
    """The method's settings make no sense; the message says what is allowed."""


class MismatchError(Exception):
    """A record does not say what follows from the other records and the settings; the message says what."""


def demand(holds: bool, otherwise: str) -> None:
    """Go on if a check holds.

    Args:
        holds: whether it does.
        otherwise: what is the case if it does not.

    Raises:
        MismatchError: with that sentence, if it does not.
    """
    if not holds:
        raise MismatchError(otherwise)


@dataclass(frozen=True)
class Plan:
    """What will be done, and what will be claimed of it."""

    release: Release
    claim: Claim


class Method(ABC):
    """An unlearning method with its settings.

    It says which checkpoints it needs and, once learning is over, what it will do. It computes no ε: it describes, and
    `certificates` certifies. Everything that is particular to a method is one of its attributes or methods; importing
    it takes no torch, so steps are imported where a program is made.

    Attributes:
        rewinds: whether its settings are those of `R2D`, and how far it rewinds is what tells its releases apart: then
            tables name the depth, reports draw ε against it, and `rewindnet plan` plans it.
    """

    rewinds: ClassVar[bool] = False

    @property
    def shares_secret_noise(self) -> bool:
        """Whether all clients must add one and the same vector that cannot be drawn again."""
        return False

    def seeded(self, seed: int) -> "Method":
        """Return the method on a run with this seed, for plans that are drawn; itself where nothing is."""
        return self

    @property
    def variant(self) -> str:
        """Which of its forms this is, in a word or two for a table; nothing where there is only one."""
        return ""

    @abstractmethod
    def checkpoints(self, rounds: int) -> Sequence[int]:
        """Return the rounds of learning whose checkpoints the method may need, of `rounds` in all."""

    def horizon(self, rounds: int) -> int:
        """Return the rounds of the retraining that the method is compared with: by default as many as learning took."""
        return rounds

    @abstractmethod
    def plan(self, learning: TrainingRun) -> Plan:
        """Return what to do about this deletion.

        Raises:
            CertificateError: if no noise, depth or ε meets the settings.
        """

    def program(
        self, release: Release, learning: TrainingRun, seed: int, index: int, checkpoint_names: Mapping[int, str]
    ) -> Program:
        """Return what the release has every client do, step by step.

        By default it is what the release says: a descent from the checkpoint, with noise before or after it.

        Args:
            release: as planned or refined.
            learning: as it was.
            seed: of the simulation.
            index: which release of the run it is; each draws noise of its own.
            checkpoint_names: the names of the states that the clients have kept, by the number of rounds behind them.
        """
        from rewindnet.clients.steps.learning import unlearning_program

        return unlearning_program(release, learning.order, seed, index)

    def refine(self, plan: Plan, learning: TrainingRun, measured: Mapping[int, Vector]) -> Plan:
        """Return the plan, given what the nodes that its program watches have measured before the noise.

        Args:
            plan: what was to be done.
            learning: as it was.
            measured: [rounds] for each watched node; none where no round comes before the noise.
        """
        return plan

    def check(self, learning: TrainingRun) -> None:
        """Refuse, before anything is learned, settings that cannot be met on this network.

        Args:
            learning: what is known in advance; it has no ledger.

        Raises:
            CertificateError: with the reason.
        """
        learning.check_view(self.plan(learning).claim.view)

    def requested_depth(self, rounds: int) -> tuple[int, int] | None:
        """Return the checkpoint round and the rounds of descent that the settings ask for.

        Args:
            rounds: T, of learning.

        Returns:
            None where they follow from ε and σ.
        """
        return None

    def check_certificate(self, certificate: Certificate, training: TrainingRun, cost: Mapping[str, Any]) -> None:
        """Derive again, from the settings and the seed, what a certificate of this method says was done.

        Verifiers call it for what is particular to the method; by default there is nothing.

        Args:
            certificate: as recorded; it may come from anywhere.
            training: as recorded.
            cost: what the release is recorded to have cost: `rounds`, `messages`, `gradients`.

        Raises:
            MismatchError: if it says anything else; with what.
        """


def weakest_bound(learning: TrainingRun) -> Bound:
    """Return the worst case; where clients have left and nothing bounds the models, there is only what was measured."""
    return "instance" if learning.departed and learning.radius is None else "worst-case"


def quiet_plan(
    learning: TrainingRun, method: str, depth: tuple[int, int], view: str, delta: float, deed: Uncertified | None = None
) -> Plan:
    """Return a plan that adds no noise anywhere.

    Args:
        learning: as it was.
        method: the name of the method.
        depth: the checkpoint round and the rounds of descent.
        view: for whom the certificate is written.
        delta: δ of it.
        deed: what is done, where it is more than a descent, and why nothing of it is certified.
    """
    release = Release(method, *depth, "output", np.zeros(learning.mixing.nodes))
    if deed is not None:
        release = replace(release, mechanism=deed)
    return Plan(release, Claim(View.of(view), delta, weakest_bound(learning)))
