"""Refusals in each provider's own words: the status and the error body."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, NamedTuple

from headrace_upstream.azure import verdict
from headrace_upstream.faults import ContextTooLong, Money
from headrace_upstream.paths import Dialect

_ANTHROPIC_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_AWS_ERRORS = {
    400: "ValidationException",
    403: "AccessDeniedException",
    404: "ResourceNotFoundException",
    408: "ModelTimeoutException",
    424: "ModelErrorException",
    429: "ThrottlingException",
    500: "InternalServerException",
    503: "ServiceUnavailableException",
}
_GOOGLE_STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
_SENTENCES = {
    400: "We could not parse the JSON body of your request.",
    401: "Incorrect API key provided. You can find your API key in your account.",
    403: "You are not allowed to sample from this model.",
    404: "The model does not exist or you do not have access to it.",
    408: "The request timed out.",
    500: "The server had an error while processing your request. Sorry about that!",
    502: "Bad gateway.",
    503: "The engine is currently overloaded, please try again later.",
    504: "The operation timed out.",
    529: "Overloaded",
}


class Refusal(NamedTuple):
    status: int
    body: dict[str, Any]
    headers: tuple[tuple[str, str], ...] = ()


def refusal(
    dialect: Dialect,
    status: int,
    message: str | None = None,
    kind: str | None = None,
    code: str | None = None,
    param: str | None = None,
) -> Refusal:
    """An error body of the dialect. `kind` is the error's type; the usual ones when null."""
    message = message or _SENTENCES.get(status) or _phrase(status)
    if dialect == "anthropic":
        kind = kind or _ANTHROPIC_TYPES.get(status, "api_error")
        error: dict[str, Any] = {"type": kind, "message": message}
        return Refusal(status, {"type": "error", "error": error, "request_id": "req_scripted"})
    if dialect == "cohere":
        return Refusal(status, {"id": "scripted", "message": message})
    if dialect == "bedrock":
        name = kind or _AWS_ERRORS.get(status, "InternalServerException")
        errortype = f"{name}:http://internal.amazon.com/coral/com.amazon.bedrock/"
        return Refusal(status, {"message": message}, (("x-amzn-errortype", errortype),))
    if dialect == "google":
        word = kind or _GOOGLE_STATUSES.get(status, "UNKNOWN")
        return Refusal(status, {"error": {"code": status, "message": message, "status": word}})
    if dialect == "azure":
        return Refusal(status, {"error": {"code": code or str(status), "message": message}})
    if dialect == "mistral":
        kind = kind or ("internal_server_error" if status >= 500 else "invalid_request_error")
        fault = {"object": "error", "message": message, "type": kind, "param": param, "code": code}
        return Refusal(status, fault)
    kind = kind or ("server_error" if status >= 500 else "invalid_request_error")
    code = code or ("invalid_api_key" if status == 401 else None)
    error = {"message": message, "type": kind, "param": param, "code": code}
    return Refusal(status, {"error": error})


def rate_limited(
    dialect: Dialect, status: int, model: str, message: str | None, retry_delay_s: float | None
) -> Refusal:
    words = {
        "openai": f"Rate limit reached for {model} in organization org-scripted on requests per "
        "min (RPM): Limit 500, Used 500, Requested 1.",
        "azure": "Requests to the ChatCompletions_Create Operation under Azure OpenAI API have "
        "exceeded token rate limit of your current OpenAI S0 pricing tier.",
        "anthropic": "This request would exceed your organization's rate limit of 50 requests "
        "per minute.",
        "cohere": "Please wait and try again later",
        "bedrock": "Too many requests, please wait before trying again.",
        "mistral": "Requests rate limit exceeded",
        "ollama": "too many requests",
        "google": "You exceeded your current quota, please check your plan and billing details.",
    }
    message = message or words[dialect]
    if dialect == "openai":
        return refusal(dialect, status, message, "requests", "rate_limit_exceeded")
    if dialect in ("bedrock", "cohere"):
        return refusal(dialect, status, message)
    if dialect == "mistral":
        return refusal(dialect, status, message, "rate_limited", "1300")
    if dialect == "google":
        limited = refusal(dialect, status, message)
        limited.body["error"]["details"] = [_violation("PerMinute"), *_retry_info(retry_delay_s)]
        return limited
    return refusal(dialect, status, message, "rate_limit_error", str(status))


def _violation(span: str) -> dict[str, Any]:
    """Which of Google's quotas was met."""
    return {
        "@type": "type.googleapis.com/google.rpc.QuotaFailure",
        "violations": [
            {
                "quotaMetric": "generativelanguage.googleapis.com/generate_content_requests",
                "quotaId": f"GenerateRequests{span}PerProjectPerModel-FreeTier",
                "quotaDimensions": {"location": "global", "model": "gemini-2.5-flash"},
                "quotaValue": "10",
            }
        ],
    }


def _retry_info(delay_s: float | None) -> list[dict[str, Any]]:
    if delay_s is None:
        return []
    kind = "type.googleapis.com/google.rpc.RetryInfo"
    return [{"@type": kind, "retryDelay": f"{delay_s:g}s"}]


def money(dialect: Dialect, fault: Money) -> Refusal:
    if dialect == "bedrock" and fault.form is None:
        message = "Your request exceeds the service quota for your account."
        return refusal(dialect, 400, message, "ServiceQuotaExceededException")
    if dialect == "google" and fault.form is None:
        spent = refusal(dialect, 429, "You exceeded your current quota.")
        spent.body["error"]["details"] = [_violation("PerDay")]
        return spent
    form = fault.form or ("spend_limit" if dialect == "anthropic" else "insufficient_quota")
    if form == "insufficient_quota":
        message = (
            "You exceeded your current quota, please check your plan and billing details. For "
            "more information on this error, read the docs: "
            "https://platform.openai.com/docs/guides/error-codes/api-errors."
        )
        return refusal(dialect, 429, message, "insufficient_quota", "insufficient_quota")
    if form == "spend_limit":
        message = "enforced_spend_limit_reached: you have reached your specified API usage limits."
        return refusal(dialect, 429, message, "rate_limit_error", "enforced_spend_limit_reached")
    if form == "credit_balance":
        message = (
            "Your credit balance is too low to access the API. Please go to Plans & Billing to "
            "upgrade or purchase credits."
        )
        return refusal(dialect, 400, message, "invalid_request_error", "credit_balance_exhausted")
    message = "Payment required: this account has no payment method on file."
    return refusal(dialect, 402, message, "billing_error", "payment_required")


def content_filtered(dialect: Dialect) -> Refusal:
    message = (
        "The response was filtered due to the prompt triggering Azure OpenAI's content "
        "management policy. Please modify your prompt and retry."
    )
    if dialect != "azure":
        message = "Your request was rejected as a result of our safety system."
        return refusal(dialect, 400, message, code="content_policy_violation")
    inner = {
        "code": "ResponsibleAIPolicyViolation",
        "content_filter_result": verdict(filtered=True),
    }
    error = {
        "message": message,
        "type": None,
        "param": "prompt",
        "code": "content_filter",
        "status": 400,
        "innererror": inner,
    }
    return Refusal(400, {"error": error})


def context_too_long(dialect: Dialect, fault: ContextTooLong) -> Refusal:
    limit, tokens = fault.limit, fault.tokens
    if fault.form == "bedrock" or dialect == "bedrock":
        return refusal("bedrock", 400, "Input is too long for requested model.")
    if fault.form == "request_too_large":
        message = "Request exceeds the maximum allowed number of bytes."
        return refusal(dialect, 413, message, "request_too_large")
    if fault.form == "max_tokens":
        reply = max(tokens - limit, 1)
        message = (
            f"input length and `max_tokens` exceed context limit: {tokens - reply} + {reply} > "
            f"{limit}, decrease input length or `max_tokens` and try again"
        )
        return refusal(dialect, 400, message)
    if dialect == "anthropic":
        return refusal(dialect, 400, f"prompt is too long: {tokens} tokens > {limit} maximum")
    if dialect == "google":
        message = (
            f"The input token count ({tokens}) exceeds the maximum number of tokens allowed "
            f"({limit})."
        )
        return refusal(dialect, 400, message)
    if dialect == "cohere":
        message = (
            f"too many tokens: total number of tokens in the prompt cannot exceed {limit} - "
            f"received {tokens}. Try using a shorter prompt, or enabling prompt truncating."
        )
        return refusal(dialect, 400, message)
    if dialect == "mistral":
        message = (
            f"Prompt contains {tokens} tokens and 0 draft tokens, too large for model with {limit} "
            "maximum context length"
        )
        return refusal(dialect, 400, message, "invalid_request_prompt", "3051")
    message = (
        f"This model's maximum context length is {limit} tokens. However, your messages resulted "
        f"in {tokens} tokens. Please reduce the length of the messages."
    )
    error = {
        "message": message,
        "type": "invalid_request_error",
        "param": "messages",
        "code": "context_length_exceeded",
    }
    return Refusal(400, {"error": error})


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return f"Status {status}"
