"""A stream of events put together, where the embedded model cannot show it: tools, reasoning."""

from __future__ import annotations

from typing import Any

from headrace.services.local.assembly import WholeAnswer


def chunk(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {"id": "c1", "object": "chat.completion.chunk", "choices": [choice]}


def test_tool_calls_are_joined_by_their_index() -> None:
    answer = WholeAnswer()
    first = {"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": ""}}
    second = {"index": 1, "id": "b", "type": "function", "function": {"name": "g", "arguments": ""}}
    answer.add(chunk({"role": "assistant", "content": None}))
    answer.add(chunk({"tool_calls": [first]}))
    answer.add(chunk({"tool_calls": [{"index": 0, "function": {"arguments": '{"x"'}}]}))
    answer.add(chunk({"tool_calls": [second]}))
    answer.add(chunk({"tool_calls": [{"index": 0, "function": {"arguments": ":1}"}}]}))
    answer.add(chunk({"tool_calls": [{"index": 1, "function": {"arguments": "{}"}}]}))
    answer.add(chunk({}, "tool_calls"))
    (choice,) = answer.json()["choices"]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"] == {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x":1}'}},
            {"id": "b", "type": "function", "function": {"name": "g", "arguments": "{}"}},
        ],
    }


def test_reasoning_is_kept_beside_the_content() -> None:
    answer = WholeAnswer()
    answer.add(chunk({"role": "assistant", "content": None}))
    for piece in ("think", "ing"):
        answer.add(chunk({"reasoning_content": piece}))
    for piece in ("do", "ne"):
        answer.add(chunk({"content": piece}))
    answer.add(chunk({}, "stop"))
    whole = answer.json()
    assert whole["object"] == "chat.completion"
    assert whole["choices"][0]["message"] == {
        "role": "assistant",
        "content": "done",
        "reasoning_content": "thinking",
    }


def test_an_answer_without_a_word_has_empty_content() -> None:
    answer = WholeAnswer()
    answer.add(chunk({"role": "assistant", "content": None}))
    answer.add(chunk({}, "stop"))
    assert answer.json()["choices"][0]["message"] == {"role": "assistant", "content": ""}
