"""What a key looks like."""

from __future__ import annotations

import hashlib
import string

from hypothesis import given
from hypothesis import strategies as st

from headrace.data.registry.key_text import ADMIN, CLIENT, digest, id_of, is_mistyped, mint, new_id

KEY = mint(CLIENT, new_id())
LETTERS = string.ascii_letters + string.digits


def test_a_key_is_a_prefix_an_id_and_a_secret_with_a_checksum() -> None:
    for family in (CLIENT, ADMIN):
        key_id = new_id()
        text = mint(family, key_id)
        prefix, middle, secret = text.split("_")
        assert (prefix, middle, len(secret)) == (family, key_id, 49)
        assert id_of(text) == key_id
        assert not is_mistyped(text.encode(), family)
        assert digest(text.encode()) == hashlib.sha256(text.encode()).digest()


def test_no_two_keys_are_alike() -> None:
    texts = [mint(CLIENT, new_id()) for _ in range(2000)]
    assert len({text.split("_")[1] for text in texts}) == 2000
    assert len({text.split("_")[2] for text in texts}) == 2000
    used = {letter for text in texts for letter in text[16:]}
    assert used == set(LETTERS)


@given(st.integers(3, len(KEY) - 1), st.sampled_from(LETTERS))
def test_one_wrong_letter_is_told(at: int, letter: str) -> None:
    text = KEY[:at] + letter + KEY[at + 1 :]
    assert is_mistyped(text.encode()) == (text != KEY)


@given(st.integers(1, len(KEY) - 4))
def test_a_part_that_is_missing_is_told(cut: int) -> None:
    assert is_mistyped(KEY[:-cut].encode())


@given(st.integers(3, len(KEY) - 2))
def test_two_letters_that_changed_places_are_told(at: int) -> None:
    text = KEY[:at] + KEY[at + 1] + KEY[at] + KEY[at + 2 :]
    assert is_mistyped(text.encode()) == (text != KEY)


@given(st.binary(max_size=100))
def test_what_is_no_key_of_ours_is_not_called_mistyped(text: bytes) -> None:
    assert is_mistyped(text) == text.startswith(b"hr_")


def test_keys_of_other_families_are_not_called_mistyped() -> None:
    assert not is_mistyped(mint(ADMIN, new_id()).encode(), CLIENT)
    assert not is_mistyped(b"sk-proj-0123456789abcdef0123456789abcdef")
