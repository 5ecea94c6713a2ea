"""A server under test on a real socket, and raw requests to it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from headrace.platform.http.exchange import Exchange
from headrace.platform.http.limits import ServerLimits, Violation
from headrace.platform.http.server import HttpServer

PATIENCE_S = 10.0


class Served:
    """`seen` holds each request that reached the handler."""

    def __init__(self, server: HttpServer, port: int) -> None:
        self.server = server
        self.port = port
        self.seen: list[Exchange] = []

    async def raw(self, data: bytes, *, pieces: int | None = None) -> bytes:
        """Sends bytes, as one or in pieces, and reads all that comes until the server closes or
        has nothing more to say."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            step = pieces or len(data) or 1
            for start in range(0, len(data), step):
                writer.write(data[start : start + step])
                await writer.drain()
            return await read_all(reader)
        finally:
            writer.close()


async def read_all(reader: asyncio.StreamReader, quiet_s: float = 0.25) -> bytes:
    got = b""
    while True:
        try:
            more = await asyncio.wait_for(reader.read(65_536), quiet_s if got else PATIENCE_S)
        except TimeoutError:
            return got
        except ConnectionError:
            return got
        if not more:
            return got
        got += more


def refuse(violation: Violation, target: bytes, what: str) -> tuple[bytes, bytes]:
    return b"x-violation: %b\r\n" % violation.name.encode(), json.dumps({"what": what}).encode()


@asynccontextmanager
async def serving(
    handle: Callable[[Exchange], Awaitable[None]] | None = None, **limits: float
) -> AsyncIterator[Served]:
    async def handler(exchange: Exchange) -> None:
        served.seen.append(exchange)
        if handle is not None:
            await handle(exchange)
        else:
            exchange.respond(200, b"", exchange.body)

    made = ServerLimits(**limits)  # type: ignore[arg-type]
    server = HttpServer(handler, refuse, made)
    served = Served(server, await server.listen("127.0.0.1", 0))
    try:
        yield served
    finally:
        server.abort()


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not true():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.005)


def statuses(raw: bytes) -> list[int]:
    """Of all answers in what a connection gave."""
    return [int(part[:3]) for part in raw.split(b"HTTP/1.1 ")[1:]]
