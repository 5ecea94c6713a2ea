"""The Responses API by its own SDK: passed through, and translated where a backend has chats
alone."""

from __future__ import annotations

import json
from typing import Any

import httpx
import openai
import pytest
from openai.types.responses import (
    FunctionToolParam,
    Response,
    ResponseFunctionToolCall,
    ResponseInputParam,
    ResponseOutputMessage,
    ResponseReasoningItem,
)
from pydantic import BaseModel

from clients.conftest import AZURE_KEY, CLIENT_KEY, PROVIDER_KEY
from clients.weather import PDF, PNG, TWO_CALLS
from headrace_upstream.anthropic import SIGNATURE
from support.gateway_process import Gateway
from support.scripted import ScriptedThread

PASSED = ("responding", "azure-v1", "azure-responding")
TRANSLATED = ("gpt-4o", "azure-dated", "claude-sonnet", "gemini")
MODELS = (*PASSED, *TRANSLATED)
SCHEMA: dict[str, object] = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
TOOL: FunctionToolParam = {
    "type": "function",
    "name": "weather",
    "description": "of a city",
    "parameters": SCHEMA,
    "strict": True,
}


class Place(BaseModel):
    city: str


def _calls(response: Response) -> list[ResponseFunctionToolCall]:
    return [item for item in response.output if isinstance(item, ResponseFunctionToolCall)]


class TestEveryBackend:
    @pytest.mark.parametrize("model", MODELS)
    def test_whole(self, client: openai.OpenAI, upstream: ScriptedThread, model: str) -> None:
        upstream.script({"text": "Grüße", "usage": {"input": 20, "cached": 5}})
        response = client.responses.create(
            model=model, input="Hello", instructions="Be short.", max_output_tokens=33,
            metadata={"a": "b"}, store=False,
        )  # fmt: skip
        assert (response.output_text, response.status) == ("Grüße", "completed")
        assert response.id.startswith("resp_")
        assert response.usage is not None
        seen = upstream.only_seen()
        assert response.usage.output_tokens == seen.tokens_out
        assert response.usage.input_tokens_details.cached_tokens == 5
        assert response.instructions == "Be short."

    @pytest.mark.parametrize("model", MODELS)
    def test_streamed(self, client: openai.OpenAI, upstream: ScriptedThread, model: str) -> None:
        upstream.script({"text": "Grüße aus der Mühle"})
        stream = client.responses.create(model=model, input="Hello", stream=True)
        events = list(stream)
        kinds = [event.type for event in events]
        assert kinds[:4] == [
            "response.created",
            "response.in_progress",
            "response.output_item.added",
            "response.content_part.added",
        ]
        assert kinds[-4:] == [
            "response.output_text.done",
            "response.content_part.done",
            "response.output_item.done",
            "response.completed",
        ]
        deltas = [e.delta for e in events if e.type == "response.output_text.delta"]
        assert "".join(deltas) == "Grüße aus der Mühle"
        assert len(deltas) > 2
        assert [e.sequence_number for e in events] == list(range(len(events)))
        last = events[-1]
        assert last.type == "response.completed"
        assert last.response.output_text == "Grüße aus der Mühle"
        seen = upstream.only_seen()
        assert last.response.usage is not None
        assert last.response.usage.input_tokens == seen.tokens_in
        assert last.response.usage.output_tokens == seen.tokens_out

    @pytest.mark.parametrize("stream", [False, True])
    @pytest.mark.parametrize("model", MODELS)
    def test_tools(
        self, client: openai.OpenAI, upstream: ScriptedThread, model: str, stream: bool
    ) -> None:
        upstream.script({"tool_calls": TWO_CALLS, "thinking": "Two cities."})
        asked: dict[str, Any] = {"model": model, "tools": [TOOL], "tool_choice": "required"}
        first: ResponseInputParam = [{"role": "user", "content": "Weather?"}]
        if stream:
            with client.responses.stream(input=first, **asked) as events:
                kinds = [event.type for event in events]
                response: Response = events.get_final_response()
            assert "response.function_call_arguments.delta" in kinds
            assert "response.reasoning_summary_text.delta" in kinds
        else:
            response = client.responses.create(input=first, **asked)
        calls = _calls(response)
        assert [json.loads(call.arguments) for call in calls] == [
            {"city": "Zürich"},
            {"city": "Łódź"},
        ]
        thought = response.output[0]
        assert isinstance(thought, ResponseReasoningItem)
        assert [part.text for part in thought.summary] == ["Two cities."]

        upstream.reset()
        again: Any = [
            *first,
            *response.output,
            {"type": "function_call_output", "call_id": calls[0].call_id, "output": "rain"},
            {"type": "function_call_output", "call_id": calls[1].call_id, "output": "sun"},
        ]
        answer = client.responses.create(model=model, input=again, tools=[TOOL])
        assert answer.status == "completed"
        sent = upstream.only_seen().json()
        assert calls[0].call_id in json.dumps(sent)
        if model == "claude-sonnet":
            _, assistant, results = sent["messages"]
            assert assistant["content"][0] == {
                "type": "thinking",
                "thinking": "Two cities.",
                "signature": SIGNATURE,
            }
            assert [block["content"] for block in results["content"]] == ["rain", "sun"]

    @pytest.mark.parametrize("model", MODELS)
    def test_parsed(self, client: openai.OpenAI, upstream: ScriptedThread, model: str) -> None:
        upstream.script({"text": '{"city":"Łódź"}'})
        parsed = client.responses.parse(model=model, input="Where?", text_format=Place)
        assert parsed.output_parsed == Place(city="Łódź")
        assert '"city"' in upstream.only_seen().body.decode()

    @pytest.mark.parametrize("model", MODELS)
    def test_too_long(self, client: openai.OpenAI, upstream: ScriptedThread, model: str) -> None:
        upstream.script({"text": "one two three four five six seven eight nine ten"})
        response = client.responses.create(model=model, input="Go on.", max_output_tokens=3)
        assert response.status == "incomplete"
        assert response.incomplete_details is not None
        assert response.incomplete_details.reason == "max_output_tokens"
        with client.responses.stream(model=model, input="Go on.", max_output_tokens=3) as events:
            kinds = [event.type for event in events]
        assert kinds[-1] == "response.incomplete"

    @pytest.mark.parametrize("model", MODELS)
    async def test_async(
        self, aclient: openai.AsyncOpenAI, upstream: ScriptedThread, model: str
    ) -> None:
        upstream.script({"text": "Grüße"})
        response = await aclient.responses.create(model=model, input="Hello")
        assert response.output_text == "Grüße"
        upstream.script({"text": "Grüße"})
        async with aclient.responses.stream(model=model, input="Hello") as events:
            final = await events.get_final_response()
        assert final.output_text == "Grüße"

    @pytest.mark.parametrize("model", MODELS)
    def test_a_cut_stream_is_an_error(
        self, client: openai.OpenAI, upstream: ScriptedThread, model: str
    ) -> None:
        upstream.script({"fault": {"kind": "cut", "after": 2}})
        seen = []
        with pytest.raises(openai.APIError, match="broke off") as caught:
            for event in client.responses.create(model=model, input="Hello", stream=True):
                seen.append(event.type)  # noqa: PERF401 - it raises
        assert seen
        assert "response.completed" not in seen
        assert caught.value.code == "stream_incomplete"

    @pytest.mark.parametrize("model", MODELS)
    def test_a_fault_before_the_answer(
        self, client: openai.OpenAI, upstream: ScriptedThread, model: str
    ) -> None:
        upstream.script({"fault": {"kind": "error_event", "after": 0}})
        with pytest.raises(openai.InternalServerError) as caught:
            client.responses.create(model=model, input="Hello", stream=True)
        assert isinstance(caught.value.body, dict)
        assert caught.value.body["code"] == "upstream_failed"


class TestPassedThrough:
    def test_every_byte(self, raw: httpx.Client, upstream: ScriptedThread) -> None:
        upstream.script({"text": "Grüße", "tool_calls": None})
        body = b'{"input": "Hi",  "model":"responding", "tomorrow": {"a": [1.50, "\\u00fc"]}}'
        answer = raw.post("/v1/responses", content=body)
        seen = upstream.only_seen()
        assert seen.path == "/v1/responses"
        assert seen.header("authorization") == f"Bearer {PROVIDER_KEY}"
        assert seen.body == (
            b'{"input":"Hi","model":"gpt-4o-mini","tomorrow":{"a": [1.50, "\\u00fc"]}}'
        )
        assert answer.json()["id"].startswith("resp_0")

    def test_azure(self, gateway: Gateway, upstream: ScriptedThread) -> None:
        with openai.AzureOpenAI(
            azure_endpoint=gateway.root, api_key=CLIENT_KEY, api_version="v", max_retries=0
        ) as client:
            assert client.responses.create(model="azure-responding", input="Hi").output_text
            assert client.responses.create(model="azure-v1", input="Hi").output_text
        dated, v1 = upstream.seen
        assert dated.path == "/openai/responses?api-version=2025-04-01-preview"
        assert (dated.json()["model"], v1.json()["model"]) == ("east", "west")
        assert v1.path == "/openai/v1/responses"
        assert v1.header("api-key") == AZURE_KEY

    def test_what_goes_past_accounts_is_refused(
        self, client: openai.OpenAI, upstream: ScriptedThread
    ) -> None:
        for members, param in (
            ({"background": True}, "background"),
            ({"conversation": "conv_1"}, "conversation"),
            ({"input": [{"type": "item_reference"}]}, "input"),
            ({"input": [1]}, "input"),
        ):
            asked: dict[str, Any] = {"model": "responding", "input": "Hi", **members}
            with pytest.raises(openai.BadRequestError) as caught:
                client.responses.create(**asked)
            assert caught.value.param == param
        assert upstream.seen == []


class TestTranslated:
    def test_what_a_chat_is_sent(self, client: openai.OpenAI, upstream: ScriptedThread) -> None:
        client.responses.create(
            model="gpt-4o",
            instructions="Be short.",
            input=[
                {"role": "developer", "content": "Be kind."},
                {
                    "role": "user",
                    "content": [
                        {"type": "input_text", "text": "What?"},
                        {
                            "type": "input_image",
                            "image_url": f"data:image/png;base64,{PNG}",
                            "detail": "low",
                        },
                        {
                            "type": "input_file",
                            "filename": "a.pdf",
                            "file_data": f"data:application/pdf;base64,{PDF}",
                        },
                    ],
                },
            ],
            text={"format": {"type": "json_schema", "name": "place", "schema": SCHEMA}},
            reasoning={"effort": "low", "summary": "auto"},
            parallel_tool_calls=False,
            tools=[TOOL],
            tool_choice={"type": "function", "name": "weather"},
            max_output_tokens=99,
            temperature=0.5,
            store=False,
            truncation="disabled",
            include=["reasoning.encrypted_content"],
        )
        seen = upstream.only_seen()
        assert seen.path == "/v1/chat/completions"
        assert seen.json() == {
            "model": "gpt-4o",
            "messages": [
                {
                    "role": "system",
                    "content": [
                        {"type": "text", "text": "Be short."},
                        {"type": "text", "text": "Be kind."},
                    ],
                },
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": "What?"},
                        {
                            "type": "image_url",
                            "image_url": {"url": f"data:image/png;base64,{PNG}", "detail": "low"},
                        },
                        {
                            "type": "file",
                            "file": {
                                "filename": "a.pdf",
                                "file_data": f"data:application/pdf;base64,{PDF}",
                            },
                        },
                    ],
                },
            ],
            "temperature": 0.5,
            "tools": [
                {
                    "type": "function",
                    "function": {
                        "name": "weather",
                        "description": "of a city",
                        "parameters": SCHEMA,
                        "strict": True,
                    },
                }
            ],
            "tool_choice": {"type": "function", "function": {"name": "weather"}},
            "parallel_tool_calls": False,
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "place", "schema": SCHEMA},
            },
            "reasoning_effort": "low",
            "max_tokens": 99,
        }

    @pytest.mark.parametrize("model", ["gpt-4o", "claude-sonnet"])
    def test_what_cannot_be_said(
        self, client: openai.OpenAI, upstream: ScriptedThread, model: str
    ) -> None:
        without_logprobs: list[dict[str, Any]] = [
            {"top_logprobs": 3},
            {"include": ["message.output_text.logprobs"]},
        ]
        for members in (
            {"tools": [{"type": "web_search"}]},
            {"prompt": {"id": "pmpt_1"}},
            *(without_logprobs if model == "claude-sonnet" else ()),
        ):
            asked: dict[str, Any] = {"model": model, "input": "Hi", **members}
            with pytest.raises(openai.BadRequestError, match="cannot be expressed"):
                client.responses.create(**asked)
        assert upstream.seen == []
        raw = client.responses.with_raw_response.create(
            model=model, input="Hi", truncation="auto", prompt_cache_key="k"
        )
        dropped = raw.headers["x-headrace-dropped"].split(", ")
        assert sorted(dropped) == ["prompt_cache_key", "truncation"]

    def test_the_answer_repeats_what_was_asked(
        self, client: openai.OpenAI, upstream: ScriptedThread
    ) -> None:
        response = client.responses.create(
            model="claude-sonnet", input="Hi", metadata={"a": "b"}, temperature=0.25, tools=[TOOL]
        )
        assert (response.metadata, response.temperature) == ({"a": "b"}, 0.25)
        assert response.tools[0].type == "function"
        message = response.output[0]
        assert isinstance(message, ResponseOutputMessage)
        assert message.id.startswith("msg_")

    def test_the_friendly_message(self, client: openai.OpenAI, upstream: ScriptedThread) -> None:
        upstream.script({"status": 500})
        response = client.responses.create(model="claude-down", input="Hi")
        assert response.output_text == "We are busy."
        upstream.script({"status": 500})
        with client.responses.stream(model="claude-down", input="Hi") as events:
            assert events.get_final_response().output_text == "We are busy."
