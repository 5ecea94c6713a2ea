"""What looks like a secret, so that no message, log or page ever quotes one."""

from __future__ import annotations

import re

MASK = "***"

SECRET_SHAPES = (
    r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z0-9 ]{0,40}-----|\Z)",
    r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]*)?",
    r"(?<=AccountKey=)[^;\s\"']+",
    r"(?<=SharedAccessKey=)[^;\s\"']+",
    r"(?<![A-Za-z0-9])(?:sk|pk|rk|gsk|hr|xai|hf|ghp|gho|glpat|xoxb)[-_][A-Za-z0-9_-]{8,}",
    r"\bAKIA[A-Z0-9]{16}\b",
    r"(?<=Bearer )[A-Za-z0-9._~+/=-]{8,}",
)
"""Regular expressions of credentials that are known by their look."""

_SHAPE = re.compile("|".join(SECRET_SHAPES))
_LONG_RUN = re.compile(r"[A-Za-z0-9+=]{20,}")


def looks_secret(text: str) -> bool:
    """True for well-known kinds of keys and for long runs of letters mixed with digits."""
    if _SHAPE.search(text):
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
