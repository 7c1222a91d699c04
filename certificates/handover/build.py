"""Make the file of a certificate to hand over, without what would tell something about the deleted samples.

What each member reveals is in docs/handing-over.md. In short: who deleted how many samples, the topology, the
constants and the random draws of learning are public by Definition 1 of docs/certificates.md. What was measured on the
data is not: for a certificate whose noise depends on the data, or whose constants were estimated from it, the numbers
of single nodes are withheld, and the digits in its sentences are masked.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rewindnet.certificates.certificate import Certificate
from rewindnet.certificates.divergence import DivergenceBounds
from rewindnet.certificates.handover.arithmetic import check_arithmetic
from rewindnet.certificates.handover.document import FORMAT, VERSION, Document, checked
from rewindnet.certificates.handover.names import spoken_of
from rewindnet.certificates.handover.network import UsedNetwork
from rewindnet.certificates.handover.statement import statement
from rewindnet.certificates.training import TrainingRun


@dataclass(frozen=True)
class Surroundings:
    """What is handed over with a certificate and does not follow from it.

    Attributes:
        models: the member `models` of the file: sizes and hashes of the released models.
        noise: what the audit of the noise found: `holds`, `unchecked` or `no noise`.
        issuer: what the issuer has checked before handing over, in a sentence.
        versions: the versions of the programs that made the run.
        run: when the run was finished.
        exported: when the file was made.
        names: the names of nodes by their numbers; the file holds those of the nodes that it speaks of.
    """

    models: Mapping[str, Any]
    noise: str
    issuer: str
    versions: Mapping[str, str]
    run: str
    exported: str
    names: Mapping[int, str] = field(default_factory=dict)


def handover(certificate: Certificate, training: TrainingRun, around: Surroundings) -> Document:
    """Return the file of a certificate, unsigned.

    Args:
        certificate: the certificate.
        training: how the network learned up to the request that the certificate answers.
        around: what else is in the file.

    Raises:
        CertificateError: if the certificate cannot be computed from what the file may hold, or is too large for it.
    """
    withheld = _withheld(certificate)
    document: Document = {
        "format": FORMAT,
        "version": VERSION,
        **_facts(certificate, training),
        "withheld": withheld,
        **_numbers(certificate, training, withheld),
        **_sentences(certificate),
        "models": dict(around.models),
        "checked": {"retraining": "holds", "noise": around.noise, "issuer": around.issuer},
        "versions": dict(around.versions),
        "time": {"run": around.run, "exported": around.exported},
    }
    names = {str(node): around.names[node] for node in sorted(spoken_of(document)) if node in around.names}
    if names:
        document["names"] = names
    document["statement"] = statement(document)
    check_arithmetic(checked(document))
    return document


def _withheld(certificate: Certificate) -> str | None:
    """Return why the numbers of single nodes are not in the file; None where they are."""
    if certificate.epsilon is None:
        return "nothing"
    if certificate.data_dependent_noise:
        return "measured" if certificate.claim.bound == "instance" else "estimated"
    return None


def said_of(certificate: Certificate, training: TrainingRun) -> dict[str, Any]:
    """Return the members that the two sentences about a certificate are made from: guarantee, request and noise.

    Args:
        certificate: the certificate.
        training: how the network learned.
    """
    release = certificate.release
    return {
        "guarantee": {
            "method": certificate.method,
            "view": str(certificate.view),
            "epsilon": certificate.epsilon,
            "delta": certificate.delta,
            "mu": certificate.mu,
            "reason": certificate.reason,
            "conditional": certificate.conditional,
            "data_dependent_noise": certificate.data_dependent_noise,
        },
        "request": {
            "deleted": [
                {"client": int(node), "samples": int(training.deleted[node])}
                for node in np.flatnonzero(training.deleted)
            ],
        },
        "noise": {"source": release.noise_source, "added": bool(release.mechanism.noise_vectors(release))},
    }


def _facts(certificate: Certificate, training: TrainingRun) -> dict[str, Any]:
    """Return the members that say what is promised of which release."""
    release, learning, reason = certificate.release, certificate.training, certificate.reason
    said = said_of(certificate, training)
    return {
        "guarantee": {**said["guarantee"], "reason": reason if reason is None else _masked([reason], certificate)[0]},
        "request": {
            **said["request"],
            "departed": list(training.departed),
            "forget_commitment": learning.forget_commitment or None,
        },
        "noise": {
            **said["noise"],
            "mechanism": release.mechanism.kind,
            "placement": release.placement,
            "allocation": certificate.claim.allocation,
        },
        "rounds": {
            "learned": learning.rounds,
            "checkpoint_round": release.checkpoint_round,
            "descent_rounds": release.descent_rounds,
            "gossip_rounds": release.healing.settle_first + release.gossip_rounds,
            "averaged": release.averaged,
        },
        "learning": _learning(certificate),
    }


def _learning(certificate: Certificate) -> dict[str, Any]:
    """Return how the network learned, without constants that were estimated from data."""
    claim, learning = certificate.claim, certificate.training
    constants = learning.constants.to_record()
    model, settings = constants.pop("model"), constants.pop("settings")
    for constant in constants.values():
        constant["value"] = None if constant["provenance"] == "estimated" else constant["value"]
    return {
        "step_size": learning.step_size,
        "local_steps": learning.local_steps,
        "order": learning.order,
        "bound": claim.bound,
        "regime": claim.regime,
        "model": model,
        "constants": constants,
        "settings": dict(settings),
        "mixing_sha256": learning.mixing_sha256,
    }


def _numbers(certificate: Certificate, training: TrainingRun, withheld: str | None) -> dict[str, Any]:
    """Return the members from which μ and ε can be computed again."""
    if withheld is not None:
        return {"numbers": None, "network": None}
    release, used = certificate.release, UsedNetwork(training.mixing)
    parts = (certificate.sensitivity, certificate.rounding, certificate.shifts)
    bounds = DivergenceBounds(*(np.array(part) for part in parts))
    release.mechanism.epsilon(certificate.view, bounds, release, used, certificate.delta)
    numbers = {
        "sensitivity": list(certificate.sensitivity),
        "rounding": list(certificate.rounding),
        "shifts": list(certificate.shifts),
        "sigma": release.sigma.tolist(),
        "mechanism": _lists(release.mechanism.to_record()),
    }
    return {"numbers": numbers, "network": used.to_record()}


def _sentences(certificate: Certificate) -> dict[str, Any]:
    """Return the members that say what the certificate rests on, in words."""
    return {
        "reference": certificate.reference,
        "premises": _masked(certificate.premises, certificate),
        "assumptions": _masked(certificate.assumptions, certificate),
    }


def _masked(sentences: Sequence[str], certificate: Certificate) -> list[str]:
    """Return sentences, without their numbers where these may have been measured on the data."""
    if certificate.claim.bound != "instance" and not certificate.training.constants.estimated:
        return list(sentences)
    return [re.sub(r"\d+(?:[.,]\d+)*(?:e[+-]?\d+)?", "…", sentence) for sentence in sentences]


def _lists(value: Any) -> Any:
    """Return plain data with tuples as lists, as it is read back from JSON."""
    if isinstance(value, Mapping):
        return {name: _lists(item) for name, item in value.items()}
    return [_lists(item) for item in value] if isinstance(value, list | tuple) else value
