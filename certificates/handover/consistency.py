"""Check that the sentences of a certificate's file, and what it says of itself, follow from its numbers."""

from rewindnet.certificates.errors import CertificateError
from rewindnet.certificates.handover.document import Document
from rewindnet.certificates.handover.names import client_in
from rewindnet.certificates.handover.statement import doubtful_provenances, statement
from rewindnet.certificates.mechanisms.gaussian_output import GaussianOutput
from rewindnet.certificates.view import View


def check_statement(document: Document) -> str:
    """Check that the two sentences are those that the rest of the file gives, and that it hides no reservation.

    Args:
        document: a certificate's file.

    Returns:
        A sentence about what was checked.

    Raises:
        CertificateError: if a sentence is another one, or a reservation does not follow.
    """
    _check_reservations(document)
    _check_request(document)
    made = statement(document)
    for name, sentence in made.items():
        if document["statement"][name] != sentence:
            raise CertificateError(f"statement.{name} is not what the numbers say, which is: {sentence}")
    return "both sentences and all reservations are those that the numbers give"


def _check_reservations(document: Document) -> None:
    """Check whether the noise depends on the data (†), and whether a constant may be wrong (*)."""
    guarantee, learning, withheld = document["guarantee"], document["learning"], document["withheld"]
    doubtful, instance = doubtful_provenances(learning["constants"]), learning["bound"] == "instance"
    for name, constant in learning["constants"].items():
        if (constant["value"] is None) != (constant["provenance"] in ("estimated", "unknown")):
            raise CertificateError(
                f"the constant {name} has a value if and only if it is known, and was not estimated from data"
            )
    if guarantee["epsilon"] is None:
        return
    numbers = document["numbers"]
    differs = numbers is None or any(numbers["sensitivity"]) or any(numbers["shifts"])
    dependent = differs and (instance or "estimated" in doubtful)
    why = ("measured" if instance else "estimated") if dependent else None
    if guarantee["data_dependent_noise"] != dependent or withheld != why:
        raise CertificateError("whether the noise depends on the data (†) is said otherwise than the bound says")
    if guarantee["conditional"] != (differs and bool(instance or doubtful)):
        raise CertificateError("whether a constant may be wrong (*) is said otherwise than the constants say")


def _check_request(document: Document) -> None:
    """Check that the request, the noise and the premises can be those of a promise."""
    if document["guarantee"]["epsilon"] is None:
        return
    request, noise, numbers = document["request"], document["noise"], document["numbers"]
    if not any(deleted["samples"] for deleted in request["deleted"]):
        raise CertificateError("something is promised about a deletion of no sample")
    if noise["added"] != (document["checked"]["noise"] != "no noise"):
        raise CertificateError("whether noise was added is said in two ways")
    instance = document["guarantee"]["data_dependent_noise"] and document["learning"]["bound"] == "instance"
    if instance and not document["premises"]:
        raise CertificateError("the bound is that of this data alone, and no premise says so")
    node = View.of(document["guarantee"]["view"]).node
    if node is not None and node in request["departed"]:
        raise CertificateError(f"it is about the model of node {client_in(document, node)}, which has left the network")
    learned = noise["mechanism"] == GaussianOutput.kind and document["rounds"]["checkpoint_round"] > 0
    if learned and numbers is not None and not request["departed"] and not any(numbers["sensitivity"]):
        raise CertificateError("the deleted samples were learned, and are said to have changed no model")
