"""Streams in Anthropic's dialect, read and written event by event.

https://platform.claude.com/docs/en/build-with-claude/streaming
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw, Struct

from headrace.services.answer_json import event_of
from headrace.services.anthropic_wire import UsageRead
from headrace.services.dialects import tables
from headrace.services.dialects.anthropic_answering import counts_of, usage
from headrace.services.dialects.neutral import (
    Arguments,
    Began,
    Called,
    Cited,
    Counted,
    Counts,
    Delta,
    Ended,
    Failed,
    Finish,
    Finished,
    Hidden,
    Refusing,
    Said,
    Signed,
    Thought,
)  # fmt: skip
from headrace.services.dialects.open_calls import OpenCalls
from headrace.services.service import BadAnswer

_encode = msgspec.json.Encoder().encode


# --- reading


class _Message(Struct, gc=False):
    id: str = ""
    model: str = ""
    usage: UsageRead | None = None


class _Block(Struct):
    type: str = ""
    text: str = ""
    thinking: str = ""
    data: str = ""
    id: str = ""
    name: str = ""
    input: Any = None


class _Delta(Struct):
    type: str = ""
    text: str = ""
    partial_json: str = ""
    thinking: str = ""
    signature: str = ""
    citation: Any = None
    stop_reason: str | None = None
    stop_sequence: str | None = None


class _Event(Struct):
    type: str
    index: int = 0
    delta: _Delta | None = None
    message: _Message | None = None
    content_block: _Block | None = None
    usage: UsageRead | None = None
    error: Raw = Raw(b"")


_events = msgspec.json.Decoder(_Event, strict=False)


class AnthropicEvents:
    """Reads one stream."""

    __slots__ = ("_calls", "_usage")

    def __init__(self) -> None:
        self._usage: UsageRead | None = None
        self._calls = OpenCalls()

    def read(self, data: bytes) -> list[Delta]:
        """What an event says. Raises BadAnswer."""
        event = event_of(_events, data)
        match event.type:
            case "content_block_delta":
                return self._read_delta(event)
            case "content_block_start":
                return self._read_block(event)
            case "content_block_stop":
                return self._calls.end(event.index)
            case "message_start":
                message = event.message or _Message()
                self._usage = message.usage
                counts = None if message.usage is None else counts_of(message.usage)
                tier = None if message.usage is None else message.usage.service_tier
                return [Began(message.id, message.model, counts, tier)]
            case "message_delta":
                return self._read_end(event)
            case "message_stop":
                return [Ended()]
            case "error":
                return [Failed(bytes(event.error))]
        return []

    def _read_delta(self, event: _Event) -> list[Delta]:
        delta = event.delta
        if delta is None:
            raise BadAnswer("an event without its delta")
        match delta.type:
            case "text_delta":
                return [Said(delta.text)] if delta.text else []
            case "input_json_delta":
                return self._calls.arguments(event.index, delta.partial_json)
            case "thinking_delta":
                return [Thought(delta.thinking)] if delta.thinking else []
            case "signature_delta":
                return [Signed(delta.signature)]
            case "citations_delta":
                return [Cited(delta.citation)]
        return []

    def _read_block(self, event: _Event) -> list[Delta]:
        block = event.content_block or _Block()
        match block.type:
            case "text" if block.text:
                return [Said(block.text)]
            case "thinking" if block.thinking:
                return [Thought(block.thinking)]
            case "redacted_thinking":
                return [Hidden(block.data)]
            case "tool_use":
                called = self._calls.begin(event.index, block.id, block.name)
                if block.input:
                    called += self._calls.arguments(event.index, _encode(block.input).decode())
                return called
        return []

    def _read_end(self, event: _Event) -> list[Delta]:
        if event.usage is not None:
            self._usage = event.usage.over(self._usage)
        counts = None if self._usage is None else counts_of(self._usage)
        delta = event.delta or _Delta()
        if delta.stop_reason is None:
            return [] if counts is None else [Counted(counts)]
        finish = tables.ANTHROPIC_FINISH.get(delta.stop_reason, Finish.STOP)
        return [Finished(finish, delta.stop_sequence, counts)]


# --- writing


class AnthropicWriter:
    """Writes one stream. One block is open at a time. The event that says why the answer ended
    waits for the usage, which other providers send last."""

    __slots__ = ("_begun", "_counts", "_finished", "_index", "_open", "_told")

    def __init__(self) -> None:
        self._begun = False
        self._open: str | int | None = None
        """text, thinking, or a call's number."""
        self._index = -1
        self._counts = Counts()
        self._finished: Finished | None = None
        self._told = False

    def write(self, delta: Delta) -> bytes:
        """Whole events. Raises BadAnswer for what cannot come now."""
        if not self._begun and not isinstance(delta, Began | Failed):
            raise BadAnswer("an answer that goes on before it began")
        match delta:
            case Said() | Refusing():
                block = b'{"type":"text","text":""}'
                return self._within("text", block, b'"text_delta","text":', delta.text)
            case Arguments():
                if self._open != delta.number:
                    raise BadAnswer("fragments of a call that another has followed")
                return self._within(
                    delta.number, b"", b'"input_json_delta","partial_json":', delta.text
                )
            case Began():
                return self._begin(delta)
            case Called():
                call = {"type": "tool_use", "id": delta.id, "name": delta.name, "input": {}}
                return self._start(delta.number, _encode(call))
            case Thought():
                block = b'{"type":"thinking","thinking":"","signature":""}'
                return self._within("thinking", block, b'"thinking_delta","thinking":', delta.text)
            case Signed():
                block = b'{"type":"thinking","thinking":"","signature":""}'
                events = self._within(
                    "thinking", block, b'"signature_delta","signature":', delta.signature
                )
                return events + self._stop()
            case Hidden():
                hidden = {"type": "redacted_thinking", "data": delta.data}
                return self._start("redacted", _encode(hidden)) + self._stop()
            case Cited():
                block = b'{"type":"text","text":""}'
                kind = b'"citations_delta","citation":'
                return self._within("text", block, kind, delta.citation)
            case Finished():
                self._finished = delta
                self._counts = delta.counts or self._counts
                return self._stop() + (b"" if delta.counts is None else self._tell())
            case Counted():
                self._counts = delta.counts
                return b"" if self._finished is None else self._tell()
            case Ended():
                return self._stop() + self._tell() + _event(b"message_stop", b"")
        return b""

    def _begin(self, began: Began) -> bytes:
        self._begun = True
        self._counts = began.counts or self._counts
        message: dict[str, Any] = {
            "id": began.id,
            "type": "message",
            "role": "assistant",
            "model": began.model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": usage(self._counts, began.tier),
        }
        return _event(b"message_start", b',"message":%b' % _encode(message))

    def _within(self, kind: str | int, block: bytes, named: bytes, value: Any) -> bytes:
        """A delta of a block of a kind, which is opened if it is not open."""
        start = b"" if self._open == kind else self._start(kind, block)
        return (
            b'%bevent: content_block_delta\ndata: {"type":"content_block_delta","index":%d,'
            b'"delta":{"type":%b%b}}\n\n' % (start, self._index, named, _encode(value))
        )

    def _start(self, kind: str | int, block: bytes) -> bytes:
        stop = self._stop()
        self._open = kind
        self._index += 1
        body = b',"index":%d,"content_block":%b' % (self._index, block)
        return stop + _event(b"content_block_start", body)

    def _stop(self) -> bytes:
        if self._open is None:
            return b""
        self._open = None
        return _event(b"content_block_stop", b',"index":%d' % self._index)

    def _tell(self) -> bytes:
        """Why it ended, and what it used; once."""
        if self._told:
            return b""
        self._told = True
        finished = self._finished or Finished(Finish.STOP)
        reason = tables.TO_ANTHROPIC_FINISH[finished.finish]
        delta = {"stop_reason": reason, "stop_sequence": finished.stop}
        used = _encode(usage(self._counts))
        return _event(b"message_delta", b',"delta":%b,"usage":%b' % (_encode(delta), used))


def _event(kind: bytes, members: bytes) -> bytes:
    return b'event: %b\ndata: {"type":"%b"%b}\n\n' % (kind, kind, members)
