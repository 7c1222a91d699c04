"""The mechanisms: how noise hides. Adding one is a file here and a line in `MECHANISMS`."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from rewindnet.certificates.accounting.gaussian import epsilon_of
from rewindnet.certificates.errors import CertificateError
from rewindnet.certificates.mechanisms.base import DivergenceBounds, Mechanism, Profiled
from rewindnet.certificates.mechanisms.gaussian_output import GaussianOutput
from rewindnet.certificates.mechanisms.gossip_dp import GossipDP
from rewindnet.certificates.mechanisms.langevin import Langevin
from rewindnet.certificates.mechanisms.newton import Newton, NewtonSharedNoise
from rewindnet.certificates.mechanisms.noisy_finetune import NoisyFinetune
from rewindnet.certificates.mechanisms.rr_du import RRDU
from rewindnet.certificates.mechanisms.uncertified import Uncertified
from rewindnet.certificates.mechanisms.walk_dp import WalkDP
from rewindnet.certificates.release import Release
from rewindnet.certificates.training import Mixing

MECHANISMS: Mapping[str, type[Mechanism]] = {
    kind.kind: kind
    for kind in (
        GaussianOutput,
        GossipDP,
        Langevin,
        NoisyFinetune,
        WalkDP,
        Newton,
        NewtonSharedNoise,
        Uncertified,
        RRDU,
    )
}


def mechanism_of(release: Release) -> Mechanism:
    """That of a release; one Gaussian vector a node where it names none."""
    return GaussianOutput() if release.mechanism is None else release.mechanism


def epsilon_seen(
    mechanism: Mechanism, mu: float, view: str, found: DivergenceBounds, release: Release, mixing: Mixing, delta: float
) -> float:
    """The ε at δ of a view for which the mechanism has this μ: that of μ, unless it has a profile of its own."""
    if isinstance(mechanism, Profiled):
        return mechanism.epsilon(view, found, release, mixing, delta)
    return epsilon_of(mu, delta)


def to_record(mechanism: Mechanism) -> dict[str, Any]:
    """A mechanism as plain JSON."""
    return {"kind": mechanism.kind, **asdict(mechanism)}  # type: ignore[call-overload]


def from_record(record: Mapping[str, Any]) -> Mechanism:
    """The inverse of `to_record`.

    Raises:
        CertificateError: if it is the record of no mechanism.
    """
    try:
        settings = {name: _frozen(value) for name, value in record.items() if name != "kind"}
        return MECHANISMS[record["kind"]](**settings)
    except (KeyError, TypeError, AttributeError) as problem:
        raise CertificateError(f"the record of the mechanism is damaged: {problem!r}") from None


def _frozen(value: Any) -> Any:
    """Lists, which JSON has, as tuples, which records have."""
    return tuple(_frozen(one) for one in value) if isinstance(value, list | tuple) else value


__all__ = [
    "MECHANISMS",
    "RRDU",
    "DivergenceBounds",
    "GaussianOutput",
    "GossipDP",
    "Langevin",
    "Mechanism",
    "Newton",
    "NewtonSharedNoise",
    "NoisyFinetune",
    "Profiled",
    "Uncertified",
    "WalkDP",
    "epsilon_seen",
    "from_record",
    "mechanism_of",
    "to_record",
]
