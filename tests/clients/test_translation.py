"""Every client before every provider: real SDKs whose dialect the backend does not speak."""

from __future__ import annotations

import json
from typing import Any

import anthropic
import openai
import pytest
from anthropic.types import MessageParam, ToolParam
from openai.types.chat import ChatCompletionMessageParam, ChatCompletionToolParam

from clients.conftest import ANTHROPIC_KEY, AZURE_KEY, CLIENT_KEY, PROVIDER_KEY
from clients.weather import PDF, PNG, TWO_CALLS
from headrace_upstream.anthropic import SIGNATURE
from support.scripted import ScriptedThread

SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
OPENAI_TOOL: ChatCompletionToolParam = {
    "type": "function",
    "function": {"name": "weather", "description": "of a city", "parameters": SCHEMA},
}
ANTHROPIC_TOOL: ToolParam = {
    "name": "weather",
    "description": "of a city",
    "input_schema": SCHEMA,
}
HELLO: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Hello"}]
ASK: list[MessageParam] = [{"role": "user", "content": "Hello"}]


class TestOpenAIClientBeforeAnthropic:
    def test_whole(self, client: openai.OpenAI, upstream: ScriptedThread) -> None:
        upstream.script({"text": "Grüße", "usage": {"input": 20, "cached": 5, "cache_write": 7}})
        answer = client.chat.completions.create(
            model="claude-sonnet",
            messages=[
                {"role": "system", "content": "Be short."},
                {"role": "developer", "content": "Be kind."},
                {"role": "user", "content": "Hello"},
            ],
            max_completion_tokens=33,
            temperature=0.5,
            stop=["END"],
            user="u-1",
        )
        choice = answer.choices[0]
        assert (choice.message.content, choice.finish_reason) == ("Grüße", "stop")
        assert answer.usage is not None
        assert answer.usage.prompt_tokens == 20 + 5 + 7
        assert answer.usage.prompt_tokens_details is not None
        assert answer.usage.prompt_tokens_details.cached_tokens == 5
        seen = upstream.only_seen()
        assert seen.path == "/v1/messages"
        assert seen.header("x-api-key") == ANTHROPIC_KEY
        assert seen.header("authorization") is None
        assert seen.json() == {
            "model": "claude-sonnet",
            "max_tokens": 33,
            "system": [{"type": "text", "text": "Be short."}, {"type": "text", "text": "Be kind."}],
            "messages": [{"role": "user", "content": "Hello"}],
            "temperature": 0.5,
            "stop_sequences": ["END"],
            "metadata": {"user_id": "u-1"},
        }

    def test_streamed(self, client: openai.OpenAI, upstream: ScriptedThread) -> None:
        upstream.script({"text": "Grüße aus der Mühle"})
        chunks = list(
            client.chat.completions.create(
                model="claude-alias",
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
        assert {c.id for c in chunks} == {chunks[0].id}
        assert seen.json()["model"] == "claude-haiku-4-5"

    @pytest.mark.parametrize("stream", [False, True])
    def test_tools(self, client: openai.OpenAI, upstream: ScriptedThread, stream: bool) -> None:
        upstream.script({"tool_calls": TWO_CALLS, "thinking": "Two cities."})
        messages: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Weather?"}]
        asked: dict[str, Any] = {
            "model": "claude-sonnet",
            "tools": [OPENAI_TOOL],
            "tool_choice": "required",
            "parallel_tool_calls": True,
        }
        if stream:
            with client.chat.completions.stream(messages=messages, **asked) as events:
                message = events.get_final_completion().choices[0].message
        else:
            message = client.chat.completions.create(messages=messages, **asked).choices[0].message
        calls = message.tool_calls or []
        arguments = [json.loads(c.function.arguments) for c in calls if c.type == "function"]
        assert arguments == [{"city": "Zürich"}, {"city": "Łódź"}]
        said = message.model_dump(exclude_none=True)
        (thought,) = said["thinking_blocks"]
        assert (thought["thinking"], thought["signature"]) == ("Two cities.", SIGNATURE)
        assert said["reasoning_content"] == "Two cities."
        (seen,) = upstream.seen
        assert seen.json()["tool_choice"] == {"type": "any"}
        assert seen.json()["tools"] == [ANTHROPIC_TOOL]

        upstream.reset()
        sent_back: Any = {k: said[k] for k in ("role", "tool_calls", "thinking_blocks")}
        client.chat.completions.create(
            model="claude-sonnet",
            messages=[
                *messages,
                sent_back,
                {"role": "tool", "tool_call_id": calls[0].id, "content": "rain"},
                {"role": "tool", "tool_call_id": calls[1].id, "content": "sun"},
            ],
            tools=[OPENAI_TOOL],
        )
        _, assistant, results = upstream.only_seen().json()["messages"]
        thinking, first, second = assistant["content"]
        assert thinking == {"type": "thinking", "thinking": "Two cities.", "signature": SIGNATURE}
        assert (first["input"], second["input"]) == ({"city": "Zürich"}, {"city": "Łódź"})
        assert results == {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": first["id"], "content": "rain"},
                {"type": "tool_result", "tool_use_id": second["id"], "content": "sun"},
            ],
        }

    def test_pictures_documents_and_schemas(
        self, client: openai.OpenAI, upstream: ScriptedThread
    ) -> None:
        client.chat.completions.create(
            model="claude-sonnet",
            messages=[
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": "What?"},
                        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}},
                        {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
                        {
                            "type": "file",
                            "file": {
                                "filename": "a.pdf",
                                "file_data": f"data:application/pdf;base64,{PDF}",
                            },
                        },
                    ],
                }
            ],
            response_format={
                "type": "json_schema",
                "json_schema": {"name": "place", "schema": SCHEMA, "strict": True},
            },
            reasoning_effort="low",
        )
        body = upstream.only_seen().json()
        sources = [block.get("source") for block in body["messages"][0]["content"][1:]]
        assert sources == [
            {"type": "base64", "media_type": "image/png", "data": PNG},
            {"type": "url", "url": "https://example.com/a.png"},
            {"type": "base64", "media_type": "application/pdf", "data": PDF},
        ]
        assert body["output_config"] == {
            "effort": "low",
            "format": {"type": "json_schema", "schema": SCHEMA},
        }

    def test_what_cannot_be_said(self, client: openai.OpenAI, upstream: ScriptedThread) -> None:
        answer = client.chat.completions.with_raw_response.create(
            model="claude-sonnet", messages=HELLO, seed=7, logit_bias={"1": 1}
        )
        assert set(answer.headers["x-headrace-dropped"].split(", ")) == {"seed", "logit_bias"}
        with client.chat.completions.with_streaming_response.create(
            model="claude-sonnet", messages=HELLO, seed=7, stream=True
        ) as streamed:
            assert streamed.headers["x-headrace-dropped"] == "seed"
        upstream.reset()
        with pytest.raises(
            openai.BadRequestError, match="'logprobs' cannot be expressed"
        ) as caught:
            client.chat.completions.create(model="claude-sonnet", messages=HELLO, logprobs=True)
        assert (caught.value.code, caught.value.param) == ("unsupported_by_provider", "logprobs")
        assert upstream.seen == []

    def test_a_pool_of_both_goes_where_it_can_be_said(
        self, client: openai.OpenAI, upstream: ScriptedThread
    ) -> None:
        client.chat.completions.create(model="either", messages=HELLO, logprobs=True)
        assert upstream.only_seen().path == "/v1/chat/completions"

    def test_refusals_and_ends(self, client: openai.OpenAI, upstream: ScriptedThread) -> None:
        for native, finish in [
            ("refusal", "content_filter"),
            ("max_tokens", "length"),
            ("stop_sequence", "stop"),
            ("model_context_window_exceeded", "length"),
        ]:
            upstream.script({"finish": native})
            answer = client.chat.completions.create(model="claude-sonnet", messages=HELLO)
            assert answer.choices[0].finish_reason == finish

    def test_errors(self, client: openai.OpenAI, upstream: ScriptedThread) -> None:
        upstream.script({"fault": "context_too_long"})
        with pytest.raises(openai.BadRequestError) as caught:
            client.chat.completions.create(model="claude-sonnet", messages=HELLO)
        assert caught.value.code == "context_length_exceeded"
        fault = {"kind": "error_event", "after": 3}
        upstream.script({"fault": fault, "writes": "each", "gap_ms": 5})
        with pytest.raises(openai.APIError, match="broke off"):
            list(client.chat.completions.create(model="claude-sonnet", messages=HELLO, stream=True))

    async def test_asynchronous(
        self, aclient: openai.AsyncOpenAI, upstream: ScriptedThread
    ) -> None:
        upstream.script({"text": "Grüße"})
        async with aclient.chat.completions.stream(model="claude-sonnet", messages=HELLO) as stream:
            final = await stream.get_final_completion()
        assert final.choices[0].message.content == "Grüße"


@pytest.mark.parametrize("model", ["gpt-4o", "azure-dated", "azure-v1", "alias"])
class TestAnthropicClientBeforeOpenAI:
    def test_whole(self, claude: anthropic.Anthropic, upstream: ScriptedThread, model: str) -> None:
        upstream.script({"text": "Grüße", "usage": {"input": 20, "cached": 5, "reasoning": 3}})
        answer = claude.messages.create(
            model=model,
            max_tokens=33,
            system="Be short.",
            messages=ASK,
            stop_sequences=["END"],
            metadata={"user_id": "u-1"},
        )
        (block,) = answer.content
        assert block.type == "text"
        assert (block.text, answer.stop_reason) == ("Grüße", "end_turn")
        usage = answer.usage
        assert (usage.input_tokens, usage.cache_read_input_tokens) == (15, 5)
        assert usage.output_tokens_details is not None
        assert usage.output_tokens_details.thinking_tokens == 3
        seen = upstream.only_seen()
        key = PROVIDER_KEY if seen.header("authorization") else AZURE_KEY
        assert key in repr(seen.headers)
        assert CLIENT_KEY not in repr(seen.headers)
        body = seen.json()
        names = {"alias": "gpt-4o-mini", "azure-v1": "west"}
        assert body.pop("model") == names.get(model, model)
        assert body == {
            "max_completion_tokens"
            if model != "alias" and model != "gpt-4o"
            else body_limit(body): 33,
            "messages": [
                {"role": "system", "content": "Be short."},
                {"role": "user", "content": "Hello"},
            ],
            "stop": ["END"],
            "user": "u-1",
        }

    def test_streamed(
        self, claude: anthropic.Anthropic, upstream: ScriptedThread, model: str
    ) -> None:
        upstream.script({"text": "Grüße aus der Mühle", "thinking": "They greet."})
        with claude.messages.stream(model=model, max_tokens=99, messages=ASK) as stream:
            kinds = [event.type for event in stream]
            final = stream.get_final_message()
        thought, said = final.content
        assert thought.type == "thinking"
        assert said.type == "text"
        assert (thought.thinking, said.text) == ("They greet.", "Grüße aus der Mühle")
        assert final.stop_reason == "end_turn"
        assert (kinds[0], kinds[-2], kinds[-1]) == (
            "message_start",
            "message_delta",
            "message_stop",
        )
        seen = upstream.only_seen()
        assert (final.usage.input_tokens, final.usage.output_tokens) == (
            seen.tokens_in,
            seen.tokens_out,
        )

    @pytest.mark.parametrize("stream", [False, True])
    def test_tools(
        self, claude: anthropic.Anthropic, upstream: ScriptedThread, model: str, stream: bool
    ) -> None:
        upstream.script({"tool_calls": TWO_CALLS})
        asked: dict[str, Any] = {
            "model": model,
            "max_tokens": 99,
            "tools": [ANTHROPIC_TOOL],
            "tool_choice": {"type": "any", "disable_parallel_tool_use": True},
        }
        if stream:
            with claude.messages.stream(messages=ASK, **asked) as events:
                answer: anthropic.types.Message = events.get_final_message()
        else:
            answer = claude.messages.create(messages=ASK, **asked)
        assert answer.stop_reason == "tool_use"
        inputs = [block.input for block in answer.content if block.type == "tool_use"]
        assert inputs == [{"city": "Zürich"}, {"city": "Łódź"}]
        body = upstream.only_seen().json()
        assert (body["tool_choice"], body["parallel_tool_calls"]) == ("required", False)
        assert body["tools"] == [OPENAI_TOOL]

        upstream.reset()
        uses = [block for block in answer.content if block.type == "tool_use"]
        claude.messages.create(
            model=model,
            max_tokens=99,
            tools=[ANTHROPIC_TOOL],
            messages=[
                *ASK,
                {"role": "assistant", "content": answer.content},
                {
                    "role": "user",
                    "content": [
                        {"type": "tool_result", "tool_use_id": uses[0].id, "content": "rain"},
                        {"type": "tool_result", "tool_use_id": uses[1].id, "content": "sun"},
                        {"type": "text", "text": "And?"},
                    ],
                },
            ],
        )
        _, assistant, first, second, user = upstream.only_seen().json()["messages"]
        ids = [call["id"] for call in assistant["tool_calls"]]
        assert ids == [use.id for use in uses]
        assert first == {"role": "tool", "tool_call_id": ids[0], "content": "rain"}
        assert second == {"role": "tool", "tool_call_id": ids[1], "content": "sun"}
        assert user == {"role": "user", "content": "And?"}

    def test_errors_are_in_its_own_words(
        self, claude: anthropic.Anthropic, upstream: ScriptedThread, model: str
    ) -> None:
        upstream.script({"fault": "context_too_long"})
        with pytest.raises(anthropic.BadRequestError) as caught:
            claude.messages.create(model=model, max_tokens=9, messages=ASK)
        assert caught.value.error_code == "context_length_exceeded"
        fault = {"kind": "error_event", "after": 3}
        upstream.script({"fault": fault, "writes": "each", "gap_ms": 5})
        with (
            pytest.raises(anthropic.APIStatusError, match="broke off"),
            claude.messages.stream(model=model, max_tokens=99, messages=ASK) as stream,
        ):
            list(stream)

    def test_what_cannot_be_said(
        self, claude: anthropic.Anthropic, upstream: ScriptedThread, model: str
    ) -> None:
        answer = claude.messages.with_raw_response.create(
            model=model,
            max_tokens=9,
            system=[{"type": "text", "text": "Hi", "cache_control": {"type": "ephemeral"}}],
            messages=ASK,
            thinking={"type": "adaptive"},
        )
        assert answer.headers["x-headrace-dropped"] == "thinking, system.cache_control"
        answer = claude.messages.with_raw_response.create(
            model=model, max_tokens=9, messages=ASK, thinking={"type": "disabled"}
        )
        assert answer.headers["x-headrace-dropped"] == "thinking"
        assert "reasoning_effort" not in upstream.seen[-1].json()
        with pytest.raises(anthropic.BadRequestError, match="cannot be expressed") as caught:
            claude.messages.create(
                model=model,
                max_tokens=9,
                messages=ASK,
                tools=[{"type": "web_search_20250305", "name": "web_search"}],
            )
        assert caught.value.error_code == "unsupported_by_provider"

    def test_tokens_are_estimated(
        self, claude: anthropic.Anthropic, upstream: ScriptedThread, model: str
    ) -> None:
        counted = claude.messages.with_raw_response.count_tokens(
            model=model, messages=[{"role": "user", "content": "x" * 400}]
        )
        assert counted.headers["x-headrace-estimated"] == "input_tokens"
        assert 100 <= counted.parse().input_tokens <= 130
        assert upstream.seen == []


def body_limit(body: dict[str, Any]) -> str:
    """By the provider: this one is not known to be OpenAI itself."""
    return next(name for name in body if name.startswith("max_"))


def test_pictures_documents_and_schemas(
    claude: anthropic.Anthropic, upstream: ScriptedThread
) -> None:
    claude.messages.create(
        model="gpt-4o",
        max_tokens=9,
        messages=[
            {
                "role": "user",
                "content": [
                    {
                        "type": "image",
                        "source": {"type": "base64", "media_type": "image/png", "data": PNG},
                    },
                    {"type": "image", "source": {"type": "url", "url": "https://example.com/a"}},
                    {
                        "type": "document",
                        "title": "a.pdf",
                        "source": {"type": "base64", "media_type": "application/pdf", "data": PDF},
                    },
                ],
            }
        ],
        output_config={"format": {"type": "json_schema", "schema": SCHEMA}, "effort": "low"},
    )
    body = upstream.only_seen().json()
    assert body["messages"][0]["content"] == [
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}},
        {"type": "image_url", "image_url": {"url": "https://example.com/a"}},
        {
            "type": "file",
            "file": {"filename": "a.pdf", "file_data": f"data:application/pdf;base64,{PDF}"},
        },
    ]
    assert body["response_format"]["json_schema"]["schema"] == SCHEMA
    assert body["reasoning_effort"] == "low"


def _likely(tokens: Any) -> list[tuple[str, float, list[tuple[str, float]]]]:
    return [
        (t.token, t.logprob, [(top.token, top.logprob) for top in t.top_logprobs]) for t in tokens
    ]


EXPECTED = [
    ("Mill", -0.5, [("Mill", -0.5), ("Mill?", -0.625)]),
    (" on", -0.375, [(" on", -0.375), (" on?", -0.5)]),
]


class TestLogProbabilities:
    """They come back in the client's words, whole and in parts."""

    @pytest.mark.parametrize("model", ["gpt-4o", "gemini", "vllm"])
    def test_of_a_chat(self, client: openai.OpenAI, upstream: ScriptedThread, model: str) -> None:
        upstream.always(pieces=["Mill", " on"])
        asked: dict[str, Any] = {"model": model, "messages": HELLO}
        asked |= {"logprobs": True, "top_logprobs": 2}
        whole = client.chat.completions.create(**asked).choices[0]
        assert whole.logprobs is not None
        assert _likely(whole.logprobs.content) == EXPECTED
        tokens = [
            token
            for chunk in client.chat.completions.create(stream=True, **asked)
            for choice in chunk.choices
            if choice.logprobs is not None
            for token in choice.logprobs.content or ()
        ]
        assert _likely(tokens) == EXPECTED

    @pytest.mark.parametrize("model", ["gpt-4o", "gemini", "vllm"])
    def test_of_a_response(
        self, client: openai.OpenAI, upstream: ScriptedThread, model: str
    ) -> None:
        upstream.always(pieces=["Mill", " on"])
        asked: dict[str, Any] = {"model": model, "input": "Hi", "top_logprobs": 2}
        asked["include"] = ["message.output_text.logprobs"]
        whole: Any = client.responses.create(**asked)
        assert whole.output_text == "Mill on"
        assert _likely(whole.output[0].content[0].logprobs) == EXPECTED
        deltas, done = [], None
        for event in client.responses.create(stream=True, **asked):
            if event.type == "response.output_text.delta":
                deltas += event.logprobs
            elif event.type == "response.output_text.done":
                done = event.logprobs
            elif event.type == "response.completed":
                part: Any = event.response.output[0]
                assert _likely(part.content[0].logprobs) == EXPECTED
        assert _likely(deltas) == EXPECTED
        assert done is not None
        assert _likely(done) == EXPECTED
