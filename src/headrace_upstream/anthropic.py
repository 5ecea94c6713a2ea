"""Anthropic's wire format: messages, whole and streamed."""

from __future__ import annotations

from typing import Any

import msgspec

from headrace_upstream.answer import Answer
from headrace_upstream.template import SEQ, TOKENS_IN, Event
from headrace_upstream.words import cut_into_tokens

SIGNATURE = "EqQBCgIYAhIM1gbcDa9GJwZA2b3hGgxBdjrkzLoky3dl1pk="
_STOP_REASONS = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
}


def stop_reason(answer: Answer) -> str:
    if answer.finish_scripted:
        return answer.finish
    return _STOP_REASONS.get(answer.finish, answer.finish)


def whole(answer: Answer) -> dict[str, Any]:
    """A `message` object."""
    content: list[dict[str, Any]]
    if answer.calls:
        content = [
            _tool_use(index) | {"name": call.name, "input": _parsed(call.arguments)}
            for index, call in enumerate(answer.calls)
        ]
    else:
        content = [{"type": "text", "text": answer.text}]
    if answer.thinking is not None:
        thought = {"type": "thinking", "thinking": answer.thinking, "signature": SIGNATURE}
        content.insert(0, thought)
    message = _message(answer, content) | {"stop_reason": stop_reason(answer)}
    if answer.report_usage:
        message["usage"] = _usage(answer, answer.tokens_out)
    return message


def events(answer: Answer) -> list[Event]:
    """The stream's events, from `message_start` to `message_stop`."""
    start = _message(answer, []) | {"stop_reason": None}
    if answer.report_usage:
        start["usage"] = _usage(answer, min(1, answer.tokens_out))
    listed = [_event("message_start", message=start)]
    first = 0
    if answer.thinking is not None:
        listed += _thought(answer.thinking)
        first = 1
    if answer.calls:
        for index, call in enumerate(answer.calls):
            block = _tool_use(index) | {"name": call.name, "input": {}}
            listed += _block(
                first + index, block, "input_json_delta", "partial_json", call.fragments
            )
    else:
        block = {"type": "text", "text": ""}
        listed += _block(first, block, "text_delta", "text", answer.pieces)
    listed.insert(2, ping())
    usage = _usage(answer, answer.tokens_out) if answer.report_usage else {}
    delta = {"stop_reason": stop_reason(answer), "stop_sequence": None}
    listed.append(_event("message_delta", delta=delta, usage=usage))
    listed.append(_event("message_stop", terminal=True))
    return listed


def ping() -> Event:
    return _event("ping")


def error_event(message: str) -> Event:
    """How Anthropic reports a fault inside a stream."""
    return _event("error", error={"type": "overloaded_error", "message": message})


def _thought(text: str) -> list[Event]:
    block = {"type": "thinking", "thinking": "", "signature": ""}
    events = _block(0, block, "thinking_delta", "thinking", tuple(cut_into_tokens(text)))
    delta = {"type": "signature_delta", "signature": SIGNATURE}
    events.insert(-1, _event("content_block_delta", index=0, delta=delta))
    return events


def _block(
    index: int, block: dict[str, Any], delta: str, field: str, pieces: tuple[str, ...]
) -> list[Event]:
    return [
        _event("content_block_start", index=index, content_block=block),
        *(
            _event("content_block_delta", 1, index=index, delta={"type": delta, field: piece})
            for piece in pieces
        ),
        _event("content_block_stop", index=index),
    ]


def _event(kind: str, tokens: int = 0, terminal: bool = False, **fields: Any) -> Event:
    data = msgspec.json.encode({"type": kind, **fields})
    return Event(data, kind.encode(), tokens, terminal)


def _message(answer: Answer, content: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "id": f"msg_{SEQ}",
        "type": "message",
        "role": "assistant",
        "model": answer.model,
        "content": content,
        "stop_sequence": None,
    }


def _usage(answer: Answer, tokens_out: int) -> dict[str, Any]:
    return {
        "input_tokens": TOKENS_IN,
        "cache_creation_input_tokens": answer.cache_write,
        "cache_read_input_tokens": answer.cached,
        "output_tokens": tokens_out,
        "service_tier": "standard",
    }


def _tool_use(index: int) -> dict[str, Any]:
    return {"type": "tool_use", "id": f"toolu_{SEQ}{index}"}


def _parsed(arguments: str) -> Any:
    """A whole Anthropic answer carries the input as an object; broken JSON stays text."""
    try:
        return msgspec.json.decode(arguments)
    except msgspec.DecodeError:
        return arguments
