"""Real SDKs before servers that speak OpenAI's API with names and forms of their own."""

from __future__ import annotations

import json
from typing import Any

import anthropic
import openai
import pytest

from clients.conftest import PROVIDER_KEY
from clients.weather import CITIES, HELLO, SCHEMA, TOLD, TOOL, TWO_CALLS, said_to
from support.scripted import ScriptedThread

MODELS = ("mistral", "ollama", "vllm")


def test_mistrals_words(client: openai.OpenAI, upstream: ScriptedThread) -> None:
    answer = client.chat.completions.with_raw_response.create(
        model="mistral",
        messages=[{"role": "developer", "content": "Be short."}, *HELLO],
        max_completion_tokens=33,
        seed=7,
        user="u-1",
        store=False,
        logit_bias={"1": 1},
        extra_body={"safe_prompt": True},
    )
    assert set(answer.headers["x-headrace-dropped"].split(", ")) == {"user", "logit_bias"}
    seen = upstream.only_seen()
    assert seen.path == "/mistral/v1/chat/completions"
    assert seen.header("authorization") == f"Bearer {PROVIDER_KEY}"
    assert seen.json() == {
        "model": "mistral-large-latest",
        "messages": [{"role": "system", "content": "Be short."}, *HELLO],
        "max_tokens": 33,
        "random_seed": 7,
        "safe_prompt": True,
    }


@pytest.mark.parametrize("usage", [False, True])
def test_mistrals_streams(client: openai.OpenAI, upstream: ScriptedThread, usage: bool) -> None:
    """Usage comes unasked, thinking as parts of the content."""
    upstream.script({"text": "Grüße aus der Mühle", "thinking": "They greet."})
    options: Any = {"stream_options": {"include_usage": True}} if usage else {}
    chunks = list(
        client.chat.completions.create(model="mistral", messages=HELLO, stream=True, **options)
    )
    deltas: list[Any] = [c.choices[0].delta.model_dump() for c in chunks if c.choices]
    assert "".join(d["content"] or "" for d in deltas) == "Grüße aus der Mühle"
    assert "".join(d.get("reasoning_content") or "" for d in deltas) == "They greet."
    told = [c.usage for c in chunks if c.usage is not None]
    seen = upstream.only_seen()
    assert "stream_options" not in seen.json()
    assert [(u.prompt_tokens, u.completion_tokens) for u in told] == (
        [(seen.tokens_in, seen.tokens_out)] if usage else []
    )


def test_mistrals_whole_thinking_there_and_back(
    client: openai.OpenAI, upstream: ScriptedThread
) -> None:
    upstream.script({"text": "Yes.", "thinking": "Hm."})
    answer = client.chat.completions.create(model="mistral", messages=HELLO)
    message: Any = answer.choices[0].message.model_dump(exclude_none=True)
    assert (message["content"], message["reasoning_content"]) == ("Yes.", "Hm.")
    upstream.reset()
    client.chat.completions.create(model="mistral", messages=[*HELLO, message, *HELLO])
    assert upstream.only_seen().json()["messages"][1] == {
        "role": "assistant",
        "content": [
            {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]},
            {"type": "text", "text": "Yes."},
        ],
    }


def test_mistrals_ids_and_files(client: openai.OpenAI, upstream: ScriptedThread) -> None:
    """A conversation that another provider began goes on: its ids get a form that is taken."""
    call: dict[str, Any] = {"id": "call_of_another_provider", "type": "function"}
    call |= {"function": {"name": "weather", "arguments": "{}"}}
    file = {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0="}
    messages: Any = [
        {"role": "user", "content": [{"type": "file", "file": file}]},
        {"role": "assistant", "content": None, "tool_calls": [call], "refusal": None},
        {"role": "tool", "tool_call_id": call["id"], "content": "rain"},
    ]
    client.chat.completions.create(model="mistral", messages=messages, tools=[TOOL])
    user, assistant, tool = upstream.only_seen().json()["messages"]
    assert user["content"] == [
        {"type": "document_url", "document_url": file["file_data"], "document_name": "a.pdf"}
    ]
    assert assistant["tool_calls"][0]["id"] == tool["tool_call_id"]
    assert len(tool["tool_call_id"]) == 9


def test_mistrals_ends(client: openai.OpenAI, upstream: ScriptedThread) -> None:
    upstream.script({"finish": "model_length"})
    answer = client.chat.completions.create(model="mistral", messages=HELLO)
    assert answer.choices[0].finish_reason == "length"
    upstream.script({"finish": "error"})
    with pytest.raises(openai.InternalServerError) as caught:
        client.chat.completions.create(model="mistral", messages=HELLO)
    assert caught.value.code == "upstream_failed"
    upstream.script({"fault": "context_too_long"})
    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(model="mistral", messages=HELLO)
    assert refused.value.code == "context_length_exceeded"


def test_what_ollama_would_ignore(client: openai.OpenAI, upstream: ScriptedThread) -> None:
    answer = client.chat.completions.with_raw_response.create(
        model="ollama", messages=HELLO, max_completion_tokens=3, n=1, user="u-1", tool_choice="auto"
    )
    assert answer.headers["x-headrace-dropped"] == "user"
    seen = upstream.only_seen()
    assert seen.header("authorization") is None
    assert seen.json() == {"model": "llama3.2:3b", "messages": HELLO, "max_tokens": 3}
    assert seen.tokens_out == 3
    with pytest.raises(openai.BadRequestError, match="cannot be expressed in Ollama's API"):
        client.chat.completions.create(
            model="ollama", messages=HELLO, tools=[TOOL], tool_choice="required"
        )


def test_vllm_gets_all(client: openai.OpenAI, upstream: ScriptedThread) -> None:
    more = {"top_k": 5, "chat_template_kwargs": {"enable_thinking": False}}
    client.chat.completions.create(model="vllm", messages=HELLO, user="u-1", extra_body=more)
    seen = upstream.only_seen()
    assert seen.header("authorization") is None
    assert seen.json() == {"model": "vllm", "messages": HELLO, "user": "u-1", **more}


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("stream", [False, True])
def test_anthropics_client(
    claude: anthropic.Anthropic, upstream: ScriptedThread, model: str, stream: bool
) -> None:
    """Thinking reaches it from each form, and calls of tools come back with their results."""
    upstream.script({"tool_calls": TWO_CALLS, "thinking": "Two cities."})
    tool: Any = {"name": "weather", "input_schema": SCHEMA}
    asked: dict[str, Any] = {"model": model, "max_tokens": 99, "messages": HELLO, "tools": [tool]}
    answer = said_to(claude, asked, stream=stream)
    thought, *uses = answer.content
    assert thought.thinking == "Two cities."
    assert [use.input for use in uses] == CITIES
    upstream.reset()
    results: Any = [
        {"type": "tool_result", "tool_use_id": use.id, "content": told}
        for use, told in zip(uses, TOLD, strict=True)
    ]
    back: Any = [
        *HELLO,
        {"role": "assistant", "content": uses},
        {"role": "user", "content": results},
    ]
    claude.messages.create(**asked | {"messages": back})
    _, assistant, first, second = upstream.only_seen().json()["messages"]
    ids = [call["id"] for call in assistant["tool_calls"]]
    assert [first["tool_call_id"], second["tool_call_id"]] == ids
    arguments = [json.loads(c["function"]["arguments"]) for c in assistant["tool_calls"]]
    assert arguments == CITIES


@pytest.mark.parametrize("model", MODELS)
def test_a_cut_stream_is_no_answer(
    client: openai.OpenAI, upstream: ScriptedThread, model: str
) -> None:
    for how in ("eof", "rst", "clean_end", "broken_chunk"):
        upstream.reset()
        upstream.script({"fault": {"kind": "cut", "how": how}, "writes": "each", "gap_ms": 5})
        with pytest.raises(openai.APIError, match="broke off"):
            list(client.chat.completions.create(model=model, messages=HELLO, stream=True))


def test_bytes_of_mistral_may_be_cut_anywhere(
    client: openai.OpenAI, upstream: ScriptedThread
) -> None:
    text = "Grüße 水車 🏞️"
    for split in (1, 7, "utf8"):
        upstream.script({"text": text, "thinking": "水", "split": split})
        stream = client.chat.completions.create(model="mistral", messages=HELLO, stream=True)
        assert "".join(c.choices[0].delta.content or "" for c in stream if c.choices) == text


def test_ollama_is_told_not_to_think(claude: anthropic.Anthropic, upstream: ScriptedThread) -> None:
    answer = claude.messages.with_raw_response.create(
        model="ollama", max_tokens=9, messages=HELLO, thinking={"type": "disabled"}
    )
    assert "x-headrace-dropped" not in answer.headers
    assert upstream.only_seen().json()["reasoning_effort"] == "none"
