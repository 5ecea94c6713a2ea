"""vLLM's OpenAI-compatible server.

https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html. It takes all of OpenAI's
members and more (`top_k`, `guided_json`, `chat_template_kwargs`), which pass through, and fails at
those that it does not know itself. Thinking comes as `reasoning_content` or, from 0.11 on, as
`reasoning`. Cannot express: nothing that Headrace would have to leave out.
"""

from __future__ import annotations

from typing import Any

import msgspec

from headrace.services.answer_json import answer_of
from headrace.services.openai import OpenAIService
from headrace.services.service import BadAnswer

_objects = msgspec.json.Decoder(dict[str, Any])
_encode = msgspec.json.Encoder().encode


class VllmService(OpenAIService):
    """One server."""

    def plain(self, data: bytes) -> bytes:
        return with_reasoning_content(data)


def with_reasoning_content(data: bytes) -> bytes:
    """An answer or an event's data whose thinking stands where most servers have it. Raises
    BadAnswer."""
    if b'"reasoning"' not in data:
        return data
    members = answer_of(_objects, data)
    choices = members.get("choices")
    for choice in choices if isinstance(choices, list) else ():
        if not isinstance(choice, dict):
            raise BadAnswer("a choice is no object")
        for message in (choice.get("delta"), choice.get("message")):
            if isinstance(message, dict) and message.get("reasoning"):
                message.setdefault("reasoning_content", message.pop("reasoning"))
    return _encode(members)
