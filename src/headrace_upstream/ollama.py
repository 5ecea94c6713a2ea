"""Ollama's OpenAI-compatible API: thinking as `reasoning`, `max_tokens` alone as a limit.
https://docs.ollama.com/api/openai-compatibility"""

from __future__ import annotations

from typing import Any

from headrace_upstream.asked import Body, body_from
from headrace_upstream.openai import Chunk

_IGNORED = ("max_completion_tokens", "tool_choice", "n", "user")


def body_of(members: dict[str, Any], stream: bool) -> Body:
    """The request's body, without what the server takes no notice of."""
    return body_from({k: v for k, v in members.items() if k not in _IGNORED})


def whole(completion: dict[str, Any]) -> dict[str, Any]:
    """A `chat.completion` as Ollama has it."""
    for choice in completion["choices"]:
        _renamed(choice["message"])
    return completion


def chunks(listed: list[Chunk]) -> list[Chunk]:
    """The stream's chunks."""
    for chunk, _ in listed:
        for choice in chunk["choices"]:
            _renamed(choice["delta"])
    return listed


def _renamed(message: dict[str, Any]) -> None:
    if "reasoning_content" in message:
        message["reasoning"] = message.pop("reasoning_content")
