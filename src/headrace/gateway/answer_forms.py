"""Recorded answers: whether one is good to keep, and one form from the other.

Whole answers become streams and streams become whole for chat completions of plain text alone
(https://platform.openai.com/docs/api-reference/chat-streaming): what carries tool calls, audio or
log probabilities exists only in the form in which it came, and so do Anthropic's messages and
responses of the Responses API.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Struct, field

from headrace.gateway.recorded import Recorded
from headrace.nouns import Call, Operation, Usage
from headrace.platform.http.sse import EventSplitter, EventTooLarge, data_of

_encode = msgspec.json.Encoder().encode
_DONE = b"data: [DONE]\n\n"
_KEPT = ("id", "created", "model", "system_fingerprint", "service_tier")
_PLAIN = frozenset({"role", "content"})


class _Text(Struct):
    """A chat completion of plain text."""

    head: dict[str, Any]
    contents: dict[int, str] = field(default_factory=dict)
    finishes: dict[int, str] = field(default_factory=dict)
    usage: Any = None


class _OtherForm(Exception):  # noqa: N818 - says what was found
    """Not a chat completion of plain text."""


def stopped(recorded: Recorded, operation: Operation) -> bool:
    """Whether it is an answer to its natural end: every choice has the finish reason `stop`.
    Embeddings have no other end."""
    if not recorded.complete:
        return False
    try:
        objects = _objects(recorded)
    except (msgspec.MsgspecError, EventTooLarge, RecursionError):
        return False
    if operation is Operation.EMBEDDINGS:
        return len(objects) == 1 and isinstance(objects[0], dict) and bool(objects[0].get("data"))
    if operation is Operation.MESSAGES:
        return any(isinstance(found, dict) and _has_ended(found) for found in objects)
    if operation is Operation.RESPONSES:
        return any(_response_of(found).get("status") == "completed" for found in objects)
    finishes: dict[Any, Any] = {}
    for found in objects:
        choices = found.get("choices") if isinstance(found, dict) else None
        for choice in choices or ():
            if not isinstance(choice, dict):
                return False
            index = choice.get("index", 0)
            finishes[index] = choice.get("finish_reason") or finishes.get(index)
    return bool(finishes) and all(finish == "stop" for finish in finishes.values())


def _has_ended(found: dict[str, Any]) -> bool:
    """A message, or the event that ends one, in Anthropic's format."""
    delta = found.get("delta")
    stop = found.get("stop_reason") or (isinstance(delta, dict) and delta.get("stop_reason"))
    return stop == "end_turn"


def _response_of(found: Any) -> dict[str, Any]:
    """A whole response, or that of one of its events; {} if it is neither."""
    response = found.get("response", found) if isinstance(found, dict) else None
    return response if isinstance(response, dict) else {}


def as_asked(recorded: Recorded, call: Call) -> Recorded | None:
    """The answer in the form that the call wants; None if it cannot be had in it."""
    whole = recorded.body is not None
    if whole and not call.stream:
        return recorded
    try:
        objects = _objects(recorded)
        if not whole and call.stream and _shows_usage(objects) == call.wants_usage:
            return recorded
        if call.operation is not Operation.CHAT:
            return None
        text = _text_of_whole(objects[0]) if whole else _text_of_stream(objects)
        if text.usage is None and recorded.usage is not None:
            text.usage = _usage(recorded.usage)
        if not call.stream:
            return Recorded(about=recorded.about, body=_whole(text), usage=recorded.usage)
        if call.wants_usage and text.usage is None:
            return None
        events = tuple(_events(text, with_usage=call.wants_usage))
        return Recorded(about=recorded.about, events=events, usage=recorded.usage)
    except (_OtherForm, msgspec.MsgspecError, EventTooLarge, RecursionError):
        return None


def plain_text(recorded: Recorded) -> str | None:
    """What a chat's answer says, in either format, its first choice; None if it is no plain
    text."""
    try:
        objects = _objects(recorded)
        if not any(isinstance(found, dict) and "choices" in found for found in objects):
            return "".join(text for found in objects for text in _message_texts(found)) or None
        whole = recorded.body is not None
        text = _text_of_whole(objects[0]) if whole else _text_of_stream(objects)
    except (_OtherForm, msgspec.MsgspecError, EventTooLarge, RecursionError):
        return None
    return text.contents.get(0)


def _message_texts(found: Any) -> Iterator[str]:
    """Of a message in Anthropic's format, or of an event that holds a part of one."""
    if not isinstance(found, dict):
        return
    content, delta = found.get("content"), found.get("delta")
    parts = content if isinstance(content, list) else [delta]
    for part in parts:
        if isinstance(part, dict) and isinstance(part.get("text"), str):
            yield part["text"]


def _objects(recorded: Recorded) -> list[Any]:
    """The whole answer, or the data of each event of the stream."""
    if recorded.body is not None:
        return [msgspec.json.decode(recorded.body)]
    splitter = EventSplitter()
    found = []
    for event in splitter.feed(b"".join(recorded.events)):
        data = data_of(event)
        if data is not None and data != b"[DONE]":
            found.append(msgspec.json.decode(data))
    return found


def _shows_usage(objects: list[Any]) -> bool:
    return any(
        isinstance(found, dict) and (found.get("usage") or _response_of(found).get("usage"))
        for found in objects
    )


def _text_of_whole(answer: Any) -> _Text:
    _require(isinstance(answer, dict) and isinstance(answer.get("choices"), list))
    text = _Text(head=_head(answer), usage=answer.get("usage"))
    for choice in answer["choices"]:
        _take(text, choice, "message")
    _require_ended(text)
    return text


def _text_of_stream(chunks: list[Any]) -> _Text:
    _require(bool(chunks) and all(isinstance(chunk, dict) for chunk in chunks))
    text = _Text(head=_head(next((c for c in chunks if c.get("choices")), chunks[0])))
    for chunk in chunks:
        _require(isinstance(chunk.get("choices"), list))
        text.usage = chunk.get("usage") or text.usage
        for choice in chunk["choices"]:
            _take(text, choice, "delta")
    _require_ended(text)
    return text


def _take(text: _Text, choice: Any, member: str) -> None:
    _require(isinstance(choice, dict) and not choice.get("logprobs"))
    index, said = choice.get("index", 0), choice.get(member) or {}
    _require(isinstance(index, int) and isinstance(said, dict))
    _require(not any(value for name, value in said.items() if name not in _PLAIN))
    content = said.get("content")
    _require(content is None or isinstance(content, str))
    text.contents[index] = text.contents.get(index, "") + (content or "")
    finish = choice.get("finish_reason")
    if finish:
        _require(isinstance(finish, str))
        text.finishes[index] = finish


def _require_ended(text: _Text) -> None:
    _require(bool(text.contents) and text.finishes.keys() == text.contents.keys())


def _require(found: bool) -> None:
    if not found:
        raise _OtherForm


def _head(answer: dict[str, Any]) -> dict[str, Any]:
    return {name: answer[name] for name in _KEPT if name in answer}


def _whole(text: _Text) -> bytes:
    choices = [
        {
            "index": index,
            "message": {"role": "assistant", "content": text.contents[index], "refusal": None},
            "logprobs": None,
            "finish_reason": text.finishes[index],
        }
        for index in sorted(text.contents)
    ]
    answer = {**text.head, "object": "chat.completion", "choices": choices}
    if text.usage is not None:
        answer["usage"] = text.usage
    return _encode(answer)


def _events(text: _Text, *, with_usage: bool) -> Iterator[bytes]:
    for index in sorted(text.contents):
        said = {"role": "assistant", "content": text.contents[index]}
        yield _event(text, [_choice(index, said, None)], with_usage)
        yield _event(text, [_choice(index, {}, text.finishes[index])], with_usage)
    if with_usage:
        yield _event(text, [], with_usage, text.usage)
    yield _DONE


def _choice(index: int, delta: dict[str, str], finish: str | None) -> dict[str, Any]:
    return {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}


def _event(text: _Text, choices: list[Any], with_usage: bool, usage: Any = None) -> bytes:
    chunk = {**text.head, "object": "chat.completion.chunk", "choices": choices}
    if with_usage:
        chunk["usage"] = usage
    return b"data: %b\n\n" % _encode(chunk)


def _usage(usage: Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }
