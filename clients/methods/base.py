"""What an unlearning method is: a plan, as data, that the simulator carries out and the certificates read."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf

import numpy as np

from rewindnet.certificates import Claim, Release, TrainingRun, check_epsilon
from rewindnet.certificates.claim import Bound
from rewindnet.certificates.network import Vector
from rewindnet.clients.steps.learning import Program, unlearning_program
from rewindnet.errors import UserError


class MethodError(UserError):
    """The method's settings make no sense; the message says what is allowed."""


@dataclass(frozen=True)
class Plan:
    """What will be done, and what will be claimed of it."""

    release: Release
    claim: Claim


class Method(ABC):
    """An unlearning method with its settings.

    It says which checkpoints it needs and, once learning is over, what it will do. It computes no ε: it describes, and
    `certificates` certifies.
    """

    @property
    def shares_secret_noise(self) -> bool:
        """Whether all clients must add one and the same vector that nobody can draw again."""
        return False

    def seeded(self, seed: int) -> "Method":
        """The method on a run with this seed, for plans that are drawn; itself where nothing is."""
        return self

    @property
    def variant(self) -> str:
        """Which of its forms this is, in a word or two for a table; nothing where there is only one."""
        return ""

    @abstractmethod
    def checkpoints(self, rounds: int) -> Sequence[int]:
        """The rounds of learning whose checkpoints the method may need, of `rounds` in all."""

    def horizon(self, rounds: int) -> int:
        """The number of rounds of the retraining that the method is compared with: as many as learning took."""
        return rounds

    @abstractmethod
    def plan(self, learning: TrainingRun) -> Plan:
        """What to do about this deletion.

        Raises:
            CertificateError: if no noise, depth or ε meets the settings.
        """

    def program(
        self, release: Release, learning: TrainingRun, seed: int, index: int, checkpoint_names: Mapping[int, str]
    ) -> Program:
        """What the release has every client do, step by step.

        Args:
            release: as planned or refined.
            learning: as it was.
            seed: of the simulation.
            index: which release of the run it is; each draws noise of its own.
            checkpoint_names: the names of the states that the clients have kept, by the number of rounds behind them.
        """
        return unlearning_program(release, learning.order, seed, index)

    def refine(self, plan: Plan, learning: TrainingRun, measured: Mapping[int, Vector]) -> Plan:
        """The plan, given what the nodes that its program watches have measured on the way to the site.

        Args:
            plan: what was to be done.
            learning: as it was.
            measured: [rounds] for each watched node; none where the approach is none.
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


def weakest_bound(learning: TrainingRun) -> Bound:
    """The worst case; where clients have left and nothing bounds the models, there is only what was measured."""
    return "instance" if learning.departed and learning.radius is None else "worst-case"


def no_noise(learning: TrainingRun, method: str, checkpoint_round: int, descent_rounds: int) -> Release:
    """A release that adds no noise anywhere."""
    return Release(method, checkpoint_round, descent_rounds, "output", np.zeros(learning.mixing.nodes))


def noise_asked(method: str, epsilon: float | None, sigma: float | None) -> float | None:
    """The ε to calibrate to, for methods that take ε or σ: 1 where neither is given, None where σ is.

    Raises:
        MethodError: if both are given, or σ is no size of noise.
        CertificateError: if ε is out of range.
    """
    if epsilon is not None and sigma is not None:
        raise MethodError(f"{method} takes epsilon or sigma, and the other follows; both are given")
    if sigma is not None and not 0 <= sigma < inf:
        raise MethodError(f"sigma must be a non-negative number, not {sigma}")
    return None if sigma is not None else check_epsilon(1.0 if epsilon is None else epsilon)


def check_rounds(rounds: int | None) -> None:
    """Refuse a number of noisy rounds that is none.

    Raises:
        MethodError: if it is negative.
    """
    if rounds is not None and rounds < 0:
        raise MethodError(f"rounds is a number of noisy rounds, not {rounds}")
