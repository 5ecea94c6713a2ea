"""Traces of calls: which are kept, and what is remembered of those until they are written.

Whether a call is kept is known at its end: a share of all, and each that failed, was slow or had
trouble on its way.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from msgspec import Struct

from headrace.data.records import Settlement
from headrace.gateway.models import Target
from headrace.gateway.progress import Progress
from headrace.gateway.telemetry.listening import Room, Said
from headrace.gateway.telemetry.trace import Trace, new_traces
from headrace.gateway.telemetry.trace_context import incoming
from headrace.nouns import Call

_CHANCES = 1 << 56
"""Numbers of 14 digits, which a trace is chosen by."""
GONE = 499
"""The client left, which is no fault."""
MADE_AT_ONCE = 128
"""Traces that are ready before their calls come: in one loop each costs a fraction."""


class Kept(Struct, frozen=True):
    """What is written of one call. Instants are monotonic seconds."""

    trace: Trace
    row: Settlement
    """The ledger's."""
    target: Target | None
    """The last backend that was asked."""
    limit: bytes
    """Of tokens, as the client wrote it; b"" if it named none."""
    received_at: float
    first_content_at: float | None
    ended: float
    said: Said | None = None
    """None where it is not wanted, or there is no room for it."""


class Tracer:
    """Begins and keeps traces. Used by the event loop alone."""

    def __init__(
        self,
        keep: Callable[[Kept], bool],
        rng: Random,
        *,
        share: float,
        slow_s: float,
        propagates: bool,
        room: Room | None = None,
    ) -> None:
        """`keep` must not wait; it tells whether there was room. `share` is that of all calls which
        are kept; a call is slow if its answer, or a stream's first content, took longer than
        `slow_s`. `room` is for what is said in calls, where that is wanted."""
        self._keep = keep
        self._random = rng
        chances = int(share * _CHANCES)
        self._below = f"{chances:014x}" if chances < _CHANCES else "g"  # above all digits
        self._slow_s = slow_s
        self.slow_us = int(slow_s * 1e6)
        """No call is slow that took less, in microseconds."""
        self._propagates = propagates
        self._room = room
        self._ready: list[Trace] = []
        self._kept: list[Kept] = []

    @property
    def listens(self) -> bool:
        """What is said is wanted."""
        return self._room is not None

    def begin(self, call: Call) -> Trace:
        if not self._ready:
            self._ready = new_traces(self._random, MADE_AT_ONCE, self._below, told=self._propagates)
        trace = self._ready.pop()
        if call.may_be_traced:
            caller = incoming(call.headers)
            if caller is not None:
                trace.join(caller)
        return trace

    def settled(
        self, call: Call, trace: Trace, progress: Progress, row: Settlement, now: float
    ) -> None:
        """The end of a call, of which it keeps what is wanted. `now` is monotonic seconds."""
        if not (trace.sampled or self._is_odd(call, progress, now)):
            return
        said = None
        if self._room is not None and trace.listener is not None:
            said = trace.listener.said(call)
            trace.listener = None  # it holds the client's connection
            if not self._room.take(said.size_bytes):
                said = None
        limit = bytes(call.max_completion_tokens) or bytes(call.max_tokens)
        self._kept.append(
            Kept(trace, row, progress.target, limit, call.received_at, progress.first_content_at,
                 now, said)
        )  # fmt: skip

    def hand_on(self) -> None:
        """What was kept is on its way."""
        kept = self._kept
        if not kept:
            return
        self._kept = []
        for one in kept:
            if not self._keep(one) and one.said is not None and self._room is not None:
                self._room.untake(one.said.size_bytes)

    def _is_odd(self, call: Call, progress: Progress, now: float) -> bool:
        if failed(progress) or progress.troubles:
            return True
        if progress.status >= 400 and progress.status != GONE:
            return True
        until = progress.first_content_at if call.stream else now
        return (now if until is None else until) - call.received_at > self._slow_s


def failed(known: Progress | Settlement) -> bool:
    """The gateway or its upstreams are at fault."""
    return known.status >= 500 or known.finish == "incomplete"
