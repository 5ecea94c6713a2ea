"""Anthropic's wire format, read as little as policy needs.

Messages, whole and as events, and counts of tokens:
https://platform.claude.com/docs/en/api/messages,
https://platform.claude.com/docs/en/build-with-claude/streaming
"""

from __future__ import annotations

import msgspec
from msgspec import Raw, Struct

from headrace.nouns import Call, Operation, Usage
from headrace.services.answer_json import ANYTHING, answer_of, event_of, present
from headrace.services.counts import Count
from headrace.services.service import BadAnswer, EventRead, StreamReader, WholeRead


class _OutputDetails(Struct, gc=False):
    thinking_tokens: Count | None = None


class UsageRead(Struct, gc=False):
    """`input_tokens` are those that no cache held: the prompt has all three kinds."""

    input_tokens: Count | None = None
    cache_creation_input_tokens: Count | None = None
    cache_read_input_tokens: Count | None = None
    output_tokens: Count | None = None
    output_tokens_details: _OutputDetails | None = None
    service_tier: str | None = None

    def over(self, earlier: UsageRead | None) -> UsageRead:
        """With the figures of an earlier event where this one has none: they are totals."""
        if earlier is None:
            return self
        return UsageRead(
            *(
                getattr(earlier, name) if getattr(self, name) is None else getattr(self, name)
                for name in self.__struct_fields__
            )
        )

    @property
    def tokens(self) -> Usage:
        cached = self.cache_read_input_tokens or 0
        details = self.output_tokens_details
        return Usage(
            (self.input_tokens or 0) + cached + (self.cache_creation_input_tokens or 0),
            self.output_tokens or 0,
            cached,
            (details.thinking_tokens or 0) if details else 0,
            cache_write_tokens=self.cache_creation_input_tokens or 0,
        )


class _Whole(Struct, gc=False):
    type: str | None = None
    content: list[Raw] | None = None
    stop_reason: str | None = None
    usage: UsageRead | None = None
    input_tokens: int | None = None
    error: Raw = Raw(b"")


class _Block(Struct, gc=False):
    type: str = ""


class _Message(Struct, gc=False):
    usage: UsageRead | None = None


class _MessageDelta(Struct, gc=False):
    stop_reason: str | None = None


class _Event(Struct, gc=False):
    type: str
    message: _Message | None = None
    content_block: _Block | None = None
    delta: _MessageDelta | None = None
    usage: UsageRead | None = None
    error: Raw = Raw(b"")


_wholes = msgspec.json.Decoder(_Whole, strict=False)
_events = msgspec.json.Decoder(_Event, strict=False)

MESSAGE_STOP = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
EMPTY_BLOCKS = frozenset({"text", "thinking"})
"""Blocks that begin with nothing in them: what they say comes in deltas."""
_DELTA = b'{"type":"content_block_delta"'


def read_whole(call: Call, body: bytes) -> WholeRead:
    """Reads a 200. Raises BadAnswer if it is not the answer to this operation."""
    whole = answer_of(_wholes, body)
    if present(whole.error):
        return WholeRead(usage=None, error=bytes(whole.error))
    if call.operation is Operation.COUNT_TOKENS:
        if whole.input_tokens is None:
            raise BadAnswer("a JSON object without a count of tokens")
        return WholeRead(Usage())  # it costs nothing
    if whole.content is None:
        raise BadAnswer("a JSON object without the answer's members")
    return WholeRead(None if whole.usage is None else whole.usage.tokens, whole.stop_reason)


class AnthropicStreamReader(StreamReader):
    """Reads the events of a message. All of them reach the client as they came."""

    __slots__ = ("_finished", "_usage")

    def __init__(self) -> None:
        self._usage: UsageRead | None = None
        self._finished = False

    def read(self, event: bytes, data: bytes | None) -> EventRead:
        """Raises BadAnswer."""
        if data is None:
            return EventRead(event)
        if data.startswith(_DELTA):  # nearly every event; that it is JSON is all that matters
            event_of(ANYTHING, data)
            return EventRead(event, content=True)
        read = event_of(_events, data)
        match read.type:
            case "content_block_delta":
                return EventRead(event, content=True)
            case "content_block_start":
                block = read.content_block
                return EventRead(event, block is not None and block.type not in EMPTY_BLOCKS)
            case "message_start":
                if read.message is not None:
                    self._usage = read.message.usage
                return EventRead(event)
            case "message_delta":
                return self._ending(event, read)
            case "message_stop":
                return EventRead(event, special=True, terminal=True)
            case "error":
                return EventRead(b"", special=True, error=bytes(read.error))
        return EventRead(event)  # a ping, the end of a block, what is not known yet

    def _ending(self, event: bytes, read: _Event) -> EventRead:
        if read.usage is not None:
            self._usage = read.usage.over(self._usage)
        finish = None if read.delta is None else read.delta.stop_reason
        self._finished = self._finished or finish is not None
        usage = None if self._usage is None else self._usage.tokens
        return EventRead(event, finish is not None, special=True, finish=finish, usage=usage)

    def end(self, rest: bytes) -> EventRead | None:
        whole = self._finished and self._usage is not None
        ends = whole and MESSAGE_STOP.startswith(rest.strip())
        return EventRead(MESSAGE_STOP, special=True, terminal=True) if ends else None
