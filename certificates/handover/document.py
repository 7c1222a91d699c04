r"""The file of a certificate to hand over: reading it, whatever it holds, and the bytes that are signed.

The file is one JSON object in UTF-8 with the members of `FIELDS`, `names` where nodes that it speaks of have some, and
`signature` if it is signed. Everything that is not exactly of this form is refused with a sentence about the place.

**Canonical bytes.** A signature is made of the object without the member `signature`, written as JSON with sorted keys,
without spaces, in ASCII (other characters as `\uXXXX`), numbers as Python writes them (the shortest decimal that is
read back as the same double), and preceded by the line `rewindnet certificate 1`.
"""

import json
from collections.abc import Mapping
from typing import Any, NoReturn, get_args

from rewindnet.certificates.accounting.sampler import NoiseSource
from rewindnet.certificates.claim import Allocation, Bound
from rewindnet.certificates.constants import REGIMES, Provenance
from rewindnet.certificates.errors import CertificateError
from rewindnet.certificates.handover.fields import (
    Check,
    choice,
    flag,
    hexadecimal,
    is_exactly,
    list_of,
    mapping_of,
    number,
    optional,
    plain,
    record,
    text,
    whole,
)
from rewindnet.certificates.handover.names import check_names
from rewindnet.certificates.network import ORDERS
from rewindnet.certificates.release import Placement

Document = dict[str, Any]

FORMAT, VERSION = "rewindnet certificate", 1
#: The largest file that is read, in bytes.
LARGEST_FILE = 32 * 2**20
#: The largest number of rounds, and of rounds times nodes, that is checked.
_MOST_ROUNDS, _MOST_EVENTS = 200_000, 100_000_000
_SIGNATURE = "signature"

#: Why numbers are not in the file: what each word stands for.
WITHHELD = {
    "measured": "they were measured on the data, and would tell something about the deleted samples",
    "estimated": "they follow from constants that were estimated from the data",
    "nothing": "nothing is promised, so there is nothing to compute from them",
}

_rounds, _node = whole(_MOST_ROUNDS), whole(10**7)
_not_negative = number(0.0)
_constant = record(value=optional(number()), provenance=choice(*get_args(Provenance)))
_matrix = record(rows=list_of(_node), columns=list_of(_node), values=list_of(_not_negative))

#: What the file says, and of which form each part is.
FIELDS: Mapping[str, Check] = {
    "format": is_exactly(FORMAT),
    "version": is_exactly(VERSION),
    "statement": record(promise=text, limits=text),
    "guarantee": record(
        method=text,
        view=text,
        epsilon=optional(_not_negative),
        delta=number(0.0, 1.0),
        mu=optional(_not_negative),
        reason=optional(text),
        conditional=flag,
        data_dependent_noise=flag,
    ),
    "request": record(
        deleted=list_of(record(client=_node, samples=whole(10**12))),
        departed=list_of(_node),
        forget_commitment=optional(text),
    ),
    "noise": record(
        source=choice(*get_args(NoiseSource)),
        added=flag,
        mechanism=text,
        placement=choice(*get_args(Placement)),
        allocation=choice(*get_args(Allocation)),
    ),
    "rounds": record(
        learned=_rounds, checkpoint_round=_rounds, descent_rounds=_rounds, gossip_rounds=_rounds, averaged=flag
    ),
    "learning": record(
        step_size=_not_negative,
        local_steps=_rounds,
        order=choice(*ORDERS),
        bound=choice(*get_args(Bound)),
        regime=choice(*REGIMES),
        model=text,
        constants=record(radius=_constant, G=_constant, L=_constant, l2=_constant, strong_convexity=_constant),
        settings=mapping_of(number()),
        mixing_sha256=hexadecimal(64),
    ),
    "withheld": optional(choice(*WITHHELD)),
    "numbers": optional(
        record(
            sensitivity=list_of(_not_negative),
            rounding=list_of(_not_negative),
            shifts=list_of(_not_negative),
            sigma=list_of(_not_negative),
            mechanism=plain(_MOST_ROUNDS),
        )
    ),
    "network": optional(
        record(
            matrices=list_of(_matrix),
            rounds=list_of(record(first=_rounds, last=_rounds, matrix=_node)),
            participating=list_of(record(round=_rounds, nodes=list_of(_node))),
        )
    ),
    "reference": text,
    "premises": list_of(text),
    "assumptions": list_of(text),
    "models": record(
        nodes=whole(10**7),
        parameters=whole(10**12),
        dtype=choice("float32", "float64"),
        sha256=optional(hexadecimal(64)),
        each_sha256=optional(list_of(optional(hexadecimal(64)))),
    ),
    "checked": record(retraining=choice("holds"), noise=choice("holds", "unchecked", "no noise"), issuer=text),
    "versions": mapping_of(text),
    "time": record(run=text, exported=text),
}
_SIGNED: Check = record(
    algorithm=is_exactly("Ed25519"),
    public_key=hexadecimal(64),
    fingerprint=hexadecimal(64),
    value=hexadecimal(128),
)
#: What is not in every file.
_OPTIONAL: Mapping[str, Check] = {"names": mapping_of(text), _SIGNATURE: _SIGNED}


def parse(content: bytes) -> Document:
    """Read the content of a file.

    Args:
        content: the bytes of the file.

    Raises:
        CertificateError: if it is too large, not JSON, says a thing twice, or is not of the form of a certificate.
    """
    if len(content) > LARGEST_FILE:
        raise CertificateError(f"it has {len(content):,} bytes; a certificate has at most {LARGEST_FILE:,}")
    try:
        document = json.loads(
            content.decode("utf-8"), object_pairs_hook=_without_repetition, parse_constant=_not_a_number
        )
    except UnicodeDecodeError:
        raise CertificateError("it is not text in UTF-8") from None
    except RecursionError:
        raise CertificateError("it is nested more deeply than a certificate is") from None
    except CertificateError:
        raise
    except ValueError as problem:
        raise CertificateError(f"it is not JSON ({problem})") from None
    return checked(document)


def checked(document: Any) -> Document:
    """Return a document if it is of the form of a certificate.

    Args:
        document: what a file holds.

    Raises:
        CertificateError: with the first place where it is not.
    """
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise CertificateError(f"it is not a certificate: its format is not {FORMAT!r}")
    if document.get("version") != VERSION or isinstance(document["version"], bool):
        raise CertificateError(f"it is a certificate of another version than {VERSION}, which this program reads")
    record(**FIELDS, **{name: check for name, check in _OPTIONAL.items() if name in document})(document, "")
    _check_lengths(document)
    check_names(document)
    return document


def canonical(document: Mapping[str, Any]) -> bytes:
    """Return the bytes that are signed, as described at the head of this module.

    Args:
        document: a certificate, signed or not.
    """
    unsigned = {name: value for name, value in document.items() if name != _SIGNATURE}
    plain_text = json.dumps(unsigned, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return f"{FORMAT} {VERSION}\n{plain_text}".encode("ascii")


def _check_lengths(document: Document) -> None:
    """Refuse lists of different lengths, and what would take too long to compute."""
    nodes, numbers, each = document["models"]["nodes"], document["numbers"], document["models"]["each_sha256"]
    rounds = document["rounds"]
    if (
        nodes < 1
        or nodes * (1 + sum(rounds[name] for name in ("learned", "descent_rounds", "gossip_rounds"))) > _MOST_EVENTS
    ):
        raise CertificateError(f"it speaks of {nodes:,} nodes over too many rounds, or of none")
    if each is not None and len(each) != nodes:
        raise CertificateError(f"models.each_sha256 has {len(each)} entries for {nodes} nodes")
    if (numbers is None) != (document["withheld"] is not None):
        raise CertificateError("numbers are either in the file, or withheld for a stated reason")
    if (document["guarantee"]["epsilon"] is None) != (document["guarantee"]["mu"] is None):
        raise CertificateError("epsilon and mu are given together, or not at all")
    if (document["guarantee"]["epsilon"] is None) != (document["guarantee"]["reason"] is not None):
        raise CertificateError("there is an epsilon, or a reason why there is none")
    if numbers is None:
        return
    wrong = [name for name in ("sensitivity", "rounding") if len(numbers[name]) not in (0, nodes)]
    if wrong or len(numbers["sigma"]) != nodes:
        raise CertificateError(f"numbers.{(*wrong, 'sigma')[0]} has not one entry for each of {nodes} nodes")
    if not isinstance(numbers["mechanism"], dict) or numbers["mechanism"].get("kind") != document["noise"]["mechanism"]:
        raise CertificateError("numbers.mechanism is not the mechanism that noise.mechanism names")


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object, if it has no key twice."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise CertificateError("it says one thing twice: a key is repeated in an object")
    return found


def _not_a_number(name: str) -> NoReturn:
    """Refuse NaN and infinities, which are not JSON."""
    raise CertificateError(f"it has the number {name}, which is not JSON")
