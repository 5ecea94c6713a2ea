"""Streams of a chat in OpenAI's dialect, read and written event by event.

https://platform.openai.com/docs/api-reference/chat-streaming. Thinking comes as
`delta.reasoning_content` and, with its signature, as fragments of `delta.thinking_blocks`, which
are put together by their `index` as those of `tool_calls` are.
"""

from __future__ import annotations

import time
from typing import Any

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from headrace.services.answer_json import event_of, present
from headrace.services.dialects import tables
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
from headrace.services.dialects.openai_answering import (
    Ending,
    Logprobs,
    UsageRead,
    finish_members,
    usage,
)  # fmt: skip
from headrace.services.openai_wire import DONE, DONE_DATA
from headrace.services.service import BadAnswer

_encode = msgspec.json.Encoder().encode


# --- reading


class _Function(Struct, gc=False):
    name: str | None = None
    arguments: str | None = None


class _Call(Struct, gc=False):
    index: int | None = None
    id: str | None = None
    function: _Function | None = None


class _Delta(Struct, gc=False):
    content: str | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[_Call] | None = None


class _Choice(Struct, gc=False):
    index: int = 0
    delta: _Delta | None = None
    logprobs: Logprobs | None = None
    finish_reason: str | None = None
    stop_reason: str | int | None = None


class _Chunk(Struct, gc=False):
    choices: list[_Choice] | UnsetType = UNSET
    id: str = ""
    model: str = ""
    usage: UsageRead | None = None
    service_tier: str | None = None
    error: Raw = Raw(b"")


_chunks = msgspec.json.Decoder(_Chunk, strict=False)


class OpenAIEvents:
    """Reads one stream of one choice."""

    __slots__ = ("_begun", "_calls", "_refuses")

    def __init__(self) -> None:
        self._begun = False
        self._calls: list[int | None] = []
        """The upstream's index of each call so far."""
        self._refuses = False

    def read(self, data: bytes) -> list[Delta]:
        """What an event says. Raises BadAnswer."""
        if data == DONE_DATA:
            return [Ended()]
        chunk = event_of(_chunks, data)
        if present(chunk.error):
            return [Failed(bytes(chunk.error))]
        if chunk.choices is UNSET:
            raise BadAnswer("an event without choices")
        deltas: list[Delta] = []
        if not self._begun and (chunk.choices or chunk.usage):
            self._begun = True
            tier = tables.OPENAI_TIERS_USED.get(chunk.service_tier or "")
            deltas.append(Began(chunk.id, chunk.model, tier=tier))
        for choice in chunk.choices:
            if choice.index == 0:
                self._read_choice(choice, deltas)
        if chunk.usage is not None:
            deltas.append(Counted(chunk.usage.counts))
        return deltas

    def _read_choice(self, choice: _Choice, deltas: list[Delta]) -> None:
        delta = choice.delta
        if delta is not None:
            if delta.reasoning_content:
                deltas.append(Thought(delta.reasoning_content))
            if delta.content:
                told = choice.logprobs
                deltas.append(Said(delta.content, None if told is None else told.content or None))
            if delta.refusal:
                self._refuses = True
                deltas.append(Refusing(delta.refusal))
            for call in delta.tool_calls or ():
                self._read_call(call, deltas)
        if choice.finish_reason is not None:
            finish = tables.OPENAI_FINISH.get(choice.finish_reason, Finish.STOP)
            stop = choice.stop_reason if isinstance(choice.stop_reason, str) else None
            if finish is Finish.STOP:
                finish = Finish.REFUSED if self._refuses else finish
                finish = finish if stop is None else Finish.STOP_SEQUENCE
            deltas.append(Finished(finish, stop))

    def _read_call(self, call: _Call, deltas: list[Delta]) -> None:
        function = call.function or _Function()
        known = self._calls
        if call.index is None:  # some servers send whole calls without
            number = len(known) if call.id or not known else len(known) - 1
        else:
            number = known.index(call.index) if call.index in known else len(known)
        if number == len(known):
            known.append(call.index)
            deltas.append(Called(number, call.id or f"call_{number}", function.name or ""))
        if function.arguments:
            deltas.append(Arguments(number, function.arguments))


# --- writing

_NO_LOGPROBS = b'"logprobs":null'
_LOGPROBS = b'"logprobs":{"content":%b,"refusal":null}'


class OpenAIWriter:
    """Writes one stream. `shows_usage`: the client asked for it."""

    __slots__ = ("_block", "_counts", "_head", "_middle", "_shows_usage", "_tail")

    def __init__(self, *, shows_usage: bool) -> None:
        self._shows_usage = shows_usage
        self._counts: Counts | None = None
        self._block = 0
        """Number of the piece of thinking."""
        self._head = self._tail = self._middle = b""

    def write(self, delta: Delta) -> bytes:
        """Whole events. Raises BadAnswer for what cannot come now."""
        kind = type(delta)
        if kind is Said and delta.logprobs is None:  # type: ignore[union-attr]
            return self._chunk(b'{"content":%b}' % _encode(delta.text))  # type: ignore[union-attr]
        match delta:
            case Said():
                return self._say(delta)
            case Arguments():
                call = {"index": delta.number, "function": {"arguments": delta.text}}
                return self._chunk(_encode({"tool_calls": [call]}))
            case Began():
                return self._begin(delta)
            case Thought():
                block = {"index": self._block, "type": "thinking", "thinking": delta.text}
                said = {"reasoning_content": delta.text, "thinking_blocks": [block]}
                return self._chunk(_encode(said))
            case Signed():
                block = {
                    "index": self._block,
                    "type": "thinking",
                    "signature": delta.signature,
                }
                self._block += 1
                return self._chunk(_encode({"thinking_blocks": [block]}))
            case Hidden():
                block = {
                    "index": self._block,
                    "type": "redacted_thinking",
                    "data": delta.data,
                }
                self._block += 1
                return self._chunk(_encode({"thinking_blocks": [block]}))
            case Called():
                function = {"name": delta.name, "arguments": ""}
                call = {"index": delta.number, "id": delta.id, "type": "function"}
                return self._chunk(_encode({"tool_calls": [{**call, "function": function}]}))
            case Cited():
                return self._chunk(_encode({"citations": [delta.citation]}))
            case Refusing():
                return self._chunk(_encode({"refusal": delta.text}))
            case Finished():
                self._counts = delta.counts or self._counts
                return self._finish(delta)
            case Counted():
                self._counts = delta.counts
            case Ended():
                return self._end()
        return b""

    def _begin(self, began: Began) -> bytes:
        head: dict[str, Any] = {
            "id": began.id,
            "object": "chat.completion.chunk",
            "created": int(time.time()),
            "model": began.model,
        }
        tier = tables.TO_OPENAI_TIERS_USED.get(began.tier or "")
        if tier is not None:
            head["service_tier"] = tier
        self._counts = began.counts
        self._head = b'data: %b,"choices":[' % _encode(head)[:-1]
        self._middle = b'{"index":0,"delta":'
        no_usage = b',"usage":null' if self._shows_usage else b""
        self._tail = b',%b,"finish_reason":null}]%b}\n\n' % (_NO_LOGPROBS, no_usage)
        return self._chunk(b'{"role":"assistant","content":"","refusal":null}')

    def _say(self, said: Said) -> bytes:
        """Text with its log probabilities."""
        chunk = self._chunk(b'{"content":%b}' % _encode(said.text))
        tail = self._tail.replace(_NO_LOGPROBS, _LOGPROBS % _encode(said.logprobs), 1)
        return chunk.removesuffix(self._tail) + tail

    def _chunk(self, delta: bytes) -> bytes:
        if not self._head:
            raise BadAnswer("an answer that goes on before it began")
        return b"%b%b%b%b" % (self._head, self._middle, delta, self._tail)

    def _finish(self, finished: Finished) -> bytes:
        choice = {"index": 0, "delta": {}, "logprobs": None}
        choice |= finish_members(Ending(finished.finish, finished.stop))
        no_usage = b',"usage":null' if self._shows_usage else b""
        return b"%b%b]%b}\n\n" % (self._head, _encode(choice), no_usage)

    def _end(self) -> bytes:
        if not self._head:
            raise BadAnswer("an answer that ends before it began")
        if not self._shows_usage or self._counts is None:
            return DONE
        return b'%b],"usage":%b}\n\n%b' % (self._head, _encode(usage(self._counts)), DONE)
