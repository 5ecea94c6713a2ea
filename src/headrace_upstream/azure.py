"""Azure OpenAI's wire format: OpenAI's, with the content filter's verdicts around it."""

from __future__ import annotations

from typing import Any

from headrace_upstream.answer import Answer
from headrace_upstream.asked import Asked
from headrace_upstream.openai import Chunk, chat_chunks, whole_chat

_CATEGORIES = ("hate", "self_harm", "sexual", "violence")


def verdict(filtered: bool = False) -> dict[str, Any]:
    """`content_filter_results`; `violence` is the category that strikes."""
    return {
        name: {"filtered": filtered, "severity": "medium"}
        if filtered and name == "violence"
        else {"filtered": False, "severity": "safe"}
        for name in _CATEGORIES
    }


def not_run() -> dict[str, Any]:
    """What stands in the verdict's place when the filter was down and let everything pass."""
    return {"error": {"code": "content_filter_error", "message": "The contents are not filtered"}}


def prompt_verdict(answer: Answer) -> list[dict[str, Any]]:
    """`prompt_filter_results`."""
    results = not_run() if answer.filter == "error" else verdict()
    return [{"prompt_index": 0, "content_filter_results": results}]


def whole(asked: Asked, answer: Answer) -> dict[str, Any]:
    """A `chat.completion` with the filter's verdicts."""
    completion = whole_chat(asked, answer)
    for choice in completion["choices"]:
        choice["content_filter_results"] = _final_verdict(answer)
    return completion | {"prompt_filter_results": prompt_verdict(answer)}


def chunks(asked: Asked, answer: Answer) -> list[Chunk]:
    """The stream: first the prompt's verdict in a chunk without choices, then OpenAI's chunks."""
    first: dict[str, Any] = {
        "id": "",
        "object": "",
        "created": 0,
        "model": "",
        "choices": [],
        "prompt_filter_results": prompt_verdict(answer),
    }
    decorated: list[Chunk] = [(first, 0)]
    for chunk, tokens in chat_chunks(asked, answer):
        for choice in chunk["choices"]:
            choice["content_filter_results"] = (
                _final_verdict(answer) if choice["finish_reason"] else _running_verdict(answer)
            )
            if answer.filter == "late" and choice["finish_reason"]:
                end = len(answer.text)
                choice["content_filter_offsets"] = {
                    "check_offset": end,
                    "start_offset": 0,
                    "end_offset": end,
                }
        decorated.append((chunk, tokens))
    return decorated


def _running_verdict(answer: Answer) -> dict[str, Any]:
    if answer.filter == "error":
        return not_run()
    return {} if answer.filter == "late" else verdict()


def _final_verdict(answer: Answer) -> dict[str, Any]:
    if answer.filter == "error":
        return not_run()
    return verdict(filtered=answer.filter in ("filtered", "late"))
