"""Exporters for OpenTelemetry's SDK, behind our own queue: of the SDK only the encoding and the
transport are used. Needs the extra `otel`, for Azure Monitor `azure-monitor`."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from headrace import __version__
from headrace.errors import Setup
from headrace.platform.secrets import Secret
from headrace.platform.telemetry.spans import ExportFailed, Span, SpanKind

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export import SpanExportResult


class _Taker(Protocol):
    """What all exporters of the SDK have."""

    def export(self, spans: Sequence[ReadableSpan], /) -> SpanExportResult: ...

    def shutdown(self) -> None: ...


class SdkExporter:
    """Hands our spans to an exporter of the SDK."""

    def __init__(self, taker: _Taker, resource: Mapping[str, str]) -> None:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.util.instrumentation import InstrumentationScope

        self._taker = taker
        self._resource: Resource = Resource.create({**resource, "service.version": __version__})
        self._scope = InstrumentationScope("headrace", __version__)

    def export(self, spans: Sequence[Span]) -> None:
        """Raises ExportFailed."""
        from opentelemetry.sdk.trace.export import SpanExportResult

        if self._taker.export([self._readable(s) for s in spans]) is not SpanExportResult.SUCCESS:
            raise ExportFailed("the collector did not take the spans")

    def close(self) -> None:
        self._taker.shutdown()

    def _readable(self, span: Span) -> ReadableSpan:
        from opentelemetry.sdk.trace import ReadableSpan
        from opentelemetry.trace import SpanContext, Status, StatusCode, TraceFlags, TraceState
        from opentelemetry.trace import SpanKind as SdkKind

        sampled, state = TraceFlags(TraceFlags.SAMPLED), TraceState.from_header([span.trace_state])
        trace_id, of = int.from_bytes(span.trace_id), span.alike
        parent = None
        if span.parent_id:
            parent = SpanContext(
                trace_id, int.from_bytes(span.parent_id), span.parent_is_remote, sampled, state
            )
        return ReadableSpan(
            name=of.name,
            context=SpanContext(trace_id, int.from_bytes(span.span_id), False, sampled, state),
            parent=parent,
            resource=self._resource,
            attributes=span.all_attributes,
            kind=SdkKind.SERVER if of.kind is SpanKind.SERVER else SdkKind.CLIENT,
            status=Status(StatusCode.ERROR if span.failed else StatusCode.UNSET),
            start_time=span.start_ns,
            end_time=span.end_ns,
            instrumentation_scope=self._scope,
        )


def azure_monitor_exporter(connection_string: Secret, resource: Mapping[str, str]) -> SdkExporter:
    """To Application Insights. Raises Setup if it is not installed, or the text is none."""
    # Nothing is told to anybody else of how the exporter fares.
    os.environ.setdefault("APPLICATIONINSIGHTS_STATSBEAT_DISABLED_ALL", "true")
    os.environ.setdefault("APPLICATIONINSIGHTS_SDKSTATS_DISABLED", "true")
    try:
        from azure.monitor.opentelemetry.exporter import AzureMonitorTraceExporter
    except ImportError as error:
        raise _missing("azure_monitor", "azure-monitor") from error
    _quiet("opentelemetry", "azure")
    try:
        taker = AzureMonitorTraceExporter(
            connection_string=connection_string.reveal(), disable_offline_storage=True
        )
    except ValueError as error:
        raise Setup(
            "The connection string of telemetry.traces is not one of Azure Monitor.",
            "Copy it from the resource's overview: it begins with `InstrumentationKey=`.",
        ) from error
    return SdkExporter(taker, resource)


def console_exporter(resource: Mapping[str, str]) -> SdkExporter:
    """JSON on standard error, for trying. Raises Setup if it is not installed."""
    try:
        from opentelemetry.sdk.trace.export import ConsoleSpanExporter
    except ImportError as error:
        raise _missing("console", "otel") from error
    return SdkExporter(ConsoleSpanExporter(out=sys.stderr), resource)


def _missing(to: str, extra: str) -> Setup:
    return Setup(
        f"telemetry.traces with `to: {to}` needs a package that is not installed.",
        f"pip install 'headrace[{extra}]'",
    )


def _quiet(*names: str) -> None:
    """The queue tells once that a collector is away; these would tell for each batch."""
    for name in names:
        logging.getLogger(name).setLevel(logging.CRITICAL)
