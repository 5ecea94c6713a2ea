"""A collector of OpenTelemetry's protocol over HTTP: decodes with the official package and keeps
every span."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.metrics.v1.metrics_pb2 import HistogramDataPoint, Metric
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from support.posted import Post, posted


class Collector:
    """`url` has no path."""

    def __init__(self) -> None:
        self.url = ""
        self.spans: list[Span] = []
        self.metrics: list[dict[str, Metric]] = []
        """By name, of each message."""
        self.services: set[str] = set()
        self.headers: list[dict[str, str]] = []
        self.refuses = False

    def answer(self, post: Post) -> tuple[int, bytes]:
        if post.path == "/v1/metrics" and not self.refuses:
            self._take_metrics(ExportMetricsServiceRequest.FromString(post.body))
            self.headers.append(post.headers)
            return 200, ExportMetricsServiceResponse().SerializeToString()
        status = 200 if post.path == "/v1/traces" and not self.refuses else 400
        if status == 200:
            self._take(ExportTraceServiceRequest.FromString(post.body))
        self.headers.append(post.headers)
        return status, ExportTraceServiceResponse().SerializeToString()

    def _take_metrics(self, request: ExportMetricsServiceRequest) -> None:
        for resource in request.resource_metrics:
            for attribute in resource.resource.attributes:
                if attribute.key == "service.name":
                    self.services.add(attribute.value.string_value)
            for scope in resource.scope_metrics:
                self.metrics.append({metric.name: metric for metric in scope.metrics})

    def _take(self, request: ExportTraceServiceRequest) -> None:
        for resource in request.resource_spans:
            for attribute in resource.resource.attributes:
                if attribute.key == "service.name":
                    self.services.add(attribute.value.string_value)
            for scope in resource.scope_spans:
                self.spans.extend(scope.spans)


@contextmanager
def collector() -> Iterator[Collector]:
    made = Collector()
    with posted(made.answer, "application/x-protobuf") as server:
        made.url = server.url
        yield made


def attributes(span: Span | HistogramDataPoint) -> dict[str, Any]:
    """By name, as values of Python."""
    found: dict[str, Any] = {}
    for one in span.attributes:
        kind = one.value.WhichOneof("value")
        assert kind is not None
        found[one.key] = getattr(one.value, kind)
    return found
