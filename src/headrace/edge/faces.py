"""The public face of each fault: its HTTP status and type, the same in every dialect."""

from __future__ import annotations

from typing import NamedTuple

from headrace.errors import Reason


class Face(NamedTuple):
    """`type` is OpenAI's name for the family of errors."""

    status: int
    type: str


FACES: dict[Reason, Face] = {
    Reason.BAD_BODY: Face(400, "invalid_request_error"),
    Reason.BAD_REQUEST: Face(400, "invalid_request_error"),
    Reason.BODY_TOO_LARGE: Face(413, "invalid_request_error"),
    Reason.HEADERS_TOO_LARGE: Face(431, "invalid_request_error"),
    Reason.UNSUPPORTED_ENCODING: Face(415, "invalid_request_error"),
    Reason.UNKNOWN_ROUTE: Face(404, "invalid_request_error"),
    Reason.METHOD_NOT_ALLOWED: Face(405, "invalid_request_error"),
    Reason.UNAUTHENTICATED: Face(401, "authentication_error"),
    Reason.ACCESS_NOT_GRANTED: Face(403, "permission_error"),
    Reason.ADDRESS_FORBIDDEN: Face(403, "permission_error"),
    Reason.MODEL_FORBIDDEN: Face(403, "permission_error"),
    Reason.REGION_FORBIDDEN: Face(403, "permission_error"),
    Reason.OPERATION_FORBIDDEN: Face(403, "permission_error"),
    Reason.UNKNOWN_MODEL: Face(404, "invalid_request_error"),
    Reason.UNKNOWN_FILE: Face(404, "invalid_request_error"),
    Reason.UNKNOWN_RESPONSE: Face(404, "invalid_request_error"),
    Reason.UNSUPPORTED_OPERATION: Face(400, "invalid_request_error"),
    Reason.CAPABILITY_MISSING: Face(400, "invalid_request_error"),
    Reason.TOKENS_OVER_CAP: Face(400, "invalid_request_error"),
    Reason.RATE_LIMITED: Face(429, "rate_limit_error"),
    Reason.BUDGET_SPENT: Face(429, "insufficient_quota"),
    Reason.BUDGET_AWAY: Face(503, "server_error"),
    Reason.UNSUPPORTED_BY_PROVIDER: Face(400, "invalid_request_error"),
    Reason.UPSTREAM_REJECTED: Face(400, "invalid_request_error"),
    Reason.CONTEXT_TOO_LONG: Face(400, "invalid_request_error"),
    Reason.CONTENT_FILTERED: Face(400, "invalid_request_error"),
    Reason.SCHEMA_UNMET: Face(502, "upstream_error"),
    Reason.UPSTREAM_BUSY: Face(429, "rate_limit_error"),
    Reason.UPSTREAM_FAILED: Face(502, "upstream_error"),
    Reason.UPSTREAM_TIMEOUT: Face(504, "upstream_error"),
    Reason.UPSTREAM_INTERRUPTED: Face(502, "upstream_interrupted"),
    Reason.QUEUE_FULL: Face(503, "server_error"),
    Reason.OVERLOADED: Face(503, "server_error"),
    Reason.IDEMPOTENCY_IN_FLIGHT: Face(409, "idempotency_error"),
    Reason.IDEMPOTENCY_MISMATCH: Face(422, "idempotency_error"),
    Reason.DRAINING: Face(503, "server_error"),
    Reason.IDENTITY_UNAVAILABLE: Face(503, "server_error"),
    Reason.STORE_UNAVAILABLE: Face(503, "server_error"),
    Reason.INTERNAL: Face(500, "server_error"),
}
