"""Anthropic's dialect as clients see it: errors, events and lists.

https://platform.claude.com/docs/en/api/errors
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Any

import msgspec

from headrace.edge import openai
from headrace.errors import Reason, Refused

_encode = msgspec.json.Encoder().encode

OVERLOADED = 529
_TYPES = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    OVERLOADED: "overloaded_error",
}
_BUSY = frozenset({Reason.UPSTREAM_BUSY, Reason.QUEUE_FULL, Reason.OVERLOADED, Reason.DRAINING})
"""What Anthropic calls overloaded, where other dialects have a 503."""


def status_of(refused: Refused) -> int:
    """The HTTP status of a refusal."""
    status = openai.status_of(refused)
    return OVERLOADED if status == 503 and refused.reason in _BUSY else status


def error_body(refused: Refused, call_id: str) -> bytes:
    """`details.error_code` is what `code` is in OpenAI's dialect."""
    status = status_of(refused)
    usual = "api_error" if status >= 500 else "invalid_request_error"
    error: dict[str, Any] = {
        "type": _TYPES.get(status, usual),
        "message": f"{refused.detail} (request id: {call_id})",
        "details": {"error_code": refused.reason.value},
    }
    if refused.param is not None:
        error["details"]["param"] = refused.param
    return _encode({"type": "error", "error": error, "request_id": call_id})


def error_event(refused: Refused, call_id: str) -> bytes:
    """The fault inside a stream: the SDKs raise on it, and no `message_stop` follows."""
    return b"event: error\ndata: %b\n\n" % error_body(refused, call_id)


def model(name: str, created: int) -> dict[str, Any]:
    at = datetime.datetime.fromtimestamp(created, datetime.UTC)
    return {
        "type": "model",
        "id": name,
        "display_name": name,
        "created_at": at.isoformat().replace("+00:00", "Z"),
    }


def model_body(name: str, created: int) -> bytes:
    return _encode(model(name, created))


def models_body(names: Sequence[str], created: int) -> bytes:
    listed = [model(name, created) for name in names]
    ends = {"first_id": names[0], "last_id": names[-1]} if names else {}
    return _encode({"data": listed, "has_more": False, "first_id": None, "last_id": None} | ends)


def count_body(tokens: int) -> bytes:
    return _encode({"input_tokens": tokens})
