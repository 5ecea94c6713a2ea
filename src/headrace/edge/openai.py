"""OpenAI's dialect as clients see it: errors, events and lists.

https://platform.openai.com/docs/guides/error-codes
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import msgspec

from headrace.edge.faces import FACES
from headrace.errors import Refused
from headrace.gateway.catalogue import Listed

_encode = msgspec.json.Encoder().encode

JSON_TYPE = b"content-type: application/json\r\n"
SSE_HEAD = (
    b"content-type: text/event-stream; charset=utf-8\r\n"
    b"cache-control: no-cache\r\n"
    b"x-accel-buffering: no\r\n"
)


def status_of(refused: Refused) -> int:
    """The HTTP status of a refusal."""
    return refused.status or FACES[refused.reason].status


def error_headers(refused: Refused) -> bytes:
    """Header lines of a refusal, besides those of every answer."""
    lines = JSON_TYPE
    if refused.retry_after_s is not None:
        lines += b"retry-after: %d\r\n" % max(1, math.ceil(refused.retry_after_s))
    if refused.exhausted:
        lines += b"x-should-retry: false\r\n"
    return lines


def error(refused: Refused, call_id: str) -> dict[str, Any]:
    """The `error` object."""
    return {
        "message": f"{refused.detail} (request id: {call_id})",
        "type": FACES[refused.reason].type,
        "param": refused.param,
        "code": refused.reason.value,
        "request_id": call_id,
    }


def error_body(refused: Refused, call_id: str) -> bytes:
    return _encode({"error": error(refused, call_id)})


def error_event(refused: Refused, call_id: str) -> bytes:
    """The fault inside a stream: the SDKs raise on it, and no `[DONE]` follows."""
    return b"data: %b\n\n" % error_body(refused, call_id)


def model(one: Listed, created: int) -> dict[str, Any]:
    """OpenAI's own members, then the catalogue's."""
    own = {"id": one.name, "object": "model", "created": created, "owned_by": "headrace"}
    if "retires_on" in one.facts:
        own["shutdown_date"] = one.facts["retires_on"]
    return own | one.facts


def model_body(one: Listed, created: int) -> bytes:
    return _encode(model(one, created))


def models_body(listed: Sequence[Listed], created: int) -> bytes:
    return _encode({"object": "list", "data": [model(one, created) for one in listed]})


def readiness_body(missing: Sequence[str]) -> bytes:
    return _encode({"status": "not ready" if missing else "ready", "missing": list(missing)})
