"""A request's head that a client sends again, but for the length of its body. Pure.

Clients keep their connections and repeat themselves: the same line, the same headers, another
body. The parser is deterministic, so what it made of such a head once it would make of it again.
Only the digits of Content-Length may differ; one other byte, and the parser reads it.
"""

from __future__ import annotations

import re

HEAD_LIMIT_BYTES = 4096
"""Longer heads are parsed each time: every connection holds one."""
_LENGTH = re.compile(rb"\r\n(?i:content-length):[ \t]*([0-9]{1,9})(?=\r\n)")
_UNFIT = frozenset((b"transfer-encoding", b"expect", b"upgrade", b"trailer"))
"""What has a say in framing, beside the length."""


Repeat = tuple[int, int, list[tuple[bytes, bytes]]]
"""Where the body begins, how long it is, and the headers with its length."""


class RepeatedHead:
    """Made of a head that the parser has accepted, with what it found there."""

    __slots__ = ("_after", "_before", "_headers", "_length_index", "method", "notes", "target")

    def __init__(
        self,
        raw: tuple[bytes, bytes],
        method: bytes,
        target: bytes,
        headers: list[tuple[bytes, bytes]],
    ) -> None:
        """`raw`: the head's bytes before and after the digits."""
        self._before, self._after = raw
        self.method = method
        self.target = target
        self._headers = headers
        self._length_index = next(
            index for index, (name, _) in enumerate(headers) if name == b"content-length"
        )
        self.notes: object = None
        """What a handler read in these headers, for it to keep."""

    def __repr__(self) -> str:
        return "RepeatedHead()"  # it holds a credential

    @classmethod
    def of(
        cls, data: bytes, method: bytes, target: bytes, headers: list[tuple[bytes, bytes]]
    ) -> RepeatedHead | None:
        """Of bytes that begin with a head, accepted under HTTP/1.1. None where its body has no
        Content-Length, or where it says more about framing than that."""
        end = data.find(b"\r\n\r\n", 0, HEAD_LIMIT_BYTES) + 4
        names = [name for name, _ in headers]
        if end < 4 or names.count(b"content-length") != 1 or not _UNFIT.isdisjoint(names):
            return None
        lengths = [*_LENGTH.finditer(data, 0, end)]
        if len(lengths) != 1:
            return None
        before, after = data[: lengths[0].start(1)], data[lengths[0].end(1) : end]
        return cls((before, after), method, target, headers)

    def again(self, data: bytes) -> Repeat | None:
        """What `data` begins with, if that is this head."""
        before = self._before
        if not data.startswith(before):
            return None
        at = len(before)
        end = data.find(b"\r", at, at + 10)
        digits = data[at:end]
        if end < 0 or not digits.isdigit() or not data.startswith(self._after, end):
            return None
        headers = self._headers.copy()
        headers[self._length_index] = (b"content-length", digits)
        return end + len(self._after), int(digits), headers
