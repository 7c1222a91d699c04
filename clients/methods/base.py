"""The base class of unlearning methods: a method plans a release, and the program of steps that produces it."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from rewindnet.certificates import Certificate, Claim, Release, TrainingRun, Uncertified, View
from rewindnet.certificates.claim import Bound
from rewindnet.certificates.network import Vector
from rewindnet.clients.steps.program import Program
from rewindnet.clients.training.noise import NoiseAddress
from rewindnet.errors import UserError

if TYPE_CHECKING:
    from rewindnet.clients.models import Model


class MethodError(UserError):
    """A setting of a method is not valid; the message says what is allowed."""


class MismatchError(Exception):
    """A record does not follow from the other records and the settings; the message says how it differs."""


def demand(holds: bool, otherwise: str) -> None:
    """Raise an error unless a check holds.

    Args:
        holds: whether the check holds.
        otherwise: the message if it does not.

    Raises:
        MismatchError: with that message, if the check does not hold.
    """
    if not holds:
        raise MismatchError(otherwise)


@dataclass(frozen=True)
class UnlearningPlan:
    """The plan of a method for one request.

    Attributes:
        release: the rounds, the noise and the mechanism.
        claim: the view, δ and bound of the certificate, and the ε that the method itself claims.
    """

    release: Release
    claim: Claim


class Method(ABC):
    """An unlearning method with its settings.

    A method names the checkpoints that it needs, and after learning it plans its release. It does not compute the
    certified ε: it describes the release, and `certificates` certifies it. Everything that is particular to a method is
    an attribute or a method of its class. Importing a method does not import torch: steps are imported when a program
    is made.

    Attributes:
        rewinds: whether its settings are those of `R2D`. Tables then name the depth of its rewinding, reports draw ε
            against it, and `rewindnet plan` plans it.
        later_settings: settings that the method got later, with the values of before: the address of noise does not
            depend on them where they are these.
        needs_checkpoints_alone: whether it needs nothing of learning but checkpoints, so that it can forget in a
            network that learned elsewhere.
        learns_public_rows: whether a client learns from the rows that are public, which its block must then have.
    """

    rewinds: ClassVar[bool] = False
    needs_checkpoints_alone: ClassVar[bool] = False
    learns_public_rows: ClassVar[bool] = False
    later_settings: ClassVar[Mapping[str, Any]] = {}

    @property
    def shares_secret_noise(self) -> bool:
        """Whether all clients must add the same noise vector, drawn from the operating system."""
        return False

    def seeded(self, seed: int) -> "Method":
        """Return the method for a run with this seed, if its plan is random; otherwise the method itself."""
        return self

    @property
    def variant(self) -> str:
        """The name of its variant, for the table; empty if there is only one."""
        return ""

    @abstractmethod
    def checkpoints(self, rounds: int) -> Sequence[int]:
        """Return the rounds of learning whose checkpoints the method may need.

        Args:
            rounds: T, the number of rounds of learning.
        """

    def horizon(self, rounds: int) -> int:
        """Return the number of rounds of the retraining that the method is compared with; by default T.

        Args:
            rounds: T, the number of rounds of learning.
        """
        return rounds

    @abstractmethod
    def plan(self, learning: TrainingRun) -> UnlearningPlan:
        """Plan the release for a request.

        Args:
            learning: how the network learned up to the request.

        Raises:
            CertificateError: if no noise, depth or ε meets the settings.
        """

    def program(
        self, release: Release, learning: TrainingRun, address: NoiseAddress, checkpoint_names: Mapping[int, str]
    ) -> Program:
        """Return the steps that produce a release.

        By default they are a descent from the checkpoint, with noise before or after it.

        Args:
            release: the release, as planned or refined.
            learning: how the network learned up to the request.
            address: where the noise of the release is drawn; every release has its own.
            checkpoint_names: the names of the stored checkpoints, by their round.
        """
        from rewindnet.clients.steps.learning import unlearning_program

        return unlearning_program(release, learning.order, address)

    def refine(self, plan: UnlearningPlan, learning: TrainingRun, measured: Mapping[int, Vector]) -> UnlearningPlan:
        """Refine a plan with measurements that the watched nodes have made before the noise is added.

        Args:
            plan: the plan.
            learning: how the network learned up to the request.
            measured: for each watched node, [rounds]; empty if no round comes before the noise.
        """
        return plan

    def check_premises(self, learning: TrainingRun) -> None:
        """Check before learning that a bound of the method has what it needs, whatever else stands in the way.

        By default there is nothing to check that `check` does not.

        Args:
            learning: the facts that are known before learning, without measurements.

        Raises:
            CertificateError: if the bound needs what is not known; the message says what to set.
        """

    def check(self, learning: TrainingRun) -> None:
        """Check before learning that the settings can be met on a network.

        Args:
            learning: the facts that are known before learning, without measurements.

        Raises:
            CertificateError: if they cannot be met; the message gives the reason.
        """
        learning.check_view(self.plan(learning).claim.view)

    def requested_depth(self, rounds: int) -> tuple[int, int] | None:
        """Return the checkpoint round and the number of rounds of descent that the settings give.

        Args:
            rounds: T, the number of rounds of learning.

        Returns:
            The two numbers; None if they follow from ε and σ.
        """
        return None

    def message_parameters(self, parameters: int, model: "Model | None") -> int | None:
        """Return how many numbers each message of a release holds: by default those of a model.

        The verifier calls it, and compares with it the bytes that were counted where messages were sent.

        Args:
            parameters: d, the numbers of a model.
            model: the model; None where it cannot be built, for want of data.

        Returns:
            The number; None if it depends on a model that cannot be built.
        """
        return parameters

    def check_certificate(self, certificate: Certificate, training: TrainingRun, cost: Mapping[str, Any]) -> None:
        """Check what is particular to the method in a recorded certificate, from the settings and the seed.

        The verifier calls it; by default there is nothing to check.

        Args:
            certificate: the recorded certificate, which is not trusted.
            training: the recorded training run.
            cost: the recorded cost of the release: `rounds`, `messages` and `gradients`.

        Raises:
            MismatchError: if the certificate or the cost does not follow from the settings and the seed.
        """


def weakest_bound(learning: TrainingRun) -> Bound:
    """Return `worst-case`, or `instance` if clients have left and no radius bounds the models."""
    return "instance" if learning.departed and learning.radius is None else "worst-case"


def quiet_plan(
    learning: TrainingRun,
    method: str,
    depth: tuple[int, int],
    view: str,
    delta: float,
    uncertified: Uncertified | None = None,
) -> UnlearningPlan:
    """Make a plan without noise.

    Args:
        learning: how the network learned up to the request.
        method: the name of the method.
        depth: the checkpoint round and the number of rounds of descent.
        view: the view of the observer.
        delta: δ of the certificate.
        uncertified: the mechanism, with the reason why it is not certified; None for a descent.
    """
    release = Release(method, *depth, "output", np.zeros(learning.mixing.nodes))
    if uncertified is not None:
        release = replace(release, mechanism=uncertified)
    return UnlearningPlan(release, Claim(View.of(view), delta, weakest_bound(learning)))
