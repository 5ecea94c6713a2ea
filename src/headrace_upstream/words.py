"""Text in tokens: how the upstream counts, and what it says when no text is scripted."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import cycle, islice

_PIECE = re.compile(r"\s*\S{1,4}|\s+")
_SENTENCE = "The mill wheel turns while the headrace brings water and the spillway takes the rest"


def count_tokens(text: str) -> int:
    """One token per four UTF-8 bytes, rounded up."""
    size = len(text) if text.isascii() else len(text.encode("utf-8", "replace"))
    return (size + 3) // 4


def cut_into_tokens(text: str) -> list[str]:
    """Pieces of at most four characters, each with the white space before it; they join to
    `text`."""
    return _PIECE.findall(text)


def speak(tokens: int) -> list[str]:
    """`tokens` words of the same sentence, over and over."""
    words = list(islice(cycle(_SENTENCE.split()), max(tokens, 0)))
    return words[:1] + [" " + word for word in words[1:]]


def fragments(arguments: str, size: int = 6) -> Sequence[str]:
    """Tool arguments as they are streamed: a few characters at a time."""
    return [arguments[at : at + size] for at in range(0, len(arguments), size)] or [""]
