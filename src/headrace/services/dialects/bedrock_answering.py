"""Answers in the words of Bedrock's Converse and ConverseStream, read.

https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStream.html. A stream is
complete with its `metadata`, the last event, which has the usage.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw, Struct

from headrace.services.answer_json import answer_of, event_of, present
from headrace.services.aws_event_stream import Message, MessageSplitter, message_of
from headrace.services.counts import Count
from headrace.services.dialects.neutral import (
    Answered,
    Began,
    Cited,
    Counts,
    Delta,
    Ended,
    Failed,
    Finish,
    Finished,
    Hidden,
    Part,
    Redacted,
    Said,
    Signed,
    Text,
    Thinking,
    Thought,
    ToolUse,
)
from headrace.services.dialects.objects import unparsed
from headrace.services.dialects.open_calls import OpenCalls
from headrace.services.service import BadAnswer

FINISH = {
    "end_turn": Finish.STOP,
    "stop_sequence": Finish.STOP_SEQUENCE,
    "max_tokens": Finish.LENGTH,
    "tool_use": Finish.TOOLS,
    "guardrail_intervened": Finish.REFUSED,
    "content_filtered": Finish.REFUSED,
    "model_context_window_exceeded": Finish.WINDOW,
}
BROKEN = frozenset({"malformed_model_output", "malformed_tool_use"})
STATUSES = {
    "validationException": 400,
    "throttlingException": 429,
    "modelStreamErrorException": 500,
    "internalServerException": 500,
    "serviceUnavailableException": 503,
}
"""Of exceptions inside a stream, as they would be in its place."""


class _Usage(Struct, rename="camel"):
    """`input_tokens` are those that no cache held."""

    input_tokens: Count = 0
    output_tokens: Count = 0
    cache_read_input_tokens: Count | None = None
    cache_write_input_tokens: Count | None = None

    @property
    def counts(self) -> Counts:
        cached, written = self.cache_read_input_tokens or 0, self.cache_write_input_tokens or 0
        return Counts(self.input_tokens + cached + written, self.output_tokens, cached, written)


class _ToolUse(Struct, rename="camel"):
    tool_use_id: str = ""
    name: str = ""
    input: Any = None


class _ReasoningText(Struct):
    text: str = ""
    signature: str | None = None


class _Reasoning(Struct, rename="camel"):
    reasoning_text: _ReasoningText | None = None
    redacted_content: str | None = None
    text: str | None = None
    signature: str | None = None


class _Cited(Struct):
    content: list[dict[str, Any]] | None = None
    citations: list[Any] | None = None


class _Block(Struct, rename="camel"):
    text: str | None = None
    tool_use: _ToolUse | None = None
    reasoning_content: _Reasoning | None = None
    citations_content: _Cited | None = None
    citation: Any = None


class _Message(Struct):
    content: list[_Block] = []


class _Output(Struct):
    message: _Message | None = None


class _Answer(Struct, rename="camel"):
    output: _Output | None = None
    stop_reason: str | None = None
    usage: _Usage | None = None


class _Event(Struct, rename="camel"):
    content_block_index: int = 0
    start: _Block | None = None
    delta: _Block | None = None
    stop_reason: str | None = None
    usage: Raw = Raw(b"")


_answers = msgspec.json.Decoder(_Answer, strict=False)
_events = msgspec.json.Decoder(_Event, strict=False)
_usages = msgspec.json.Decoder(_Usage, strict=False)
_faults = msgspec.json.Decoder(dict[str, Any])


def read(body: bytes, id: str, model: str) -> Answered | bytes:
    """The answer, or the error that stands in its place. Raises BadAnswer."""
    answer = answer_of(_answers, body)
    if answer.output is None or answer.output.message is None or answer.stop_reason is None:
        raise BadAnswer("a JSON object without the answer's members")
    if answer.stop_reason in BROKEN:
        return unparsed({"message": answer.stop_reason}).encode()
    return Answered(
        id,
        model,
        [_part(block) for block in answer.output.message.content],
        FINISH.get(answer.stop_reason, Finish.STOP),
        counts=None if answer.usage is None else answer.usage.counts,
    )


def _part(block: _Block) -> Part:
    if block.text is not None:
        return Text(block.text)
    if block.tool_use is not None:
        call = block.tool_use
        if not isinstance(call.input, dict):
            raise BadAnswer("a tool's input is no JSON object")
        return ToolUse(call.tool_use_id, call.name, call.input)
    if block.citations_content is not None:
        cited = block.citations_content
        text = "".join(str(part.get("text") or "") for part in cited.content or ())
        return Text(text, citations=cited.citations or None)
    thought = block.reasoning_content
    if thought is not None and thought.reasoning_text is not None:
        return Thinking(thought.reasoning_text.text, thought.reasoning_text.signature)
    if thought is not None and thought.redacted_content is not None:
        return Redacted(thought.redacted_content)
    raise BadAnswer("a part of a kind that clients' dialects do not have")


class BedrockEvents:
    """Reads one stream."""

    __slots__ = ("_calls", "_finish", "_id", "_model")

    def __init__(self, id: str, model: str) -> None:
        self._id = id
        self._model = model
        self._finish: Finish | None = None
        self._calls = OpenCalls()

    def splitter(self) -> MessageSplitter:
        return MessageSplitter()

    def end(self) -> list[Delta] | None:
        return None

    def read(self, data: bytes) -> list[Delta]:
        """What a message says. Raises BadAnswer."""
        message = message_of(data)
        if message.headers.get(":message-type") != "event":
            return [Failed(_fault(message))]
        event = event_of(_events, message.payload)
        match message.headers.get(":event-type"):
            case "contentBlockDelta":
                return self._delta(event)
            case "messageStart":
                return [Began(self._id, self._model)]
            case "contentBlockStart":
                return self._start(event)
            case "contentBlockStop":
                return self._calls.end(event.content_block_index)
            case "messageStop":
                if event.stop_reason in BROKEN:
                    return [Failed(unparsed({"message": event.stop_reason}).encode())]
                self._finish = FINISH.get(event.stop_reason or "", Finish.STOP)
                return []
            case "metadata" if self._finish is not None:
                return [_finished(self._finish, event.usage), Ended()]
        return []

    def _start(self, event: _Event) -> list[Delta]:
        call = None if event.start is None else event.start.tool_use
        if call is None:
            return []
        return self._calls.begin(event.content_block_index, call.tool_use_id, call.name)

    def _delta(self, event: _Event) -> list[Delta]:
        delta = event.delta
        if delta is None:
            raise BadAnswer("an event without its delta")
        if delta.text is not None:
            return [Said(delta.text)] if delta.text else []
        if delta.tool_use is not None:
            return self._calls.arguments(event.content_block_index, delta.tool_use.input)
        if delta.citation is not None:
            return [Cited(delta.citation)]
        thought = delta.reasoning_content
        if thought is None:
            raise BadAnswer("a part of a kind that clients' dialects do not have")
        if thought.text is not None:
            return [Thought(thought.text)] if thought.text else []
        if thought.signature is not None:
            return [Signed(thought.signature)]
        return [] if thought.redacted_content is None else [Hidden(thought.redacted_content)]


def _finished(finish: Finish, usage: Raw) -> Finished:
    """A frame has a checksum: nobody else takes a usage that cannot be out of it."""
    if not present(usage):
        return Finished(finish)
    try:
        return Finished(finish, None, _usages.decode(usage).counts)
    except (msgspec.MsgspecError, RecursionError):
        return Finished(finish, doubted=True)


def _fault(message: Message) -> bytes:
    """An error's members, with the status that it would have had."""
    kind = message.headers.get(":exception-type") or message.headers.get(":error-code") or ""
    try:
        said = _faults.decode(message.payload).get("message")
    except (msgspec.MsgspecError, RecursionError):
        said = None
    text = said or message.headers.get(":error-message")
    return unparsed({"code": STATUSES.get(kind, 500), "type": kind, "message": text}).encode()
