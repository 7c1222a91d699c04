"""The commitment to a forget set: what it binds, and that guesses cannot be confirmed without its salt."""

import hashlib

import pytest
from drawn import examples
from hypothesis import given
from hypothesis import strategies as st

from rewindnet.certificates import CertificateError, forget_commitment, forget_digest

SALT = bytes(range(32))
forget_sets = st.dictionaries(
    st.integers(0, 20), st.lists(st.integers(0, 99), unique=True, min_size=1, max_size=5), min_size=1, max_size=3
)


def test_the_canonical_form_is_the_documented_one() -> None:
    plain = b'{"2": [0, 7], "10": [1]}'
    assert forget_digest({10: [1], 2: [7, 0]}) == hashlib.sha256(plain).hexdigest()
    assert forget_commitment(SALT, {10: [1], 2: [7, 0]}) == hashlib.sha256(SALT + plain).hexdigest()


@examples(40)
@given(one=forget_sets, other=forget_sets)
def test_a_commitment_opens_to_one_forget_set(one: dict[int, list[int]], other: dict[int, list[int]]) -> None:
    equal = {node: sorted(taken) for node, taken in one.items()} == {node: sorted(of) for node, of in other.items()}
    assert (forget_commitment(SALT, one) == forget_commitment(SALT, other)) == equal
    backwards = {node: one[node][::-1] for node in reversed(one)}
    assert forget_commitment(SALT, backwards) == forget_commitment(SALT, one)


def test_a_guess_is_not_confirmed_without_the_salt() -> None:
    """All requests of one of 1,000 samples: their hashes name the sample, their commitments do not."""
    commitment = forget_commitment(SALT, {3: [412]})
    guesses = {forget_digest({3: [sample]}): sample for sample in range(1000)}
    assert guesses[forget_digest({3: [412]})] == 412
    assert commitment not in guesses
    assert commitment not in {forget_commitment(bytes(32), {3: [sample]}) for sample in range(1000)}
    assert commitment != forget_commitment(SALT[::-1], {3: [412]})


@pytest.mark.parametrize("length", [0, 31, 33])
def test_a_salt_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(CertificateError, match=f"has 32 bytes, not {length}"):
        forget_commitment(bytes(length), {0: [1]})
