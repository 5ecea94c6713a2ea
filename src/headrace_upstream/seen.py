"""What the upstream saw: one record per call, and the counts."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from msgspec import Struct

Ended = Literal["in_flight", "completed", "faulted", "client_gone"]


class Seen(Struct, kw_only=True):
    """One call. Header names are lower case. Times: `time_s` wall seconds; `begun_ns`, `ended_ns`
    CLOCK_MONOTONIC nanoseconds, comparable between processes of one machine."""

    seq: int
    time_s: float
    begun_ns: int
    tag: str
    method: str
    path: str
    """With its query."""
    headers: dict[bytes, bytes]
    body: bytes
    model: str = ""
    deployment: str = ""
    stream: bool = False
    status: int = 0
    fault: str | None = None
    tokens_in: int = 0
    """As the complete answer reports them; 0 for a refusal."""
    tokens_out: int = 0
    """Likewise."""
    ended: Ended = "in_flight"
    ended_ns: int = 0
    bytes_sent: int = 0
    """Body bytes handed to the socket, without chunk framing."""
    tokens_sent: int = 0
    """Tokens of the answer that were handed to the socket."""

    def header(self, name: str) -> str | None:
        value = self.headers.get(name.lower().encode())
        return None if value is None else value.decode("latin-1")

    def json(self) -> Any:
        """The body, parsed."""
        return msgspec.json.decode(self.body) if self.body else None

    def public(self) -> dict[str, Any]:
        """As `GET /_seen` shows it: credentials are shortened."""
        fields = {name: getattr(self, name) for name in self.__struct_fields__}
        fields["headers"] = {
            name.decode("latin-1"): _shown(name, value) for name, value in self.headers.items()
        }
        fields["body"] = self.body.decode("utf-8", "replace")
        return fields


class Stats(Struct):
    """Counts since the start or the last `DELETE /_seen`; the open ones are of this moment."""

    connections_open: int = 0
    connections_total: int = 0
    connections_refused: int = 0
    calls: int = 0
    in_flight: int = 0
    completed: int = 0
    faulted: int = 0
    client_gone: int = 0
    bad_requests: int = 0
    """Bytes that were not HTTP, and requests that ended before they were complete."""


def _shown(name: bytes, value: bytes) -> str:
    text = value.decode("latin-1")
    if name in (b"authorization", b"api-key", b"x-api-key") and len(text) > 8:
        return text[:6] + "…" + text[-2:]
    return text
