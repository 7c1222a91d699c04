"""The two sentences of a certificate for a reader who is no expert: what is promised, and what is not covered.

Both follow from the other members of the file alone, so that a reader can have them made again and compared.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from rewindnet.certificates.digits import rounded_up
from rewindnet.certificates.handover.guessing import FALSE_ALARMS, in_hundred, most_detected
from rewindnet.certificates.handover.names import client_in, names_in
from rewindnet.certificates.view import View

#: How well a test may tell, by the largest share that it can detect.
_STRENGTHS = (
    (0.10, "can hardly tell"),
    (0.50, "can tell only unreliably"),
    (0.95, "may well be able to tell"),
    (1.00, "is not kept from telling"),
)

#: The largest number of deleting clients that a sentence names.
_MOST_NAMED = 3

#: What an observer sees who sees more than the view, by the kind of the view.
_BEYOND = {
    "node": "observers who see more than one released model",
    "joint": "observers who see messages of the unlearning beside the released models",
    "average": "observers who see more than the average",
    "transcript": "peers who pool what they received",
}


def statement(document: Mapping[str, Any]) -> dict[str, str]:
    """Return the two sentences, as the members `promise` and `limits`.

    Args:
        document: the other members of a certificate's file.

    Raises:
        CertificateError: if its view does not exist.
    """
    if document["guarantee"]["epsilon"] is None:
        return {"promise": f"Nothing is promised: {document['guarantee']['reason']}.", "limits": _nothing(document)}
    return {"promise": _promise(document), "limits": _limits(document)}


def is_simulation(document: Mapping[str, Any]) -> bool:
    """Return whether noise was added that can be drawn again from a seed.

    Args:
        document: a certificate's file.
    """
    return bool(document["noise"]["source"] == "seed" and document["noise"]["added"])


def _promise(document: Mapping[str, Any]) -> str:
    """Return what is promised, with ε and δ as the success of a test that is seldom wrong."""
    guarantee = document["guarantee"]
    observer = View.of(guarantee["view"]).observer_among(names_in(document))
    noise = ", with noise of the same level" if document["noise"]["added"] else ""
    choice = f"the models were unlearned when {_request(document)}, or learned again without that data{noise}"
    if guarantee["mu"] == 0:
        said = (
            f"{observer}, whatever its skill and its computers, cannot tell whether {choice}: what it sees is the "
            "same, and every test is a blind guess (ε = 0)."
        )
    else:
        best = most_detected(guarantee["mu"], guarantee["epsilon"], guarantee["delta"])
        able = next(words for limit, words in _STRENGTHS if best <= limit)
        alarms = in_hundred(FALSE_ALARMS)
        said = (
            f"{observer}, whatever its skill and its computers, {able} whether {choice}: a test that is wrong about "
            f"{alarms} of 100 models that were learned again recognises at most {in_hundred(best)} of 100 models that "
            f"were unlearned, where a blind guess recognises {alarms} (ε = {rounded_up(guarantee['epsilon'], 4)}, "
            f"δ = {guarantee['delta']:g})."
        )
    if is_simulation(document):
        return f"In a simulation, and only for an observer who does not have its seed: {said}"
    return said[0].upper() + said[1:]


def _limits(document: Mapping[str, Any]) -> str:
    """Return what is not covered."""
    items = "; ".join(_not_covered(document))
    if is_simulation(document):
        return (
            "SIMULATION ONLY: the noise was drawn from a seed, a person who has or guesses the seed can draw it again "
            "and subtract it, so this certificate protects no data of any real person, and besides it does not cover: "
            f"{items}."
        )
    return f"It does not cover: {items}."


def _not_covered(document: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is not covered."""
    view, learning = View.of(document["guarantee"]["view"]), document["learning"]
    yield "what participants recorded during learning or keep instead of erasing it"
    if view.kind in _BEYOND:
        yield _BEYOND[view.kind]
    yield "data that was not deleted"
    yield "further releases for the same deletion"
    if document["guarantee"]["data_dependent_noise"]:
        yield (
            "what the strength of the noise reveals, because it was computed from this very data, for which alone the "
            "promise holds (†)"
        )
    doubtful = doubtful_provenances(learning["constants"])
    if doubtful and document["guarantee"]["conditional"]:
        yield f"the case that a constant of the model, which was only {' or '.join(doubtful)}, is wrong (*)"
    if document["noise"]["added"] and document["checked"]["noise"] == "unchecked":
        yield "the case that less noise was added than stated here, because it was not measured"
    count = len(document["premises"])
    if count:
        yield f"the case that {'the premise' if count == 1 else f'one of the {count} premises'} stated here fails"


def _nothing(document: Mapping[str, Any]) -> str:
    """Return what a certificate without an ε must not be taken for."""
    seeded = (
        ", and its noise was drawn from a seed, from which it can be drawn again" if is_simulation(document) else ""
    )
    return (
        f"This file records only that the method {document['guarantee']['method']} was run when {_request(document)}; "
        f"it is no evidence that the deleted data cannot be found in the released models{seeded}."
    )


def _request(document: Mapping[str, Any]) -> str:
    """Return who deleted how much, as the part of a sentence that follows "when"."""
    deleted = document["request"]["deleted"]
    if len(deleted) > _MOST_NAMED:
        return f"{len(deleted):,} clients deleted {sum(one['samples'] for one in deleted):,} samples"
    parts = [
        f"client {client_in(document, one['client'])} deleted {one['samples']:,} sample{'s' * (one['samples'] != 1)}"
        for one in deleted
    ]
    return " and ".join(parts) or "nothing was deleted"


def doubtful_provenances(constants: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return which of `estimated` and `declared` occur among the provenances of constants.

    Args:
        constants: the constants of a certificate's file.
    """
    found = {constant["provenance"] for constant in constants.values()}
    if "unknown" in found:
        # Of a model whose constants are not known, no constant is used.
        return []
    return [provenance for provenance in ("estimated", "declared") if provenance in found]
