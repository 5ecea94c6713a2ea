"""The worker's own small HTTP/1.1 server on loopback: one key, keep-alive, whole or chunked
answers, and a handler that is cancelled as soon as its client is gone."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
from collections.abc import AsyncIterator, Awaitable, Callable
from http import HTTPStatus
from typing import NamedTuple

import httptools
import msgspec

_BODY_LIMIT_BYTES = 64 * 1024 * 1024
_HEADERS_LIMIT_BYTES = 64 * 1024


class Request(NamedTuple):
    method: bytes
    path: bytes
    body: bytes


class Answer(NamedTuple):
    """`body` is whole, or pieces sent in chunks as they come."""

    status: int
    body: bytes | AsyncIterator[bytes]
    content_type: bytes = b"application/json"


Handler = Callable[[Request], Awaitable[Answer]]


def error(
    status: int, message: str, *, kind: str = "invalid_request_error", param: str | None = None
) -> Answer:
    """An error in OpenAI's shape."""
    face = {"message": message, "type": kind, "param": param, "code": None}
    return Answer(status, msgspec.json.encode({"error": face}))


async def listen(port: int, key: str, handler: Handler) -> asyncio.Server:
    """Serves on 127.0.0.1 the calls that carry `Authorization: Bearer KEY`."""
    loop = asyncio.get_running_loop()
    return await loop.create_server(
        lambda: _Connection(f"Bearer {key}".encode(), handler),
        "127.0.0.1",
        port,
        reuse_address=True,
        backlog=512,
    )


class _Connection(asyncio.Protocol):
    """Answers the requests of one connection one after another."""

    def __init__(self, credential: bytes, handler: Handler) -> None:
        self._credential = credential
        self._handler = handler
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport
        self._writable = asyncio.Event()
        self._writable.set()
        self._waiting: asyncio.Queue[tuple[Request, bool, bool]] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._task = asyncio.create_task(self._answer_all())

    def connection_lost(self, exc: Exception | None) -> None:
        if self._task is not None:
            self._task.cancel()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._transport.abort()

    # What httptools calls.

    def on_message_begin(self) -> None:
        self._url = b""
        self._body: list[bytes] = []
        self._size = 0
        self._admitted = False

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._size += len(name) + len(value)
        if self._size > _HEADERS_LIMIT_BYTES:
            self._transport.abort()
        if name.lower() == b"authorization":
            self._admitted = hmac.compare_digest(value.strip(), self._credential)

    def on_headers_complete(self) -> None:
        self._size = 0

    def on_body(self, body: bytes) -> None:
        self._size += len(body)
        if self._size > _BODY_LIMIT_BYTES or not self._admitted:
            self._body.clear()
        else:
            self._body.append(body)

    def on_message_complete(self) -> None:
        path = httptools.parse_url(self._url).path
        request = Request(self._parser.get_method(), path, b"".join(self._body))
        keep = self._parser.should_keep_alive() and self._size <= _BODY_LIMIT_BYTES
        self._waiting.put_nowait((request, self._admitted, keep))

    async def _answer_all(self) -> None:
        while True:
            request, admitted, keep = await self._waiting.get()
            if not admitted:
                answer = error(401, "the key of this worker is missing or wrong")
            else:
                try:
                    answer = await self._handler(request)
                except Exception as fault:  # what a model's library raises must not end the worker
                    answer = error(500, f"the local model failed: {fault}", kind="server_error")
            await self._write(answer, keep)
            if not keep:
                self._transport.close()
                return

    async def _write(self, answer: Answer, keep: bool) -> None:
        whole = isinstance(answer.body, bytes)
        framing = (
            b"Content-Length: %d" % len(answer.body)
            if isinstance(answer.body, bytes)
            else b"Transfer-Encoding: chunked"
        )
        self._transport.write(
            b"HTTP/1.1 %d %b\r\nContent-Type: %b\r\n%b\r\nConnection: %b\r\n\r\n"
            % (
                answer.status,
                HTTPStatus(answer.status).phrase.encode(),
                answer.content_type,
                framing,
                b"keep-alive" if keep else b"close",
            )
        )
        if isinstance(answer.body, bytes):
            self._transport.write(answer.body)
            return
        assert not whole
        async with contextlib.aclosing(answer.body) as pieces:  # type: ignore[type-var]
            async for piece in pieces:
                if piece:
                    self._transport.write(b"%x\r\n%b\r\n" % (len(piece), piece))
                    await self._writable.wait()
        self._transport.write(b"0\r\n\r\n")
