"""Check that the sentences of a certificate's file, and what it says of itself, follow from its numbers."""

from rewindnet.certificates.errors import CertificateError
from rewindnet.certificates.handover.document import Document
from rewindnet.certificates.handover.statement import doubtful_provenances, statement


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
        if (constant["value"] is None) != (constant["provenance"] == "estimated"):
            raise CertificateError(f"the constant {name} has a value if and only if it was not estimated from data")
    if guarantee["epsilon"] is None:
        return
    numbers = document["numbers"]
    differs = numbers is None or any(numbers["sensitivity"]) or any(numbers["shifts"])
    dependent = differs and instance
    if guarantee["data_dependent_noise"] != dependent or (withheld == "measured") != dependent:
        raise CertificateError("whether the noise depends on the data (†) is said otherwise than the bound says")
    if guarantee["conditional"] != (differs and bool(instance or doubtful)):
        raise CertificateError("whether a constant may be wrong (*) is said otherwise than the constants say")
    if withheld == "estimated" and "estimated" not in doubtful:
        raise CertificateError("numbers are withheld because of estimated constants, and no constant was estimated")
