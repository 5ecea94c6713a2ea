"""Answers in the words of Cohere's API, version 2, whole and in parts, read.

https://docs.cohere.com/v2/docs/streaming. `message-end` is the terminal event. A plan for calls of
tools (`tool_plan`) is thinking. Tokens are those that are billed.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from headrace.platform.http.sse import EventSplitter
from headrace.services.answer_json import answer_of, arguments_of, event_of
from headrace.services.counts import Amount
from headrace.services.dialects.neutral import (
    Answered,
    Arguments,
    Began,
    Called,
    Cited,
    Counts,
    Delta,
    Ended,
    Failed,
    Finish,
    Finished,
    Part,
    Said,
    Text,
    Thinking,
    Thought,
    ToolUse,
)
from headrace.services.dialects.objects import unparsed
from headrace.services.service import BadAnswer

FINISH = {
    "COMPLETE": Finish.STOP,
    "STOP_SEQUENCE": Finish.STOP_SEQUENCE,
    "MAX_TOKENS": Finish.LENGTH,
    "TOOL_CALL": Finish.TOOLS,
    "ERROR_TOXIC": Finish.REFUSED,
}
BROKEN = frozenset({"ERROR", "TIMEOUT", "ERROR_LIMIT"})


class _Tokens(Struct, frozen=True):
    input_tokens: Amount | None = None
    output_tokens: Amount | None = None


class _Usage(Struct):
    billed_units: _Tokens | None = None
    tokens: _Tokens | None = None
    cached_tokens: Amount | None = None

    @property
    def counts(self) -> Counts:
        used = self.billed_units or self.tokens or _Tokens()
        cached = int(self.cached_tokens or 0)
        return Counts(int(used.input_tokens or 0), int(used.output_tokens or 0), cached)


class _Function(Struct, frozen=True):
    name: str | None = None
    arguments: str | None = None


class _Call(Struct):
    id: str | None = None
    function: _Function = _Function()


class _Content(Struct):
    type: str = "text"
    text: str | None = None
    thinking: str | None = None


class _Message(Struct):
    content: list[_Content] | _Content | None = None
    tool_calls: list[_Call] | _Call | None = None
    tool_plan: str | None = None
    citations: Any = None


class _Answer(Struct):
    id: str = ""
    message: _Message | str | None = None
    """Text where it is an error."""
    finish_reason: str | None = None
    usage: _Usage | None = None


class _Delta(Struct):
    message: _Message | None = None
    finish_reason: str | None = None
    usage: _Usage | None = None
    error: str | None = None


class _Event(Struct):
    type: str | None = None
    id: str = ""
    delta: _Delta | None = None
    message: str | None = None


_answers = msgspec.json.Decoder(_Answer, strict=False)
_events = msgspec.json.Decoder(_Event, strict=False)
_objects = msgspec.json.Decoder(dict[str, Any])


def read(body: bytes, model: str) -> Answered | bytes:
    """The answer, or the error that stands in its place. Raises BadAnswer."""
    answer = answer_of(_answers, body)
    message = answer.message
    if isinstance(message, str) or answer.finish_reason in BROKEN:
        return _error(message if isinstance(message, str) else answer.finish_reason)
    if message is None or answer.finish_reason is None:
        raise BadAnswer("a JSON object without the answer's members")
    parts: list[Part] = [Thinking(message.tool_plan)] if message.tool_plan else []
    for content in message.content if isinstance(message.content, list) else ():
        if content.type == "thinking":
            parts.append(Thinking(content.thinking or ""))
        elif content.text:
            parts.append(Text(content.text))
    last = parts[-1] if parts else None
    if isinstance(last, Text):
        last.citations = message.citations or None
    calls = message.tool_calls
    parts += [_use(call) for call in (calls if isinstance(calls, list) else ())]
    return Answered(
        answer.id,
        model,
        parts,
        FINISH.get(answer.finish_reason, Finish.STOP),
        counts=None if answer.usage is None else answer.usage.counts,
    )


def _use(call: _Call) -> ToolUse:
    function = call.function
    return ToolUse(call.id or "", function.name or "", arguments_of(function.arguments))


def _error(message: str | None) -> bytes:
    return unparsed({"message": message}).encode()


class CohereEvents:
    """Reads one stream."""

    __slots__ = ("_calls", "_has_arguments", "_model")

    def __init__(self, model: str) -> None:
        self._model = model
        self._calls = 0
        self._has_arguments = False

    def splitter(self) -> EventSplitter:
        return EventSplitter()

    def end(self) -> list[Delta] | None:
        return None

    def read(self, data: bytes) -> list[Delta]:
        """What an event says. Raises BadAnswer."""
        if data == b"[DONE]":
            return []
        event = event_of(_events, data)
        delta = event.delta or _Delta()
        match event.type:
            case "message-start":
                return [Began(event.id, self._model)]
            case "content-start" | "content-delta":
                return _said(delta.message)
            case "tool-plan-delta":
                plan = None if delta.message is None else delta.message.tool_plan
                return [Thought(plan)] if plan else []
            case "tool-call-start" | "tool-call-delta" | "tool-call-end":
                return self._called(event.type, delta.message)
            case "citation-start":
                return [] if delta.message is None else [Cited(delta.message.citations)]
            case "message-end":
                return _end(delta)
            case None:
                return [Failed(_error(event.message))]
        return []

    def _called(self, kind: str, message: _Message | None) -> list[Delta]:
        if kind == "tool-call-end":
            return [] if self._has_arguments else [Arguments(self._calls - 1, "{}")]
        call = None if message is None else message.tool_calls
        if not isinstance(call, _Call):
            raise BadAnswer("an event of a call without the call")
        deltas: list[Delta] = []
        if kind == "tool-call-start":
            self._calls += 1
            self._has_arguments = False
            name = call.function.name or ""
            deltas.append(Called(self._calls - 1, call.id or f"call_{self._calls}", name))
        if call.function.arguments:
            self._has_arguments = True
            deltas.append(Arguments(self._calls - 1, call.function.arguments))
        return deltas


def _said(message: _Message | None) -> list[Delta]:
    content = None if message is None else message.content
    if not isinstance(content, _Content):
        return []
    if content.thinking:
        return [Thought(content.thinking)]
    return [Said(content.text)] if content.text else []


def _end(delta: _Delta) -> list[Delta]:
    if delta.finish_reason in BROKEN or delta.error:
        return [Failed(_error(delta.error or delta.finish_reason))]
    counts = None if delta.usage is None else delta.usage.counts
    finish = FINISH.get(delta.finish_reason or "", Finish.STOP)
    return [Finished(finish, None, counts), Ended()]
