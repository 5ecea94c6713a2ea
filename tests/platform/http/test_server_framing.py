"""How requests may be cut and framed, and what of them a handler may see."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import pytest
import trustme
from server_lab import PATIENCE_S, refuse, serving, statuses, until

from headrace.platform.http.exchange import Exchange
from headrace.platform.http.limits import ServerLimits
from headrace.platform.http.server import HttpServer

HEAD = b"POST /v1 HTTP/1.1\r\nHost: a\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
SOUND = {
    "length": HEAD + b"X-Y: z\r\nContent-Length: 5\r\n\r\nhello",
    "chunks": CHUNKED + b"2\r\nhe\r\n3;a=b\r\nllo\r\n0\r\nT: y\r\n\r\n",
    "expect": HEAD + b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\nhello",
}


@pytest.mark.parametrize("name", SOUND)
async def test_cut_at_every_byte(name: str) -> None:
    """All on one connection: none leaves anything behind for the next."""
    data = SOUND[name]
    async with serving() as served:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        await until(lambda: bool(served.server.connections))
        (connection,) = served.server.connections
        for place in range(1, len(data)):
            writer.write(data[:place])
            await until(lambda: connection._head_bytes != 0)  # it has come, by itself
            writer.write(data[place:])
            answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\nhello"), PATIENCE_S)
            assert b"HTTP/1.1 200 OK\r\n" in answer, place
        assert [exchange.body for exchange in served.seen] == [b"hello"] * (len(data) - 1)
        writer.close()


async def test_a_trailer_is_no_header() -> None:
    """RFC 9110, section 6.5.1: else what checks the headers first could be passed by."""
    trailers = b"Host: b\r\nAuthorization: Bearer k\r\nX-Request-Id: abcdefgh\r\n"
    async with serving() as served:
        raw = await served.raw(CHUNKED + b"5\r\nhello\r\n0\r\n" + trailers + b"\r\n")
        assert statuses(raw) == [200]
        (seen,) = served.seen
        assert seen.headers == [(b"host", b"a"), (b"transfer-encoding", b"chunked")]


@pytest.mark.parametrize(
    "endless",
    [
        b"0\r\n" + b"X: y\r\n" * 10_000,
        b"0\r\nX: " + b"y" * 100_000,
        b"0\r\n" + b"X" * 100_000,
        b"5;" + b"x" * 100_000,
        b'5;a="' + b"x" * 100_000,
    ],
    ids=["trailers", "value", "name", "extension", "quoted extension"],
)
async def test_what_frames_a_body_is_bounded_too(endless: bytes) -> None:
    """Refused while it comes: its end is never sent."""
    async with serving(header_bytes=2000) as served:
        assert statuses(await served.raw(CHUNKED + endless, pieces=1000)) == [431]
        assert served.seen == []


async def test_small_chunks_cost_no_more_than_their_bytes() -> None:
    """A list of a million pieces would hold fifty times as much."""
    count = 1_000_000
    async with serving() as served:
        _, writer = await asyncio.open_connection("127.0.0.1", served.port)
        before = resident_bytes()
        writer.write(CHUNKED)
        for _ in range(count // 10_000):
            writer.write(b"2\r\nab\r\n" * 10_000)
            await writer.drain()
        await until(lambda: served.server.body_bytes_held == 2 * count)
        assert resident_bytes() - before < 16 * 1024 * 1024
        writer.write(b"0\r\n\r\n")
        await until(lambda: bool(served.seen))
        assert served.seen[0].body == b"ab" * count
        writer.close()


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


async def test_every_status_has_a_line() -> None:
    async def handle(exchange: Exchange) -> None:
        exchange.respond(int(exchange.target[1:]), b"", b"x")

    async with serving(handle) as served:
        for status in (200, 418, 420, 440, 499, 529, 599, 999):
            raw = await served.raw(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % status)
            assert raw.startswith(b"HTTP/1.1 %d " % status)
            assert raw.endswith(b"\r\n\r\nx")


async def test_a_tls_handshake_that_stalls_is_ended() -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)

    async def handle(exchange: Exchange) -> None:
        exchange.respond(200, b"", b"")

    server = HttpServer(handle, refuse, ServerLimits(header_timeout_s=0.3))
    port = await server.listen("127.0.0.1", 0, tls=context)
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"\x16\x03\x01")  # and no more
        assert await asyncio.wait_for(reader.read(-1), PATIENCE_S) == b""
        writer.close()
    finally:
        server.abort()


async def test_a_request_that_is_not_all_there_does_not_hold_the_drain() -> None:
    """It is refused, so that its client finds no reset, and never half served."""
    async with serving() as served:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(HEAD + b"Content-Length: 5\r\n\r\nhe")
        await until(lambda: served.server.body_bytes_held == 2)
        assert await served.server.drain(PATIENCE_S) == 0
        raw = await asyncio.wait_for(reader.read(-1), PATIENCE_S)
        assert statuses(raw) == [503]
        assert b"connection: close" in raw
        assert served.seen == []
        assert served.server.body_bytes_held == 0
        writer.close()


JAVA = (
    b"POST /v1 HTTP/1.1\r\nConnection: Upgrade, HTTP2-Settings\r\nContent-Length: 5\r\nHost: a\r\n"
    b"HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA\r\nUpgrade: h2c\r\n"
    b"User-Agent: Java-http-client/21\r\n\r\n"
)


async def test_an_offer_of_http_2_is_ignored() -> None:
    """As java.net.http's client sends it, with the body at once or later; then goes on."""
    async with serving() as served:
        for pieces in ((JAVA + b"hello",), (JAVA, b"hello"), (JAVA + b"he", b"llo")):
            reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
            for last in (b"", SOUND["length"], SOUND["chunks"]):
                for piece in (last,) if last else pieces:
                    writer.write(piece)
                    await asyncio.sleep(0.01)
                answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\nhello"), PATIENCE_S)
                assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
            writer.close()
        assert [exchange.body for exchange in served.seen] == [b"hello"] * 9
        assert (b"x-ignored", b"h2c") in served.seen[0].headers
