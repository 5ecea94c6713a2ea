"""Who is told of calls that end: one object that the pipeline knows, None if nobody wants to hear.

Told from the event loop. Of each call it keeps the row that the ledger has, too. Counting and lines
follow for many calls at once: code that runs once in each call finds its memory cold every time,
and costs a multiple of what it costs in a loop.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from headrace.data.records import Settlement
from headrace.gateway.progress import Progress
from headrace.gateway.reply import Reply
from headrace.gateway.steps import Go
from headrace.gateway.telemetry.call_lines import CallLines
from headrace.gateway.telemetry.ended import Ended
from headrace.gateway.telemetry.genai_metrics import Observed, observed
from headrace.gateway.telemetry.kinds import Kinds
from headrace.gateway.telemetry.listening import listened
from headrace.gateway.telemetry.meters import Meters
from headrace.gateway.telemetry.trace import Trace
from headrace.gateway.telemetry.tracing import Tracer
from headrace.nouns import Call, Usage

AT_ONCE = 128
"""Calls that wait at most until they are counted and their lines are on the way."""


class Observer:
    """What a worker measures."""

    def __init__(
        self,
        meters: Meters | None,
        tracer: Tracer | None = None,
        lines: CallLines | None = None,
        tell: Callable[[int, bytes], object] | None = None,
        measure: Callable[[Observed], object] | None = None,
    ) -> None:
        """`tell` takes lines that are to be written, a few at a time and how many they are,
        `measure` what is counted of one call; neither may wait."""
        self._meters = meters
        self._lines = lines
        self.kinds = Kinds(meters, lines)
        self._tracer = tracer
        self._slow_us = 0 if tracer is None else tracer.slow_us
        self._tell = tell
        self._measure = measure
        self._ended: list[Ended] = []
        self.listens = tracer is not None and tracer.listens
        """What is said in calls is wanted."""
        self.begin: Callable[[Call], Trace | None] = _none if tracer is None else tracer.begin
        """The beginning of a call, if it has one of its own."""

    def listening(self, call: Call, reply: Reply, trace: Trace | None) -> Reply:
        """The reply to answer with, so that what is said is known at the call's end."""
        if trace is None:
            return reply
        trace.listener = listened(call, reply)
        return reply if trace.listener is None else trace.listener

    def settled(
        self, call: Call, progress: Progress, usage: Usage, row: Settlement, now: float
    ) -> None:
        """The end of a call, whatever it was, and the ledger's row of it. `usage` is that of all
        its attempts; `now` is monotonic seconds."""
        trace_id = ""
        if self._tracer is not None:
            trace = progress.trace or self._tracer.begin(call)
            trace_id = trace.id
            if (
                trace.sampled
                or row.finish != "complete"
                or row.status >= 400
                or row.latency_us >= self._slow_us
                or progress.troubles
            ):  # of others, which are nearly all, nothing is kept
                self._tracer.settled(call, trace, progress, row, now)
        if self._measure is not None:
            found = observed(call, progress, usage, now)
            if found is not None:
                self._measure(found)
        ended = self._ended
        ended.append((row, trace_id, progress.content_events))
        if len(ended) >= AT_ONCE:
            self.hand_on()

    def hand_on(self) -> None:
        """What waits is counted, and its lines and traces are on the way. To be called every now
        and then: of few calls nobody should wait for the next."""
        ended = self._ended
        if ended:
            self._ended = []
            kinds = self.kinds.of(ended)
            if self._meters is not None:
                self._meters.take(ended, kinds)
            if self._lines is not None and self._tell is not None:
                self._tell(len(ended), self._lines.of(ended, kinds))
        if self._tracer is not None:
            self._tracer.hand_on()

    def tried(self, attempts: Collection[Go]) -> None:
        """All attempts of a call that met with trouble."""
        if self._meters is not None:
            self._meters.tried(attempts)

    def refused(self, reason: str) -> None:
        """A request that never became a call."""
        if self._meters is not None:
            self._meters.refused(reason)


def _none(call: Call) -> None:
    """No call has a trace."""
