"""Answers of operations that are passed on, read as little as accounts need: images, sound, ranks,
verdicts, files. All that is forwarded keeps its bytes.

https://platform.openai.com/docs/api-reference/images, /images-streaming, /audio, /moderations and
/files; https://docs.cohere.com/reference/rerank, whose shape servers of OpenAI's API have too.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import msgspec
from msgspec import Raw, Struct, field
from msgspec.structs import replace

from headrace.nouns import Call, Operation, Passed, Units, Usage
from headrace.services.answer_json import answer_of, event_of, present
from headrace.services.counts import Amount, Count, Seconds
from headrace.services.openai_wire import DONE_DATA
from headrace.services.service import BadAnswer, EventRead, Splitter, StreamReader, WholeRead

_NEEDED: Mapping[Operation, str] = MappingProxyType(
    {
        Operation.IMAGE_GENERATIONS: "data",
        Operation.IMAGE_EDITS: "data",
        Operation.IMAGE_VARIATIONS: "data",
        Operation.TRANSCRIPTIONS: "text",
        Operation.TRANSLATIONS: "text",
        Operation.RERANK: "results",
        Operation.MODERATIONS: "results",
        Operation.FILES: "id",
        Operation.RESPONSE: "id",
    }
)
"""The member without which it is no answer."""
_LAST = (
    "image_generation.completed",
    "image_edit.completed",
    "transcript.text.done",
    "speech.audio.done",
)


class _Details(Struct, gc=False):
    text_tokens: Count | None = None
    image_tokens: Count | None = None
    audio_tokens: Count | None = None
    cached_tokens: Count | None = None


class _Used(Struct, gc=False):
    """Servers say `input_tokens` or, as those of chats do, `prompt_tokens`; Whisper's seconds."""

    input_tokens: Count | None = None
    output_tokens: Count | None = None
    prompt_tokens: Count | None = None
    completion_tokens: Count | None = None
    total_tokens: Count | None = None
    input_tokens_details: _Details | None = None
    input_token_details: _Details | None = None
    output_tokens_details: _Details | None = None
    seconds: Seconds | None = None


class _Billed(Struct, gc=False):
    search_units: Amount | None = None


class _Meta(Struct, gc=False):
    billed_units: _Billed | None = None


class _Answer(Struct, gc=False):
    data: Raw = Raw(b"")
    text: Raw = Raw(b"")
    results: Raw = Raw(b"")
    id: Raw = Raw(b"")
    error: Raw = Raw(b"")
    usage: Raw = Raw(b"")
    duration: Raw = Raw(b"")
    meta: Raw = Raw(b"")


class _Event(Struct, gc=False):
    kind: str = field(default="", name="type")
    error: Raw = Raw(b"")
    usage: Raw = Raw(b"")


_answers = msgspec.json.Decoder(_Answer)
_events = msgspec.json.Decoder(_Event)
_used = msgspec.json.Decoder(_Used, strict=False)
_metas = msgspec.json.Decoder(_Meta, strict=False)
_numbers = msgspec.json.Decoder(Seconds, strict=False)
_lists = msgspec.json.Decoder(list[Raw])


def read_whole(call: Call, body: bytes) -> WholeRead:
    """Reads a 200. Raises BadAnswer if it is not the answer to this operation."""
    answer = answer_of(_answers, body)
    if present(answer.error):
        return WholeRead(None, error=bytes(answer.error))
    if not present(getattr(answer, _NEEDED[call.operation])):
        raise BadAnswer("a JSON object without the answer's members")
    return WholeRead(_usage_of(answer, _passed(call)))


def _passed(call: Call) -> Passed:
    assert call.passed is not None, "it is made with every such call"
    return call.passed


def _usage_of(answer: _Answer, passed: Passed) -> Usage:
    """What the answer tells, else what was estimated, with what can be counted in the answer.
    Raises BadAnswer for what cannot be."""
    told = _tokens(answer.usage)
    units = passed.estimate.units or Units()
    if units.images and present(answer.data):
        units = replace(units, images=_length(answer.data) or units.images)
    seconds = None if told is None else told[1]
    if seconds is None and present(answer.duration):
        seconds = answer_of(_numbers, answer.duration)
    if seconds is not None:
        units = replace(units, audio_ms=max(0, round(seconds * 1000)))
    meta = answer_of(_metas, answer.meta) if present(answer.meta) else None
    if meta is not None and meta.billed_units is not None:
        units = replace(units, searches=int(meta.billed_units.search_units or 0))
    known = None if units == Units() else units
    if told is None or told[0] is None:
        return replace(passed.estimate, units=known)
    return _with_units(told[0], known)


def _with_units(usage: Usage, units: Units | None) -> Usage:
    if units is None or usage.units is None:
        return usage if units is None else replace(usage, units=units)
    pictures = usage.units.image_input_tokens
    return replace(usage, units=replace(units, image_input_tokens=pictures))


def _tokens(raw: Raw) -> tuple[Usage | None, float | None] | None:
    """Tokens and seconds of a usage object; None if it is absent. Raises BadAnswer."""
    if not present(raw):
        return None
    used = answer_of(_used, raw)
    asked = used.input_tokens if used.input_tokens is not None else used.prompt_tokens
    said = used.output_tokens if used.output_tokens is not None else used.completion_tokens
    if asked is None:
        asked = used.total_tokens
    if asked is None and said is None:
        return None, used.seconds
    of_input = used.input_tokens_details or used.input_token_details or _Details()
    of_output = used.output_tokens_details or _Details()
    pictures = of_input.image_tokens or 0
    usage = Usage(
        asked or 0,
        said or 0,
        of_input.cached_tokens or 0,
        audio_input_tokens=of_input.audio_tokens or 0,
        audio_output_tokens=of_output.audio_tokens or 0,
        units=Units(image_input_tokens=pictures) if pictures else None,
    )
    return usage, used.seconds


def _length(raw: Raw) -> int:
    """Of a list; 0 of anything else."""
    try:
        return len(_lists.decode(raw))
    except (msgspec.MsgspecError, RecursionError):
        return 0


class PassedEvents(StreamReader):
    """Reads a stream of pictures, text or sound in events. It ends with its bytes, once the event
    came that says the answer is whole; several pictures have one each."""

    __slots__ = ("_begun", "_passed", "_usage", "_whole")

    def __init__(self, call: Call) -> None:
        self._passed = _passed(call)
        self._begun = self._whole = False
        self._usage: Usage | None = None

    def read(self, event: bytes, data: bytes | None) -> EventRead:
        """Raises BadAnswer."""
        if data is None:
            return EventRead(event)
        if data == DONE_DATA:
            return EventRead(event, special=True, terminal=self._whole)
        read = event_of(_events, data)
        if read.kind == "error" or present(read.error):
            shown = bytes(read.error) if present(read.error) else data
            return EventRead(b"", special=True, error=shown)
        usage = None if self._begun else self._passed.estimate
        self._begun = True
        if read.kind in _LAST:
            self._whole = True
            told = _tokens(read.usage)
            if told is not None and told[0] is not None:
                usage = told[0] if self._usage is None else _sum(self._usage, told[0])
                self._usage = usage
        return EventRead(event, content=True, special=usage is not None, usage=usage)

    def end(self, rest: bytes) -> EventRead | None:
        whole = self._whole and not rest.strip()
        return EventRead(b"", special=True, terminal=True) if whole else None


def _sum(one: Usage, other: Usage) -> Usage:
    return replace(
        other,
        input_tokens=one.input_tokens + other.input_tokens,
        output_tokens=one.output_tokens + other.output_tokens,
    )


class _Uncut(Splitter):
    """Hands on what came."""

    rest = b""

    def pairs(self, chunk: bytes) -> list[tuple[bytes, bytes | None]]:
        return [(chunk, chunk)]


class RawReader(StreamReader):
    """Reads bytes that mean nothing here: sound, a file, text. They end by HTTP's own rules."""

    __slots__ = ("_estimate",)

    def __init__(self, call: Call) -> None:
        self._estimate: Usage | None = _passed(call).estimate

    def splitter(self) -> Splitter:
        return _Uncut()

    def read(self, event: bytes, data: bytes | None) -> EventRead:
        usage, self._estimate = self._estimate, None
        return EventRead(event, content=True, special=usage is not None, usage=usage)

    def end(self, rest: bytes) -> EventRead | None:
        usage, self._estimate = self._estimate, None
        return EventRead(b"", special=True, terminal=True, usage=usage)
