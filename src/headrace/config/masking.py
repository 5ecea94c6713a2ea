"""What looks like a secret, so that no message, log or page ever quotes one."""

from __future__ import annotations

import re

MASK = "***"

_PREFIXES = ("sk", "pk", "rk", "gsk", "hr", "hra", "xai", "hf", "ghp", "gho", "glpat", "xoxb")
_SHAPES = (
    (
        ("-",),
        ("-----BEGIN",),
        re.compile(
            r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY-----"
            r"[\s\S]*?(?:-----END [A-Z0-9 ]{0,40}-----|\Z)"
        ),
    ),
    (("J",), ("eyJ",), re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]*)?")),
    (
        ("=",),
        ("AccountKey=", "AccessKey="),
        re.compile(r"(?:(?<=AccountKey=)|(?<=AccessKey=))[^;\s\"']+"),
    ),
    (
        ("-", "_"),
        tuple(prefix + join for prefix in _PREFIXES for join in "-_"),
        re.compile(rf"(?<![A-Za-z0-9])(?:{'|'.join(_PREFIXES)})[-_][A-Za-z0-9_-]{{8,}}"),
    ),
    (("K",), ("AKIA",), re.compile(r"\bAKIA[A-Z0-9]{16}\b")),
    ((" ",), ("Bearer ",), re.compile(r"(?<=Bearer )[A-Za-z0-9._~+/=-]{8,}")),
)
"""Credentials known by their look: signs of which one must occur, words of which one must, and the
expression.

Searching these first makes text without secrets cheap.
"""

_LONG_RUN = re.compile(r"[A-Za-z0-9+=]{20,}")


def without_shapes(text: str) -> str:
    """The text with `***` for each part that has the look of a well-known kind of key."""
    for signs, words, shape in _SHAPES:
        for sign in signs:
            if sign in text:
                if any(word in text for word in words):
                    text = shape.sub(MASK, text)
                break
    return text


def looks_secret(text: str) -> bool:
    """True for well-known kinds of keys and for long runs of letters mixed with digits."""
    if without_shapes(text) != text:
        return True
    return any(
        any(c.isdigit() for c in run) and any(c.isalpha() for c in run)
        for run in _LONG_RUN.findall(text)
    )


def quoted(text: str, limit: int = 60) -> str:
    """The text in double quotes for a message: cut when long, masked when it may be a secret."""
    return f'"{shown(text, limit)}"'


def shown(text: str, limit: int = 60) -> str:
    """As `quoted`, without the quotes."""
    if looks_secret(text):
        return MASK
    cut = text if len(text) <= limit else text[: limit - 1] + "…"
    return "".join(c if c.isprintable() else "�" for c in cut)
