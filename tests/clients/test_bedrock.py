"""Real SDKs before AWS Bedrock's Converse: what is sent there, how it is signed and framed."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import anthropic
import openai
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from clients.conftest import AWS_KEY_ID, AWS_SECRET, CLIENT_KEY, PROVIDER_KEY
from clients.weather import (
    CITIES,
    HELLO,
    PNG,
    SCHEMA,
    TOLD,
    TOOL,
    TWO_CALLS,
    chosen,
    said_to,
    tool_results,
)
from headrace_upstream.bedrock import SIGNATURE
from support.scripted import ScriptedThread

CLAUDE = quote("eu.anthropic.claude-sonnet-4-5-20250929-v1:0", safe="")


def test_whole(client: openai.OpenAI, upstream: ScriptedThread) -> None:
    upstream.script({"text": "Grüße", "usage": {"input": 20, "cached": 5, "cache_write": 7}})
    answer = client.chat.completions.create(
        model="bedrock",
        messages=[{"role": "system", "content": "Be short."}, *HELLO],
        max_completion_tokens=33,
        temperature=0.5,
        stop=["END"],
        user="u-1",
        reasoning_effort="low",
    )
    choice, usage = answer.choices[0], answer.usage
    assert (choice.message.content, choice.finish_reason) == ("Grüße", "stop")
    assert usage is not None
    assert usage.prompt_tokens_details is not None
    assert (usage.prompt_tokens, usage.prompt_tokens_details.cached_tokens) == (20 + 5 + 7, 5)
    seen = upstream.only_seen()
    assert seen.path == f"/model/{CLAUDE}/converse"
    assert seen.header("authorization") == f"Bearer {PROVIDER_KEY}"
    assert CLIENT_KEY not in repr(seen.headers)
    assert seen.json() == {
        "system": [{"text": "Be short."}],
        "messages": [{"role": "user", "content": [{"text": "Hello"}]}],
        "inferenceConfig": {"maxTokens": 33, "temperature": 0.5, "stopSequences": ["END"]},
        "outputConfig": {"effort": "low"},
        "requestMetadata": {"user": "u-1"},
    }


def test_streamed(client: openai.OpenAI, upstream: ScriptedThread) -> None:
    upstream.script({"text": "Grüße aus der Mühle"})
    chunks = list(
        client.chat.completions.create(
            model="bedrock",
            messages=HELLO,
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == "Grüße aus der Mühle"
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"
    seen = upstream.only_seen()
    usage = chunks[-1].usage
    assert usage is not None
    assert (usage.prompt_tokens, usage.completion_tokens) == (seen.tokens_in, seen.tokens_out)
    assert seen.path == f"/model/{CLAUDE}/converse-stream"


@pytest.mark.parametrize("stream", [False, True])
def test_the_signature_is_of_what_is_sent(
    client: openai.OpenAI, upstream: ScriptedThread, stream: bool
) -> None:
    """Signed anew from what arrived, it is the same."""
    answer: Any = client.chat.completions.create(
        model="bedrock-nova", messages=[{"role": "user", "content": "Grüße"}], stream=stream
    )
    if stream:
        list(answer)
    seen = upstream.only_seen()
    arrived = seen.header("authorization")
    assert arrived is not None
    assert f"Credential={AWS_KEY_ID}/" in arrived
    assert "/eu-central-1/bedrock/aws4_request" in arrived
    assert AWS_SECRET not in repr(seen.headers)
    signer = SigV4Auth(Credentials(AWS_KEY_ID, AWS_SECRET), "bedrock", "eu-central-1")
    again = AWSRequest(
        "POST",
        f"http://{seen.header('host')}{seen.path}",
        {"Content-Type": seen.header("content-type"), "X-Amz-Date": seen.header("x-amz-date")},
        seen.body,
    )
    again.context["timestamp"] = seen.header("x-amz-date")
    signature = signer.signature(
        signer.string_to_sign(again, signer.canonical_request(again)), again
    )
    assert arrived.endswith(f"Signature={signature}")


@pytest.mark.parametrize("stream", [False, True])
def test_tools_there_and_back(
    client: openai.OpenAI, upstream: ScriptedThread, stream: bool
) -> None:
    upstream.script({"tool_calls": TWO_CALLS, "thinking": "Two cities."})
    asked: dict[str, Any] = {
        "model": "bedrock", "messages": HELLO, "tools": [TOOL], "tool_choice": "required",
    }  # fmt: skip
    choice = chosen(client, asked, stream=stream)
    calls = choice.message.tool_calls
    cities = [json.loads(call.function.arguments) for call in calls]
    assert cities == CITIES
    assert choice.finish_reason == "tool_calls"
    said = choice.message.model_dump(exclude_none=True)
    (thought,) = said["thinking_blocks"]
    assert (thought["thinking"], thought["signature"]) == ("Two cities.", SIGNATURE)
    spec = {"name": "weather", "inputSchema": {"json": SCHEMA}}
    config = {"tools": [{"toolSpec": spec}], "toolChoice": {"any": {}}}
    assert upstream.only_seen().json()["toolConfig"] == config

    upstream.reset()
    results = tool_results(calls)
    back: Any = {k: said[k] for k in ("role", "tool_calls", "thinking_blocks")}
    client.chat.completions.create(**asked | {"messages": [*HELLO, back, *results]})
    _, assistant, user = upstream.only_seen().json()["messages"]
    thinking, first, second = assistant["content"]
    text = {"text": "Two cities.", "signature": SIGNATURE}
    assert thinking == {"reasoningContent": {"reasoningText": text}}
    assert [c["toolUse"]["input"] for c in (first, second)] == cities
    assert user["content"] == [
        {"toolResult": {"toolUseId": call.id, "content": [{"text": told}]}}
        for call, told in zip(calls, TOLD, strict=True)
    ]


@pytest.mark.parametrize("stream", [False, True])
def test_anthropics_client(
    claude: anthropic.Anthropic, upstream: ScriptedThread, stream: bool
) -> None:
    upstream.script({"tool_calls": TWO_CALLS, "thinking": "Two cities."})
    mark: Any = {"type": "ephemeral", "ttl": "1h"}
    tool: Any = {"name": "weather", "input_schema": SCHEMA, "cache_control": mark}
    asked: dict[str, Any] = {
        "model": "bedrock", "max_tokens": 9999, "messages": HELLO, "tools": [tool],
        "extra_body": {"top_k": 5},
        "thinking": {"type": "enabled", "budget_tokens": 2048},
    }  # fmt: skip
    answer = said_to(claude, asked, stream=stream)
    thought, *uses = answer.content
    assert (thought.thinking, thought.signature) == ("Two cities.", SIGNATURE)
    assert [use.input for use in uses] == CITIES
    assert answer.stop_reason == "tool_use"
    body = upstream.only_seen().json()
    assert body["toolConfig"]["tools"][1] == {"cachePoint": {"type": "default", "ttl": "1h"}}
    own = {"thinking": {"type": "enabled", "budget_tokens": 2048}, "top_k": 5}
    assert body["additionalModelRequestFields"] == own


def test_what_only_claude_has_goes_to_no_other(
    claude: anthropic.Anthropic, upstream: ScriptedThread
) -> None:
    answer = claude.messages.with_raw_response.create(
        model="bedrock-nova", max_tokens=9, messages=HELLO, extra_body={"top_k": 5}
    )
    assert answer.headers["x-headrace-dropped"] == "top_k"
    assert "additionalModelRequestFields" not in upstream.only_seen().json()


def test_pictures_documents_and_schemas(client: openai.OpenAI, upstream: ScriptedThread) -> None:
    pdf = {"filename": "a_b.pdf", "file_data": "data:application/pdf;base64,JVBERi0="}
    content: Any = [
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}},
        {"type": "image_url", "image_url": {"url": "s3://bucket/a.jpg"}},
        {"type": "file", "file": pdf},
    ]
    named: Any = {"name": "place", "schema": SCHEMA, "strict": True}
    answer = client.chat.completions.create(
        model="bedrock",
        messages=[{"role": "user", "content": content}],
        response_format={"type": "json_schema", "json_schema": named},
    )
    assert json.loads(answer.choices[0].message.content or "") == {"city": "mill"}
    body = upstream.only_seen().json()
    source = {"bytes": "JVBERi0="}
    assert body["messages"][0]["content"] == [
        {"image": {"format": "png", "source": {"bytes": PNG}}},
        {"image": {"format": "jpeg", "source": {"s3Location": {"uri": "s3://bucket/a.jpg"}}}},
        {"document": {"format": "pdf", "source": source, "name": "a b 1"}},
    ]
    structure = body["outputConfig"]["textFormat"]["structure"]
    assert json.loads(structure["jsonSchema"]["schema"]) == SCHEMA


ENDS = [
    ("max_tokens", "length"),
    ("guardrail_intervened", "content_filter"),
    ("content_filtered", "content_filter"),
    ("stop_sequence", "stop"),
    ("model_context_window_exceeded", "length"),
]


def test_ends(client: openai.OpenAI, upstream: ScriptedThread) -> None:
    for native, finish in ENDS:
        upstream.script({"finish": native})
        answer = client.chat.completions.create(model="bedrock", messages=HELLO)
        assert answer.choices[0].finish_reason == finish


@pytest.mark.parametrize("stream", [False, True])
def test_what_it_refuses(client: openai.OpenAI, upstream: ScriptedThread, stream: bool) -> None:
    for script, code in (
        ({"fault": "context_too_long"}, "context_length_exceeded"),
        ({"status": 403}, "upstream_failed"),
        ({"status": 408}, "upstream_failed"),
        ({"status": 424}, "upstream_failed"),
        # Of a stream it is a fault after its first content.
        *(() if stream else (({"fault": "bad_tool_json"}, "upstream_failed"),)),
    ):
        upstream.reset()
        upstream.script(script)
        with pytest.raises(openai.APIStatusError) as caught:
            client.chat.completions.create(model="bedrock", messages=HELLO, stream=stream)
        assert caught.value.code == code, script
