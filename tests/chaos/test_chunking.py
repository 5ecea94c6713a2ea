"""One stream, cut into chunks in different ways, is one and the same to a client: what came before
a fault is handed on, whether or not the fault stood in the same chunk."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from typing import NamedTuple

import pytest
import pytest_asyncio

from chaos.conftest import KEYS, STEADY
from chaos.pairs import ANTHROPIC, DONE, OPENAI, PAIRS, STOP, Dialect
from chaos.wire import ask
from support.accounts import settled
from support.gateway_process import Gateway, running_gateway

CUT, FAILED, OK = "stream_incomplete", "upstream_failed", "answered"
CONFIG = (
    STEADY
    + """
backends:
  plain: {{provider: openai, url: "{url}/v1"}}
  claude: {{provider: anthropic, url: "{url}", credential: env:ANTHROPIC_KEY}}
models:
  plain: {{pools: [[plain]], retry: {{attempts: 1}}}}
  claude: {{pools: [[claude]], retry: {{attempts: 1}}}}
"""
)
DIALECTS = [pair for pair in PAIRS if pair.model in ("plain", "claude")]


def _openai(text: str, finish: str = "null", more: str = "") -> bytes:
    delta = f'{{"content":"{text}"}}' if text else "{}"
    choice = f'{{"index":0,"delta":{delta},"finish_reason":{finish}}}'
    return f'data: {{"id":"x","model":"m","choices":[{choice}]{more}}}\n\n'.encode()


def _anthropic(kind: str, members: str) -> bytes:
    return f'event: {kind}\ndata: {{"type":"{kind}",{members}}}\n\n'.encode()


def _said(text: str) -> bytes:
    return _anthropic(
        "content_block_delta", f'"index":0,"delta":{{"type":"text_delta","text":"{text}"}}'
    )


class Wire(NamedTuple):
    """Parts of a stream in a backend's dialect."""

    begin: list[bytes]
    said: list[bytes]
    finish: list[bytes]
    usage: list[bytes]
    done: bytes
    error: bytes
    large: Callable[[int], bytes]
    """An event without meaning, of about so many bytes."""


WIRES = {
    "openai": Wire(
        [b'data: {"id":"x","model":"m","choices":[{"index":0,"delta":{"role":"assistant"}}]}\n\n'],
        [_openai("one "), _openai("two "), _openai("three")],
        [_openai("", '"stop"')],
        [b'data: {"id":"x","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":3}}\n\n'],
        DONE,
        b'data: {"error":{"message":"boom"}}\n\n',
        lambda size: b'data: {"choices":[],"filler":"%b"}\n\n' % (b"x" * size),
    ),
    "anthropic": Wire(
        [
            _anthropic(
                "message_start",
                '"message":{"id":"x","type":"message","role":"assistant","model":"m","content":[],'
                '"usage":{"input_tokens":3,"output_tokens":1}}',
            ),
            _anthropic(
                "content_block_start", '"index":0,"content_block":{"type":"text","text":""}'
            ),
        ],
        [_said("one "), _said("two "), _said("three")],
        [_anthropic("content_block_stop", '"index":0')],
        [
            _anthropic(
                "message_delta", '"delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":3}'
            )
        ],
        STOP,
        _anthropic("error", '"error":{"type":"api_error","message":"boom"}'),
        lambda size: _anthropic("ping", f'"filler":"{"x" * size}"'),
    ),
}

Stream = Callable[[Wire], list[bytes]]
BAD = b'data: {"id": \n\n'
LARGE, TOO_LARGE = 2 * 1024 * 1024, 17 * 1024 * 1024


def _whole(wire: Wire) -> list[bytes]:
    return [*wire.begin, *wire.said, *wire.finish, *wire.usage]


STREAMS: dict[str, tuple[Stream, str]] = {
    "whole": (lambda w: [*_whole(w), w.done], OK),
    "bad after content": (lambda w: [*w.begin, *w.said, BAD, w.done], CUT),
    "bad before content": (lambda w: [*w.begin, BAD, *w.said, w.done], FAILED),
    "bad at once": (lambda w: [BAD, *w.begin, *w.said, w.done], FAILED),
    "error after content": (lambda w: [*w.begin, *w.said, w.error], CUT),
    "error before content": (lambda w: [*w.begin, w.error, *w.said], FAILED),
    "large": (lambda w: [*w.begin, *w.said, w.large(LARGE), *w.finish, *w.usage, w.done], OK),
    "too large": (lambda w: [*w.begin, *w.said, w.large(TOO_LARGE), *w.finish, w.done], CUT),
    "too large at once": (lambda w: [w.large(TOO_LARGE), *_whole(w), w.done], FAILED),
    "ends in its middle": (lambda w: [*w.begin, *w.said], CUT),
    "ends before content": (lambda w: w.begin, FAILED),
    "all but the end": (_whole, OK),
    "half of the end": (lambda w: [*_whole(w), w.done[:9]], OK),
    "half of another event": (lambda w: [*_whole(w), b'data: {"error'], CUT),
    "no usage, no end": (lambda w: [*w.begin, *w.said, *w.finish], CUT),
}
CUTS: dict[str, Callable[[list[bytes]], list[bytes]]] = {
    "one chunk": lambda events: [b"".join(events)],
    "each event": lambda events: events,
    "content and all after it": lambda events: [events[0], b"".join(events[1:])],
    "halves of events": lambda events: _halves(b"".join(events), [len(e) for e in events]),
}


def _halves(stream: bytes, sizes: list[int]) -> list[bytes]:
    """From the middle of each event to that of the next."""
    places, at = [0], 0
    for size in sizes:
        places.append(at + size // 2)
        at += size
    return [stream[a:b] for a, b in zip(places, [*places[1:], at], strict=True)]


class Provider:
    """Answers each call with the chunks that are prepared under its id, each written alone."""

    def __init__(self) -> None:
        self.chunks: dict[str, list[bytes]] = {}

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if line)
                await reader.readexactly(int(fields["content-length"]))
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n")
                writer.write(b"transfer-encoding: chunked\r\n\r\n")
                chunks = self.chunks[fields["x-request-id"]]
                for chunk in chunks[:-1]:
                    writer.write(b"%x\r\n%b\r\n" % (len(chunk), chunk))
                    await writer.drain()
                    await asyncio.sleep(0.005)
                writer.write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(chunks[-1]), chunks[-1]))
                await writer.drain()
        writer.close()


@pytest_asyncio.fixture
async def provider() -> AsyncIterator[tuple[Provider, str]]:
    one = Provider()
    server = await asyncio.start_server(one.answer, "127.0.0.1", 0)
    yield one, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()


@pytest.fixture
def house(
    provider: tuple[Provider, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    config = CONFIG.format(url=provider[1])
    with running_gateway(config, tmp_path_factory.mktemp("chunks"), env=KEYS) as gateway:
        yield gateway


async def test_chunks_make_no_difference(house: Gateway, provider: tuple[Provider, str]) -> None:
    calls: dict[str, str] = {}
    for dialect in DIALECTS:
        for name, (stream, expected) in STREAMS.items():
            seen = {}
            for how, cut in CUTS.items():
                call = f"chunks-{len(calls):04}"
                chunks = cut(stream(WIRES[dialect.wire]))
                provider[0].chunks[call] = [chunk for chunk in chunks if chunk]
                answer = await ask(house, dialect, stream=True, call=call)
                code = OK if answer.error is None else str(answer.error["code"])
                seen[how] = (answer.status, code, answer.text if answer.status == 200 else "")
                calls[call] = expected
                complete = answer.status == 200 and dialect.is_complete(answer.body)
                assert complete == (expected == OK), (call, answer.raw)
            text = {OK: "one two three", CUT: "one two three", FAILED: ""}[expected]
            status = 503 if expected == FAILED else 200
            assert set(seen.values()) == {(status, expected, text)}, (dialect.name, name, seen)
    accounts = settled(house.folder / ".headrace", calls)
    finishes = {OK: "complete", CUT: "incomplete", FAILED: "refused"}
    for call, expected in calls.items():
        assert accounts[call].settlement.finish == finishes[expected], call


@pytest.mark.parametrize("dialect", [OPENAI, ANTHROPIC], ids=lambda d: d.name)
async def test_a_body_without_its_own_end_proves_nothing(
    tmp_path_factory: pytest.TempPathFactory, dialect: Dialect
) -> None:
    """The connection's end is that of the body: anyone may have cut it."""
    body = b"".join(_whole(WIRES[dialect.wire]))

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n" + body)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    config = CONFIG.format(url=f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    with running_gateway(config, tmp_path_factory.mktemp("closed"), env=KEYS) as gateway:
        got = await ask(gateway, dialect, stream=True)
    server.close()
    assert got.error is not None
    assert (got.error["code"], got.text) == (CUT, "one two three")
    assert dialect.end not in got.raw
