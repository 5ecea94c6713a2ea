"""One call's trace, while the call is on its way."""

from __future__ import annotations

from collections.abc import Sequence

from headrace.gateway.models import Target
from headrace.gateway.steps import Go
from headrace.gateway.telemetry.listening import Listener
from headrace.gateway.telemetry.trace_context import outgoing
from headrace.platform.http.messages import Origin, WireRequest

_SPAN = (1 << 64) - 1


class Trace:
    """One call's, made at its beginning."""

    __slots__ = ("_propagates", "attempts", "listener", "parent_id", "sampled", "sent_to",
                 "span_id", "state", "trace_id")  # fmt: skip

    def __init__(
        self,
        trace_id: int,
        span_id: int,
        parent_id: int | None,
        sampled: bool,
        state: bytes,
        propagates: bool,
    ) -> None:
        self.trace_id = trace_id
        self.span_id = span_id
        self.parent_id = parent_id
        self.sampled = sampled
        self.state = state
        self.attempts: Sequence[Go] = ()
        """Of the call's plan, set at its end."""
        self.sent_to: list[tuple[Target, Origin]] = []
        """In the order in which they were asked: the first has the span after
        this one's, and so on."""
        self.listener: Listener | None = None
        """Where it is wanted, what is said is remembered here."""
        self._propagates = propagates

    def sent(self, target: Target, request: WireRequest) -> WireRequest:
        """The request as it is sent: with the span that it belongs to."""
        self.sent_to.append((target, request.origin))
        if not self._propagates:
            return request
        span_id = attempt_id(self.span_id, len(self.sent_to))
        lines = outgoing(self.trace_id, span_id, self.sampled, self.state)
        return WireRequest(request.origin, request.head + lines, request.body, request.note)


def attempt_id(span_id: int, number: int) -> int:
    """The id of the span of a call's attempt, counted from 1: made without chance, so that nothing
    need be remembered."""
    return (span_id + number) & _SPAN or 1
