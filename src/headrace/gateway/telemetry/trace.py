"""One call's trace, while the call is on its way."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from headrace.gateway.attempts import Attempts
from headrace.gateway.models import Target
from headrace.gateway.steps import Go
from headrace.gateway.telemetry.listening import Listener
from headrace.gateway.telemetry.trace_context import Incoming, outgoing
from headrace.platform.http.messages import Origin, WireRequest

_SPAN = (1 << 64) - 1


class Trace(Struct):
    """One call's, made before its beginning: `Tracer` has some ready."""

    trace_id: int
    span_id: int
    sampled: bool
    line: bytes
    """The header for its first attempt, ended by CRLF; b"" if backends are told nothing."""
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
    def attempts(self) -> Sequence[Go]:
        """Of the call's plan, once it is over."""
        return () if self.plan is None else self.plan.made()

    def join(self, caller: Incoming) -> None:
        """It is a part of its caller's, before anything is sent."""
        self.trace_id, self.parent_id = caller.trace_id, caller.span_id
        self.sampled, self.state = caller.sampled, caller.state
        if self.line:
            self.line = self._line(1)

    def sent(self, target: Target, request: WireRequest) -> WireRequest:
        """The request as it is sent: with the span that it belongs to."""
        before = self.sent_to
        self.sent_to = (*before, (target, request.origin))
        line = self.line
        if not line:
            return request
        if before:
            line = self._line(len(before) + 1)
        return WireRequest(request.origin, request.head + line, request.body, request.note)

    def _line(self, number: int) -> bytes:
        span_id = attempt_id(self.span_id, number)
        return outgoing(self.trace_id, span_id, self.sampled, self.state)


def attempt_id(span_id: int, number: int) -> int:
    """The id of the span of a call's attempt, counted from 1: made without chance, so that nothing
    need be remembered."""
    return (span_id + number) & _SPAN or 1
