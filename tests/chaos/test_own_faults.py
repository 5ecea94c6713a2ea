"""A fault of the gateway's own code must not leave a client waiting."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from headrace.platform.http.exchange import Exchange
from headrace.platform.http.limits import ServerLimits
from headrace.platform.http.server import HttpServer

REQUEST = b"GET /%b HTTP/1.1\r\nhost: x\r\n\r\n"


async def _handler(exchange: Exchange) -> None:
    if exchange.target == b"/before":
        raise RuntimeError("before a byte was written")
    if exchange.target == b"/within":
        exchange.begin(200, b"")
        exchange.send(b"data: 1\n\n")
        raise RuntimeError("in the middle")
    if exchange.target == b"/ending":
        exchange.begin(200, b"")
        exchange.finished = True  # as `end` leaves it where its write fails
        raise RuntimeError("while the end was written")
    exchange.respond(200, b"", b"fine")
    if exchange.target == b"/after":
        raise RuntimeError("after the answer")


@pytest_asyncio.fixture
async def port() -> AsyncIterator[int]:
    server = HttpServer(_handler, lambda *_: (b"", b""), ServerLimits())
    yield await server.listen("127.0.0.1", 0)
    server.abort()


@pytest.mark.parametrize("where", [b"before", b"within", b"ending"])
async def test_the_connection_breaks(
    port: int, where: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(REQUEST % where)
    try:
        async with asyncio.timeout(10):
            got = await reader.read(-1)
    except ConnectionResetError:
        got = b""
    assert not got.endswith(b"0\r\n\r\n")
    assert [r.levelno for r in caplog.records if r.name == "headrace.http"] == [logging.ERROR]
    writer.close()


async def test_what_was_answered_stays_answered(port: int) -> None:
    """The fault came after the answer: the next request on the connection is not harmed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    async with asyncio.timeout(10):
        for _ in range(3):
            writer.write(REQUEST % b"after" + REQUEST % b"good")
            for _ in range(2):
                assert (await reader.readuntil(b"fine")).startswith(b"HTTP/1.1 200")
    writer.close()
