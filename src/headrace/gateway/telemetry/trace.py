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

_SPAN = slice(49, 65)
"""Where it is in a header line."""
_CHANCE = slice(18, 32)
_SAMPLED, _NOT_SAMPLED = "01", "00"
_MOST = (1 << 64) - 1


class Trace(Struct):
    """One call's. Its ids are kept as they are sent and logged, and read where they are wanted."""

    id: str
    """32 hexadecimal digits."""
    line: bytes
    """`traceparent` as its first attempt has it, ended by CRLF, and `tracestate` where the caller
    sent one: the header for that attempt's backend."""
    sampled: bool
    told: bool = True
    """Backends are sent the header."""
    parent_id: int | None = None
    state: bytes = b""
    target: Target | None = None
    """The first that was asked, None if none was."""
    origin: Origin | None = None
    """Where it was asked."""
    then_sent_to: tuple[tuple[Target, Origin], ...] = ()
    plan: Attempts | None = None
    """Set at the call's end; None if it had none."""
    listener: Listener | None = None
    """Where it is wanted, what is said is remembered here."""

    @property
    def span_id(self) -> int:
        """Of the call's own span: the one before that of its first attempt."""
        return int(self.line[_SPAN], 16) - 1

    @property
    def sent_to(self) -> tuple[tuple[Target, Origin], ...]:
        """In the order in which they were asked: the first has the span after this one's, and so
        on."""
        if self.target is None or self.origin is None:
            return ()
        return ((self.target, self.origin), *self.then_sent_to)

    @property
    def attempts(self) -> Sequence[Go]:
        """Of the call's plan, once it is over."""
        return () if self.plan is None else self.plan.made()

    def join(self, caller: Incoming) -> None:
        """It is a part of its caller's, before anything is sent."""
        self.parent_id, self.sampled, self.state = caller.span_id, caller.sampled, caller.state
        self.line = outgoing(caller.trace_id, self.span_id + 1, caller.sampled, caller.state)
        self.id = f"{caller.trace_id:032x}"

    def sent(self, target: Target, request: WireRequest) -> WireRequest:
        """The request as it is sent: with the span that it belongs to."""
        line = self.line
        if self.target is None:
            self.target, self.origin = target, request.origin
        else:
            self.then_sent_to = (*self.then_sent_to, (target, request.origin))
            span_id = attempt_id(self.span_id, len(self.then_sent_to) + 1)
            line = outgoing(int(self.id, 16), span_id, self.sampled, self.state)
        if not self.told:
            return request
        return WireRequest(request.origin, request.head + line, request.body, request.note)


def new_traces(random: Random, count: int, below: str, *, told: bool) -> list[Trace]:
    """Traces that begin here. Sampled are those whose last 14 digits, which are random in all
    versions of the standard, stand before `below`. The last digits of a call's span are 01 and
    those of its first attempt's 02, so that there are ids between for more, and none is zero."""
    ids, made = random.randbytes(16 * count).hex("-", 16).split("-"), []
    spans = random.randbytes(7 * count).hex("-", 7).split("-")
    for id, span in zip(ids, spans, strict=True):
        sampled = id[_CHANCE] < below
        line = f"traceparent: 00-{id}-{span}02-{_SAMPLED if sampled else _NOT_SAMPLED}\r\n"
        made.append(Trace(id, line.encode(), sampled, told))
    return made


def attempt_id(span_id: int, number: int) -> int:
    """The id of the span of a call's attempt, counted from 1: made without chance, so that nothing
    need be remembered."""
    return (span_id + number) & _MOST or 1
