"""Each wire format, read by the real OpenAI SDK; Anthropic's by its documented events."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from openai import (
    APIError,
    AsyncAzureOpenAI,
    AsyncOpenAI,
    BadRequestError,
    NotFoundError,
    RateLimitError,
)

from headrace_upstream import ScriptedUpstream
from headrace_upstream.openai import vector_of
from upstream.wire import CHAT, MESSAGES, ask, chat_body

HELLO: Any = [{"role": "user", "content": "Hello"}]
HELLO_TOKENS = 3 + 3 + 2
TOOLS: Any = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
                "required": ["city", "days"],
            },
        },
    }
]


@pytest.fixture
async def up() -> AsyncIterator[ScriptedUpstream]:
    async with ScriptedUpstream(tokens=5) as upstream:
        yield upstream


@pytest.fixture
async def client(up: ScriptedUpstream) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=f"{up.url}/v1", api_key="sk-x", max_retries=0) as sdk:
        yield sdk


@pytest.fixture(params=["deployment", "v1"])
async def azure(up: ScriptedUpstream, request: pytest.FixtureRequest) -> AsyncIterator[AsyncOpenAI]:
    if request.param == "v1":
        url = f"{up.url}/openai/v1"
        async with AsyncOpenAI(base_url=url, api_key="k", max_retries=0) as sdk:
            yield sdk
    else:
        async with AsyncAzureOpenAI(
            azure_endpoint=up.url, api_key="k", api_version="2024-10-21", max_retries=0
        ) as sdk:
            yield sdk


async def test_whole_chat(up: ScriptedUpstream, client: AsyncOpenAI) -> None:
    said = await client.chat.completions.create(model="gpt-4o", messages=HELLO)
    assert said.choices[0].message.content == "The mill wheel turns while"
    assert (said.model, said.choices[0].finish_reason) == ("gpt-4o", "stop")
    assert said.usage is not None
    assert (said.usage.prompt_tokens, said.usage.completion_tokens) == (HELLO_TOKENS, 5)
    assert said.usage.total_tokens == HELLO_TOKENS + 5
    assert (up.seen[0].tokens_in, up.seen[0].tokens_out) == (HELLO_TOKENS, 5)


async def test_ids_differ_from_call_to_call(client: AsyncOpenAI) -> None:
    ids = {
        (await client.chat.completions.create(model="gpt-4o", messages=HELLO)).id for _ in range(5)
    }
    assert len(ids) == 5


@pytest.mark.parametrize("writes", ["burst", "each", "one"])
async def test_streamed_chat(up: ScriptedUpstream, client: AsyncOpenAI, writes: str) -> None:
    up.default({"writes": writes})
    stream = await client.chat.completions.create(
        model="gpt-4o", messages=HELLO, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == "The mill wheel turns while"
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert [chunk.usage for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)
    usage = chunks[-1].usage
    assert usage is not None
    assert (usage.prompt_tokens, usage.completion_tokens) == (HELLO_TOKENS, 5)
    assert chunks[-1].choices == []


async def test_usage_is_null_only_where_it_was_asked_for(up: ScriptedUpstream) -> None:
    assert b'"usage"' not in (await ask(up, body=chat_body(stream=True))).body
    wanted = chat_body(stream=True, stream_options={"include_usage": True})
    assert (await ask(up, body=wanted)).body.count(b'"usage":null') == 7


async def test_each_event_is_a_chunk_on_the_wire_unless_one_is_wanted(
    up: ScriptedUpstream,
) -> None:
    answer = await ask(up, body=chat_body(stream=True))
    assert len(answer.chunks) == len(answer.events) == 8
    together = await ask(up, body=chat_body(stream=True), script={"writes": "one"})
    assert (len(together.chunks), len(together.events)) == (1, 8)


async def test_several_choices(client: AsyncOpenAI) -> None:
    said = await client.chat.completions.create(model="gpt-4o", messages=HELLO, n=3)
    assert len(said.choices) == 3
    assert said.usage is not None
    assert said.usage.completion_tokens == 15


async def test_max_tokens_cut_the_answer_short(client: AsyncOpenAI) -> None:
    said = await client.chat.completions.create(model="gpt-4o", messages=HELLO, max_tokens=2)
    assert said.choices[0].message.content == "The mill"
    assert said.choices[0].finish_reason == "length"


async def test_images_and_system_text_count(up: ScriptedUpstream, client: AsyncOpenAI) -> None:
    url = "data:image/png;base64,AAAA"
    parts: Any = [
        {"type": "text", "text": "What?"},
        {"type": "image_url", "image_url": {"url": url}},
    ]
    messages: Any = [{"role": "system", "content": "Help."}, {"role": "user", "content": parts}]
    await client.chat.completions.create(model="gpt-4o", messages=messages)
    assert up.seen[0].tokens_in == 3 + (3 + 2) + (3 + 2 + 85)


@pytest.mark.parametrize(
    "choice", ["required", {"type": "function", "function": {"name": "weather"}}]
)
async def test_forced_tool_call(client: AsyncOpenAI, choice: Any) -> None:
    said = await client.chat.completions.create(
        model="gpt-4o", messages=HELLO, tools=TOOLS, tool_choice=choice
    )
    assert said.choices[0].finish_reason == "tool_calls"
    call: Any = (said.choices[0].message.tool_calls or [])[0]
    assert call.function.name == "weather"
    assert msgspec.json.decode(call.function.arguments) == {"city": "mill", "days": 1}


async def test_streamed_tool_calls_come_in_fragments(
    up: ScriptedUpstream, client: AsyncOpenAI
) -> None:
    up.script({"tool_calls": [{"arguments": {"city": "Zürich", "days": 3}}, {"name": "other"}]})
    stream = await client.chat.completions.create(
        model="gpt-4o", messages=HELLO, tools=TOOLS, stream=True
    )
    calls: dict[int, list[str]] = {}
    names: dict[int, str] = {}
    async for chunk in stream:
        for call in chunk.choices[0].delta.tool_calls or []:
            assert call.function is not None
            calls.setdefault(call.index, []).append(call.function.arguments or "")
            names[call.index] = names.get(call.index, "") + (call.function.name or "")
    assert names == {0: "weather", 1: "other"}
    assert msgspec.json.decode("".join(calls[0])) == {"city": "Zürich", "days": 3}
    assert len(calls[0]) > 3


async def test_tools_alone_do_not_force_a_call(client: AsyncOpenAI) -> None:
    said = await client.chat.completions.create(model="gpt-4o", messages=HELLO, tools=TOOLS)
    assert said.choices[0].finish_reason == "stop"


async def test_json_mode(client: AsyncOpenAI) -> None:
    said = await client.chat.completions.create(
        model="gpt-4o", messages=HELLO, response_format={"type": "json_object"}
    )
    assert isinstance(msgspec.json.decode(said.choices[0].message.content or ""), dict)
    schema = TOOLS[0]["function"]["parameters"]
    said = await client.chat.completions.create(
        model="gpt-4o",
        messages=HELLO,
        response_format={"type": "json_schema", "json_schema": {"name": "w", "schema": schema}},
    )
    content = said.choices[0].message.content or ""
    assert msgspec.json.decode(content) == {"city": "mill", "days": 1}


@pytest.mark.parametrize("stream", [False, True])
async def test_text_completions(client: AsyncOpenAI, stream: bool) -> None:
    if stream:
        chunks = await client.completions.create(model="old", prompt="Hello", stream=True)
        text = "".join([chunk.choices[0].text async for chunk in chunks])
    else:
        text = (await client.completions.create(model="old", prompt="Hello")).choices[0].text
    assert text == "The mill wheel turns while"


async def test_embeddings(up: ScriptedUpstream, client: AsyncOpenAI) -> None:
    texts = ["one", "two", "one"]
    packed = await client.embeddings.create(model="e", input=texts)  # the SDK asks for base64
    plain = await client.embeddings.create(model="e", input=texts, encoding_format="float")
    assert up.seen[0].json()["encoding_format"] == "base64"
    vectors = [item.embedding for item in plain.data]
    assert [len(vector) for vector in vectors] == [1536] * 3
    assert vectors[0] == vectors[2] != vectors[1]
    assert vectors[0] == pytest.approx([*packed.data[0].embedding])
    assert plain.usage.prompt_tokens == 3
    small = await client.embeddings.create(model="e", input="one", dimensions=8)
    assert len(small.data[0].embedding) == 8


async def test_base64_embeddings_are_float32(up: ScriptedUpstream) -> None:
    body = {"model": "e", "input": "one", "encoding_format": "base64", "dimensions": 16}
    packed = (await ask(up, "/v1/embeddings", body)).json()["data"][0]["embedding"]
    assert base64.b64decode(packed) == vector_of("one", 16).tobytes()


async def test_models(client: AsyncOpenAI) -> None:
    assert "gpt-4o" in [model.id async for model in client.models.list()]
    assert (await client.models.retrieve("gpt-4o")).id == "gpt-4o"


async def test_errors_become_the_sdks_exceptions(up: ScriptedUpstream, client: AsyncOpenAI) -> None:
    up.script({"fault": {"kind": "rate_limited", "retry_after": 7}})
    up.script({"fault": "context_too_long"})
    with pytest.raises(RateLimitError) as limited:
        await client.chat.completions.create(model="gpt-4o", messages=HELLO)
    assert limited.value.code == "rate_limit_exceeded"
    with pytest.raises(BadRequestError) as long:
        await client.chat.completions.create(model="gpt-4o", messages=HELLO)
    assert long.value.code == "context_length_exceeded"
    with pytest.raises(NotFoundError):
        await client.post("/nowhere", cast_to=object)


async def test_error_event_makes_the_sdk_raise(up: ScriptedUpstream, client: AsyncOpenAI) -> None:
    up.script({"fault": "error_event"})
    stream = await client.chat.completions.create(model="gpt-4o", messages=HELLO, stream=True)
    with pytest.raises(APIError, match="had an error"):
        async for _ in stream:
            pass


async def test_azure_whole(up: ScriptedUpstream, azure: AsyncOpenAI) -> None:
    said = await azure.chat.completions.create(model="east", messages=HELLO)
    extra: Any = said
    assert said.choices[0].message.content == "The mill wheel turns while"
    assert extra.prompt_filter_results[0]["content_filter_results"]["hate"]["severity"] == "safe"
    assert extra.choices[0].content_filter_results["violence"]["filtered"] is False
    assert up.seen[0].model == "east"


async def test_azure_stream(up: ScriptedUpstream, azure: AsyncOpenAI) -> None:
    stream = await azure.chat.completions.create(model="east", messages=HELLO, stream=True)
    chunks: list[Any] = [chunk async for chunk in stream]
    assert chunks[0].choices == []
    assert chunks[0].prompt_filter_results[0]["prompt_index"] == 0
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == "The mill wheel turns while"
    assert chunks[2].choices[0].content_filter_results["hate"]["severity"] == "safe"


async def test_azure_embeddings(azure: AsyncOpenAI) -> None:
    made = await azure.embeddings.create(model="east", input="one", dimensions=4)
    assert len(made.data[0].embedding) == 4


async def test_azure_key_and_deployment_are_seen(up: ScriptedUpstream) -> None:
    async with AsyncAzureOpenAI(azure_endpoint=up.url, api_key="k1", api_version="v") as sdk:
        await sdk.chat.completions.create(model="east", messages=HELLO)
    assert up.seen[0].header("api-key") == "k1"
    assert up.seen[0].deployment == "east"


async def test_anthropic_whole(up: ScriptedUpstream) -> None:
    body = chat_body(model="claude-sonnet-4-5", max_tokens=100, system="Be brief.")
    said = (await ask(up, MESSAGES, body)).json()
    assert said["content"] == [{"type": "text", "text": "The mill wheel turns while"}]
    assert (said["type"], said["role"], said["stop_reason"]) == ("message", "assistant", "end_turn")
    assert said["usage"]["input_tokens"] == HELLO_TOKENS + 3
    assert said["usage"]["output_tokens"] == 5


async def test_anthropic_stream(up: ScriptedUpstream) -> None:
    answer = await ask(up, MESSAGES, chat_body(stream=True))
    events = [msgspec.json.decode(event) for event in answer.events]
    names = [line[7:].decode() for line in answer.body.split(b"\n") if line[:7] == b"event: "]
    assert names == [event["type"] for event in events]
    assert names == [
        "message_start",
        "content_block_start",
        "ping",
        *["content_block_delta"] * 5,
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert events[0]["message"]["usage"]["input_tokens"] == HELLO_TOKENS
    assert "".join(event["delta"]["text"] for event in events[3:8]).startswith("The mill")
    assert events[-2]["delta"]["stop_reason"] == "end_turn"
    assert events[-2]["usage"]["output_tokens"] == 5


@pytest.mark.parametrize("stream", [False, True])
async def test_anthropic_tool_use(up: ScriptedUpstream, stream: bool) -> None:
    schema = TOOLS[0]["function"]["parameters"]
    tools = [{"name": "weather", "input_schema": schema}]
    body = chat_body(stream=stream, tools=tools, tool_choice={"type": "any"})
    answer = await ask(up, MESSAGES, body)
    wanted = {"city": "mill", "days": 1}
    if not stream:
        block = answer.json()["content"][0]
        assert (block["type"], block["name"], block["input"]) == ("tool_use", "weather", wanted)
        return
    events = [msgspec.json.decode(event) for event in answer.events]
    deltas = [event["delta"] for event in events if event["type"] == "content_block_delta"]
    assert msgspec.json.decode("".join(delta["partial_json"] for delta in deltas)) == wanted
    assert events[-2]["delta"]["stop_reason"] == "tool_use"


async def test_anthropic_counts_tokens(up: ScriptedUpstream) -> None:
    answer = await ask(up, f"{MESSAGES}/count_tokens", chat_body())
    assert answer.json() == {"input_tokens": HELLO_TOKENS}


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"messages": 5}', b"\xff"])
async def test_a_bad_body_is_refused(up: ScriptedUpstream, body: bytes) -> None:
    answer = await ask(up, CHAT, body)
    assert answer.status == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"
