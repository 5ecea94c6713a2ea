"""What an upstream's fault becomes: never a byte of its text, always a sentence that helps."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.edge import openai
from headrace.errors import Reason
from headrace.gateway.failure import Kind
from headrace.gateway.upstream_faults import (
    failure_of_error,
    failure_of_status,
    failure_of_transport,
)
from headrace.platform.http.messages import Fault, TransportError

ASKED = b'{"model":"m","messages":[],"temperature":9}'
STATUSES = [n for n in range(100, 1000) if n != 200]
OURS = {400, 404, 409, 413, 415, 422, 429, 451, 502}
"""Statuses that a client may get for an upstream's."""


def error(**fields: Any) -> bytes:
    return json.dumps({"error": fields}).encode()


KINDS: list[tuple[int, bytes, Kind, Reason]] = [
    (400, error(code="invalid_value"), Kind.REJECTED, Reason.UPSTREAM_REJECTED),
    (400, error(code="context_length_exceeded"), Kind.CONTEXT, Reason.CONTEXT_TOO_LONG),
    (400, error(type="exceed_context_size_error", code=400), Kind.CONTEXT, Reason.CONTEXT_TOO_LONG),
    (400, error(message="prompt is too long: 9 tokens > 8"), Kind.CONTEXT, Reason.CONTEXT_TOO_LONG),
    (413, error(message="Input is too long for requested model"), Kind.CONTEXT,
     Reason.CONTEXT_TOO_LONG),
    (400, error(code="content_filter"), Kind.FILTERED, Reason.CONTENT_FILTERED),
    (400, error(type="invalid_request_error", message="Your credit balance is too low to access"),
     Kind.SPENT, Reason.UPSTREAM_BUSY),
    (400, error(message="Output blocked by content filtering policy"), Kind.FILTERED,
     Reason.CONTENT_FILTERED),
    (400, error(code=400, message="The input token count (9) exceeds the maximum number of tokens "
     "allowed (8).", status="INVALID_ARGUMENT"), Kind.CONTEXT, Reason.CONTEXT_TOO_LONG),
    (400, error(code=400, status="INVALID_ARGUMENT", details=[{"reason": "API_KEY_INVALID"}]),
     Kind.DENIED, Reason.UPSTREAM_FAILED),
    (400, error(code=400, status="FAILED_PRECONDITION", message="User location"),
     Kind.DENIED, Reason.UPSTREAM_FAILED),
    (429, error(code=429, details=[{"violations": [{"quotaId": "RequestsPerDayPerModel"}]}]),
     Kind.SPENT, Reason.UPSTREAM_BUSY),
    (429, error(code=429, details=[{"violations": [{"quotaId": "RequestsPerMinutePerModel"
     }]}]), Kind.THROTTLED, Reason.UPSTREAM_BUSY),
    (400, b'{"message":"Input is too long for requested model."}', Kind.CONTEXT,
     Reason.CONTEXT_TOO_LONG),
    (400, b'{"object":"error","message":"Prompt contains 40 tokens, too large for model with 32 '
     b'maximum context length","code":"3051"}', Kind.CONTEXT, Reason.CONTEXT_TOO_LONG),
    (424, b'{"message":"The model failed"}', Kind.SERVER, Reason.UPSTREAM_FAILED),
    (401, b"", Kind.DENIED, Reason.UPSTREAM_FAILED),
    (403, b"", Kind.DENIED, Reason.UPSTREAM_FAILED),
    (402, b"", Kind.SPENT, Reason.UPSTREAM_BUSY),
    (404, error(code="DeploymentNotFound"), Kind.NO_SUCH_MODEL, Reason.UNKNOWN_MODEL),
    (422, b"<html>", Kind.REJECTED, Reason.UPSTREAM_REJECTED),
    (408, b"", Kind.SERVER, Reason.UPSTREAM_FAILED),
    (429, b"", Kind.THROTTLED, Reason.UPSTREAM_BUSY),
    (429, error(code="insufficient_quota"), Kind.SPENT, Reason.UPSTREAM_BUSY),
    (429, error(details={"error_code": "enforced_spend_limit_reached"}), Kind.SPENT,
     Reason.UPSTREAM_BUSY),
    (500, b"", Kind.SERVER, Reason.UPSTREAM_FAILED),
    (529, b"", Kind.SERVER, Reason.UPSTREAM_FAILED),
    (302, b"", Kind.SERVER, Reason.UPSTREAM_FAILED),
]  # fmt: skip


@pytest.mark.parametrize(("status", "body", "kind", "reason"), KINDS)
def test_kinds(status: int, body: bytes, kind: Kind, reason: Reason) -> None:
    failure = failure_of_status(status, {b"retry-after": b"7"}, body, ASKED)
    assert (failure.kind, failure.refused.reason) == (kind, reason)
    assert failure.retry_after_s == 7.0
    assert failure.refused.cause is not None
    assert str(status) in failure.refused.cause


CANARY = "canary7f3a"
HOSTILE = st.one_of(
    st.just(f"<html><h1>{CANARY}</h1>".encode()),
    st.just(f'Traceback: File "{CANARY}.py", line 1'.encode()),
    st.fixed_dictionaries(
        {},
        optional={
            "message": st.text(max_size=10).map(lambda t: t + CANARY),
            "type": st.just(CANARY),
            "code": st.sampled_from([CANARY, f"invalid_value {CANARY}", 7, None]),
            "param": st.sampled_from([CANARY, f"messages.{CANARY}", f"temperature {CANARY}"]),
        },
    ).map(lambda fields: error(**fields)),
    st.just(json.dumps({"error": CANARY, CANARY: CANARY}).encode()),
)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(STATUSES), HOSTILE)
def test_no_byte_of_the_upstream_is_public(status: int, body: bytes) -> None:
    failure = failure_of_status(status, {b"retry-after": CANARY.encode()}, body, ASKED)
    refused = failure.refused
    public = openai.error_body(refused, "an-id-1") + openai.error_headers(refused)
    assert CANARY.encode() not in public
    assert len(refused.detail) > 40
    assert openai.status_of(refused) in OURS


@pytest.mark.parametrize("status", STATUSES)
def test_each_status_has_a_face(status: int) -> None:
    """Whatever an upstream invents: a status that clients know, a sentence, and the cause."""
    failure = failure_of_status(status, {}, b"", ASKED)
    assert openai.status_of(failure.refused) in OURS
    assert (failure.kind is Kind.REJECTED) <= (400 <= status < 500)
    assert f"upstream status {status}" in str(failure.refused.cause)


def test_what_the_client_sent_may_be_named() -> None:
    body = error(code="invalid_value", param="temperature", message="secret words")
    refused = failure_of_status(400, {}, body, ASKED).refused
    assert refused.param == "temperature"
    assert "'temperature'" in refused.detail
    assert "invalid_value" in refused.detail
    unsent = error(code="invalid_value", param="top_p")
    assert failure_of_status(400, {}, unsent, ASKED).refused.param is None


def test_errors_in_a_200() -> None:
    assert failure_of_error(b'{"code":"content_filter"}', ASKED).kind is Kind.FILTERED
    assert failure_of_error(b'{"code":"context_length_exceeded"}', ASKED).kind is Kind.CONTEXT
    assert failure_of_error(b'{"message":"boom"}', ASKED).kind is Kind.SERVER
    assert failure_of_error(b'"boom"', ASKED).kind is Kind.SERVER


@pytest.mark.parametrize("fault", Fault)
def test_faults_of_the_wire(fault: Fault) -> None:
    before = failure_of_transport(TransportError(fault, CANARY))
    after = failure_of_transport(TransportError(fault, CANARY, response_started=True))
    if fault in (Fault.FIRST_BYTE_TIMEOUT, Fault.IDLE_TIMEOUT):
        assert before.kind is after.kind is Kind.SLOW
    elif fault is Fault.STALE:
        assert before.kind is Kind.STALE
    else:
        assert (before.kind, after.kind) == (Kind.UNREACHABLE, Kind.CUT)
    assert CANARY not in before.refused.detail
    assert before.refused.cause is not None
    assert CANARY in before.refused.cause


def test_google_says_in_the_body_how_long_to_wait() -> None:
    info = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34.5s"}
    other = {"@type": "type.googleapis.com/google.rpc.Help", "links": [{"url": "x"}]}
    failure = failure_of_status(429, {}, error(code=429, details=[other, info]), ASKED)
    assert (failure.kind, failure.retry_after_s) == (Kind.THROTTLED, 34.5)
    for delay in ("0s", "-3s", "soon", "9999999999s", "1"):
        body = error(code=429, details=[{**info, "retryDelay": delay}])
        assert failure_of_status(429, {}, body, ASKED).retry_after_s is None


def test_an_error_inside_a_200_has_the_status_that_it_names() -> None:
    assert failure_of_error(b'{"code":429,"message":"x"}', ASKED).kind is Kind.THROTTLED
    assert failure_of_error(b'{"code":503,"message":"x"}', ASKED).kind is Kind.SERVER
    assert failure_of_error(b'{"code":7,"message":"x"}', ASKED).kind is Kind.SERVER
