"""What a key looks like, and what is kept of it. Pure but for the chance it is made of.

    hr_k3Jx0AbCdEf9_<43 characters of secret><6 of checksum>

The id may be seen by anyone: logs and lists name keys by it. The secret has 256 bits, so that no
slow hash is needed. The checksum (CRC-32, as GitHub's tokens have) tells a mistyped key from an
unknown one, without a look at any store.
"""

from __future__ import annotations

import hashlib
import secrets
import zlib
from typing import Final

CLIENT: Final = "hr"
ADMIN: Final = "hra"
ID_LENGTH: Final = 12
_SECRET_LENGTH: Final = 43
_CHECK_LENGTH: Final = 6
_LETTERS: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_OTHERS: Final = bytes(set(range(256)) - set(_LETTERS.encode()))
_TAIL: Final = 1 + _SECRET_LENGTH + _CHECK_LENGTH


def new_id() -> str:
    """71 bits of chance."""
    return "".join(secrets.choice(_LETTERS) for _ in range(ID_LENGTH))


def mint(family: str, key_id: str) -> str:
    """A new key of that id. `family` is CLIENT or ADMIN."""
    body = f"{family}_{key_id}_{_base62(secrets.randbits(256), _SECRET_LENGTH)}"
    return body + _check(body.encode())


def digest(text: bytes) -> bytes:
    """SHA-256: all that is kept of a key."""
    return hashlib.sha256(text).digest()


def is_mistyped(text: bytes, family: str = CLIENT) -> bool:
    """Whether this was meant to be a key of ours, but is not as one was made."""
    head = f"{family}_".encode()
    if not text.startswith(head):
        return False
    body, check = text[:-_CHECK_LENGTH], text[-_CHECK_LENGTH:]
    right = _check(body).encode()
    shaped = len(text) == len(head) + ID_LENGTH + _TAIL and not text[len(head) :].translate(
        None, _OTHERS + b"_"
    ).translate(None, _LETTERS.encode())
    return not (shaped and check == right)


def id_of(text: str) -> str | None:
    """The id in a key's text, None if it has none."""
    parts = text.split("_")
    return parts[1] if len(parts) == 3 and len(parts[1]) == ID_LENGTH else None


def _check(body: bytes) -> str:
    return _base62(zlib.crc32(body), _CHECK_LENGTH)


def _base62(number: int, length: int) -> str:
    letters = []
    for _ in range(length):
        number, rest = divmod(number, 62)
        letters.append(_LETTERS[rest])
    return "".join(reversed(letters))
