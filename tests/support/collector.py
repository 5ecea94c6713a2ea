"""A collector of OpenTelemetry's protocol over HTTP: decodes with the official package and keeps
every span."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from support.posted import Post, posted


class Collector:
    """`url` has no path."""

    def __init__(self) -> None:
        self.url = ""
        self.spans: list[Span] = []
        self.services: set[str] = set()
        self.headers: list[dict[str, str]] = []
        self.refuses = False

    def answer(self, post: Post) -> tuple[int, bytes]:
        status = 200 if post.path == "/v1/traces" and not self.refuses else 400
        if status == 200:
            self._take(ExportTraceServiceRequest.FromString(post.body))
        self.headers.append(post.headers)
        return status, ExportTraceServiceResponse().SerializeToString()

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


def attributes(span: Span) -> dict[str, Any]:
    """By name, as values of Python."""
    found: dict[str, Any] = {}
    for one in span.attributes:
        kind = one.value.WhichOneof("value")
        assert kind is not None
        found[one.key] = getattr(one.value, kind)
    return found
