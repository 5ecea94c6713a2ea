"""The SDK's classes of errors, and what they carry."""

from __future__ import annotations

import json
from typing import Any

import httpx
import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam

from clients.conftest import AZURE_KEY, BODY_LIMIT, CLIENT_KEY, NARROW_KEY, PROVIDER_KEY
from support.accounts import accounts, settled
from support.gateway_process import Gateway
from support.scripted import ScriptedThread

ASK: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Hello"}]


def _checked(error: openai.APIStatusError, code: str) -> dict[str, Any]:
    """The body of an error, which is friendly, has the id and nothing of the upstream's."""
    body = error.body
    assert isinstance(body, dict)
    assert body["code"] == code
    call = error.response.headers["x-request-id"]
    assert error.request_id == call == body["request_id"]
    assert f"(request id: {call})" in body["message"]
    text = error.response.text
    assert PROVIDER_KEY not in text
    assert AZURE_KEY not in text
    assert CLIENT_KEY not in text
    return body


@pytest.mark.parametrize(
    ("key", "text"),
    [("wrong-key-0123456789", "not known here"), ("hr_mistyped", "not as it was given out")],
)
def test_authentication(
    client: openai.OpenAI, upstream: ScriptedThread, key: str, text: str
) -> None:
    with pytest.raises(openai.AuthenticationError, match=text) as caught:
        client.with_options(api_key=key).chat.completions.create(model="gpt-4o", messages=ASK)
    _checked(caught.value, "invalid_api_key")
    assert key not in caught.value.response.text
    assert upstream.seen == []


def test_no_key_at_all(gateway: Gateway, upstream: ScriptedThread) -> None:
    answer = httpx.post(f"{gateway.url}/chat/completions", json={"model": "m", "messages": ASK})
    assert answer.status_code == 401
    assert "No API key was sent" in answer.json()["error"]["message"]


def test_permission_denied(client: openai.OpenAI, upstream: ScriptedThread) -> None:
    narrow = client.with_options(api_key=NARROW_KEY)
    with pytest.raises(openai.PermissionDeniedError, match="It may use: gpt-4o") as caught:
        narrow.chat.completions.create(model="alias", messages=ASK)
    _checked(caught.value, "model_not_allowed")
    assert upstream.seen == []


def test_unknown_model(client: openai.OpenAI, upstream: ScriptedThread) -> None:
    with pytest.raises(openai.NotFoundError, match="Did you mean 'gpt-4o'") as caught:
        client.chat.completions.create(model="gpt-4oo", messages=ASK)
    assert _checked(caught.value, "model_not_found")["param"] == "model"
    assert upstream.seen == []


def test_unknown_route(client: openai.OpenAI, upstream: ScriptedThread) -> None:
    with pytest.raises(openai.NotFoundError, match="/v1/chat/completions") as caught:
        client.fine_tuning.jobs.create(model="gpt-4o", training_file="file-1")
    _checked(caught.value, "unknown_url")
    assert upstream.seen == []


@pytest.mark.parametrize(
    ("extra", "code", "text"),
    [
        ({"messages": "Hello"}, "bad_request", "a list of messages"),
        ({"model": 7}, "bad_request", "'model' must be a string"),
        ({"stream": "yes"}, "bad_request", "'stream' must be true or false"),
        ({"deep": json.loads("[" * 90 + "]" * 90)}, "invalid_json", "deeper than 64"),
    ],
)
def test_bad_request(
    client: openai.OpenAI,
    upstream: ScriptedThread,
    extra: dict[str, Any],
    code: str,
    text: str,
) -> None:
    with pytest.raises(openai.BadRequestError, match=text) as caught:
        client.chat.completions.create(model="gpt-4o", messages=ASK, extra_body=extra)
    _checked(caught.value, code)
    assert upstream.seen == []


def test_too_large(client: openai.OpenAI, upstream: ScriptedThread) -> None:
    with pytest.raises(openai.APIStatusError, match="over 1,048,576 bytes") as caught:
        client.chat.completions.create(
            model="gpt-4o", messages=[{"role": "user", "content": "x" * BODY_LIMIT}]
        )
    assert caught.value.status_code == 413
    _checked(caught.value, "request_too_large")
    assert upstream.seen == []


BUSY: list[tuple[dict[str, Any], str]] = [
    ({"retry_after": 20}, "20"),
    ({"retry_after": 1.5}, "2"),
    ({"retry_after_ms": 2500}, "3"),
    ({"retry_after_date_s": 30}, "30"),
    ({"retry_after": "-1"}, "1"),
    ({"retry_after": "soon"}, "1"),
    ({}, "1"),
]


@pytest.mark.parametrize("case", range(len(BUSY)), ids=[json.dumps(s) for s, _ in BUSY])
def test_rate_limit(client: openai.OpenAI, upstream: ScriptedThread, case: int) -> None:
    """Each on a backend of its own, since that is left alone afterwards."""
    said, expected = BUSY[case]
    upstream.always(fault={"kind": "rate_limited", **said})
    with pytest.raises(openai.InternalServerError) as caught:
        client.chat.completions.create(model=f"busy-{case}", messages=ASK)
    assert caught.value.status_code == 503
    _checked(caught.value, "upstream_busy")
    assert caught.value.response.headers["retry-after"] == expected
    assert "org-scripted" not in caught.value.response.text


STATUSES: list[tuple[int, int, type[openai.APIStatusError]]] = [
    (400, 400, openai.BadRequestError),
    (401, 503, openai.InternalServerError),
    (403, 503, openai.InternalServerError),
    (404, 404, openai.NotFoundError),
    (408, 503, openai.InternalServerError),
    (409, 409, openai.ConflictError),
    (413, 413, openai.APIStatusError),
    (422, 422, openai.UnprocessableEntityError),
    (500, 503, openai.InternalServerError),
    (502, 503, openai.InternalServerError),
    (503, 503, openai.InternalServerError),
    (504, 503, openai.InternalServerError),
    (529, 503, openai.InternalServerError),
]


@pytest.mark.parametrize("model", ["gpt-4o", "azure-dated"])
@pytest.mark.parametrize("stream", [False, True])
def test_each_status(
    client: openai.OpenAI, upstream: ScriptedThread, gateway: Gateway, model: str, stream: bool
) -> None:
    """Each status of a provider, as the client's error, and as it is settled."""
    for theirs, ours, kind in STATUSES:
        upstream.reset()
        upstream.always(status=theirs)
        with pytest.raises(kind) as caught:
            client.chat.completions.create(model=model, messages=ASK, stream=stream)
        assert caught.value.status_code == ours, theirs
        assert isinstance(caught.value.body, dict)
        _checked(caught.value, caught.value.body["code"])
        call = caught.value.request_id
        assert call is not None
        settlement = settled(gateway.folder / ".headrace", [call])[call].settlement
        assert (settlement.status, settlement.finish) == (ours, "refused"), theirs
        assert settlement.reason == caught.value.body["code"]


def test_parameter_at_fault_is_named(client: openai.OpenAI, upstream: ScriptedThread) -> None:
    """The name of a member that the client sent may be told; the provider's words may not."""
    upstream.always(fault={"kind": "context_too_long"})
    with pytest.raises(openai.BadRequestError, match="longer than this model") as caught:
        client.chat.completions.create(model="gpt-4o", messages=ASK)
    assert _checked(caught.value, "context_length_exceeded")["param"] == "messages"
    upstream.reset()
    upstream.always(fault="content_filter")
    with pytest.raises(openai.BadRequestError, match="content filter") as caught:
        client.chat.completions.create(model="azure-dated", messages=ASK)
    _checked(caught.value, "content_filter")


def test_refusals_before_the_pipeline_are_not_settled(
    client: openai.OpenAI, upstream: ScriptedThread, gateway: Gateway
) -> None:
    """An unknown key makes no rows: strangers must not fill the journal."""
    before = len(accounts(gateway.folder / ".headrace"))
    with pytest.raises(openai.AuthenticationError):
        client.with_options(api_key="wrong-key-0123456789").models.list()
    assert len(accounts(gateway.folder / ".headrace")) == before


def test_a_passing_fault_stays_hidden(gateway: Gateway, upstream: ScriptedThread) -> None:
    """The gateway tries again by itself: the SDK makes one call, the provider sees two."""
    upstream.script({"status": 503}, times=1)
    with openai.OpenAI(base_url=gateway.url, api_key=CLIENT_KEY, max_retries=2) as sdk:
        answer = sdk.chat.completions.with_raw_response.create(model="patient", messages=ASK)
    assert answer.parse().choices[0].message.content
    assert answer.headers["x-headrace-attempts"] == "2"
    assert answer.retries_taken == 0
    assert len(upstream.seen) == 2


def test_sdk_does_not_multiply_attempts(gateway: Gateway, upstream: ScriptedThread) -> None:
    """Once the gateway has tried all it may, the SDK is told not to try again by itself."""
    upstream.always(status=503)
    with (
        openai.OpenAI(base_url=gateway.url, api_key=CLIENT_KEY, max_retries=2) as sdk,
        pytest.raises(openai.InternalServerError),
    ):
        sdk.chat.completions.create(model="gpt-4o", messages=ASK)
    assert len(upstream.seen) == 1
