"""Certificates: frozen records of the (ε, δ) guarantee of a release, with conversion to and from plain JSON."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from rewindnet.certificates.claim import Claim
from rewindnet.certificates.constants import Constants
from rewindnet.certificates.errors import CertificateError
from rewindnet.certificates.healing import Healing
from rewindnet.certificates.network import Order
from rewindnet.certificates.release import Mechanism, Release
from rewindnet.certificates.view import View


@dataclass(frozen=True)
class TrainingFacts:
    """The facts about the training run that a certificate carries, enough to compare it with another certificate.

    They do not suffice to derive the certificate again; a `TrainingRun` does.

    Attributes:
        constants: the constants of every local objective.
        rounds: T, the number of learning rounds.
        step_size: η.
        local_steps: E, the number of local steps in a round.
        order: the order of adapting and combining in a round.
        mixing_sha256: a hash of every mixing matrix of the rounds that the release went through.
        forget_commitment: a salted commitment to the forget set, which hides it and can be opened.
    """

    constants: Constants
    rounds: int
    step_size: float
    local_steps: int
    order: Order
    mixing_sha256: str
    forget_commitment: str


@dataclass(frozen=True, eq=False)
class Certificate:
    """The (ε, δ) guarantee of a release, and everything that it was computed from.

    Attributes:
        release: what the unlearning method did.
        claim: the guarantee that was asked for, with the regime that was assumed.
        training: facts about the training run.
        sensitivity: [N], a bound on the divergence of every node's model where the noise is added; empty where no bound
            is known.
        rounding: [N], the part of `sensitivity` that is charged for finite precision.
        shifts: [events], bounds on the divergence of the values to which the mechanism adds noise at its further
            events.
        mu: μ: distinguishing unlearning from retraining is at least as hard as distinguishing N(0, 1) from N(μ, 1);
            None where no finite value is proven.
        epsilon: ε at the claim's δ; None where no finite value is proven.
        conditional: whether the guarantee depends on a constant that was only estimated or declared, or holds for this
            data alone.
        data_dependent_noise: whether the level of the noise, or ε itself, was computed from measurements of the data,
            so that it may reveal something about the deleted samples. The guarantee is then per-instance (Benarroch et
            al. 2026, arXiv 2602.15602).
        reference: the process that the release is compared with, in a sentence.
        premises: sentences without which the guarantee does not hold, beyond the numbers of the certificate.
        assumptions: sentences that say what is covered and what is assumed.
        reason: why there is no ε; None where there is one.
    """

    release: Release
    claim: Claim
    training: TrainingFacts
    sensitivity: tuple[float, ...]
    rounding: tuple[float, ...]
    shifts: tuple[float, ...]
    mu: float | None
    epsilon: float | None
    conditional: bool
    data_dependent_noise: bool
    reference: str
    premises: tuple[str, ...]
    assumptions: tuple[str, ...]
    reason: str | None = None

    @property
    def method(self) -> str:
        """The name of the method that made the release."""
        return self.release.method

    @property
    def view(self) -> View:
        """The view that the certificate holds for."""
        return self.claim.view

    @property
    def delta(self) -> float:
        """The δ of the guarantee."""
        return self.claim.delta

    @property
    def rewound_rounds(self) -> int:
        """The number of learning rounds that the release took back."""
        return self.training.rounds - self.release.checkpoint_round

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Certificate) and self.to_record() == other.to_record()

    def __hash__(self) -> int:
        return hash((self.method, str(self.view), self.training.forget_commitment))

    def to_record(self) -> dict[str, Any]:
        """Return the certificate as plain JSON, with all fields side by side."""
        release, claim, training = self.release, self.claim, self.training
        healing = {"healing": release.healing.to_record()} if release.healing else {}
        return {
            **healing,
            "method": release.method,
            "epsilon": self.epsilon,
            "delta": claim.delta,
            "claimed_epsilon": claim.claimed_epsilon,
            "claimed_by": claim.claimed_by,
            "view": str(claim.view),
            "placement": release.placement,
            "bound": claim.bound,
            "allocation": claim.allocation,
            "regime": claim.regime,
            "sensitivity": list(self.sensitivity),
            "rounding": list(self.rounding),
            "shifts": list(self.shifts),
            "sigma": release.sigma.tolist(),
            "mechanism": release.mechanism.to_record(),
            "mu": self.mu,
            "constants": training.constants.to_record(),
            "rounds": training.rounds,
            "rewound_rounds": self.rewound_rounds,
            "checkpoint_round": release.checkpoint_round,
            "descent_rounds": release.descent_rounds,
            "gossip_rounds": release.gossip_rounds,
            "averaged": release.averaged,
            "step_size": training.step_size,
            "local_steps": training.local_steps,
            "order": training.order,
            "noise_source": release.noise_source,
            "mixing_sha256": training.mixing_sha256,
            "forget_commitment": training.forget_commitment,
            "conditional": self.conditional,
            "data_dependent_noise": self.data_dependent_noise,
            "reference": self.reference,
            "premises": list(self.premises),
            "assumptions": list(self.assumptions),
            "reason": self.reason,
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> "Certificate":
        """Return the certificate of a record; the inverse of `to_record`.

        Args:
            record: the plain JSON of a certificate.

        Raises:
            CertificateError: if a field is missing, unknown or malformed.
        """
        try:
            certificate = cls._read(record)
        except KeyError as problem:
            raise CertificateError(f"the record of the certificate is damaged; a field is missing: {problem}") from None
        except (TypeError, ValueError, AttributeError) as problem:
            raise CertificateError(f"the record of the certificate is damaged: {problem}") from None
        unknown = sorted(set(record) - set(certificate.to_record()))
        if unknown:
            raise CertificateError(
                f"the record of the certificate is damaged; no certificate has the fields {', '.join(unknown)}"
            )
        if record["rewound_rounds"] != certificate.rewound_rounds:
            raise CertificateError(
                "the record of the certificate is damaged: rewound_rounds is not rounds − checkpoint_round"
            )
        return certificate

    @classmethod
    def _read(cls, record: Mapping[str, Any]) -> "Certificate":
        """Return the certificate of a record that has all fields."""
        sigma, mechanism = np.array(record["sigma"], dtype=np.float64), Mechanism.from_record(record["mechanism"])
        view, constants = View.of(record["view"]), Constants.from_record(record["constants"])
        healing = Healing.from_record(record.get("healing"))
        return cls(
            release=Release(**_selected(Release, record, sigma=sigma, mechanism=mechanism, healing=healing)),
            claim=Claim(**_selected(Claim, record, view=view)),
            training=TrainingFacts(**_selected(TrainingFacts, record, constants=constants)),
            sensitivity=tuple(record["sensitivity"]),
            rounding=tuple(record["rounding"]),
            shifts=tuple(record["shifts"]),
            mu=record["mu"],
            epsilon=record["epsilon"],
            conditional=record["conditional"],
            data_dependent_noise=record["data_dependent_noise"],
            reference=record["reference"],
            premises=tuple(record["premises"]),
            assumptions=tuple(record["assumptions"]),
            reason=record["reason"],
        )


def _selected(part: type[Release | Claim | TrainingFacts], record: Mapping[str, Any], **read: Any) -> dict[str, Any]:
    """Return the fields of a part of a certificate: those that are read already, and the others from the record."""
    return read | {field.name: record[field.name] for field in fields(part) if field.name not in read}
