"""OpenAI's wire format, read as little as policy needs.

Chat completions, completions and embeddings, whole and as events:
https://platform.openai.com/docs/api-reference/chat-streaming
"""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from headrace.nouns import Call, Operation, Usage
from headrace.services.answer_json import NULL, answer_of, event_of, present
from headrace.services.counts import Count
from headrace.services.service import BadAnswer, EventRead, StreamReader, WholeRead

DONE_DATA = b"[DONE]"
DONE = b"data: [DONE]\n\n"
_LIST = ord("[")
USAGE_NULL = b',"usage":null'


class _TokenDetails(Struct, gc=False):
    cached_tokens: Count | None = None
    reasoning_tokens: Count | None = None
    audio_tokens: Count | None = None


class _Usage(Struct, gc=False):
    prompt_tokens: Count | None = None
    completion_tokens: Count | None = None
    prompt_tokens_details: _TokenDetails | None = None
    completion_tokens_details: _TokenDetails | None = None


class _Choice(Struct):
    index: Raw = Raw(b"0")
    finish_reason: str | None = None
    delta: Raw = Raw(b"")
    text: Raw = Raw(b"")


class _Answer(Struct):
    choices: list[_Choice] | None = None
    data: list[Raw] | None = None
    usage: Raw = Raw(b"")
    error: Raw = Raw(b"")


class _Finished(Struct, gc=False):
    """What matters of a whole answer's choice."""

    finish_reason: str | None = None


class _Whole(Struct, gc=False):
    """A whole answer whose usage is as it should be: read in one go."""

    choices: list[_Finished] | None = None
    data: Raw = Raw(b"")
    usage: _Usage | None = None
    error: Raw = Raw(b"")


class _LaterChoice(Struct, gc=False):
    """The first choice, once the answer has begun: what it holds no longer matters until it
    ends."""

    index: Literal[0] = 0
    finish_reason: None = None


class _LaterEvent(Struct, gc=False):
    """An event once the answer has begun."""

    choices: list[_LaterChoice]
    usage: _Usage | UnsetType | None = UNSET
    error: UnsetType | None = UNSET


_answers = msgspec.json.Decoder(_Answer)
_wholes = msgspec.json.Decoder(_Whole, strict=False)
_later_events = msgspec.json.Decoder(_LaterEvent, strict=False)
_usages = msgspec.json.Decoder(_Usage, strict=False)
_objects = msgspec.json.Decoder(dict[str, Raw])
_values = msgspec.json.Decoder()


Members = dict[str, Raw]
"""A JSON object's members, their values as they came."""


def members_of(body: bytes) -> Members:
    """The top-level members of a JSON object. A name that stands twice has its last value here;
    what is written of it has one, so no upstream can read another than policy did."""
    return _objects.decode(body)


def written(members: Members) -> bytes:
    """The JSON object; its values keep their bytes."""
    return msgspec.json.encode(members)


def asking_for_usage(options: Raw | None) -> Raw:
    """`stream_options` that ask for usage and keep the client's other options."""
    if options is None or not present(options):
        return INCLUDE_USAGE
    members = _objects.decode(options)
    members["include_usage"] = TRUE
    return Raw(msgspec.json.encode(members))


TRUE = Raw(b"true")
INCLUDE_USAGE = Raw(b'{"include_usage":true}')


def usage_of(raw: Raw) -> Usage | None:
    """Tokens of a usage object; None if it is absent or not understood."""
    if not present(raw):
        return None
    try:
        return _tokens(_usages.decode(raw))
    except (msgspec.MsgspecError, RecursionError):
        return None


def _tokens(usage: _Usage) -> Usage:
    prompt, completion = usage.prompt_tokens_details, usage.completion_tokens_details
    return Usage(
        usage.prompt_tokens or 0,
        usage.completion_tokens or 0,
        (prompt.cached_tokens or 0) if prompt else 0,
        (completion.reasoning_tokens or 0) if completion else 0,
        (prompt.audio_tokens or 0) if prompt else 0,
        (completion.audio_tokens or 0) if completion else 0,
    )


def read_whole(call: Call, body: bytes) -> WholeRead:
    """Reads a 200. Raises BadAnswer if it is not the answer to this operation."""
    try:
        whole = _wholes.decode(body)
    except (msgspec.MsgspecError, RecursionError):
        return _read_whole_closely(call, body)
    if whole.error and present(whole.error):
        return WholeRead(usage=None, error=bytes(whole.error))
    choices = whole.choices
    if call.operation is Operation.EMBEDDINGS:
        if not whole.data or memoryview(whole.data)[0] != _LIST:
            raise _without_answer()
    elif choices is None:
        raise _without_answer()
    usage = None if whole.usage is None else _tokens(whole.usage)
    return WholeRead(usage, choices[0].finish_reason if choices else None)


def _read_whole_closely(call: Call, body: bytes) -> WholeRead:
    """An answer whose usage may be anything is an answer."""
    answer = answer_of(_answers, body)
    if present(answer.error):
        return WholeRead(usage=None, error=bytes(answer.error))
    expected = answer.data if call.operation is Operation.EMBEDDINGS else answer.choices
    if expected is None:
        raise _without_answer()
    finish = answer.choices[0].finish_reason if answer.choices else None
    usage = usage_of(answer.usage)
    return WholeRead(usage, finish, doubted=usage is None and present(answer.usage))


def _without_answer() -> BadAnswer:
    return BadAnswer("a JSON object without the answer's members")


class OpenAIStreamReader(StreamReader):
    """Reads the events of a chat or text completion.

    When the client did not ask for usage, `stream_options.include_usage` was added for it: the
    event that brings it is held back, and `"usage":null` taken out of the others.
    """

    __slots__ = ("_begun", "_counted", "_finished", "_hide_usage", "_started")

    def __init__(self, *, hide_usage: bool, asks_usage: bool = True) -> None:
        self._hide_usage = hide_usage
        self._started = False
        self._begun = {b"0"}
        """Indexes of choices, as they are written."""
        self._finished: set[bytes] = set()
        self._counted = not asks_usage

    def read(self, event: bytes, data: bytes | None) -> EventRead:
        """Raises BadAnswer."""
        if data is None:
            return EventRead(event)
        if data == DONE_DATA:
            return EventRead(event, special=True, terminal=True)
        if self._started:
            # Nearly every event of a stream comes this way: it is read as little as can be.
            try:
                later = _later_events.decode(data)
            except (msgspec.MsgspecError, RecursionError):
                return self._read_closely(event, data)
            if later.usage is UNSET or (not self._hide_usage and later.usage is None):
                return EventRead(event, bool(later.choices))
            if later.usage is None and _has_one_usage_null(event):
                return EventRead(event.replace(USAGE_NULL, b""), bool(later.choices))
        return self._read_closely(event, data)

    def _read_closely(self, event: bytes, data: bytes) -> EventRead:
        chunk = event_of(_answers, data)
        if present(chunk.error):
            return EventRead(b"", special=True, error=bytes(chunk.error))
        choices = chunk.choices
        if choices is None:
            raise BadAnswer("an event without choices")
        # Once begun, any choice is progress; before, only what a client would call content is.
        content = bool(choices) and (self._started or any(map(_has_content, choices)))
        for choice in choices:
            self._begun.add(bytes(choice.index))
            if choice.finish_reason is not None:
                self._finished.add(bytes(choice.index))
        if content:
            self._started = True
        if not chunk.usage:
            return EventRead(event, content)
        told = present(chunk.usage)
        if self._hide_usage:
            event = _without_usage(event, data, chunk, had_usage=told)
        if not told:
            return EventRead(event, content)
        usage = usage_of(chunk.usage)
        self._counted = True
        return EventRead(event, content, special=True, usage=usage, doubted=usage is None)

    def end(self, rest: bytes) -> EventRead | None:
        whole = self._counted and self._begun == self._finished
        ends = whole and DONE.startswith(rest.strip())
        return EventRead(DONE, special=True, terminal=True) if ends else None


def _has_content(choice: _Choice) -> bool:
    if choice.finish_reason is not None:
        return True
    if choice.text and bytes(choice.text) not in (b'""', NULL):
        return True
    delta = bytes(choice.delta)
    if not delta or delta == b"{}":
        return False
    members = _values.decode(delta)
    return isinstance(members, dict) and any(v for k, v in members.items() if k != "role")


def _has_one_usage_null(event: bytes) -> bool:
    """Whether it can be cut out of the bytes. Inside a JSON string its quotes would be escaped; a
    second one may be any other object's member."""
    return event.find(USAGE_NULL) >= 0 and event.count(b'"usage"') == 1


def _without_usage(event: bytes, data: bytes, chunk: _Answer, *, had_usage: bool) -> bytes:
    if not had_usage and _has_one_usage_null(event):
        return event.replace(USAGE_NULL, b"")
    if had_usage and not chunk.choices:
        return b""
    members = _objects.decode(data)
    del members["usage"]
    return b"data: %b\n\n" % msgspec.json.encode(members)
