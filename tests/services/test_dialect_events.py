"""Streams between dialects: what comes in parts is what comes whole, wherever the bytes are cut."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from headrace.platform.http.sse import EventSplitter
from headrace.services.dialects.anthropic_events import AnthropicEvents, AnthropicWriter
from headrace.services.dialects.neutral import (
    Arguments,
    Began,
    Called,
    Counted,
    Counts,
    Delta,
    Ended,
    Finish,
    Finished,
    Said,
    Signed,
    Thought,
)  # fmt: skip
from headrace.services.dialects.openai_events import OpenAIEvents, OpenAIWriter
from headrace.services.service import BadAnswer
from headrace.services.translated import TranslatedStream


def written(writer: Any, deltas: list[Delta]) -> bytes:
    return b"".join(map(writer.write, deltas))


def read_deltas(events: Any, stream: bytes) -> list[Delta]:
    """In normal form: the counts of an answer's end, whichever event brought them."""
    out: list[Delta] = []
    counts = None
    for _, data in EventSplitter().pairs(stream):
        if data is None:
            continue
        for delta in events.read(data):
            if isinstance(delta, Counted):
                counts = delta.counts
            elif isinstance(delta, Finished):
                counts = delta.counts or counts
                out.append(Finished(delta.finish, delta.stop))
            elif isinstance(delta, Began):
                out.append(Began(delta.id, delta.model, tier=delta.tier))
            else:
                out.append(delta)
    if counts is not None:
        out.insert(-1, Counted(counts))
    return out


def _through(reader: TranslatedStream, stream: bytes, cuts: list[int]) -> bytes:
    splitter, out = EventSplitter(), []
    edges = [0, *sorted(cuts), len(stream)]
    for start, end in itertools.pairwise(edges):
        for event, data in splitter.pairs(stream[start:end]):
            out.append(reader.read(event, data).forward)
    return b"".join(out)


DELTAS: list[Delta] = [
    Began("id-1", "m"), Thought("Hm, 水"), Signed("sig"), Said("Grüße 🏞️"), Said("\u2028"),
    Called(0, "c0", "f"), Arguments(0, '{"ü":'), Arguments(0, '"é"}'), Called(1, "c1", "g"),
    Arguments(1, "{}"), Finished(Finish.TOOLS), Counted(Counts(9, 8, 7)), Ended(),
]  # fmt: skip


def _openai() -> OpenAIWriter:
    return OpenAIWriter(shows_usage=True)


def test_cut_at_every_byte() -> None:
    """The same bytes come out, whichever way it is translated."""
    ways: list[tuple[Any, Callable[[], TranslatedStream]]] = [
        (AnthropicWriter(), lambda: TranslatedStream(AnthropicEvents(), _openai())),
        (_openai(), lambda: TranslatedStream(OpenAIEvents(), AnthropicWriter())),
    ]
    for writer, make in ways:
        stream = written(writer, DELTAS)
        whole = _through(make(), stream, [])
        created = msgspec.json.decode(whole.split(b"data: ")[1].split(b"\n")[0]).get("created", "x")
        for at in range(1, len(stream)):
            cut = _through(make(), stream, [at])
            if str(created).encode() in cut:  # else a second went by
                assert cut == whole, at


class TestEnds:
    def test_only_the_protocols_end_ends_it(self) -> None:
        reader = TranslatedStream(OpenAIEvents(), AnthropicWriter())
        out = []
        for delta in DELTAS[:-1]:
            event = OpenAIWriter(shows_usage=True)
            event.write(DELTAS[0])
            data = event.write(delta)
            for e, d in EventSplitter().pairs(data):
                seen = reader.read(e, d)
                assert not seen.terminal
                out.append(seen.forward)
        assert b"message_stop" not in b"".join(out)
        last = reader.read(b"data: [DONE]\n\n", b"[DONE]")
        assert last.terminal
        assert last.forward.endswith(b'event: message_stop\ndata: {"type":"message_stop"}\n\n')

    def test_why_it_ended_is_told_once_and_with_the_usage(self) -> None:
        stream = written(AnthropicWriter(), DELTAS)
        assert stream.count(b"event: message_delta") == 1
        assert b'"output_tokens":8' in stream.split(b"event: message_delta")[1]
        without: list[Delta] = [d for d in DELTAS if not isinstance(d, Counted)]
        assert written(AnthropicWriter(), without).count(b"event: message_delta") == 1

    def test_an_end_without_a_beginning_is_no_answer(self) -> None:
        for reader in (
            TranslatedStream(OpenAIEvents(), AnthropicWriter()),
            TranslatedStream(AnthropicEvents(), OpenAIWriter(shows_usage=False)),
        ):
            data = (
                b"[DONE]"
                if isinstance(reader._events, OpenAIEvents)
                else (b'{"type":"message_stop"}')
            )
            with pytest.raises(BadAnswer):
                reader.read(b"", data)

    def test_fragments_of_an_earlier_call_cannot_come_late(self) -> None:
        writer = AnthropicWriter()
        for delta in (DELTAS[0], Called(0, "a", "f"), Called(1, "b", "g")):
            writer.write(delta)
        with pytest.raises(BadAnswer):
            writer.write(Arguments(0, "{"))

    def test_an_error_is_for_the_log(self) -> None:
        reader = TranslatedStream(AnthropicEvents(), OpenAIWriter(shows_usage=False))
        seen = reader.read(b"", b'{"type":"error","error":{"type":"overloaded_error"}}')
        assert (seen.forward, seen.error) == (b"", b'{"type":"overloaded_error"}')


def test_calls_without_an_index_are_told_apart() -> None:
    """As some compatible servers send them: each whole."""
    events = OpenAIEvents()
    chunk = {"choices": [{"delta": {"tool_calls": [
        {"id": "a", "function": {"name": "f", "arguments": "{}"}},
        {"id": "b", "function": {"name": "g", "arguments": "{}"}},
    ]}}]}  # fmt: skip
    deltas = events.read(msgspec.json.encode(chunk))[1:]
    assert deltas == [Called(0, "a", "f"), Arguments(0, "{}"), Called(1, "b", "g"),
                      Arguments(1, "{}")]  # fmt: skip


def test_a_call_without_arguments_has_an_empty_object() -> None:
    events = AnthropicEvents()
    block = {"type": "tool_use", "id": "a", "name": "f", "input": {}}
    start = {"type": "content_block_start", "index": 0, "content_block": block}
    stop = {"type": "content_block_stop", "index": 0}
    assert events.read(msgspec.json.encode(start)) == [Called(0, "a", "f")]
    assert events.read(msgspec.json.encode(stop)) == [Arguments(0, "{}")]
