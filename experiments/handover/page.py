"""Print a certificate's file as one page, for a reader who is no expert."""

from collections.abc import Iterator, Sequence
from math import exp
from os import PathLike
from pathlib import Path
from typing import Any

from rewindnet.certificates.digits import rounded_up
from rewindnet.certificates.handover.document import WITHHELD, Document
from rewindnet.certificates.handover.guessing import FALSE_ALARMS, in_hundred, most_detected
from rewindnet.certificates.handover.names import client_in, names_in
from rewindnet.certificates.handover.statement import doubtful_provenances, is_simulation
from rewindnet.certificates.view import View, node_title
from rewindnet.experiments.folder.files import write
from rewindnet.experiments.handover.files import HandoverError, read_certificate
from rewindnet.experiments.handover.verify import verify_certificate
from rewindnet.extras import missing_extras_named

#: What fits on one page: characters of a list of sentences, characters of a cell, and hashes of single models.
_MOST_CHARACTERS, _LONGEST_CELL, _MOST_HASHES = 1_400, 200, 2

_BOUNDS = {
    "worst-case": "It holds for any data of that size at that client: it follows from constants of the model alone.",
    "instance": "† It was computed from measurements of this very data, and holds for this data alone.",
    "published": "It follows from a published formula, for any data of that size at that client.",
}

Row = tuple[str, str, str]


def write_page(file: Path, key: str | PathLike[str] | None, out: Path) -> Path:
    """Write the page of a certificate's file.

    Args:
        file: the file.
        key: the file of the public key that it must be signed with; None for any key.
        out: the page to write.

    Returns:
        The path of the page.

    Raises:
        HandoverError: if the file cannot be read or does not hold, or the page cannot be written.
    """
    document = read_certificate(file)
    outcomes = verify_certificate(document, key)
    failed = [outcome for outcome in outcomes if outcome.status == "FAILS"]
    if failed:
        raise HandoverError(f"{file} does not hold, so no page is made of it: {failed[0].what}: {failed[0].sentence}")
    try:
        write(out, render(document, {outcome.what: outcome.sentence for outcome in outcomes}, outcomes.tally))
    except OSError as problem:
        raise HandoverError(f"{out} cannot be written: {problem.strerror or problem}") from None
    return out


def render(document: Document, found: dict[str, str], tally: str) -> str:
    """Return the page as HTML.

    Args:
        document: the certificate.
        found: what each check of it has found, in a sentence.
        tally: the number of checks with each outcome.
    """
    with missing_extras_named():
        from jinja2 import Environment, PackageLoader, StrictUndefined
    pages = Environment(
        loader=PackageLoader("rewindnet.experiments.handover", ""), autoescape=True, undefined=StrictUndefined
    )
    promised = document["guarantee"]["epsilon"] is not None
    return pages.get_template("page.html").render(
        state="nothing" if not promised else "simulation" if is_simulation(document) else "promised",
        document=document,
        rows=[tuple(_short(cell, _LONGEST_CELL) for cell in row) for row in _rows(document)],
        rests_on=_fitting([document["reference"], *document["premises"], *document["assumptions"]]),
        hashes=_hashes(document),
        signature=found["signature"],
        arithmetic=found["arithmetic"],
        origin=found["origin"],
        tally=tally,
    )


def _rows(document: Document) -> Iterator[Row]:
    """Yield the rows of the table: what it is, its value, and what it means."""
    guarantee, view = document["guarantee"], View.of(document["guarantee"]["view"])
    yield "observer", guarantee["view"], f"The promise holds for {view.observer_among(names_in(document))}."
    if guarantee["epsilon"] is not None:
        yield from _promised(document)
    yield "deleted", *_deleted(document)
    yield "method", guarantee["method"], _done(document)
    if guarantee["epsilon"] is not None:
        yield from _noise(document)
        bound = document["learning"]["bound"]
        yield "bound", bound, _BOUNDS[bound]
        yield "constants", *_constants(document)


def _promised(document: Document) -> Iterator[Row]:
    """Yield the rows of ε, δ and what they mean for a test."""
    epsilon, delta, mu = (document["guarantee"][name] for name in ("epsilon", "delta", "mu"))
    factor = rounded_up(exp(epsilon)) if epsilon < 30 else f"e^{rounded_up(epsilon, 4)}"
    yield (
        "ε (epsilon)",
        rounded_up(epsilon, 4),
        f"The deletion makes nothing that the observer may see more than {factor} times as likely, or as unlikely …",
    )
    yield "δ (delta)", f"{delta:g}", "… but for events that have together at most this probability."
    alarms = in_hundred(FALSE_ALARMS)
    yield (
        "recognised",
        f"{in_hundred(most_detected(mu, epsilon, delta))} of 100",
        f"The most of 100 unlearned models that a test recognises which is wrong about {alarms} of 100 others "
        f"({alarms}: a blind guess; 100: certainty).",
    )


def _deleted(document: Document) -> tuple[str, str]:
    """Return who deleted how much, and whether it left."""
    deleted = document["request"]["deleted"]
    total = sum(one["samples"] for one in deleted)
    clients = ", ".join(client_in(document, one["client"]) for one in deleted)
    left = " It has left the network with its data." if document["request"]["departed"] else ""
    commitment = document["request"]["forget_commitment"]
    which = f" Which samples: commitment {commitment}." if commitment else " Which samples is not told."
    return f"{total:,}", f"Samples of client {clients}; this is public.{left}{which}"


def _done(document: Document) -> str:
    """Return what was done, from the rounds."""
    rounds, noise = document["rounds"], document["noise"]
    return (
        f"{rounds['learned']:,} rounds of learning; the unlearning began at round {rounds['checkpoint_round']:,} and "
        f"took {rounds['descent_rounds']:,} rounds of descent and {rounds['gossip_rounds']:,} of averaging "
        f"({noise['mechanism']}, {noise['placement']})."
    )


def _noise(document: Document) -> Iterator[Row]:
    """Yield the rows of sensitivity and noise."""
    numbers, noise = document["numbers"], document["noise"]
    if numbers is None:
        yield "noise", "withheld", f"Its level is not in the file: {WITHHELD[document['withheld']]}."
        return
    yield (
        "sensitivity",
        _range(numbers["sensitivity"]),
        "The most by which the deletion may have changed the model of a node, before noise was added (as a length).",
    )
    source = "drawn from a seed, and can be drawn again" if noise["source"] == "seed" else "of the operating system"
    level = "Standard deviation of the random number that was added to each parameter of a node's model"
    yield "noise", _range(numbers["sigma"]), f"{level}; {source}." if noise["added"] else "No noise was needed."


def _constants(document: Document) -> tuple[str, str]:
    """Return the provenances of the constants, and what they mean."""
    found = sorted({constant["provenance"] for constant in document["learning"]["constants"].values()})
    model = document["learning"]["model"]
    doubtful = document["guarantee"]["conditional"] and doubtful_provenances(document["learning"]["constants"])
    doubt = " If one of them is wrong, the promise does not hold (*)." if doubtful else ""
    return ", ".join(found), f"Where the constants of the model {model} come from that the arithmetic uses.{doubt}"


def _hashes(document: Document) -> list[tuple[str, str]]:
    """Return the hashes of the models that fit on the page, each with whose it is."""
    models = document["models"]
    rows = [(f"all {models['nodes']:,} models", models["sha256"] or "not recorded")]
    each = [
        (node_title(node, names_in(document)), sha256)
        for node, sha256 in enumerate(models["each_sha256"] or [])
        if sha256
    ]
    rows += each[:_MOST_HASHES]
    if len(each) > _MOST_HASHES:
        rows.append(("other nodes", f"{len(each) - _MOST_HASHES:,} more hashes are in the file"))
    return rows


def _range(values: Sequence[float]) -> str:
    """Return the smallest and the largest of several values."""
    if not values:
        return "not bounded"
    low, high = min(values), max(values)
    return f"{high:.4g}" if high - low <= 1e-4 * high else f"{low:.4g} to {high:.4g}"


def _fitting(sentences: Sequence[str]) -> list[str]:
    """Return the sentences that fit on the page, and how many are left to the file."""
    shown: list[str] = []
    for sentence in sentences:
        if sum(map(len, shown)) + len(sentence) > _MOST_CHARACTERS:
            return [*shown, f"{len(sentences) - len(shown)} more in the file."]
        shown.append(sentence)
    return shown


def _short(value: Any, most: int) -> str:
    """Return a text of at most so many characters."""
    plain = str(value)
    return plain if len(plain) <= most else plain[: most - 1] + "…"
