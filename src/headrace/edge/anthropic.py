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
from headrace.gateway.catalogue import Listed

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


def model(one: Listed, created: int) -> dict[str, Any]:
    """Anthropic's own members, then the catalogue's, but for `capabilities`: its SDK knows another
    object by that name. Each of the `offers` has it.

    https://platform.claude.com/docs/en/api/models/list
    """
    facts = one.facts
    own = {
        "type": "model",
        "id": one.name,
        "display_name": one.name,
        "created_at": _instant(created),
        "lifecycle": "deprecated" if facts.get("deprecated") else "active",
        "max_input_tokens": facts.get("context_window"),
        "max_tokens": facts.get("max_output_tokens"),
        "deprecated_at": _midnight(facts.get("deprecated_on")),
        "retires_at": _midnight(facts.get("retires_on")),
    }
    own |= facts
    own.pop("capabilities", None)
    return own


def _instant(unix_s: int) -> str:
    at = datetime.datetime.fromtimestamp(unix_s, datetime.UTC)
    return at.isoformat().replace("+00:00", "Z")


def _midnight(day: str | None) -> str | None:
    return None if day is None else f"{day}T00:00:00Z"


def model_body(one: Listed, created: int) -> bytes:
    return _encode(model(one, created))


def models_body(listed: Sequence[Listed], created: int) -> bytes:
    ends = {"first_id": listed[0].name, "last_id": listed[-1].name} if listed else {}
    data = [model(one, created) for one in listed]
    return _encode({"data": data, "has_more": False, "first_id": None, "last_id": None} | ends)


def count_body(tokens: int) -> bytes:
    return _encode({"input_tokens": tokens})
