"""Spans in OpenTelemetry's protocol, by HTTP with protobuf:
https://opentelemetry.io/docs/specs/otlp/. Written by hand, since the SDK's encoder takes 70 µs for
each span where this takes a quarter; tests decode what it writes with the official package.
"""

from __future__ import annotations

import gzip
import http.client
import ipaddress
import ssl
import struct
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import urlsplit

from headrace import __version__
from headrace.platform.secrets import Secret
from headrace.platform.telemetry.protobuf import KeyValues, field, text, varint
from headrace.platform.telemetry.spans import Alike, ExportFailed, Span, SpanKind, Value

TRACES_PATH = "/v1/traces"
FAST = 1
"""Of gzip's levels: the names of attributes repeat, so that it gains as much as any."""
PLAIN_BYTES = 1024 * 1024
"""What goes to a collector on the same host is not compressed, up to this size: to copy it there
costs a tenth of that."""
RETRIED = frozenset({429, 502, 503, 504})
"""As the protocol says; all else is final."""
FIRST_WAIT_S = 0.5

_TIMES = struct.Struct("<BQBQ").pack
_OF_OURS, _OF_REMOTE = (struct.pack("<HI", 0x0185, flags) for flags in (0x101, 0x301))
"""Flags: sampled, and whether the parent is remote, which is known."""
_KINDS = {SpanKind.SERVER: b"\x30\x02", SpanKind.CLIENT: b"\x30\x03"}
_FAILED = b"\x7a\x02\x18\x02"
"""Field 15, a status: its field 3, the code, is ERROR."""


class Collector:
    """Posts messages to one collector."""

    def __init__(
        self, url: str, path: str, headers: Mapping[str, Secret], timeout_s: float
    ) -> None:
        """`path` is taken where the URL has none. `timeout_s` is for one message, repetitions
        included."""
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port
        self._path = parts.path if parts.path.strip("/") else path
        if parts.query:
            self._path += f"?{parts.query}"
        self._plain_bytes = PLAIN_BYTES if _is_here(self._host) else 0
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        self._headers = dict(headers)
        self._timeout_s = timeout_s
        self._closed = threading.Event()

    def send(self, message: bytes) -> None:
        """Raises ExportFailed."""
        headers = {"content-type": "application/x-protobuf"}
        headers |= {name: secret.reveal() for name, secret in self._headers.items()}
        if len(message) > self._plain_bytes:
            message = gzip.compress(message, FAST)
            headers["content-encoding"] = "gzip"
        until, wait_s = time.monotonic() + self._timeout_s, FIRST_WAIT_S
        while True:
            failure = self._post(message, headers, max(0.1, until - time.monotonic()))
            if failure is None:
                return
            if time.monotonic() + wait_s >= until or self._closed.wait(wait_s):
                raise ExportFailed(failure)
            wait_s *= 2

    def close(self) -> None:
        self._closed.set()

    def _post(self, body: bytes, headers: Mapping[str, str], timeout_s: float) -> str | None:
        """Why it may be tried again; None if the batch was taken. Raises ExportFailed."""
        made: http.client.HTTPConnection
        if self._tls is None:
            made = http.client.HTTPConnection(self._host, self._port, timeout=timeout_s)
        else:
            made = http.client.HTTPSConnection(
                self._host, self._port, timeout=timeout_s, context=self._tls
            )
        try:
            made.request("POST", self._path, body, headers)
            status = made.getresponse().status
        except (OSError, http.client.HTTPException) as error:
            return f"{type(error).__name__}: {error}"
        finally:
            made.close()
        if 200 <= status < 300:
            return None
        if status in RETRIED:
            return f"status {status}"
        raise ExportFailed(f"the collector answered {status}")


def _is_here(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class OtlpExporter:
    """Sends batches of spans."""

    def __init__(
        self, url: str, headers: Mapping[str, Secret], timeout_s: float, resource: Mapping[str, str]
    ) -> None:
        self._collector = Collector(url, TRACES_PATH, headers, timeout_s)
        self._resource, self._scope = resource_of(resource), SCOPE
        self._encoder = SpanEncoder()

    def export(self, spans: Sequence[Span]) -> None:
        """Raises ExportFailed."""
        told = field(2, self._scope + self._encoder.encoded(spans))
        self._collector.send(field(1, self._resource + told))

    def close(self) -> None:
        self._collector.close()


class SpanEncoder:
    """Makes messages of spans. For one thread."""

    def __init__(self) -> None:
        self._known = KeyValues(9)
        self._told: Mapping[str, Value] = {}
        self._told_as = b""

    def encoded(self, spans: Sequence[Span]) -> bytes:
        """Messages `Span`, as fields of `ScopeSpans`."""
        pieces: list[bytes] = []
        fields = self._known.fields
        for span in spans:
            parent = span.parent_id
            if span.told is not self._told:  # spans of one trace follow each other
                self._told, self._told_as = span.told, fields(span.told)
            message = b"".join((
                b"\x0a\x10",
                span.trace_id,
                b"\x12\x08",
                span.span_id,
                text(3, span.trace_state) if span.trace_state else b"",
                b"\x22\x08" if parent else b"",
                parent,
                span.alike.encoded or self._encoded(span.alike),
                _TIMES(0x39, span.start_ns, 0x41, span.end_ns),
                self._told_as,
                fields(span.attributes) if span.attributes else b"",
                _FAILED if span.failed else b"",
                _OF_REMOTE if parent and span.parent_is_remote else _OF_OURS,
            ))  # fmt: skip
            pieces.append(b"\x12" + varint(len(message)))
            pieces.append(message)
        return b"".join(pieces)

    def _encoded(self, alike: Alike) -> bytes:
        alike.encoded = (
            text(5, alike.name) + _KINDS[alike.kind] + self._known.fields(alike.attributes)
        )
        return alike.encoded


def resource_of(resource: Mapping[str, str]) -> bytes:
    """Who tells, as the field of a request's first level."""
    told: dict[str, Value] = {**resource, "service.version": __version__}
    return field(1, KeyValues(1).fields(told))


SCOPE: Final = field(1, text(1, "headrace") + text(2, __version__))
