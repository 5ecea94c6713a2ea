"""The conversation of these tests: a tool is called for the weather of two cities."""

from __future__ import annotations

import base64
from typing import Any

import anthropic
import openai

PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n").decode()
PDF = base64.b64encode(b"%PDF-1.4").decode()
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOL: Any = {"type": "function", "function": {"name": "weather", "parameters": SCHEMA}}
CITIES = [{"city": "Zürich"}, {"city": "Łódź"}]
TWO_CALLS = [{"name": "weather", "arguments": city} for city in CITIES]
TOLD = ("rain", "sun")
"""What the tool says of each."""
HELLO: Any = [{"role": "user", "content": "Hello"}]


def chosen(client: openai.OpenAI, asked: dict[str, Any], *, stream: bool) -> Any:
    """The answer's one choice, whichever way it came."""
    if not stream:
        return client.chat.completions.create(**asked).choices[0]
    with client.chat.completions.stream(**asked) as events:
        return events.get_final_completion().choices[0]


def said_to(claude: anthropic.Anthropic, asked: dict[str, Any], *, stream: bool) -> Any:
    """The answer's message, whichever way it came."""
    if not stream:
        return claude.messages.create(**asked)
    with claude.messages.stream(**asked) as events:
        return events.get_final_message()


def tool_results(calls: list[Any]) -> list[Any]:
    """As a client of OpenAI sends them back."""
    return [
        {"role": "tool", "tool_call_id": call.id, "content": told}
        for call, told in zip(calls, TOLD, strict=True)
    ]
