"""The closed set of faults. Each has a public face, which a client may see, and a private cause,
which only the log may hold."""

from __future__ import annotations

import enum
import errno
import os


class Reason(enum.Enum):
    """Why a call was not answered. The value is the public `code` of the error."""

    BAD_BODY = "invalid_json"
    BAD_REQUEST = "bad_request"
    BODY_TOO_LARGE = "request_too_large"
    HEADERS_TOO_LARGE = "headers_too_large"
    UNSUPPORTED_ENCODING = "unsupported_content_encoding"
    UNKNOWN_ROUTE = "unknown_url"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    UNAUTHENTICATED = "invalid_api_key"
    ACCESS_NOT_GRANTED = "access_not_granted"
    ADDRESS_FORBIDDEN = "address_not_allowed"
    MODEL_FORBIDDEN = "model_not_allowed"
    REGION_FORBIDDEN = "region_not_allowed"
    OPERATION_FORBIDDEN = "operation_not_allowed"
    UNKNOWN_MODEL = "model_not_found"
    UNKNOWN_FILE = "file_not_found"
    UNKNOWN_RESPONSE = "previous_response_not_found"
    UNSUPPORTED_OPERATION = "unsupported_operation"
    CAPABILITY_MISSING = "capability_missing"
    TOKENS_OVER_CAP = "max_tokens_too_large"
    RATE_LIMITED = "rate_limit_exceeded"
    BUDGET_SPENT = "insufficient_quota"
    BUDGET_AWAY = "budget_unavailable"
    UNSUPPORTED_BY_PROVIDER = "unsupported_by_provider"
    UPSTREAM_REJECTED = "upstream_rejected"
    CONTEXT_TOO_LONG = "context_length_exceeded"
    CONTENT_FILTERED = "content_filter"
    SCHEMA_UNMET = "schema_unmet"
    UPSTREAM_BUSY = "upstream_busy"
    UPSTREAM_FAILED = "upstream_failed"
    UPSTREAM_TIMEOUT = "upstream_timeout"
    UPSTREAM_INTERRUPTED = "stream_incomplete"
    QUEUE_FULL = "queue_full"
    OVERLOADED = "overloaded"
    IDEMPOTENCY_IN_FLIGHT = "idempotency_key_in_flight"
    IDEMPOTENCY_MISMATCH = "idempotency_key_mismatch"
    DRAINING = "draining"
    IDENTITY_UNAVAILABLE = "identity_provider_unavailable"
    STORE_UNAVAILABLE = "store_unavailable"
    INTERNAL = "internal_error"


class Refused(Exception):  # noqa: N818 - reads as what happened: the call was refused
    """A call that ends with an error for the client.

    `detail` is the public sentence: friendly, specific, says what to do. `cause` is private: it
    may quote an upstream and goes to the log alone. `param` names the field of the request at
    fault. `retry_after_s` is seconds until a new try makes sense.
    """

    def __init__(
        self,
        reason: Reason,
        detail: str,
        *,
        param: str | None = None,
        retry_after_s: float | None = None,
        cause: str | None = None,
        status: int | None = None,
    ) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail
        self.param = param
        self.retry_after_s = retry_after_s
        self.cause = cause
        self.status = status
        """Overrides the reason's usual HTTP status (an upstream's own 4xx)."""
        self.exhausted = False
        """All that could be tried was: the client's SDK is told not to try again by itself."""


class Setup(Exception):  # noqa: N818
    """Headrace cannot start or do a command: says what is wrong and what to do, for a person.

    `hint` is the command or change that mends it.
    """

    exit_code = 3

    def __init__(self, problem: str, hint: str | None = None) -> None:
        super().__init__(problem if hint is None else f"{problem}\n{hint}")
        self.problem = problem
        self.hint = hint


class Misused(Setup):
    """The command line asks for what no configuration and no set-up would make possible."""

    exit_code = 2


def cannot_listen(host: str, port: int, error: OSError) -> Setup:
    """Why an address cannot be served, and what to do."""
    if error.errno == errno.EADDRINUSE:
        hint = f"Choose another port: `--port {port % 65535 + 1}`, or stop what uses it."
    elif error.errno == errno.EACCES:
        hint = "Ports below 1024 are for privileged users: choose one above, such as `--port 8080`."
    else:
        hint = "Choose an address of this machine: `--host 127.0.0.1`, or 0.0.0.0 for all of them."
    number = error.errno or 0  # negative if the name has no address
    told = os.strerror(number) if number > 0 else error.strerror
    return Setup(f"Cannot listen on {host}:{port}: {told}.", hint)


def install_extra(name: str) -> str:
    """How an optional dependency is installed: the hint of a Setup."""
    return (
        f"Install it with: pip install 'headrace[{name}]', or in a clone: make extras EXTRAS={name}"
    )
