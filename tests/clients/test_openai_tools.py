"""Tools and structured answers with OpenAI's SDK."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam, ChatCompletionToolParam
from pydantic import BaseModel

from support.scripted import ScriptedThread

ASK: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Weather in Zürich?"}]
TOOLS: list[ChatCompletionToolParam] = [
    {
        "type": "function",
        "function": {
            "name": name,
            "description": "Looks it up.",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
        },
    }
    for name in ("weather", "tides")
]
CALLS: list[dict[str, Any]] = [
    {"name": "weather", "arguments": {"city": "Zürich 水", "days": 3}},
    {"name": "tides", "arguments": '{"city": "Hull",   "when": "now"}'},
]
MODELS = ["gpt-4o", "alias", "azure-dated", "azure-v1"]


@pytest.mark.parametrize("model", MODELS)
def test_whole(client: openai.OpenAI, upstream: ScriptedThread, model: str) -> None:
    upstream.script({"tool_calls": CALLS})
    answer = client.chat.completions.create(
        model=model, messages=ASK, tools=TOOLS, parallel_tool_calls=True
    )
    message = answer.choices[0].message
    assert answer.choices[0].finish_reason == "tool_calls"
    assert message.content is None
    assert message.tool_calls is not None
    made = [call.function for call in message.tool_calls if call.type == "function"]
    assert [call.name for call in made] == ["weather", "tides"]
    assert json.loads(made[0].arguments) == CALLS[0]["arguments"]
    assert made[1].arguments == CALLS[1]["arguments"]
    assert upstream.only_seen().json()["tools"] == TOOLS


@pytest.mark.parametrize("model", MODELS)
def test_streamed_in_fragments(client: openai.OpenAI, upstream: ScriptedThread, model: str) -> None:
    upstream.script({"tool_calls": CALLS})
    stream = client.chat.completions.create(model=model, messages=ASK, tools=TOOLS, stream=True)
    names: dict[int, str] = {}
    fragments: dict[int, list[str]] = defaultdict(list)
    finish = None
    for chunk in stream:
        for choice in chunk.choices:
            finish = choice.finish_reason or finish
            for call in choice.delta.tool_calls or ():
                assert call.function is not None
                if call.function.name:
                    names[call.index] = call.function.name
                fragments[call.index].append(call.function.arguments or "")
    assert finish == "tool_calls"
    assert names == {0: "weather", 1: "tides"}
    assert min(len(parts) for parts in fragments.values()) > 2
    assert json.loads("".join(fragments[0])) == CALLS[0]["arguments"]
    assert "".join(fragments[1]) == CALLS[1]["arguments"]


async def test_stream_helper_puts_fragments_together(
    aclient: openai.AsyncOpenAI, upstream: ScriptedThread
) -> None:
    upstream.script({"tool_calls": CALLS})
    async with aclient.chat.completions.stream(model="gpt-4o", messages=ASK, tools=TOOLS) as stream:
        done = [e async for e in stream if e.type == "tool_calls.function.arguments.done"]
    assert [event.name for event in done] == ["weather", "tides"]
    assert done[1].arguments == CALLS[1]["arguments"]


def test_the_way_back(client: openai.OpenAI, upstream: ScriptedThread) -> None:
    """The tool's result goes up as the SDK wrote it, and an answer comes down."""
    upstream.script({"tool_calls": CALLS[:1]})
    first = client.chat.completions.create(model="gpt-4o", messages=ASK, tools=TOOLS)
    call: Any = (first.choices[0].message.tool_calls or [])[0]
    told: list[Any] = [
        *ASK,
        first.choices[0].message,
        {"role": "tool", "tool_call_id": call.id, "content": '{"celsius": 4}'},
    ]
    upstream.script({"text": "Cold."})
    raw = client.chat.completions.with_raw_response.create(
        model="gpt-4o", messages=told, tools=TOOLS
    )
    assert raw.parse().choices[0].message.content == "Cold."
    assert upstream.seen[-1].body == raw.http_request.content


def test_forced_tool_choice(client: openai.OpenAI, upstream: ScriptedThread) -> None:
    answer = client.chat.completions.create(
        model="gpt-4o",
        messages=ASK,
        tools=TOOLS,
        tool_choice={"type": "function", "function": {"name": "tides"}},
    )
    calls = answer.choices[0].message.tool_calls
    assert calls is not None
    (call,) = calls
    assert call.type == "function"
    assert call.function.name == "tides"


class River(BaseModel):
    name: str
    length_km: float
    through: list[str]


RIVER = {"name": "Limmat ü", "length_km": 35.5, "through": ["Zürich", "Baden"]}


@pytest.mark.parametrize("model", MODELS)
def test_parse_helper(client: openai.OpenAI, upstream: ScriptedThread, model: str) -> None:
    upstream.script({"text": json.dumps(RIVER, ensure_ascii=False)})
    answer = client.chat.completions.parse(model=model, messages=ASK, response_format=River)
    assert answer.choices[0].message.parsed == River.model_validate(RIVER)
    sent = upstream.only_seen().json()["response_format"]
    assert sent["json_schema"]["name"] == "River"
    assert sent["json_schema"]["strict"] is True


def test_parse_helper_with_the_upstreams_own_instance(
    client: openai.OpenAI, upstream: ScriptedThread
) -> None:
    """Nothing scripted: the schema must have arrived for the answer to fit it."""
    answer = client.chat.completions.parse(model="gpt-4o", messages=ASK, response_format=River)
    assert isinstance(answer.choices[0].message.parsed, River)


async def test_parse_helper_streamed(aclient: openai.AsyncOpenAI, upstream: ScriptedThread) -> None:
    upstream.script({"text": json.dumps(RIVER, ensure_ascii=False)})
    async with aclient.chat.completions.stream(
        model="gpt-4o", messages=ASK, response_format=River
    ) as stream:
        final = await stream.get_final_completion()
    assert final.choices[0].message.parsed == River.model_validate(RIVER)


def test_parse_helper_refuses_what_was_cut_short(
    client: openai.OpenAI, upstream: ScriptedThread
) -> None:
    """`finish_reason: length` reaches the SDK, which does not parse half an object."""
    upstream.script({"text": json.dumps(RIVER)[:20], "finish": "length"})
    with pytest.raises(openai.LengthFinishReasonError):
        client.chat.completions.parse(model="gpt-4o", messages=ASK, response_format=River)


def test_json_mode(client: openai.OpenAI, upstream: ScriptedThread) -> None:
    answer = client.chat.completions.create(
        model="gpt-4o", messages=ASK, response_format={"type": "json_object"}
    )
    assert isinstance(json.loads(answer.choices[0].message.content or ""), dict)
    assert upstream.only_seen().json()["response_format"] == {"type": "json_object"}
