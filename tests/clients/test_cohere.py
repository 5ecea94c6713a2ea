"""Real SDKs before Cohere's own API: what is sent there, and what comes of its answers."""

from __future__ import annotations

import json
from typing import Any

import anthropic
import openai
import pytest

from clients.conftest import PROVIDER_KEY
from clients.weather import (
    CITIES,
    HELLO,
    SCHEMA,
    TOOL,
    TWO_CALLS,
    chosen,
    said_to,
    tool_results,
)
from headrace_upstream.openai import vector_of
from support.scripted import ScriptedThread

OTHER: Any = {"type": "function", "function": {"name": "other", "parameters": SCHEMA}}


def test_whole(client: openai.OpenAI, upstream: ScriptedThread) -> None:
    upstream.script({"text": "Grüße", "usage": {"input": 20, "cached": 5}})
    named: Any = {"name": "place", "schema": SCHEMA}
    answer = client.chat.completions.with_raw_response.create(
        model="cohere",
        messages=[{"role": "system", "content": "Be short."}, *HELLO],
        max_completion_tokens=33,
        top_p=0.5,
        stop=["END"],
        seed=7,
        user="u-1",
        response_format={"type": "json_schema", "json_schema": named},
    )
    assert answer.headers["x-headrace-dropped"] == "user"
    completion = answer.parse()
    choice, usage = completion.choices[0], completion.usage
    assert (choice.message.content, choice.finish_reason) == ("Grüße", "stop")
    assert completion.model == "command-a-03-2025"
    assert usage is not None
    assert usage.prompt_tokens_details is not None
    assert (usage.prompt_tokens, usage.prompt_tokens_details.cached_tokens) == (20, 5)
    seen = upstream.only_seen()
    assert seen.path == "/v2/chat"
    assert seen.header("authorization") == f"Bearer {PROVIDER_KEY}"
    assert seen.json() == {
        "model": "command-a-03-2025",
        "messages": [{"role": "system", "content": "Be short."}, *HELLO],
        "response_format": {"type": "json_object", "json_schema": SCHEMA},
        "max_tokens": 33,
        "stop_sequences": ["END"],
        "seed": 7,
        "p": 0.5,
    }


def test_streamed(client: openai.OpenAI, upstream: ScriptedThread) -> None:
    upstream.script({"text": "Grüße aus der Mühle", "thinking": "They greet."})
    options: Any = {"stream_options": {"include_usage": True}}
    chunks = list(
        client.chat.completions.create(model="cohere", messages=HELLO, stream=True, **options)
    )
    deltas: list[Any] = [c.choices[0].delta.model_dump() for c in chunks if c.choices]
    assert "".join(d["content"] or "" for d in deltas) == "Grüße aus der Mühle"
    assert "".join(d.get("reasoning_content") or "" for d in deltas) == "They greet."
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"
    seen = upstream.only_seen()
    usage = chunks[-1].usage
    assert usage is not None
    assert (usage.prompt_tokens, usage.completion_tokens) == (seen.tokens_in, seen.tokens_out)


@pytest.mark.parametrize("stream", [False, True])
def test_tools_there_and_back(
    client: openai.OpenAI, upstream: ScriptedThread, stream: bool
) -> None:
    """A plan for calls is thinking; one tool is chosen by sending it alone."""
    upstream.script({"tool_calls": TWO_CALLS, "thinking": "Two cities."})
    asked: dict[str, Any] = {
        "model": "cohere", "messages": HELLO, "tools": [TOOL, OTHER],
        "tool_choice": {"type": "function", "function": {"name": "weather"}},
    }  # fmt: skip
    choice = chosen(client, asked, stream=stream)
    calls = choice.message.tool_calls
    cities = [json.loads(call.function.arguments) for call in calls]
    assert cities == CITIES
    assert choice.finish_reason == "tool_calls"
    said = choice.message.model_dump(exclude_none=True)
    assert said["reasoning_content"] == "Two cities."
    body = upstream.only_seen().json()
    assert (body["tools"], body["tool_choice"]) == ([TOOL], "REQUIRED")

    upstream.reset()
    results = tool_results(calls)
    back: Any = {k: said[k] for k in ("role", "tool_calls", "reasoning_content")}
    client.chat.completions.create(model="cohere", tools=[TOOL], messages=[*HELLO, back, *results])
    _, assistant, first, second = upstream.only_seen().json()["messages"]
    assert assistant["tool_plan"] == "Two cities."
    ids = [call["id"] for call in assistant["tool_calls"]]
    assert ids == [first["tool_call_id"], second["tool_call_id"]]
    assert [first["content"], second["content"]] == ["rain", "sun"]


@pytest.mark.parametrize("stream", [False, True])
def test_anthropics_client(
    claude: anthropic.Anthropic, upstream: ScriptedThread, stream: bool
) -> None:
    upstream.script({"tool_calls": TWO_CALLS, "thinking": "Two cities."})
    tool: Any = {"name": "weather", "input_schema": SCHEMA}
    asked: dict[str, Any] = {
        "model": "cohere", "max_tokens": 9999, "messages": HELLO, "tools": [tool],
        "thinking": {"type": "enabled", "budget_tokens": 2048},
    }  # fmt: skip
    answer = said_to(claude, asked, stream=stream)
    thought, *uses = answer.content
    assert thought.thinking == "Two cities."
    assert [use.input for use in uses] == CITIES
    assert answer.stop_reason == "tool_use"
    body = upstream.only_seen().json()
    assert body["thinking"] == {"type": "enabled", "token_budget": 2048}


def test_embeddings(client: openai.OpenAI, upstream: ScriptedThread) -> None:
    for more, kind in (({}, "search_document"), ({"input_type": "search_query"}, "search_query")):
        upstream.reset()
        answer = client.embeddings.create(
            model="cohere", input=["a", "b"], dimensions=8, extra_body=more
        )
        got = [v.embedding for v in answer.data]
        assert got == [vector_of(t, 8).tolist() for t in ("a", "b")]
        seen = upstream.only_seen()
        assert answer.usage.prompt_tokens == seen.tokens_in
        assert seen.json() == {
            "model": "command-a-03-2025",
            "texts": ["a", "b"],
            "input_type": kind,
            "output_dimension": 8,
            "embedding_types": ["float"],
        }


def test_ends_and_faults(client: openai.OpenAI, upstream: ScriptedThread) -> None:
    for native, finish in (("MAX_TOKENS", "length"), ("STOP_SEQUENCE", "stop")):
        upstream.script({"finish": native})
        answer = client.chat.completions.create(model="cohere", messages=HELLO)
        assert answer.choices[0].finish_reason == finish
    for script, code in (
        ({"fault": "context_too_long"}, "context_length_exceeded"),
        ({"finish": "ERROR"}, "upstream_failed"),
        ({"finish": "TIMEOUT"}, "upstream_failed"),
    ):
        upstream.script(script)
        with pytest.raises(openai.APIStatusError) as caught:
            client.chat.completions.create(model="cohere", messages=HELLO)
        assert caught.value.code == code
