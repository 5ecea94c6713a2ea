"""Cohere's wire format, version 2: chats whole and streamed, embeddings.
https://docs.cohere.com/v2/reference/chat"""

from __future__ import annotations

from typing import Any

import msgspec

from headrace_upstream.answer import Answer
from headrace_upstream.asked import Asked, Body, body_from, texts_of
from headrace_upstream.openai import vector_of
from headrace_upstream.template import SEQ, TOKENS_IN, Event
from headrace_upstream.words import cut_into_tokens

_FINISH = {
    "stop": "COMPLETE",
    "length": "MAX_TOKENS",
    "tool_calls": "TOOL_CALL",
    "content_filter": "ERROR_TOXIC",
}


def body_of(members: dict[str, Any], stream: bool) -> Body:
    """The request's body in the words that all dialects share here."""
    if "texts" in members:
        return Body(
            model=members["model"],
            input=members["texts"],
            dimensions=members.get("output_dimension"),
        )
    choice = members.pop("tool_choice", None)
    wanted = members.pop("response_format", None) or {}
    if choice == "REQUIRED":
        members["tool_choice"] = "required"
    if "json_schema" in wanted:
        schema = {"schema": wanted["json_schema"]}
        members["response_format"] = {"type": "json_schema", "json_schema": schema}
    elif wanted.get("type") == "json_object":
        members["response_format"] = {"type": "json_object"}
    return body_from(members)


def whole(answer: Answer) -> dict[str, Any]:
    """A chat's answer."""
    message: dict[str, Any] = {"role": "assistant"}
    if answer.calls:
        message["tool_calls"] = [
            {**_call(at), "function": {"name": call.name, "arguments": call.arguments}}
            for at, call in enumerate(answer.calls)
        ]
        if answer.thinking is not None:
            message["tool_plan"] = answer.thinking
    else:
        content: list[dict[str, Any]] = [{"type": "text", "text": answer.text}]
        if answer.thinking is not None:
            content.insert(0, {"type": "thinking", "thinking": answer.thinking})
        message["content"] = content
    return {"id": SEQ, "finish_reason": _reason(answer), "message": message} | _told(answer)


def events(answer: Answer) -> list[Event]:
    """The stream's events, from `message-start` to `message-end`."""
    listed = [_event("message-start", {"message": {"role": "assistant"}}, id=SEQ)]
    thoughts = cut_into_tokens(answer.thinking or "")
    if answer.calls:
        listed += [_event("tool-plan-delta", {"message": {"tool_plan": t}}, 1) for t in thoughts]
        for at, call in enumerate(answer.calls):
            begun = {**_call(at), "function": {"name": call.name, "arguments": ""}}
            listed.append(_event("tool-call-start", {"message": {"tool_calls": begun}}, index=at))
            for text in call.fragments:
                part = {"message": {"tool_calls": {"function": {"arguments": text}}}}
                listed.append(_event("tool-call-delta", part, 1, index=at))
            listed.append(_event("tool-call-end", index=at))
    else:
        if thoughts:
            listed += _content(0, "thinking", thoughts)
        listed += _content(1 if thoughts else 0, "text", list(answer.pieces))
    delta = {"finish_reason": _reason(answer)} | _told(answer)
    return [*listed, _event("message-end", delta, terminal=True)]


def embeddings(asked: Asked, dimensions: int) -> dict[str, Any]:
    """The answer to an embedding."""
    wanted = asked.body.dimensions or dimensions
    vectors = [vector_of(text, wanted).tolist() for text in texts_of(asked.body.input or "")]
    meta = {"billed_units": {"input_tokens": TOKENS_IN}}
    return {"id": SEQ, "embeddings": {"float": vectors}, "meta": meta}


def _content(index: int, kind: str, pieces: list[str]) -> list[Event]:
    begun = {"message": {"content": {"type": kind, kind: ""}}}
    return [
        _event("content-start", begun, index=index),
        *(
            _event("content-delta", {"message": {"content": {kind: piece}}}, 1, index=index)
            for piece in pieces
        ),
        _event("content-end", index=index),
    ]


def _event(
    kind: str,
    delta: dict[str, Any] | None = None,
    tokens: int = 0,
    terminal: bool = False,
    **members: Any,
) -> Event:
    said = {"type": kind, **members} | ({} if delta is None else {"delta": delta})
    return Event(msgspec.json.encode(said), kind.encode(), tokens, terminal)


def error_event(message: str) -> Event:
    """How Cohere reports a fault inside a stream."""
    return _event("message-end", {"finish_reason": "ERROR", "error": message})


def _reason(answer: Answer) -> str:
    return answer.finish if answer.finish_scripted else _FINISH.get(answer.finish, "ERROR")


def _told(answer: Answer) -> dict[str, Any]:
    if not answer.report_usage:
        return {}
    billed = {"input_tokens": TOKENS_IN, "output_tokens": answer.tokens_out}
    usage: dict[str, Any] = {"billed_units": billed, "tokens": billed}
    if answer.cached:
        usage["cached_tokens"] = answer.cached
    return {"usage": usage}


def _call(index: int) -> dict[str, Any]:
    return {"id": f"call_{SEQ}{index}", "type": "function"}
