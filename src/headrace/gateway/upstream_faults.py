"""What an upstream's fault becomes for a client: a sentence of ours, never the upstream's text.

An upstream's body is hostile until shown otherwise: it may hold host names, keys, stack traces.
Of it a client sees at most a code that we know and the name of a member that the client itself
sent. The rest goes to the log, under the call's id.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec
from msgspec import Struct

from headrace.errors import Reason, Refused
from headrace.gateway.failure import Failure, Kind
from headrace.gateway.retry_after import retry_after, retry_info
from headrace.platform.http.messages import Fault, TransportError

CAUSE_LIMIT = 2_000
"""Characters of an upstream's text that the log keeps."""
OWN_WORDS = 500
"""Characters of a local model's text that a client is shown."""

CLIENT_CODES = frozenset(
    {
        "invalid_value", "invalid_type", "missing_required_parameter", "unknown_parameter",
        "unsupported_parameter", "unsupported_value", "integer_above_max_value",
        "integer_below_min_value", "decimal_above_max_value", "decimal_below_min_value",
        "string_above_max_length", "array_above_max_length", "empty_array", "invalid_image_url",
        "invalid_image_format", "image_too_large", "invalid_base64", "invalid_function_parameters",
        "invalid_json_schema", "unsupported_model", "invalid_prompt",
    }
)  # fmt: skip
_CONTEXT_CODES = {"context_length_exceeded", "exceed_context_size_error", "string_above_max_length"}
_CONTEXT_WORDS = re.compile(
    r"maximum context length|context (?:size|window|length)|prompt is too long|"
    r"input is too long|input length and .?max_tokens.? exceed|too many tokens|"
    r"tokens? (?:count .{0,16})?exceeds? (?:the )?maximum",
    re.IGNORECASE,
)
_FILTER_CODES = {"content_filter", "content_policy_violation", "ResponsibleAIPolicyViolation"}
_KINDS = {
    Reason.UPSTREAM_BUSY: Kind.THROTTLED,
    Reason.CONTEXT_TOO_LONG: Kind.CONTEXT,
    Reason.CONTENT_FILTERED: Kind.FILTERED,
    Reason.UNKNOWN_MODEL: Kind.NO_SUCH_MODEL,
    Reason.UPSTREAM_REJECTED: Kind.REJECTED,
}
_SPENT = re.compile(
    rb"insufficient_quota|billing_hard_limit_reached|credit_balance_(?:exhausted|too_low)|"
    rb"enforced_spend_limit_reached|quota_exceeded_for_month|"
    rb'"quotaId"\s*:\s*"[A-Za-z]{1,64}PerDay|API calls / month'
)
"""Of a 429 that waiting for a little does not cure: codes of OpenAI and Anthropic, a day's quota
of Google, a month's of Cohere."""
_OWN_KEY = re.compile(rb'"(?:API_KEY_INVALID|FAILED_PRECONDITION)"')
"""Google's words, under status 400, for what only whoever runs the gateway can mend."""
_NO_CREDIT = re.compile(r"credit balance is too low", re.IGNORECASE)
"""Anthropic's words for it under status 400, whose type is that of a bad request."""
_FILTER_WORDS = re.compile(r"blocked by (?:our )?content filter", re.IGNORECASE)
_PASSED_ON = {400, 409, 413, 415, 422, 451}
"""An upstream's statuses that tell a client something of its own request."""
_OF_SERVERS = {408, 424, 425}
"""Statuses below 500 for faults of the upstream itself; 424 is Bedrock's for a model's."""
_MEMBER = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")


class _Fault(Struct):
    message: str | None = None
    type: str | None = None
    param: str | None = None
    code: str | int | None = None


class _Body(_Fault):
    """AWS, Cohere and Mistral have the fault's members at the top."""

    error: _Fault | str | None = None


_bodies = msgspec.json.Decoder(_Body)


def failure_of_status(
    status: int, headers: Mapping[bytes, bytes], body: bytes, asked: bytes
) -> Failure:
    """What follows from an upstream's answer other than 200."""
    refused = refusal_of_status(status, headers, body, asked)
    kind = _KINDS.get(refused.reason, Kind.SERVER)
    if _is_denied(status, body):
        kind = Kind.DENIED
    elif kind is Kind.THROTTLED and (status in (400, 402) or _is_spent(body)):
        kind = Kind.SPENT
    return Failure(kind, refused, retry_after(headers) or retry_info(body))


def failure_of_kept(reason: Reason, body: bytes) -> Failure:
    """What follows where an upstream no longer has what it kept, which says nothing of its
    health."""
    refused = Refused(
        reason,
        "The provider no longer keeps this file. Upload it again."
        if reason is Reason.UNKNOWN_FILE
        else "The provider no longer keeps this response.",
        cause=f"upstream status 404: {_shown(body)}",
    )
    return Failure(Kind.REJECTED, refused)


def tell_in_own_words(failure: Failure, body: bytes) -> None:
    """Of a model that runs in this gateway's own house: what it says of a request is for the client
    to read."""
    message = _fault_of(body).message
    if message and failure.refused.reason is Reason.UPSTREAM_REJECTED:
        failure.refused.detail = f"The model did not accept this request: {message[:OWN_WORDS]}"


def failure_of_error(error: bytes, asked: bytes) -> Failure:
    """What follows from an error object where an answer was due (F11)."""
    body = b'{"error":%b}' % error
    code = _fault_of(body).code
    status = code if isinstance(code, int) and 400 <= code < 600 else 500
    if str(code) in _FILTER_CODES or str(code) in _CONTEXT_CODES:
        status = 400
    return failure_of_status(status, {}, body, asked)


def failure_of_transport(error: TransportError) -> Failure:
    """What follows when the exchange itself broke."""
    refused = refusal_of_transport(error)
    if error.fault in (Fault.FIRST_BYTE_TIMEOUT, Fault.IDLE_TIMEOUT):
        return Failure(Kind.SLOW, refused)
    if error.fault is Fault.STALE:
        return Failure(Kind.STALE, refused)
    return Failure(Kind.CUT if error.response_started else Kind.UNREACHABLE, refused)


def failure_of_timeout(cause: str) -> Failure:
    """What follows when an upstream took too long."""
    return Failure(Kind.SLOW, refusal_of_timeout(cause))


def failure_of_bad_answer(cause: str) -> Failure:
    """What follows when a 200 held something else than an answer."""
    return Failure(Kind.SERVER, refusal_of_bad_answer(cause))


def failure_of_cut(cause: str) -> Failure:
    """What follows when a stream broke off before its first content."""
    return Failure(Kind.CUT, refusal_of_bad_answer(cause))


def refusal_of_status(
    status: int, headers: Mapping[bytes, bytes], body: bytes, asked: bytes
) -> Refused:
    """What a client is told of an upstream's answer other than 200. `asked` is the client's own
    body, by which the names it may be told are checked."""
    fault = _fault_of(body)
    cause = f"upstream status {status}: {_shown(body)}"
    code = str(fault.code) if fault.code is not None else ""
    retry_after_s = retry_after(headers) or retry_info(body)
    if _is_denied(status, body):
        return Refused(
            Reason.UPSTREAM_FAILED,
            "The model's provider did not accept this gateway's own credential. Your request was "
            "fine; whoever runs the gateway has to mend it.",
            cause=cause,
        )
    quota = headers.get(b"x-amzn-errortype", b"").startswith(b"ServiceQuotaExceeded")
    if status in (429, 402) or quota or (status == 400 and _says(fault, _NO_CREDIT)):
        return Refused(
            Reason.UPSTREAM_BUSY,
            "The model is at its provider's limit just now. Please try again shortly.",
            retry_after_s=5.0 if retry_after_s is None else retry_after_s,
            cause=cause,
        )
    if status in (400, 413) and _is_context(code, fault):
        return Refused(
            Reason.CONTEXT_TOO_LONG,
            "The conversation is longer than this model can read. Shorten the messages, ask for "
            "fewer output tokens, or use a model with a larger context window.",
            param="messages",
            cause=cause,
            status=400,
        )
    if status == 400 and (
        code in _FILTER_CODES or fault.type in _FILTER_CODES or _says(fault, _FILTER_WORDS)
    ):
        return Refused(
            Reason.CONTENT_FILTERED,
            "The provider's content filter did not let this request through. Please rephrase it.",
            cause=cause,
        )
    if status == 404:
        return Refused(
            Reason.UNKNOWN_MODEL,
            "The provider does not have the model that this name leads to. Check the model's "
            "name; if it is right, whoever runs the gateway has to check its backend.",
            param="model",
            cause=cause,
        )
    if 400 <= status < 500 and status not in _OF_SERVERS:
        return _rejected(status, code, fault, asked, cause)
    return Refused(
        Reason.UPSTREAM_FAILED,
        "The model's provider had a fault of its own. Please try again in a moment.",
        retry_after_s=1.0 if retry_after_s is None else retry_after_s,
        cause=cause,
    )


def refusal_of_transport(error: TransportError) -> Refused:
    """What a client is told when the exchange itself broke."""
    if error.fault in (Fault.FIRST_BYTE_TIMEOUT, Fault.IDLE_TIMEOUT, Fault.CONNECT_TIMEOUT):
        return refusal_of_timeout(str(error))
    return Refused(
        Reason.UPSTREAM_FAILED,
        "The model's provider could not be reached or broke off. Please try again in a moment.",
        retry_after_s=1.0,
        cause=str(error),
    )


def refusal_of_timeout(cause: str) -> Refused:
    """What a client is told when an upstream took too long."""
    return Refused(
        Reason.UPSTREAM_TIMEOUT,
        "The model took too long to answer. Please try again in a moment.",
        retry_after_s=1.0,
        cause=cause,
    )


def refusal_of_bad_answer(cause: str) -> Refused:
    """What a client is told when a 200 held something else than an answer."""
    return Refused(
        Reason.UPSTREAM_FAILED,
        "The model's provider sent something that is not an answer. Please try again in a moment.",
        retry_after_s=1.0,
        cause=cause[:CAUSE_LIMIT],
    )


def interruption(cause: str) -> Refused:
    """What a client is told inside a stream that cannot go on."""
    return Refused(
        Reason.UPSTREAM_INTERRUPTED,
        "The answer broke off before its end: what you got is incomplete. Please try again.",
        cause=cause[:CAUSE_LIMIT],
    )


def _rejected(status: int, code: str, fault: _Fault, asked: bytes, cause: str) -> Refused:
    member = _MEMBER.match(fault.param) if fault.param else None
    param = member.group() if member and b'"%b"' % member.group().encode() in asked else None
    about = f" It names the parameter {param!r}." if param else ""
    about += f" Its code for it: {code}." if code in CLIENT_CODES else ""
    return Refused(
        Reason.UPSTREAM_REJECTED,
        f"The model's provider did not accept this request as valid.{about} Please check its "
        "parameters; whoever runs the gateway finds the provider's own words in its log.",
        param=param,
        cause=cause,
        status=status if status in _PASSED_ON else 400,
    )


def _is_denied(status: int, body: bytes) -> bool:
    own = status == 400 and _OWN_KEY.search(body[:CAUSE_LIMIT]) is not None
    return status in (401, 403) or own


def _is_spent(body: bytes) -> bool:
    return _SPENT.search(body[:CAUSE_LIMIT]) is not None


def _is_context(code: str, fault: _Fault) -> bool:
    return (
        code in _CONTEXT_CODES
        or fault.type in _CONTEXT_CODES
        or bool(fault.message and _CONTEXT_WORDS.search(fault.message))
    )


def _says(fault: _Fault, words: re.Pattern[str]) -> bool:
    return bool(fault.message and words.search(fault.message))


def _fault_of(body: bytes) -> _Fault:
    try:
        read = _bodies.decode(body)
    except (msgspec.MsgspecError, RecursionError):
        return _Fault()
    if isinstance(read.error, str):
        return _Fault(message=read.error)
    return read.error or read


def _shown(body: bytes) -> str:
    return body[:CAUSE_LIMIT].decode("utf-8", "replace")
