"""Every client's dialect before every provider's stream, cut at every byte: the same events."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

import pytest
from msgspec.structs import replace

from headrace.nouns import Call, Caller, Dialect, Operation
from headrace.services.anthropic_wire import MESSAGE_STOP, AnthropicStreamReader
from headrace.services.dialects.anthropic_events import AnthropicEvents, AnthropicWriter
from headrace.services.dialects.bedrock_answering import BedrockEvents
from headrace.services.dialects.clients import Writer
from headrace.services.dialects.cohere_answering import CohereEvents
from headrace.services.dialects.google_answering import GoogleEvents
from headrace.services.dialects.openai_events import OpenAIEvents, OpenAIWriter
from headrace.services.dialects.responses_answering import Frame
from headrace.services.dialects.responses_events import ResponsesWriter
from headrace.services.interpreted import InterpretedStream
from headrace.services.mistral import MistralStreamReader, in_openais_form
from headrace.services.openai_wire import DONE, OpenAIStreamReader
from headrace.services.responses_wire import ResponsesStreamReader
from headrace.services.service import EventRead, StreamReader
from headrace.services.translated import PlainEvents, TranslatedStream
from headrace.services.vllm import with_reasoning_content
from headrace_upstream.asked import Asked, Body, Message, StreamOptions
from headrace_upstream.behaviour import Behaviour, ToolCall
from headrace_upstream.paths import Route
from headrace_upstream.rendering import render
from headrace_upstream.template import Filling

STEP = 1 if os.environ.get("HEADRACE_SOAK") == "1" else 53
"""Bytes from one cut to the next; prime to what the frames repeat in."""
CREATED = re.compile(rb'"created":\d+')
CALL = Call(
    id="call-1",
    dialect=Dialect.OPENAI,
    operation=Operation.CHAT,
    model="m",
    body_model="m",
    body=b'{"model":"m"}',
    stream=True,
    wants_usage=True,
    caller=Caller("k"),
    received_at=0.0,
)
FRAME = Frame.of(CALL)
WRITERS: dict[str, Callable[[], Writer]] = {
    "openai": lambda: OpenAIWriter(shows_usage=True),
    "anthropic": AnthropicWriter,
    "responses": lambda: ResponsesWriter(FRAME),
}
ANSWERS = {
    "text": Behaviour(thinking="Hm, 水 …", text="Grüße 🏞️ aus \u2028 der Mühle"),
    "calls": Behaviour(
        thinking="Ich frage.",
        tool_calls=[ToolCall("wetter", {"ort": "Zürich 水"}), ToolCall("mühle", "")],
    ),
}


class Wire(NamedTuple):
    """What a provider speaks, and who reads it for a client of another dialect."""

    route: Route
    translated: Callable[[Writer], StreamReader] | None
    """None where only clients of the same dialect are answered."""
    own: Mapping[str, Callable[[], StreamReader]] = MappingProxyType({})
    """Readers for clients of the same dialect, whose events pass."""


def _plain(plain: Callable[[bytes], bytes]) -> Callable[[Writer], StreamReader]:
    return lambda writer: TranslatedStream(PlainEvents(plain), writer, DONE)


def _passing() -> StreamReader:
    return OpenAIStreamReader(hide_usage=False, asks_usage=True)


WIRES = {
    "openai": Wire(
        Route("openai", "chat"),
        lambda writer: TranslatedStream(OpenAIEvents(), writer, DONE),
        {"openai": _passing},
    ),
    "azure": Wire(Route("azure", "chat"), _plain(bytes), {"openai": _passing}),
    "responses": Wire(Route("openai", "responses"), None, {"responses": ResponsesStreamReader}),
    "anthropic": Wire(
        Route("anthropic", "messages"),
        lambda writer: TranslatedStream(AnthropicEvents(), writer, MESSAGE_STOP),
        {"anthropic": AnthropicStreamReader},
    ),
    "google": Wire(
        Route("google", "chat_stream"),
        lambda writer: InterpretedStream(GoogleEvents("call-1"), writer),
    ),
    "bedrock": Wire(
        Route("bedrock", "chat_stream"),
        lambda writer: InterpretedStream(BedrockEvents("call-1", "m"), writer),
    ),
    "cohere": Wire(
        Route("cohere", "chat"),
        lambda writer: InterpretedStream(CohereEvents("m"), writer),
    ),
    "mistral": Wire(
        Route("mistral", "chat"),
        _plain(in_openais_form),
        {"openai": lambda: MistralStreamReader(hide_usage=False)},
    ),
    "ollama": Wire(Route("ollama", "chat"), _plain(with_reasoning_content), {"openai": _passing}),
    "vllm": Wire(Route("openai", "chat"), _plain(with_reasoning_content), {"openai": _passing}),
}
WAYS = [
    pytest.param(client, wire, id=f"{client}-{name}")
    for name, wire in WIRES.items()
    for client in WRITERS
    if wire.translated is not None or client in wire.own
]


def _stream(wire: Wire, answer: Behaviour) -> bytes:
    """As the provider sends it."""
    messages = [Message("user", "Hello")]
    body = Body(
        model="m", messages=messages, stream=True, stream_options=StreamOptions(include_usage=True)
    )
    events = render(Asked(wire.route, body), answer).filled_events(Filling(1, 1_800_000_000, 9, 30))
    return b"".join(event.wire() for event in events)


def _reader(client: str, wire: Wire) -> StreamReader:
    own = wire.own.get(client)
    if own is not None:
        return own()
    assert wire.translated is not None
    return wire.translated(WRITERS[client]())


def _read(reader: StreamReader, *pieces: bytes) -> list[EventRead]:
    """All that the pieces of a stream mean, and their end."""
    splitter = reader.splitter()
    found = [reader.read(*pair) for piece in pieces for pair in splitter.pairs(piece)]
    if not any(read.terminal for read in found):
        last = reader.end(splitter.rest)
        found += [] if last is None else [last]
    return found


def _without_time(found: list[EventRead]) -> list[EventRead]:
    return [replace(read, forward=CREATED.sub(b"", read.forward)) for read in found]


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
@pytest.mark.parametrize(("client", "wire"), WAYS)
def test_cut_at_every_byte(client: str, wire: Wire, answer: Behaviour) -> None:
    """What each event means, and the bytes that the client gets, are those of the uncut stream."""
    stream = _stream(wire, answer)
    whole = _without_time(_read(_reader(client, wire), stream))
    assert [read.terminal for read in whole].count(True) == 1
    assert any(read.usage is not None for read in whole)
    assert any(read.content for read in whole)
    for at in range(1, len(stream), STEP):
        cut = _read(_reader(client, wire), stream[:at], stream[at:])
        assert _without_time(cut) == whole, at


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
@pytest.mark.parametrize(("client", "wire"), WAYS)
def test_byte_by_byte(client: str, wire: Wire, answer: Behaviour) -> None:
    stream = _stream(wire, answer)
    whole = _without_time(_read(_reader(client, wire), stream))
    bytewise = [stream[at : at + 1] for at in range(len(stream))]
    assert _without_time(_read(_reader(client, wire), *bytewise)) == whole
