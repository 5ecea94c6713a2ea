"""Spans as plain data, before any exporter has seen them."""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec
from msgspec import Struct

Value = str | int | float | bool


class SpanKind(enum.StrEnum):
    """As OpenTelemetry has them. Strings, for an `Enum` is hashed in Python."""

    SERVER = "server"
    CLIENT = "client"


class Shared:
    """Attributes that many spans have alike: one object for all of them, so that it is searched for
    secrets and encoded once for a batch."""

    __slots__ = ("values",)

    def __init__(self, values: dict[str, Value]) -> None:
        self.values = values


class Span(Struct, frozen=True):
    """One span that ended. Ids are as in W3C's trace context; times are Unix nanoseconds."""

    name: str
    kind: SpanKind
    trace_id: int
    span_id: int
    parent_id: int | None
    parent_is_remote: bool
    start_ns: int
    end_ns: int
    attributes: dict[str, Value]
    """Its own; see `shared`."""
    failed: bool = False
    trace_state: str = ""
    shared: tuple[Shared, ...] = ()

    @property
    def all_attributes(self) -> dict[str, Value]:
        found: dict[str, Value] = {}
        for shared in self.shared:
            found |= shared.values
        return found | self.attributes


def scrubbed(spans: list[Span], scrub: Callable[[str], str]) -> list[Span]:
    """Without secrets in names that clients chose. One search for all texts of all spans, since
    most have none, and a look at each only where there was something."""
    texts: list[str] = []
    for shared in {shared for span in spans for shared in span.shared}:
        texts += [value for value in shared.values.values() if isinstance(value, str)]
    for span in spans:
        texts += (span.name, span.trace_state)
        texts += [value for value in span.attributes.values() if isinstance(value, str)]
    together = "\0".join(texts)
    if scrub(together) == together:
        return spans
    return [_scrubbed(span, scrub) for span in spans]


def _scrubbed(span: Span, scrub: Callable[[str], str]) -> Span:
    attributes: dict[str, Value] = {
        name: scrub(value) if isinstance(value, str) else value
        for name, value in span.all_attributes.items()
    }
    state = "" if scrub(span.trace_state) != span.trace_state else span.trace_state
    return msgspec.structs.replace(
        span, name=scrub(span.name), trace_state=state, attributes=attributes, shared=()
    )


class ExportFailed(Exception):  # noqa: N818 - the name says what happened
    """A batch is lost. `str()` is for the log."""


class SpanExporter(Protocol):
    """Takes batches from one thread."""

    def export(self, spans: Sequence[Span]) -> None:
        """May block for seconds. Raises ExportFailed."""
        ...

    def close(self) -> None:
        """Gives up what it waits for."""
        ...
