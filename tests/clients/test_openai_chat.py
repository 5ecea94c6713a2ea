"""Chat with OpenAI's SDK, whole and streamed, blocking and not."""

from __future__ import annotations

import base64
import json
from typing import Any

import httpx
import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam

from clients.conftest import CLIENT_KEY
from support.accounts import settled
from support.gateway_process import Gateway
from support.scripted import ScriptedThread

ASK: list[ChatCompletionMessageParam] = [{"role": "user", "content": "What is a headrace?"}]
ANSWER = "A channel: 水路 🏞 that feeds the wheel."


def test_whole(client: openai.OpenAI, upstream: ScriptedThread, gateway: Gateway) -> None:
    upstream.script({"text": ANSWER})
    raw = client.chat.completions.with_raw_response.create(model="gpt-4o", messages=ASK)
    answer = raw.parse()
    assert answer.choices[0].message.content == ANSWER
    assert answer.choices[0].finish_reason == "stop"
    seen = upstream.only_seen()
    assert raw.headers["x-request-id"] == seen.header("x-request-id") == raw.request_id
    assert raw.headers["x-headrace-backend"] == "plain"
    assert raw.headers["x-headrace-attempts"] == "1"
    assert answer.usage is not None
    call = raw.headers["x-request-id"]
    settlement = settled(gateway.folder / ".headrace", [call])[call].settlement
    assert settlement.finish == "complete"
    assert settlement.input_tokens == answer.usage.prompt_tokens == seen.tokens_in
    assert settlement.output_tokens == answer.usage.completion_tokens == seen.tokens_out


async def test_whole_async(aclient: openai.AsyncOpenAI, upstream: ScriptedThread) -> None:
    upstream.script({"text": ANSWER})
    answer = await aclient.chat.completions.create(model="gpt-4o", messages=ASK)
    assert answer.choices[0].message.content == ANSWER


@pytest.mark.parametrize("model", ["gpt-4o", "alias", "azure-dated", "azure-v1"])
def test_stream_without_usage(
    client: openai.OpenAI, upstream: ScriptedThread, gateway: Gateway, model: str
) -> None:
    """The gateway asks for usage itself; the client must not notice."""
    upstream.script({"text": ANSWER})
    with client.chat.completions.create(model=model, messages=ASK, stream=True) as stream:
        call = stream.response.headers["x-request-id"]
        chunks = list(stream)
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == ANSWER
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"
    assert not [c for c in chunks if "usage" in c.model_fields_set]
    # Azure opens with the prompt's verdict in a chunk without choices; no other has none.
    assert [bool(c.choices) for c in chunks].count(False) == (1 if "azure" in model else 0)
    seen = upstream.only_seen()
    assert seen.json()["stream_options"] == {"include_usage": True}
    settlement = settled(gateway.folder / ".headrace", [call])[call].settlement
    assert settlement.usage_source == "upstream"
    assert (settlement.input_tokens, settlement.output_tokens) == (seen.tokens_in, seen.tokens_out)


@pytest.mark.parametrize("model", ["gpt-4o", "alias", "azure-dated", "azure-v1"])
def test_stream_with_usage(client: openai.OpenAI, upstream: ScriptedThread, model: str) -> None:
    upstream.script({"text": ANSWER})
    stream = client.chat.completions.create(
        model=model, messages=ASK, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    *before, last = chunks
    assert last.choices == []
    assert last.usage is not None
    seen = upstream.only_seen()
    assert last.usage.prompt_tokens == seen.tokens_in
    assert last.usage.completion_tokens == seen.tokens_out
    with_choices = [c for c in before if c.choices]
    assert all("usage" in c.model_fields_set and c.usage is None for c in with_choices)


async def test_stream_async(aclient: openai.AsyncOpenAI, upstream: ScriptedThread) -> None:
    upstream.script({"text": ANSWER})
    stream = await aclient.chat.completions.create(model="gpt-4o", messages=ASK, stream=True)
    chunks = [chunk async for chunk in stream]
    assert "".join(c.choices[0].delta.content or "" for c in chunks) == ANSWER


def test_stream_helper(client: openai.OpenAI, upstream: ScriptedThread) -> None:
    """The SDK's own accumulator, which is stricter than its plain iterator."""
    upstream.script({"text": ANSWER})
    with client.chat.completions.stream(model="gpt-4o", messages=ASK) as stream:
        kinds = {event.type for event in stream}
        final = stream.get_final_completion()
    assert {"chunk", "content.delta", "content.done"} <= kinds
    assert final.choices[0].message.content == ANSWER


@pytest.mark.parametrize("client_options", [None, {"include_obfuscation": False}])
def test_other_stream_options_survive(
    client: openai.OpenAI, upstream: ScriptedThread, client_options: Any
) -> None:
    extra = {} if client_options is None else {"stream_options": client_options}
    stream = client.chat.completions.create(model="gpt-4o", messages=ASK, stream=True, **extra)
    assert list(stream)
    expected = (client_options or {}) | {"include_usage": True}
    assert upstream.only_seen().json()["stream_options"] == expected


RICH: dict[str, Any] = {
    "temperature": 0.25,
    "seed": 7,
    "logprobs": True,
    "top_logprobs": 3,
    "logit_bias": {"50256": -100},
    "n": 2,
    "stop": ["\n\n", "水"],
    "extra_body": {"a_field_of_tomorrow": {"nested": [1, 2.50, None, "ü"]}, "max_tokens": 9},
}


def test_unknown_fields_pass_unchanged(client: openai.OpenAI, upstream: ScriptedThread) -> None:
    raw = client.chat.completions.with_raw_response.create(model="gpt-4o", messages=ASK, **RICH)
    assert len(raw.parse().choices) == 2
    assert upstream.only_seen().body == raw.http_request.content


def test_unknown_fields_pass_unchanged_in_a_stream(
    client: openai.OpenAI, upstream: ScriptedThread
) -> None:
    raw = client.chat.completions.with_raw_response.create(
        model="gpt-4o", messages=ASK, stream=True, stream_options={"include_usage": True}, **RICH
    )
    assert list(raw.parse())
    assert upstream.only_seen().body == raw.http_request.content


ODD_BODY = (
    '{ "model" : "gpt-4o",\n\t"messages":[ {"role":"user","content":"é 🏞 / \\/ \\t"} ],'
    ' "temperature":1.0e0,"seed":12345678901234567890, "x":{"b":1,"a":[ ]} }\n'
)


def test_odd_bytes_pass_unchanged(raw: httpx.Client, upstream: ScriptedThread) -> None:
    """No number, escape or space of a value is written anew; only the top level's spaces go."""
    body = ODD_BODY.encode()
    answer = raw.post("/v1/chat/completions", content=body)
    assert answer.status_code == 200
    assert (
        upstream.only_seen().body
        == (
            '{"model":"gpt-4o","messages":[ {"role":"user","content":"é 🏞 / \\/ \\t"} ],'
            '"temperature":1.0e0,"seed":12345678901234567890,"x":{"b":1,"a":[ ]}}'
        ).encode()
    )


@pytest.mark.parametrize("changes", [{"model": "alias"}, {"stream": True}])
def test_what_must_change_changes_alone(
    raw: httpx.Client, upstream: ScriptedThread, changes: dict[str, Any]
) -> None:
    body = json.loads(ODD_BODY) | {"a": {"z": 1.10, "y": [None, True]}} | changes
    assert raw.post("/v1/chat/completions", json=body).status_code == 200
    seen = upstream.only_seen().json()
    if "model" in changes:
        assert seen == body | {"model": "gpt-4o-mini"}
    else:
        assert seen == body | {"stream_options": {"include_usage": True}}
    assert b'"seed":12345678901234567890' in upstream.only_seen().body


IMAGE = base64.b64encode(bytes(range(256)) * 8).decode()


@pytest.mark.parametrize(
    "url", ["https://images.example.net/mill.png?x=1&y=2", f"data:image/png;base64,{IMAGE}"]
)
@pytest.mark.parametrize("model", ["gpt-4o", "azure-dated"])
def test_images(client: openai.OpenAI, upstream: ScriptedThread, url: str, model: str) -> None:
    raw = client.chat.completions.with_raw_response.create(
        model=model,
        messages=[
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "What is this?"},
                    {"type": "image_url", "image_url": {"url": url, "detail": "low"}},
                ],
            }
        ],
    )
    assert raw.parse().choices[0].message.content
    seen = upstream.only_seen()
    assert seen.body == raw.http_request.content
    assert seen.json()["messages"][0]["content"][1]["image_url"]["url"] == url
    assert seen.tokens_in > 85


def test_logprobs_and_unknown_members_of_the_answer_come_back(
    raw: httpx.Client, upstream: ScriptedThread
) -> None:
    """The answer's bytes are the upstream's bytes: asked for directly they are the same, but for
    the number that it counts its calls by."""
    body = json.dumps({"model": "gpt-4o", "messages": ASK, "n": 2}).encode()
    through = raw.post("/v1/chat/completions", content=body)
    direct = httpx.post(f"{upstream.url}/v1/chat/completions", content=body)
    assert through.json().keys() == direct.json().keys()
    for name in ("choices", "usage", "system_fingerprint", "service_tier"):
        assert through.json()[name] == direct.json()[name]
    assert len(through.content) == len(direct.content)


@pytest.mark.parametrize("offered", ["my-own-id-12345678", "too short", "x" * 65, "a\tb-12345678"])
def test_own_request_id(client: openai.OpenAI, upstream: ScriptedThread, offered: str) -> None:
    """A client's own id is used if it is fit for logs, else replaced."""
    raw = client.chat.completions.with_raw_response.create(
        model="gpt-4o", messages=ASK, extra_headers={"x-request-id": offered}
    )
    used = raw.headers["x-request-id"]
    assert (used == offered) == (offered == "my-own-id-12345678")
    assert used == upstream.only_seen().header("x-request-id")


def test_only_the_gateways_headers_reach_the_upstream(
    client: openai.OpenAI, upstream: ScriptedThread
) -> None:
    client.chat.completions.create(
        model="gpt-4o",
        messages=ASK,
        extra_headers={
            "cookie": "session=1",
            "x-forwarded-for": "10.0.0.1",
            "openai-organization": "org-of-the-client",
            "x-anything": "1",
        },
    )
    headers = upstream.only_seen().headers
    assert set(headers) == {
        b"host", b"user-agent", b"accept", b"accept-encoding", b"content-type", b"content-length",
        b"authorization", b"x-request-id",
    }  # fmt: skip
    assert headers[b"user-agent"] == b"headrace"
    assert CLIENT_KEY.encode() not in b"".join(headers.values())
