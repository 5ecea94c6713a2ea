"""Spans as plain data, before any exporter has seen them."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from typing import Protocol

from msgspec import Struct

Value = str | int | float | bool


class SpanKind(enum.StrEnum):
    """As OpenTelemetry has them. Strings, for an `Enum` is hashed in Python."""

    SERVER = "server"
    CLIENT = "client"


class Alike:
    """What many spans have alike: one object for all of them, so that it is encoded once."""

    __slots__ = ("attributes", "encoded", "kind", "name")

    def __init__(self, name: str, kind: SpanKind, attributes: dict[str, Value]) -> None:
        self.name = name
        self.kind = kind
        self.attributes = attributes
        self.encoded = b""
        """For the exporter, what it has made of the rest."""


class Span(Struct, frozen=True, gc=False):
    """One span that ended. Ids are as in W3C's trace context; times are Unix nanoseconds. Nothing
    in it is a secret: whoever makes it sees to that."""

    alike: Alike
    trace_id: bytes
    span_id: bytes
    parent_id: bytes
    """b"" if it has none."""
    parent_is_remote: bool
    start_ns: int
    end_ns: int
    told: Mapping[str, Value]
    """Attributes that it has alike with others of its trace."""
    attributes: Mapping[str, Value]
    """Its own."""
    failed: bool = False
    trace_state: str = ""

    @property
    def all_attributes(self) -> dict[str, Value]:
        return {**self.alike.attributes, **self.told, **self.attributes}


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
