"""Mistral's wire format: OpenAI's, strict about members, with thinking as a part of the content and
usage in a stream's last chunk. https://docs.mistral.ai/api/#tag/chat"""

from __future__ import annotations

import re
from typing import Any

from headrace_upstream.answer import Answer
from headrace_upstream.asked import Asked, Body, body_from
from headrace_upstream.openai import Chunk, chat_chunks, usage_of, whole_chat

_MEMBERS = frozenset(
    {
        "model", "messages", "temperature", "top_p", "max_tokens", "stream", "stop", "random_seed",
        "metadata", "response_format", "tools", "tool_choice", "presence_penalty",
        "frequency_penalty", "n", "prediction", "parallel_tool_calls", "prompt_mode", "safe_prompt",
        "reasoning_effort", "logprobs", "top_logprobs", "top_k", "input", "encoding_format",
        "output_dimension", "output_dtype",
    }
)  # fmt: skip
_OF_MESSAGES = {
    "system": {"role", "content"},
    "user": {"role", "content"},
    "assistant": {"role", "content", "tool_calls", "prefix"},
    "tool": {"role", "content", "tool_call_id", "name"},
}
_ID = re.compile(r"[a-zA-Z0-9]{9}\Z")


def body_of(members: dict[str, Any], stream: bool) -> Body:
    """The request's body. Raises KeyError, TypeError for what the API forbids."""
    _only(members, _MEMBERS, "body")
    for message in members.get("messages") or ():
        role = message["role"]
        if role not in _OF_MESSAGES:
            raise TypeError(f"role: {role!r} is none of {list(_OF_MESSAGES)}")
        _only(message, _OF_MESSAGES[role], "body.messages")
        ids = [call["id"] for call in message.get("tool_calls") or ()]
        ids += [message["tool_call_id"]] if "tool_call_id" in message else []
        if any(not _ID.match(id) for id in ids):
            raise TypeError(f"Tool call id must be a-z, A-Z, 0-9, with a length of 9: {ids}")
        if isinstance(message.get("content"), list):
            parts = message["content"]
            message["content"] = [p for p in parts if p.get("type") != "thinking"]
    members["dimensions"] = members.pop("output_dimension", None)
    return body_from(members)


def _only(members: dict[str, Any], known: set[str] | frozenset[str], where: str) -> None:
    extra = sorted(members.keys() - known)
    if extra:
        raise TypeError(f"extra_forbidden: {where}.{extra[0]}: Extra inputs are not permitted")


def whole(asked: Asked, answer: Answer) -> dict[str, Any]:
    """A `chat.completion` as Mistral has it."""
    completion = whole_chat(asked, answer)
    for name in ("service_tier", "system_fingerprint"):
        del completion[name]
    for choice in completion["choices"]:
        message = choice["message"]
        for name in ("refusal", "annotations"):
            del message[name]
        _own_ids(message.get("tool_calls") or ())
        thought = message.pop("reasoning_content", None)
        if thought is not None:
            said = [{"type": "text", "text": message["content"]}] if message["content"] else []
            message["content"] = [_thinking(thought), *said]
    return completion


def chunks(asked: Asked, answer: Answer) -> list[Chunk]:
    """The stream's chunks."""
    listed = [(c, n) for c, n in chat_chunks(asked, answer) if c["choices"]]
    for chunk, _ in listed:
        for name in ("service_tier", "system_fingerprint"):
            del chunk[name]
        chunk.pop("usage", None)
        for choice in chunk["choices"]:
            delta = choice["delta"]
            delta.pop("refusal", None)
            _own_ids(delta.get("tool_calls") or ())
            if "reasoning_content" in delta:
                delta["content"] = [_thinking(delta.pop("reasoning_content"))]
    if answer.report_usage:
        listed[-1][0]["usage"] = usage_of(answer)
    return listed


def _thinking(text: str) -> dict[str, Any]:
    return {"type": "thinking", "thinking": [{"type": "text", "text": text}]}


def _own_ids(calls: Any) -> None:
    for call in calls:
        if "id" in call:
            call["id"] = f"D681PevK{call['id'][-1]}"
