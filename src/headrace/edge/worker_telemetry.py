"""What one worker measures: made with it, told to whoever asks its control socket, sent where the
configuration says."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from operator import itemgetter
from typing import Any, assert_never

from headrace.config.schema import Config
from headrace.config.telemetry import (
    AnyTraces,
    AzureMonitorTraces,
    ConsoleTraces,
    LogForm,
    OtlpMetrics,
    OtlpTraces,
)
from headrace.gateway.limits.gate import Gate
from headrace.gateway.parts import Parts
from headrace.gateway.telemetry.call_lines import CallLines, JsonLines, TextLines
from headrace.gateway.telemetry.genai_metrics import GenAiMetrics, Observed
from headrace.gateway.telemetry.genai_spans import CallSpans
from headrace.gateway.telemetry.listening import Room
from headrace.gateway.telemetry.meters import Meters
from headrace.gateway.telemetry.moment import moment
from headrace.gateway.telemetry.observer import Observer
from headrace.gateway.telemetry.snapshot import Snapshot
from headrace.gateway.telemetry.tracing import Kept, Tracer
from headrace.platform.secrets import Secrets
from headrace.platform.telemetry.lines import write_lines
from headrace.platform.telemetry.otlp import OtlpExporter
from headrace.platform.telemetry.otlp_metrics import OtlpMetricsExporter
from headrace.platform.telemetry.spans import SpanExporter
from headrace.platform.telemetry.spool import Spool

SPANS_EVERY_S = 1.0
CALLS_IN_A_BATCH = 512
COUNTED_EVERY_S = 1.0
LINES_EVERY_S = 0.2
PIECES_IN_A_BATCH = 64
"""Of lines that were made together."""
LINES_QUEUED = 50_000
"""Whoever reads the log may stop for seconds."""
STDERR = 2

Scrub = Callable[[str], str]


class WorkerTelemetry:
    """Nothing of it is there where the configuration wants none."""

    def __init__(self, config: Config, parts: Parts, secrets: Secrets, scrub: Scrub) -> None:
        """Raises Setup for a secret that cannot be read, or an exporter that is not installed."""
        self._parts = parts
        self._worker = f"{os.getpid()}-{time.time_ns():x}"
        self._spools: list[Spool[Any]] = []
        self._most_wrong: float | None = None
        self._exporters: list[SpanExporter | OtlpMetricsExporter] = []
        self.meters = Meters(config.telemetry.tenant_labels, scrub) if measures(config) else None
        self._spans: CallSpans | None = None
        traces = config.telemetry.traces
        tracer = None if traces is None else self._tracer(traces, secrets, scrub)
        lines, tell = self._telling(config.telemetry.logs, scrub)
        wanted = config.telemetry.send_metrics
        measure = None if wanted is None else self._measuring(wanted, secrets, scrub)
        self._observer: Observer | None = None
        if any(one is not None for one in (self.meters, tracer, lines, measure)):
            self._observer = Observer(self.meters, tracer, lines, tell, measure)
            parts.observer = self._observer

    def start(self) -> None:
        for spool in self._spools:
            spool.start()

    def beat(self) -> None:
        """Every now and then, from the event loop: what waits goes on its way."""
        if self._observer is not None:
            self._observer.hand_on()

    def stop(self) -> None:
        """Hands on what waits, for a few seconds at most, once no call runs. Blocks."""
        self.beat()
        for spool in self._spools:
            spool.close()
        for exporter in self._exporters:
            exporter.close()

    def take_up(self, config: Config) -> None:
        """Another configuration is in force, and with it other secrets."""
        if self.meters is not None:
            self.meters.models = frozenset(config.models)
        if self._observer is not None:
            self._observer.kinds.forget()
        if self._spans is not None:
            self._spans.forget()
        bounds = [m.cache.max_wrong_rate for m in config.models.values() if m.cache is not None]
        self._most_wrong = max((b for b in bounds if b is not None), default=None)

    def snapshot(self, gate: Gate | None) -> Snapshot | None:
        """None if nothing is counted."""
        if self.meters is None:
            return None
        self.beat()
        now = moment(self._parts, gate, time.monotonic(), time.time())
        now.most_wrong = self._most_wrong
        now.queues = {spool.name: len(spool) for spool in self._spools}
        counted = self.meters.counted()
        counted.dropped = {spool.name: spool.dropped for spool in self._spools}
        return Snapshot(self._worker, counted, now)

    def _tracer(self, traces: AnyTraces, secrets: Secrets, scrub: Scrub) -> Tracer:
        exporter = exporter_of(traces, secrets, self._worker)
        room = Room() if traces.capture_content else None
        self._spans = spans = CallSpans(scrub, traces.content_kib * 1024)

        def export(kept: list[Kept]) -> None:
            if room is not None:
                room.give(sum(one.said.size_bytes for one in kept if one.said is not None))
            exporter.export(spans.of(kept))

        spool = Spool("spans", export, most=traces.queue, batch=CALLS_IN_A_BATCH,
                      every_s=SPANS_EVERY_S)  # fmt: skip
        self._spools.append(spool)
        self._exporters.append(exporter)
        return Tracer(
            spool.put,
            random.Random(os.urandom(32)),
            share=traces.sample_share,
            slow_s=traces.slow_s,
            propagates=traces.propagate,
            room=room,
        )

    def _measuring(
        self, wanted: OtlpMetrics, secrets: Secrets, scrub: Scrub
    ) -> Callable[[Observed], object]:
        now = time.monotonic()
        headers = {name: secrets.get(ref, now) for name, ref in wanted.headers.items()}
        resource = {"service.name": wanted.service, "service.instance.id": self._worker}
        exporter = OtlpMetricsExporter(
            wanted.url, headers, wanted.timeout_s, resource, time.time_ns()
        )
        sums, sent_at = GenAiMetrics(scrub), now

        def send(last: bool) -> None:
            nonlocal sent_at
            now = time.monotonic()
            if last or now - sent_at >= wanted.every_s:
                sent_at = now
                exporter.export(sums.metrics(), time.time_ns())

        spool = Spool("metrics", sums.take, most=wanted.queue, batch=CALLS_IN_A_BATCH,
                      every_s=COUNTED_EVERY_S, then=send)  # fmt: skip
        self._spools.append(spool)
        self._exporters.append(exporter)
        return spool.put

    def _telling(
        self, form: LogForm | None, scrub: Scrub
    ) -> tuple[CallLines | None, Callable[[int, bytes], object] | None]:
        """Lines are made where calls are counted: what is read for one is at hand for the other.
        The thread only writes."""
        if form is None:
            return None, None

        def write(pieces: list[Piece]) -> None:
            write_lines(STDERR, [text for _, text in pieces])

        spool = Spool("lines", write, most=LINES_QUEUED, batch=PIECES_IN_A_BATCH,
                      every_s=LINES_EVERY_S, size_of=_calls_in)  # fmt: skip
        self._spools.append(spool)
        lines = JsonLines(scrub) if form == "json" else TextLines(scrub)
        return lines, lambda calls, text: spool.put((calls, text))


Piece = tuple[int, bytes]
"""How many lines, and what they are."""
_calls_in: Callable[[Piece], int] = itemgetter(0)


def exporter_of(traces: AnyTraces, secrets: Secrets, instance: str) -> SpanExporter:
    """Raises Setup for a secret that cannot be read, or what is not installed."""
    from headrace.platform.telemetry import opentelemetry as otel

    now = time.monotonic()
    resource = {"service.name": traces.service, "service.instance.id": instance}
    match traces:
        case OtlpTraces():
            headers = {name: secrets.get(ref, now) for name, ref in traces.headers.items()}
            return OtlpExporter(traces.url, headers, traces.timeout_s, resource)
        case AzureMonitorTraces():
            text = secrets.get(traces.connection_string, now)
            return otel.azure_monitor_exporter(text, resource)
        case ConsoleTraces():
            return otel.console_exporter(resource)
        case _:
            assert_never(traces)


def measures(config: Config) -> bool:
    """Whether calls are counted."""
    wanted = config.telemetry.metrics
    if wanted is None:
        return config.admin is not None or bool(config.alerts.notify)
    return wanted
