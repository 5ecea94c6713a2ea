"""Events of OpenAI's Realtime API, read as little as accounts need: where responses begin and end,
and what they used.

https://platform.openai.com/docs/api-reference/realtime-server-events
"""

from __future__ import annotations

import msgspec
from msgspec import Struct, field

from headrace.nouns import Units, Usage
from headrace.services.counts import Count, without_usage

_MARKS = (b'response.created"', b'response.done"', b'input_audio_transcription.completed"')
"""A quote inside a text is escaped, so that none of these stands in what somebody said."""
_HEARD = "conversation.item.input_audio_transcription.completed"


class _Cached(Struct, gc=False):
    audio_tokens: Count | None = None


class _InputDetails(Struct, gc=False):
    cached_tokens: Count | None = None
    audio_tokens: Count | None = None
    image_tokens: Count | None = None
    cached_tokens_details: _Cached | None = None


class _OutputDetails(Struct, gc=False):
    audio_tokens: Count | None = None


class _Used(Struct, gc=False):
    input_tokens: Count | None = None
    output_tokens: Count | None = None
    input_token_details: _InputDetails | None = None
    output_token_details: _OutputDetails | None = None

    @property
    def tokens(self) -> Usage:
        asked = self.input_token_details or _InputDetails()
        said = self.output_token_details or _OutputDetails()
        cached = asked.cached_tokens_details or _Cached()
        units = Units(
            image_input_tokens=asked.image_tokens or 0,
            cached_audio_tokens=cached.audio_tokens or 0,
        )
        return Usage(
            self.input_tokens or 0,
            self.output_tokens or 0,
            asked.cached_tokens or 0,
            audio_input_tokens=asked.audio_tokens or 0,
            audio_output_tokens=said.audio_tokens or 0,
            units=None if units == Units() else units,
        )


class _Response(Struct, gc=False):
    status: str | None = None
    usage: _Used | None = None


class _Event(Struct, gc=False):
    kind: str = field(default="", name="type")
    response: _Response | None = None


class Read(Struct, frozen=True, gc=False):
    """What an event means. `usage` is None where it does not tell."""

    begins: bool = False
    """A response is being made."""
    beside: bool = False
    """Another model wrote down what was heard, which costs of its own."""
    usage: Usage | None = None
    finish: str = "complete"
    doubted: bool = False
    """It tells a usage that no answer can have."""


_events = msgspec.json.Decoder(_Event, strict=False)


def read(data: bytes) -> Read | None:
    """None if the event means nothing to accounts."""
    if not any(mark in data for mark in _MARKS):
        return None
    event = _event(data)
    doubted = event is None
    if event is None:
        event = _event(without_usage(data) or b"")
    if event is None:
        return None
    if event.kind == "response.created":
        return Read(begins=True)
    if event.kind == _HEARD:
        return Read(beside=True)
    if event.kind != "response.done":
        return None
    response = event.response or _Response()
    whole = response.status in (None, "completed", "incomplete")
    usage = None if response.usage is None else response.usage.tokens
    finish = "complete" if whole else "incomplete"
    return Read(usage=usage, finish=finish, doubted=doubted)


def _event(data: bytes) -> _Event | None:
    try:
        return _events.decode(data)
    except (msgspec.MsgspecError, RecursionError):
        return None
