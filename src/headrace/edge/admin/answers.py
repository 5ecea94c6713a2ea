"""What the admin API says: JSON, and errors with a request id."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct
from starlette.responses import Response

from headrace.gateway.administration.faults import Why

STATUS = {
    Why.UNAUTHENTICATED: 401,
    Why.FORBIDDEN: 403,
    Why.NOT_FOUND: 404,
    Why.INVALID: 400,
    Why.CONFLICT: 409,
    Why.UNAVAILABLE: 503,
}
JSON = "application/json"
_encode = msgspec.json.Encoder().encode


class Fault(Struct, frozen=True, kw_only=True):
    """Why nothing was done."""

    message: str
    code: str
    param: str | None
    """The field at fault."""
    request_id: str


class ErrorBody(Struct, frozen=True, kw_only=True):
    """The body of each answer that is no 2xx."""

    error: Fault


def answered(value: Any, status: int, request_id: str, media: str = JSON) -> Response:
    return Response(
        _encode(value) if media == JSON else value,
        status,
        {"x-request-id": request_id, "cache-control": "no-store", "content-type": media},
    )


def refused(
    status: int,
    code: str,
    message: str,
    request_id: str,
    *,
    param: str | None = None,
    headers: dict[str, str] | None = None,
) -> Response:
    fault = Fault(
        message=f"{message} (request id: {request_id})",
        code=code,
        param=param,
        request_id=request_id,
    )
    response = answered(ErrorBody(error=fault), status, request_id)
    response.headers.update(headers or {})
    return response
