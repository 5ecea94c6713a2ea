"""One call's trace, while the call is on its way."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from msgspec import Struct

from headrace.gateway.attempts import Attempts
from headrace.gateway.models import Target
from headrace.gateway.steps import Go
from headrace.gateway.telemetry.listening import Listener
from headrace.gateway.telemetry.trace_context import Incoming, outgoing
from headrace.platform.http.messages import Origin, WireRequest

_TRACE, _SPAN, _FLAGS = slice(16, 48), slice(49, 65), 66
"""Where its parts are in a header line."""
CHANCE = slice(34, 48)
"""Where in it is what a call is chosen by: the last digits of its trace's id."""
LINE_BYTES = 70
_MOST = (1 << 64) - 1


class Trace(Struct):
    """One call's. Its ids are kept as they are sent and logged, and read where they are wanted."""

    line: bytes
    """`traceparent` as its first attempt has it, ended by CRLF, and `tracestate` where the caller
    sent one: the header for that attempt's backend."""
    sampled: bool
    told: bool = True
    """Backends are sent the header."""
    parent_id: int | None = None
    state: bytes = b""
    sent_to: tuple[tuple[Target, Origin], ...] = ()
    """In the order in which they were asked: the first has the span after this one's, and so
    on."""
    plan: Attempts | None = None
    """Set at the call's end; None if it had none."""
    listener: Listener | None = None
    """Where it is wanted, what is said is remembered here."""

    @property
    def trace_id(self) -> int:
        return int(self.line[_TRACE], 16)

    @property
    def span_id(self) -> int:
        """Of the call's own span: the one before that of its first attempt."""
        return int(self.line[_SPAN], 16) - 1

    @property
    def attempts(self) -> Sequence[Go]:
        """Of the call's plan, once it is over."""
        return () if self.plan is None else self.plan.made()

    def join(self, caller: Incoming) -> None:
        """It is a part of its caller's, before anything is sent."""
        self.parent_id, self.sampled, self.state = caller.span_id, caller.sampled, caller.state
        self.line = outgoing(caller.trace_id, self.span_id + 1, caller.sampled, caller.state)

    def sent(self, target: Target, request: WireRequest) -> WireRequest:
        """The request as it is sent: with the span that it belongs to."""
        before, line, origin = self.sent_to, self.line, request.origin
        self.sent_to = (*before, (target, origin)) if before else ((target, origin),)
        if not self.told:
            return request
        if before:
            span_id = attempt_id(self.span_id, len(before) + 1)
            line = outgoing(self.trace_id, span_id, self.sampled, self.state)
        return WireRequest(origin, request.head + line, request.body, request.note)


def lines_of_new(random: Random, count: int) -> list[bytes]:
    """Header lines of traces that begin here, not sampled. The last digit of a call's span is 1 and
    that of its first attempt's 2, so that there are ids between for more, and none is zero."""
    digits = random.randbytes(24 * count).hex()
    text = "".join(
        [
            f"traceparent: 00-{digits[at : at + 32]}-{digits[at + 32 : at + 47]}2-00\r\n"
            for at in range(0, 48 * count, 48)
        ]
    ).encode()
    return [text[at : at + LINE_BYTES] for at in range(0, LINE_BYTES * count, LINE_BYTES)]


def as_sampled(line: bytes) -> bytes:
    """The same, of a trace that is kept."""
    return line[:_FLAGS] + b"01\r\n"


def trace_hex(line: bytes) -> str:
    """The trace's id, 32 hexadecimal digits."""
    return line[_TRACE].decode()


def attempt_id(span_id: int, number: int) -> int:
    """The id of the span of a call's attempt, counted from 1: made without chance, so that nothing
    need be remembered."""
    return (span_id + number) & _MOST or 1
