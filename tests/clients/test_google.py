"""Real SDKs before Gemini's own API: what is sent there, and what comes of its answers."""

from __future__ import annotations

import json
from typing import Any

import anthropic
import openai
import pytest

from clients.conftest import CLIENT_KEY, GOOGLE_KEY
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
from headrace_upstream.google import SIGNATURE
from headrace_upstream.openai import vector_of
from support.scripted import ScriptedThread

FLASH = "/v1beta/models/gemini-2.5-flash:generateContent"


def test_whole(client: openai.OpenAI, upstream: ScriptedThread) -> None:
    upstream.script({"text": "Grüße", "usage": {"input": 20, "cached": 5, "reasoning": 3}})
    answer = client.chat.completions.create(
        model="gemini",
        messages=[{"role": "system", "content": "Be short."}, *HELLO],
        max_completion_tokens=33,
        temperature=0.5,
        stop=["END"],
        seed=7,
        reasoning_effort="low",
    )
    choice, usage = answer.choices[0], answer.usage
    assert (choice.message.content, choice.finish_reason) == ("Grüße", "stop")
    assert usage is not None
    assert usage.prompt_tokens_details is not None
    assert usage.completion_tokens_details is not None
    assert (usage.prompt_tokens, usage.prompt_tokens_details.cached_tokens) == (20, 5)
    assert usage.completion_tokens_details.reasoning_tokens == 3
    seen = upstream.only_seen()
    assert usage.completion_tokens == seen.tokens_out
    assert seen.path == FLASH
    assert seen.header("x-goog-api-key") == GOOGLE_KEY
    assert CLIENT_KEY not in repr(seen.headers)
    assert seen.json() == {
        "systemInstruction": {"parts": [{"text": "Be short."}]},
        "contents": [{"role": "user", "parts": [{"text": "Hello"}]}],
        "generationConfig": {
            "maxOutputTokens": 33,
            "temperature": 0.5,
            "stopSequences": ["END"],
            "seed": 7,
            "thinkingConfig": {"thinkingBudget": 1024},
        },
    }


def test_streamed(client: openai.OpenAI, upstream: ScriptedThread) -> None:
    upstream.script({"text": "Grüße aus der Mühle"})
    chunks = list(
        client.chat.completions.create(
            model="gemini-3-pro-preview",
            messages=HELLO,
            stream=True,
            stream_options={"include_usage": True},
            reasoning_effort="low",
        )
    )
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == "Grüße aus der Mühle"
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"
    seen = upstream.only_seen()
    usage = chunks[-1].usage
    assert usage is not None
    assert (usage.prompt_tokens, usage.completion_tokens) == (seen.tokens_in, seen.tokens_out)
    path = "/v1beta/models/gemini-3-pro-preview:streamGenerateContent?alt=sse"
    assert seen.path == path
    assert seen.json()["generationConfig"] == {"thinkingConfig": {"thinkingLevel": "LOW"}}


@pytest.mark.parametrize("stream", [False, True])
def test_tools_there_and_back(
    client: openai.OpenAI, upstream: ScriptedThread, stream: bool
) -> None:
    """The signature of a thought comes back on the call that it belongs to."""
    upstream.script({"tool_calls": TWO_CALLS, "thinking": "Two cities."})
    asked: dict[str, Any] = {
        "model": "gemini-3-pro-preview", "messages": HELLO, "tools": [TOOL],
        "tool_choice": {"type": "function", "function": {"name": "weather"}},
    }  # fmt: skip
    choice = chosen(client, asked, stream=stream)
    assert choice.finish_reason == "tool_calls"
    calls = choice.message.tool_calls
    cities = [json.loads(call.function.arguments) for call in calls]
    assert cities == CITIES
    said = choice.message.model_dump(exclude_none=True)
    (thought,) = said["thinking_blocks"]
    assert (thought["thinking"], thought["signature"]) == ("Two cities.", f"google#{SIGNATURE}")
    body = upstream.only_seen().json()
    assert body["tools"] == [
        {"functionDeclarations": [{"name": "weather", "parametersJsonSchema": SCHEMA}]}
    ]
    calling = {"mode": "ANY", "allowedFunctionNames": ["weather"]}
    assert body["toolConfig"] == {"functionCallingConfig": calling}

    upstream.reset()
    results = tool_results(calls)
    back: Any = {k: said[k] for k in ("role", "tool_calls", "thinking_blocks")}
    client.chat.completions.create(**asked | {"messages": [*HELLO, back, *results]})
    _, model, user = upstream.only_seen().json()["contents"]
    first, second = model["parts"]
    assert (model["role"], first["thoughtSignature"]) == ("model", SIGNATURE)
    assert "thoughtSignature" not in second
    assert [part["functionCall"]["args"] for part in model["parts"]] == cities
    assert user["parts"] == [
        {"functionResponse": {"id": call.id, "name": "weather", "response": {"output": told}}}
        for call, told in zip(calls, TOLD, strict=True)
    ]

    upstream.reset()
    without = {k: v for k, v in back.items() if k != "thinking_blocks"}
    client.chat.completions.create(**asked | {"messages": [*HELLO, without, *results]})
    first, second = upstream.only_seen().json()["contents"][1]["parts"]
    assert first["thoughtSignature"] == "skip_thought_signature_validator"
    assert "thoughtSignature" not in second


def test_a_signature_of_another_provider_stays_here(
    claude: anthropic.Anthropic, upstream: ScriptedThread
) -> None:
    block: Any = {"type": "thinking", "thinking": "Hm", "signature": "of-anthropic"}
    answer = claude.messages.with_raw_response.create(
        model="gemini-3-pro-preview",
        max_tokens=9,
        messages=[
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": [block, {"type": "text", "text": "Yes?"}]},
            {"role": "user", "content": "Go on"},
        ],
    )
    assert answer.headers["x-headrace-dropped"] == "messages.thinking"
    assert "of-anthropic" not in upstream.only_seen().body.decode()


@pytest.mark.parametrize("stream", [False, True])
def test_anthropics_client(
    claude: anthropic.Anthropic, upstream: ScriptedThread, stream: bool
) -> None:
    upstream.script({"tool_calls": TWO_CALLS, "thinking": "Two cities."})
    tool: Any = {"name": "weather", "input_schema": SCHEMA, "strict": True}
    asked: dict[str, Any] = {
        "model": "gemini", "max_tokens": 99, "messages": HELLO, "tools": [tool],
        "thinking": {"type": "enabled", "budget_tokens": 2048},
    }  # fmt: skip
    answer = said_to(claude, asked, stream=stream)
    thought, *uses = answer.content
    assert (thought.thinking, thought.signature) == ("Two cities.", f"google#{SIGNATURE}")
    assert [use.input for use in uses] == CITIES
    assert answer.stop_reason == "tool_use"
    seen = upstream.only_seen()
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (
        seen.tokens_in,
        seen.tokens_out,
    )
    body = seen.json()
    assert body["toolConfig"] == {"functionCallingConfig": {"mode": "VALIDATED"}}
    thinking = {"thinkingBudget": 2048, "includeThoughts": True}
    assert body["generationConfig"]["thinkingConfig"] == thinking

    upstream.reset()
    results: Any = [
        {"type": "tool_result", "tool_use_id": uses[0].id, "content": "rain"},
        {"type": "tool_result", "tool_use_id": uses[1].id, "content": "no", "is_error": True},
    ]
    back: Any = [
        *HELLO,
        {"role": "assistant", "content": answer.content},
        {"role": "user", "content": results},
    ]
    claude.messages.create(**asked | {"messages": back})
    _, model, user = upstream.only_seen().json()["contents"]
    assert model["parts"][0]["thoughtSignature"] == SIGNATURE
    responses = [part["functionResponse"]["response"] for part in user["parts"]]
    assert responses == [{"output": "rain"}, {"error": "no"}]


def test_pictures_documents_and_schemas(client: openai.OpenAI, upstream: ScriptedThread) -> None:
    content: Any = [
        {"type": "text", "text": "What?"},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}},
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png?x=1"}},
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBERi0="}},
    ]
    named: Any = {"name": "place", "schema": SCHEMA, "strict": True}
    answer = client.chat.completions.create(
        model="gemini",
        messages=[{"role": "user", "content": content}],
        response_format={"type": "json_schema", "json_schema": named},
    )
    assert json.loads(answer.choices[0].message.content or "") == {"city": "mill"}
    body = upstream.only_seen().json()
    assert body["contents"][0]["parts"] == [
        {"text": "What?"},
        {"inlineData": {"mimeType": "image/png", "data": PNG}},
        {"fileData": {"mimeType": "image/png", "fileUri": "https://example.com/a.png?x=1"}},
        {"inlineData": {"mimeType": "application/pdf", "data": "JVBERi0="}},
    ]
    assert body["generationConfig"] == {
        "responseMimeType": "application/json",
        "responseJsonSchema": SCHEMA,
    }


def test_embeddings(client: openai.OpenAI, upstream: ScriptedThread) -> None:
    answer = client.embeddings.create(model="gemini-embedding-001", input=["a", "b"], dimensions=8)
    assert [v.embedding for v in answer.data] == [vector_of(t, 8).tolist() for t in ("a", "b")]
    seen = upstream.only_seen()
    assert seen.path == "/v1beta/models/gemini-embedding-001:batchEmbedContents"
    assert seen.json()["requests"][1] == {
        "model": "models/gemini-embedding-001",
        "content": {"parts": [{"text": "b"}]},
        "outputDimensionality": 8,
    }
    with pytest.raises(openai.BadRequestError, match="texts, not token numbers"):
        client.embeddings.create(model="gemini-embedding-001", input=[1, 2])


def test_tokens_are_counted_there(claude: anthropic.Anthropic, upstream: ScriptedThread) -> None:
    counted = claude.messages.count_tokens(model="gemini", messages=HELLO, system="Be short.")
    seen = upstream.only_seen()
    assert counted.input_tokens == seen.tokens_in
    asked = seen.json()["generateContentRequest"]
    assert asked["model"] == "models/gemini-2.5-flash"
    assert asked["systemInstruction"] == {"parts": [{"text": "Be short."}]}


ENDS = [("MAX_TOKENS", "length"), ("SAFETY", "content_filter"), ("RECITATION", "content_filter")]


def test_ends(client: openai.OpenAI, upstream: ScriptedThread) -> None:
    for native, finish in ENDS:
        upstream.script({"finish": native})
        answer = client.chat.completions.create(model="gemini", messages=HELLO)
        assert answer.choices[0].finish_reason == finish


@pytest.mark.parametrize("stream", [False, True])
def test_what_it_refuses(client: openai.OpenAI, upstream: ScriptedThread, stream: bool) -> None:
    def code_of(fault: Any) -> str | None:
        upstream.reset()
        upstream.always(fault=fault)
        with pytest.raises(openai.APIStatusError) as caught:
            client.chat.completions.create(model="gemini", messages=HELLO, stream=stream)
        assert "scripted" not in str(caught.value)
        return caught.value.code

    assert code_of("context_too_long") == "context_length_exceeded"
    assert code_of("content_filter") == "content_filter"
    assert code_of("bad_tool_json") == "upstream_failed"


def test_it_is_left_alone_as_long_as_it_asks(
    client: openai.OpenAI, upstream: ScriptedThread
) -> None:
    upstream.always(fault={"kind": "rate_limited", "retry_delay_s": 34})
    with pytest.raises(openai.InternalServerError) as caught:
        client.chat.completions.create(model="gemini-busy", messages=HELLO)
    assert caught.value.code == "upstream_busy"
    assert caught.value.response.headers["retry-after"] == "34"


def test_what_cannot_be_said(client: openai.OpenAI, upstream: ScriptedThread) -> None:
    later: Any = [*HELLO, {"role": "assistant", "content": "?"}, {"role": "system", "content": "x"}]
    with pytest.raises(openai.BadRequestError, match="cannot be expressed in Gemini's API"):
        client.chat.completions.create(model="gemini", messages=later)
    unknown: Any = [*HELLO, {"role": "tool", "tool_call_id": "nobody's", "content": "x"}]
    with pytest.raises(openai.BadRequestError, match="the id of a call in an earlier message"):
        client.chat.completions.create(model="gemini", messages=unknown)
    assert upstream.seen == []
