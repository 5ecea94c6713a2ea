"""At most one call of a tool, before providers that cannot be told so."""

from __future__ import annotations

from typing import Any

import anthropic
import openai
import pytest

from clients.weather import CITIES, HELLO, SCHEMA, TOOL, TWO_CALLS, chosen, said_to
from support.scripted import ScriptedThread

MODELS = ("gemini", "bedrock", "cohere")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", MODELS)
def test_clients_get_the_first_call_alone(
    client: openai.OpenAI,
    claude: anthropic.Anthropic,
    upstream: ScriptedThread,
    model: str,
    stream: bool,
) -> None:
    upstream.script({"tool_calls": TWO_CALLS}, times=3)
    asked: dict[str, Any] = {"model": model, "messages": HELLO, "tools": [TOOL]}
    choice = chosen(client, {**asked, "parallel_tool_calls": False}, stream=stream)
    (call,) = choice.message.tool_calls
    assert (call.function.name, choice.finish_reason) == ("weather", "tool_calls")
    assert len(chosen(client, asked, stream=stream).message.tool_calls) == 2

    asked = {
        "model": model,
        "max_tokens": 99,
        "messages": HELLO,
        "tools": [{"name": "weather", "input_schema": SCHEMA}],
        "tool_choice": {"type": "tool", "name": "weather", "disable_parallel_tool_use": True},
    }
    answer = said_to(claude, asked, stream=stream)
    uses = [block for block in answer.content if block.type == "tool_use"]
    assert [use.input for use in uses] == CITIES[:1]
    assert answer.stop_reason == "tool_use"
    assert answer.usage.output_tokens == upstream.seen[-1].tokens_out
