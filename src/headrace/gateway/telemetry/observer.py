"""Who is told of calls that end: one object that the pipeline knows, None if nobody wants to hear.

Told from the event loop, so that each part does little there and the rest elsewhere.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection

from headrace.gateway.progress import Progress
from headrace.gateway.reply import Reply
from headrace.gateway.steps import Go
from headrace.gateway.telemetry.call_lines import CallLine, line_of
from headrace.gateway.telemetry.genai_metrics import Observed, observed
from headrace.gateway.telemetry.listening import listened
from headrace.gateway.telemetry.meters import Meters
from headrace.gateway.telemetry.trace import Trace
from headrace.gateway.telemetry.tracing import Tracer
from headrace.nouns import Call


class Observer:
    """What a worker measures."""

    def __init__(
        self,
        meters: Meters | None,
        tracer: Tracer | None = None,
        tell: Callable[[CallLine], None] | None = None,
        measure: Callable[[Observed], None] | None = None,
    ) -> None:
        """`tell` takes a line for each call, `measure` what is counted of one; neither may wait."""
        self._meters = meters
        self._tracer = tracer
        self._tell = tell
        self._measure = measure
        self.listens = tracer is not None and tracer.listens
        """What is said in calls is wanted."""

    def begin(self, call: Call) -> Trace | None:
        """The beginning of a call, if it has one of its own."""
        return None if self._tracer is None else self._tracer.begin(call)

    def listening(self, call: Call, reply: Reply, trace: Trace | None) -> Reply:
        """The reply to answer with, so that what is said is known at the call's end."""
        if trace is None:
            return reply
        trace.listener = listened(call, reply)
        return reply if trace.listener is None else trace.listener

    def settled(self, call: Call, progress: Progress, now: float) -> None:
        """The end of a call, whatever it was. `now` is monotonic seconds."""
        usage = progress.usage_in_all(len(call.body))
        if self._meters is not None:
            self._meters.settled(call, progress, usage, now)
        if self._tracer is not None:
            self._tracer.settled(call, progress, usage, now)
        if self._tell is not None:
            self._tell(line_of(call, progress, usage, now, time.time()))
        if self._measure is not None:
            found = observed(call, progress, usage, now)
            if found is not None:
                self._measure(found)

    def tried(self, attempts: Collection[Go]) -> None:
        """All attempts of a call that met with trouble."""
        if self._meters is not None:
            self._meters.tried(attempts)

    def refused(self, reason: str) -> None:
        """A request that never became a call."""
        if self._meters is not None:
            self._meters.refused(reason)
