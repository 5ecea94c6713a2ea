"""What a client says in its headers, as far as the gateway heeds it."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

_HEEDED = frozenset(
    (
        b"authorization",
        b"x-request-id",
        b"api-key",
        b"x-api-key",
        b"anthropic-version",
        b"content-encoding",
        b"idempotency-key",
        b"x-stainless-retry-count",
        b"x-headrace-priority",
        b"x-headrace-explain",
        b"x-headrace-request-type",
        b"traceparent",
    )
)


class Said(Struct, gc=False):
    """Values as they came."""

    request_id: bytes | None = None
    credential: bytes | None = None
    """Of `Authorization: Bearer`, else of `api-key` or `x-api-key`."""
    encoding: bytes | None = None
    idempotency_key: str | None = None
    sdk_attempt: int | None = None
    priority: bytes | None = None
    explain: bool = False
    request_type: str | None = None
    anthropic: bool = False
    """It sends `anthropic-version`, as Anthropic's API demands."""
    traced: bool = False
    """It sends `traceparent`: the call is a part of a trace of its own."""

    def __repr__(self) -> str:
        return "Said()"

    @classmethod
    def of(cls, headers: Sequence[tuple[bytes, bytes]]) -> Said:
        """`headers` with their names in lower case."""
        said = cls()
        api_key: bytes | None = None
        for name, value in headers:
            if name not in _HEEDED:
                continue
            if name == b"authorization":
                scheme, _, token = value.partition(b" ")
                said.credential = (token.strip() or None) if scheme.lower() == b"bearer" else None
            elif name == b"x-request-id":
                said.request_id = said.request_id or value
            elif name in (b"api-key", b"x-api-key"):
                api_key = value
            elif name == b"content-encoding":
                said.encoding = value
            elif name == b"idempotency-key":
                said.idempotency_key = value.decode("latin-1")
            elif name == b"x-stainless-retry-count":
                said.sdk_attempt = int(value) if value.isdigit() and len(value) < 4 else None
            elif name == b"x-headrace-priority":
                said.priority = value
            elif name == b"x-headrace-explain":
                said.explain = value.strip() == b"1"
            elif name == b"x-headrace-request-type":
                said.request_type = value.strip().decode("latin-1")
            elif name == b"anthropic-version":
                said.anthropic = True
            elif name == b"traceparent":
                said.traced = True
        said.credential = said.credential or api_key
        return said
