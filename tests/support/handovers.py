"""Small certificates as they are handed over."""

import json
from typing import Any

import numpy as np
from learnings import release_of, small_learning

from rewindnet.certificates import Certificate, Claim, TrainingRun, certify
from rewindnet.certificates.findings import Finding
from rewindnet.certificates.handover.arithmetic import check_arithmetic
from rewindnet.certificates.handover.build import Surroundings, handover
from rewindnet.certificates.handover.consistency import check_statement
from rewindnet.certificates.handover.document import Document, parse
from rewindnet.certificates.handover.outcomes import outcome
from rewindnet.certificates.handover.statement import statement


def around(nodes: int) -> Surroundings:
    hashes = [f"{node:064x}" for node in range(nodes)]
    models = {"nodes": nodes, "parameters": 18, "dtype": "float64", "sha256": "ab" * 32, "each_sha256": hashes}
    now = "2026-01-01T00:00:00+00:00"
    return Surroundings(models, "holds", "verified", {"rewindnet": "1"}, now, now)


def file_of(certificate: Certificate, training: TrainingRun) -> Document:
    """The content of a certificate's file, written and read."""
    made = handover(certificate, training, around(training.mixing.nodes))
    return parse(json.dumps(made).encode())


def checks(document: Document) -> list[Finding]:
    return [outcome("arithmetic", check_arithmetic, document), outcome("statement", check_statement, document)]


def statuses(document: Document) -> list[str]:
    return [one.status for one in checks(document)]


def restated(document: Document) -> Document:
    """The same with the sentences that its numbers give, as a forger would write them."""
    return {**document, "statement": statement(document)}


def small_certificate(view: str = "joint", sigma: float = 3.0, **changes: Any) -> tuple[Certificate, TrainingRun]:
    training = small_learning()
    return certify(training, release_of(np.full(4, sigma), **changes), Claim(view, 1e-5)), training


def instance_file() -> bytes:
    """A certificate whose numbers were measured, and are withheld."""
    training, release, claim = small_learning(), release_of(np.full(4, 3.0)), Claim("joint", 1e-5, "worst-case")
    document = handover(certify(training, release, claim), training, around(4))
    document["guarantee"].update(data_dependent_noise=True, conditional=True)
    document["learning"]["bound"] = "instance"
    document.update(withheld="measured", numbers=None, network=None)
    return json.dumps(restated(document)).encode()


#: A certificate with a part of its network, and one whose numbers are withheld.
WHOLE = json.dumps(handover(*small_certificate("transcript", placement="rewind"), around(4))).encode()
INSTANCE = instance_file()
