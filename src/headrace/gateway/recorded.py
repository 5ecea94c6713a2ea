"""An answer that came to its end, kept to be given again."""

from __future__ import annotations

from msgspec import Struct

from headrace.errors import Refused
from headrace.nouns import Usage

_COST = b"x-headrace-cost-usd:"
_ANSWERED_BY = b"x-headrace-answered-by:"
_CACHE = b"x-headrace-cache: "
_BY_MESSAGE = b"x-headrace-answered-by: message\r\n"


class Recorded(Struct, frozen=True):
    """An answer to its proper end: a whole body, or all events of a stream, or a refusal."""

    about: bytes
    """Header lines that told the first client what was done."""
    body: bytes | None = None
    events: tuple[bytes, ...] = ()
    """Runs of whole events, in order; the last holds the terminal one."""
    refused: Refused | None = None
    usage: Usage | None = None
    cost_microusd: int | None = None
    """What it cost when it was made; None if that is not known."""

    @property
    def complete(self) -> bool:
        """An answer and not a refusal."""
        return self.refused is None

    @property
    def stands_in(self) -> bool:
        """Something was given where no backend answered: a kept answer, or the message."""
        return _ANSWERED_BY in self.about

    @property
    def is_message(self) -> bool:
        """It is the friendly message, given as an answer."""
        return _BY_MESSAGE in self.about

    @property
    def cache_tier(self) -> str | None:
        """How the cache found it: exact or semantic; None if no cache gave it."""
        _, found, rest = self.about.partition(_CACHE)
        return rest[: rest.index(b"\r")].decode() if found else None

    @property
    def size_bytes(self) -> int:
        if self.body is not None:
            return len(self.about) + len(self.body)
        return len(self.about) + sum(map(len, self.events))


def about_of_another(about: bytes, answered_by: str) -> bytes:
    """Header lines for a client whose answer was made for another: it cost this one nothing.
    Without `answered_by` they are those of the other."""
    if not answered_by:
        return about
    lines = [
        line
        for line in about.splitlines(keepends=True)
        if not line.startswith((_COST, _ANSWERED_BY))
    ]
    return b"%bx-headrace-answered-by: %b\r\n" % (b"".join(lines), answered_by.encode())
