"""Frameworks on top of the SDKs, through the gateway, each before a provider of the other dialect:
`pydantic-ai` and `langchain-anthropic`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import anthropic
import openai
import pytest
import pytest_asyncio
from langchain_anthropic import ChatAnthropic
from pydantic import BaseModel, SecretStr
from pydantic_ai import Agent
from pydantic_ai.models import Model
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.output import NativeOutput
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.openai import OpenAIProvider

from clients.conftest import CLIENT_KEY
from support.gateway_process import Gateway
from support.scripted import ScriptedThread

CALLS = {"tool_calls": [{"name": "weather", "arguments": {"city": "Bern"}}]}
FORECAST = '{"city": "Bern", "degrees": 7}'


class Forecast(BaseModel):
    city: str
    degrees: int


@pytest_asyncio.fixture(params=["chat", "responses", "messages"])
async def model(
    request: pytest.FixtureRequest, gateway: Gateway, aclient: openai.AsyncOpenAI
) -> AsyncIterator[Model]:
    """A model of pydantic-ai that speaks one dialect, before a provider of another."""
    if request.param == "messages":
        async with anthropic.AsyncAnthropic(
            base_url=gateway.root, api_key=CLIENT_KEY, max_retries=0
        ) as claude:
            yield AnthropicModel("gpt-4o", provider=AnthropicProvider(anthropic_client=claude))
        return
    provider = OpenAIProvider(openai_client=aclient)
    of = OpenAIChatModel if request.param == "chat" else OpenAIResponsesModel
    yield of("claude-sonnet", provider=provider)


async def test_pydantic_ai_calls_a_tool_and_answers(model: Model, upstream: ScriptedThread) -> None:
    upstream.script(CALLS)
    upstream.script({"text": "It is 7 degrees."})
    asked: list[str] = []
    agent = Agent(model)

    @agent.tool_plain
    def weather(city: str) -> str:
        """The weather in a city."""
        asked.append(city)
        return "7 degrees"

    result = await agent.run("How warm is it in Bern?")
    assert result.output == "It is 7 degrees."
    assert asked == ["Bern"]
    assert "7 degrees" in str(upstream.seen[1].json())
    assert result.usage.requests == 2
    assert result.usage.input_tokens == sum(call.tokens_in for call in upstream.seen)


async def test_pydantic_ai_streams(model: Model, upstream: ScriptedThread) -> None:
    upstream.script({"text": "The wheel turns and turns."})
    async with Agent(model).run_stream("Tell of the mill.") as result:
        parts = [part async for part in result.stream_text(delta=True, debounce_by=None)]
    assert "".join(parts) == "The wheel turns and turns."
    assert len(parts) > 1


async def test_pydantic_ai_gets_its_type(model: Model, upstream: ScriptedThread) -> None:
    """By a schema; by a tool where it thinks that the model knows none, for its name."""
    able = not isinstance(model, AnthropicModel)
    final = {"name": "final_result", "arguments": {"city": "Bern", "degrees": 7}}
    upstream.script({"text": FORECAST} if able else {"tool_calls": [final]})
    wanted: Any = NativeOutput(Forecast) if able else Forecast
    result = await Agent(model, output_type=wanted).run("How warm is it in Bern?")
    assert result.output == Forecast(city="Bern", degrees=7)


@pytest.fixture(params=["claude-sonnet", "gpt-4o"])
def chat(request: pytest.FixtureRequest, gateway: Gateway, upstream: ScriptedThread) -> Any:
    """LangChain's client of Anthropic's API, before Anthropic and before OpenAI."""
    return ChatAnthropic(
        model_name=request.param,
        base_url=gateway.root,
        api_key=SecretStr(CLIENT_KEY),
        max_tokens_to_sample=500,
        max_retries=0,
        timeout=30,
        stop=None,
    )


def test_langchain_anthropic_answers_and_streams(chat: Any, upstream: ScriptedThread) -> None:
    upstream.always(text="The wheel turns.")
    assert chat.invoke("Hello").text == "The wheel turns."
    chunks = list(chat.stream("Hello"))
    assert "".join(chunk.text for chunk in chunks) == "The wheel turns."
    assert len(chunks) > 1


def test_langchain_anthropic_calls_a_tool(chat: Any, upstream: ScriptedThread) -> None:
    upstream.script(CALLS)
    upstream.script({"text": "It is 7 degrees."})
    able = chat.bind_tools([_weather])
    messages: list[Any] = [("user", "How warm is it in Bern?")]
    asked = able.invoke(messages)
    [call] = asked.tool_calls
    assert (call["name"], call["args"]) == ("weather", {"city": "Bern"})
    result = {"role": "tool", "tool_call_id": call["id"], "content": "7 degrees"}
    assert able.invoke([*messages, asked, result]).text == "It is 7 degrees."
    assert "7 degrees" in str(upstream.seen[1].json())


def test_langchain_anthropic_gets_its_type(chat: Any, upstream: ScriptedThread) -> None:
    upstream.script({"text": FORECAST})
    typed = chat.with_structured_output(Forecast, method="json_schema")
    assert typed.invoke("How warm is it in Bern?") == Forecast(city="Bern", degrees=7)


def _weather(city: str) -> str:
    """The weather in a city."""
    return city


_weather.__name__ = "weather"
