"""What requests need, read from their bodies alone."""

from __future__ import annotations

import json
from typing import Any

import pytest

from headrace.gateway.capabilities import needs
from headrace.nouns import Operation

CHAT, MESSAGES, RESPONSES = Operation.CHAT, Operation.MESSAGES, Operation.RESPONSES
IMAGE = {"type": "image_url", "image_url": {"url": "https://example.net/a.png"}}
BLOCK = {"type": "image", "source": {"type": "url", "url": "https://example.net/a.png"}}
SCHEMA = {"type": "json_schema", "schema": {"type": "object"}}
TOOL = {"type": "function", "function": {"name": "f"}}


def user(content: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": content}]}


@pytest.mark.parametrize(
    ("operation", "body", "expected"),
    [
        (CHAT, user("a plain image of \"tools\" and json_schema"), set()),
        (CHAT, user([{"type": "text", "text": "image_url"}]), set()),
        (CHAT, user([{"type": "text", "text": "?"}, IMAGE]), {"vision"}),
        (CHAT, user("a") | {"tools": [TOOL]}, {"tools"}),
        (CHAT, user("a") | {"functions": [{"name": "f"}]}, {"tools"}),
        (CHAT, user("a") | {"tools": [], "functions": None}, set()),
        (CHAT, user("a") | {"response_format": {"type": "json_object"}}, set()),
        (CHAT, user("a") | {"response_format": {"type": "json_schema"}}, {"json_schema"}),
        (CHAT, user([IMAGE]) | {"tools": [TOOL], "response_format": SCHEMA},
         {"vision", "tools", "json_schema"}),
        (MESSAGES, user([BLOCK]), {"vision"}),
        (MESSAGES, user([{"type": "tool_result", "tool_use_id": "t", "content": [BLOCK]}]),
         {"vision"}),
        (MESSAGES, user([{"type": "tool_result", "tool_use_id": "t", "content": "image"}]), set()),
        (MESSAGES, user("a") | {"output_config": {"format": SCHEMA}}, {"json_schema"}),
        (MESSAGES, user("a") | {"output_format": SCHEMA}, {"json_schema"}),
        (MESSAGES, user("a") | {"output_config": {"effort": "low"}}, set()),
        (RESPONSES, {"input": "an image"}, set()),
        (RESPONSES, {"input": [{"role": "user", "content": [{"type": "input_image"}]}]},
         {"vision"}),
        (RESPONSES, {"input": [{"type": "function_call_output", "call_id": "c",
                                "output": [{"type": "input_image"}]}]}, {"vision"}),
        (RESPONSES, {"input": "a", "text": {"format": SCHEMA}}, {"json_schema"}),
        (RESPONSES, {"input": "a", "tools": [{"type": "web_search"}]}, {"tools"}),
        (Operation.COMPLETIONS, {"prompt": "image", "tools": [TOOL]}, set()),
        (Operation.EMBEDDINGS, {"input": [1, 2]}, set()),
        (Operation.COUNT_TOKENS, user([BLOCK]), set()),
        (CHAT, {"messages": ["image"], "tools": [TOOL]}, {"tools"}),
        (CHAT, {"messages": "image", "tools": 7}, set()),
    ],
)  # fmt: skip
def test_what_a_request_needs(
    operation: Operation, body: dict[str, Any], expected: set[str]
) -> None:
    assert needs(operation, json.dumps(body).encode()) == expected
    assert needs(operation, json.dumps(body, indent=2).encode()) == expected
