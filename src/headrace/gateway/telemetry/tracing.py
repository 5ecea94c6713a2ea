"""Traces of calls: which are kept, and what is remembered of those until they are written.

Whether a call is kept is known at its end: a share of all, and each that failed, was slow or had
trouble on its way.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from random import Random

from msgspec import Struct

from headrace.gateway.progress import Progress
from headrace.gateway.telemetry.listening import Room, Said
from headrace.gateway.telemetry.trace import Trace, attempt_id
from headrace.gateway.telemetry.trace_context import incoming, outgoing
from headrace.nouns import Call, Usage

_LOW = (1 << 56) - 1
"""Of a trace's id: random in all versions of the standard."""
GONE = 499
"""The client left, which is no fault."""
MADE_AT_ONCE = 64
"""Traces that are ready before their calls come: in one loop each costs a third."""


class Kept(Struct, frozen=True):
    """What is written of one call. Instants are monotonic seconds; `wall_ns` is Unix nanoseconds
    at `ended`."""

    trace: Trace
    call: Call
    """Without its body and headers."""
    progress: Progress
    usage: Usage
    ended: float
    wall_ns: int
    said: Said | None = None
    """None where it is not wanted, or there is no room for it."""


class Tracer:
    """Begins and keeps traces. Used by the event loop alone."""

    def __init__(
        self,
        keep: Callable[[Kept], None],
        rng: Random,
        *,
        share: float,
        slow_s: float,
        propagates: bool,
        room: Room | None = None,
    ) -> None:
        """`keep` must not wait. `share` is that of all calls which are kept; a call is slow if its
        answer, or a stream's first content, took longer than `slow_s`. `room` is for what is said
        in calls, where that is wanted."""
        self._keep = keep
        self._random = rng.getrandbits
        self._threshold = int(share * (_LOW + 1))
        self._slow_s = slow_s
        self.slow_us = int(slow_s * 1e6)
        """No call is slow that took less, in microseconds."""
        self._propagates = propagates
        self._room = room
        self._ready: list[Trace] = []

    @property
    def listens(self) -> bool:
        """What is said is wanted."""
        return self._room is not None

    def begin(self, call: Call) -> Trace:
        ready = self._ready
        if not ready:
            self._make_ready()
        trace = ready.pop()
        if b"traceparent" in dict(call.headers):
            caller = incoming(call.headers)
            if caller is not None:
                trace.join(caller)
        return trace

    def _make_ready(self) -> None:
        random, threshold, ready = self._random, self._threshold, self._ready
        for _ in range(MADE_AT_ONCE):
            trace_id, span_id = random(128) or 1, random(64) or 1
            sampled = trace_id & _LOW < threshold
            line = b""
            if self._propagates:
                line = outgoing(trace_id, attempt_id(span_id, 1), sampled, b"")
            ready.append(Trace(trace_id, span_id, sampled, line))

    def settled(
        self, call: Call, trace: Trace, progress: Progress, usage: Usage, now: float
    ) -> None:
        """The end of a call, of which it keeps what is wanted. `now` is monotonic seconds."""
        if not (trace.sampled or self._is_odd(call, progress, now)):
            return
        told = Call(
            call.id, call.dialect, call.operation, call.model, None, b"", call.stream,
            call.wants_usage, call.caller, call.received_at, max_tokens=call.max_tokens,
            max_completion_tokens=call.max_completion_tokens,
        )  # fmt: skip
        said = None
        if self._room is not None and trace.listener is not None:
            said = trace.listener.said(call)
            if not self._room.take(said.size_bytes):
                said = None
        self._keep(Kept(trace, told, progress, usage, now, time.time_ns(), said))

    def _is_odd(self, call: Call, progress: Progress, now: float) -> bool:
        if failed(progress) or progress.troubles:
            return True
        if progress.status >= 400 and progress.status != GONE:
            return True
        until = progress.first_content_at if call.stream else now
        return (now if until is None else until) - call.received_at > self._slow_s


def failed(progress: Progress) -> bool:
    """The gateway or its upstreams are at fault."""
    return progress.status >= 500 or progress.finish == "incomplete"
