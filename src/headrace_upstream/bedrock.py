"""Bedrock's wire format: Converse, whole and in AWS's event-stream framing.

https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStream.html
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw

from headrace_upstream.answer import Answer
from headrace_upstream.asked import Body, Message, Part, ResponseFormat
from headrace_upstream.template import SEQ, TOKENS_IN, TOKENS_TOTAL, Event
from headrace_upstream.words import cut_into_tokens

EVENT_STREAM = b"application/vnd.amazon.eventstream"
SIGNATURE = "EqQBCgIYAhIM1gbcDa9GJwZA2b3hGgxBdjrkzLoky3dl1pk="
_STOP_REASONS = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "content_filtered",
}


# --- what is asked


def body_of(members: dict[str, Any], stream: bool) -> Body:
    """The request's body in the words that all dialects share here."""
    config = members.get("inferenceConfig") or {}
    calling = members.get("toolConfig") or {}
    tools = [
        {"name": t["toolSpec"]["name"], "parameters": t["toolSpec"]["inputSchema"]["json"]}
        for t in calling.get("tools") or ()
        if "toolSpec" in t
    ]
    choice = calling.get("toolChoice") or {}
    named = {"type": "tool", "name": choice["tool"]["name"]} if "tool" in choice else None
    system = members.get("system")
    wanted = (members.get("outputConfig") or {}).get("textFormat")
    return Body(
        messages=[Message(m["role"], _parts(m["content"])) for m in members["messages"]],
        system=None if system is None else list(_parts(system)),
        stream=stream,
        max_tokens=config.get("maxTokens"),
        tools=Raw(msgspec.json.encode(tools)) if tools else Raw(b""),
        tool_choice="required" if "any" in choice else named,
        response_format=None if wanted is None else _format(wanted),
        metadata=members.get("requestMetadata"),
        user=(members.get("requestMetadata") or {}).get("user"),
    )


def _parts(blocks: list[dict[str, Any]]) -> list[Part]:
    parts = [Part("text", block["text"]) for block in blocks if "text" in block]
    return parts + [Part("image") for block in blocks if "image" in block]


def _format(wanted: dict[str, Any]) -> ResponseFormat:
    schema = msgspec.json.decode(wanted["structure"]["jsonSchema"]["schema"])
    return ResponseFormat("json_schema", {"schema": schema})


# --- what is answered


def whole(answer: Answer) -> dict[str, Any]:
    """A `ConverseResponse`."""
    content: list[dict[str, Any]] = []
    if answer.thinking is not None:
        text = {"text": answer.thinking, "signature": SIGNATURE}
        content.append({"reasoningContent": {"reasoningText": text}})
    for index, call in enumerate(answer.calls):
        used = {"toolUseId": _id(index), "name": call.name, "input": call.parsed}
        content.append({"toolUse": used})
    if not answer.calls:
        content.append({"text": answer.text})
    return {
        "metrics": {"latencyMs": 7},
        "output": {"message": {"role": "assistant", "content": content}},
        "stopReason": _stop_reason(answer),
        "usage": _usage(answer),
    }


def events(answer: Answer) -> list[Event]:
    """The stream's events, from `messageStart` to `metadata`."""
    listed = [_event("messageStart", {"role": "assistant"})]
    index = 0
    if answer.thinking is not None:
        deltas = [{"reasoningContent": {"text": t}} for t in cut_into_tokens(answer.thinking)]
        listed += _block(index, [*deltas, {"reasoningContent": {"signature": SIGNATURE}}])
        index += 1
    for number, call in enumerate(answer.calls):
        start = {"toolUse": {"toolUseId": _id(number), "name": call.name}}
        listed.append(_event("contentBlockStart", {"start": start}, index))
        listed += _block(index, [{"toolUse": {"input": text}} for text in call.fragments])
        index += 1
    if not answer.calls:
        listed += _block(index, [{"text": piece} for piece in answer.pieces])
    listed.append(_event("messageStop", {"stopReason": _stop_reason(answer)}))
    told = {"usage": _usage(answer), "metrics": {"latencyMs": 7}}
    return [*listed, _event("metadata", told, terminal=True)]


def error_event(message: str) -> Event:
    """How Bedrock reports a fault inside a stream."""
    kind = b"modelStreamErrorException"
    return Event(msgspec.json.encode({"message": message}), b"!" + kind, framed=True)


def _block(index: int, deltas: list[dict[str, Any]]) -> list[Event]:
    listed = [_event("contentBlockDelta", {"delta": delta}, index, tokens=1) for delta in deltas]
    return [*listed, _event("contentBlockStop", {}, index)]


def _event(
    kind: str,
    members: dict[str, Any],
    index: int | None = None,
    tokens: int = 0,
    terminal: bool = False,
) -> Event:
    at = {} if index is None else {"contentBlockIndex": index}
    return Event(
        msgspec.json.encode({**at, **members}), kind.encode(), tokens, terminal, framed=True
    )


def _stop_reason(answer: Answer) -> str:
    if answer.finish_scripted:
        return answer.finish
    if any(call.parsed is None for call in answer.calls):
        return "malformed_tool_use"
    return _STOP_REASONS.get(answer.finish, answer.finish)


def _usage(answer: Answer) -> dict[str, Any]:
    return {
        "inputTokens": TOKENS_IN,
        "outputTokens": answer.tokens_out,
        "totalTokens": TOKENS_TOTAL,
        "cacheReadInputTokens": answer.cached,
        "cacheWriteInputTokens": answer.cache_write,
    }


def _id(index: int) -> str:
    return f"tooluse_{SEQ}{index}"
