"""Whatever a certificate's file holds, reading and checking it ends in a sentence; and the bytes that are signed."""

import json
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest
from drawn import examples
from handovers import INSTANCE, WHOLE, checks, file_of, small_certificate
from hypothesis import assume, given
from hypothesis import strategies as st

from rewindnet.certificates import CertificateError
from rewindnet.certificates.handover.document import LARGEST_FILE, Document, canonical, checked, parse


@pytest.fixture
def document() -> Document:
    return file_of(*small_certificate())


ODD: list[Any] = [
    None, True, -1, 0, 2**70, 10**400, 1e308, -1e-300, 0.5, "", "x" * 9_000, "\ud800", "\x1b[31m", "node:99", "ε", [],
    {},    [[[[[[[[[[]]]]]]]]]], [0.0] * 3, [None], {"kind": "gossip-dp"}, {"a": 1}, "gaussian-output", "seed", "joint",
    "transcript:all", "a" * 64,
]  # fmt: skip


def places(content: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield place
    if isinstance(content, dict | list):
        for key, item in content.items() if isinstance(content, dict) else enumerate(content):
            yield from places(item, (*place, key))


def survives(content: bytes) -> bool:
    """Reading and checking ends in a sentence; whether the file is still taken for a certificate that holds."""
    try:
        document = parse(content)
    except CertificateError:
        return False
    found = checks(document)
    assert all(one.sentence and one.sentence.isprintable() for one in found)
    return all(one.status != "FAILS" for one in found)


@examples(400)
@given(st.sampled_from([WHOLE, INSTANCE]), st.data())
def test_odd_values_anywhere_end_in_a_sentence(whole: bytes, data: st.DataObject) -> None:
    document = json.loads(whole)
    for _ in range(data.draw(st.integers(1, 3))):
        *path, key = data.draw(st.sampled_from([place for place in places(document) if place]))
        holder = document
        for step in path:
            holder = holder[step]
        action = data.draw(st.sampled_from(["replace", "remove", "add"]))
        if action == "remove":
            del holder[key]
        elif action == "add" and isinstance(holder, dict):
            holder["more"] = deepcopy(data.draw(st.sampled_from(ODD)))
        else:
            holder[key] = deepcopy(data.draw(st.sampled_from(ODD)))
        if not document:
            break
    survives(json.dumps(document).encode())


@examples(400)
@given(st.sampled_from([WHOLE, INSTANCE]), st.data())
def test_damaged_bytes_end_in_a_sentence(whole: bytes, data: st.DataObject) -> None:
    content = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 2))
        action = data.draw(st.sampled_from(["flip", "cut", "insert", "end"]))
        if action == "flip":
            content[at] ^= 1 << data.draw(st.integers(0, 7))
        elif action == "cut":
            del content[at : at + data.draw(st.integers(1, 40))]
        elif action == "insert":
            content[at:at] = data.draw(st.binary(max_size=20))
        else:
            del content[at + 1 :]
        assume(len(content) > 2)
    survives(bytes(content))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not JSON"),
        (b"[]", "not a certificate"),
        (b"null", "not a certificate"),
        (b'{"format": "rewindnet certificate", "version": 2}', "another version"),
        (b'{"format": "rewindnet certificate", "version": true}', "another version"),
        (b'{"format": "rewindnet certificate", "version": 1}', "is missing"),
        (b'{"format": 1, "format": 1}', "a key is repeated"),
        (b'{"delta": NaN}', "the number NaN"),
        (b"[" * 200_000, "nested more deeply"),
        (b'{"a":' * 200_000, "nested more deeply"),
        (b'{"a": ' + b"9" * 10_000 + b"}", "not JSON"),
        (b"\xff\xfe{}", "UTF-8"),
    ],
)
def test_what_is_no_certificate_is_refused(content: bytes, words: str) -> None:
    with pytest.raises(CertificateError, match=words):
        parse(content)


def test_a_file_that_is_too_large_is_refused_before_it_is_read() -> None:
    with pytest.raises(CertificateError, match="bytes"):
        parse(b"[" * (LARGEST_FILE + 1))


def test_numbers_beyond_a_double_are_refused() -> None:
    with pytest.raises(CertificateError, match=r"guarantee.delta is not a number"):
        parse(WHOLE.replace(b'"delta": 1e-05', b'"delta": 1e999'))


def test_rounds_that_would_take_for_ever_are_refused(document: Document) -> None:
    document["rounds"]["gossip_rounds"] = 10**9
    with pytest.raises(CertificateError, match=r"rounds.gossip_rounds is not a whole number"):
        checked(document)


# The bytes that are signed


def test_the_signed_bytes_do_not_depend_on_order_spaces_or_the_signature(document: Document) -> None:
    mixed = json.loads(json.dumps(dict(reversed(document.items())), indent=3))
    assert canonical({**mixed, "signature": {"value": "00"}}) == canonical(document)
    assert canonical(document).startswith(b'rewindnet certificate 1\n{"assumptions":[')
    assert canonical({"a": "ε", "b": 0.1}) == b'rewindnet certificate 1\n{"a":"\\u03b5","b":0.1}'


@examples(100)
@given(st.data())
def test_any_change_changes_the_signed_bytes(data: st.DataObject) -> None:
    document = json.loads(WHOLE)
    *path, key = data.draw(st.sampled_from([place for place in places(document) if place]))
    changed = deepcopy(document)
    holder = changed
    for step in path:
        holder = holder[step]
    holder[key] = "another" if holder[key] != "another" else "one more"
    assert canonical(changed) != canonical(document)
