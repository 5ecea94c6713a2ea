"""W3C's trace context: https://www.w3.org/TR/trace-context/. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from msgspec import Struct

_PARENT = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-[^\s]*)?\Z")
_STATE = re.compile(rb"[\x20-\x7e]{1,512}\Z")


class Incoming(Struct, frozen=True):
    """The caller's span."""

    trace_id: int
    span_id: int
    sampled: bool
    state: bytes
    """`tracestate`, to be passed on; b"" if there is none."""


def incoming(headers: Sequence[tuple[bytes, bytes]]) -> Incoming | None:
    """What the client says, None if nothing or nothing that is valid. Names are lower case."""
    parent, state = None, b""
    for name, value in headers:
        if name == b"traceparent":
            if parent is not None:
                return None  # of two none is to be believed
            parent = value
        elif name == b"tracestate":
            state = state + b"," + value if state else value
    found = None if parent is None else _PARENT.match(parent)
    if found is None:
        return None
    version, trace, span, flags, rest = found.groups()
    if version == b"ff" or (version == b"00" and rest is not None):
        return None
    trace_id, span_id = int(trace, 16), int(span, 16)
    if not trace_id or not span_id:
        return None
    return Incoming(
        trace_id, span_id, bool(int(flags, 16) & 1), state if _STATE.match(state) else b""
    )


def outgoing(trace_id: int, span_id: int, sampled: bool, state: bytes) -> bytes:
    """Header lines, each ended by CRLF."""
    line = b"traceparent: 00-%032x-%016x-%02x\r\n" % (trace_id, span_id, sampled)
    return line + b"tracestate: %b\r\n" % state if state else line
