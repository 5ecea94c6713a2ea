"""The server over real sockets: limits, order, back-pressure, leaving clients, draining."""

from __future__ import annotations

import asyncio
import ssl

import trustme
from server_lab import PATIENCE_S, read_all, serving, statuses, until

from headrace.platform.http.exchange import Exchange, Interrupted
from headrace.platform.http.limits import ServerLimits
from headrace.platform.http.server import HttpServer

HEAD = b"POST /v1 HTTP/1.1\r\nHost: a\r\n"


def post(body: bytes, extra: bytes = b"") -> bytes:
    return HEAD + extra + b"Content-Length: %d\r\n\r\n" % len(body) + body


async def test_a_body_over_the_limit_is_refused_by_its_length() -> None:
    async with serving(body_bytes=10) as served:
        assert statuses(await served.raw(post(b"x" * 10))) == [200]
        raw = await served.raw(HEAD + b"Content-Length: 11\r\n\r\n")  # before any of it came
        assert statuses(raw) == [413]
        assert b"x-violation: BODY_TOO_LARGE" in raw
        assert len(served.seen) == 1


async def test_a_chunked_body_over_the_limit_is_refused_while_it_comes() -> None:
    async with serving(body_bytes=10) as served:
        chunks = b"8\r\nxxxxxxxx\r\n" * 2 + b"0\r\n\r\n"
        raw = await served.raw(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunks)
        assert statuses(raw) == [413]
        assert served.seen == []


async def test_bodies_of_all_connections_are_bounded() -> None:
    async with serving(body_bytes=1000, body_bytes_in_total=1500) as served:
        _, first = await asyncio.open_connection("127.0.0.1", served.port)
        first.write(HEAD + b"Content-Length: 1000\r\n\r\n" + b"x" * 900)
        await until(lambda: served.server.body_bytes_held == 900)
        assert statuses(await served.raw(post(b"x" * 800))) == [503]
        first.close()
        await until(lambda: served.server.body_bytes_held == 0)
        assert statuses(await served.raw(post(b"x" * 800))) == [200]


async def test_headers_over_the_limit() -> None:
    async with serving(header_bytes=1024) as served:
        whole = HEAD + b"X: " + b"y" * 2000 + b"\r\nContent-Length: 0\r\n\r\n"
        assert statuses(await served.raw(whole)) == [431]
        assert statuses(await served.raw(whole, pieces=100)) == [431]
        endless = b"POST /" + b"y" * 5000
        assert statuses(await served.raw(endless, pieces=500)) == [431]
        assert served.seen == []


async def test_slow_requests_are_ended() -> None:
    async with serving(header_timeout_s=0.3, body_timeout_s=0.3) as served:
        assert statuses(await served.raw(HEAD)) == [408]
        assert statuses(await served.raw(HEAD + b"Content-Length: 5\r\n\r\nhe")) == [408]
        assert await served.raw(b"") == b""  # never said a word: closed without one
        assert served.seen == []


async def test_idle_connections_are_closed() -> None:
    async with serving(keep_alive_s=0.3) as served:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(post(b"x"))
        raw = await asyncio.wait_for(reader.read(-1), PATIENCE_S)
        assert statuses(raw) == [200]
        assert b"connection: close" not in raw
        writer.close()


async def test_one_connection_too_many() -> None:
    async with serving(max_connections=1) as served:
        _, held = await asyncio.open_connection("127.0.0.1", served.port)
        await until(lambda: len(served.server.connections) == 1)
        assert statuses(await served.raw(post(b"x"))) == [503]
        held.close()
        await until(lambda: not served.server.connections)
        assert statuses(await served.raw(post(b"x"))) == [200]


async def test_pipelined_requests_are_answered_in_order() -> None:
    async def handle(exchange: Exchange) -> None:
        await asyncio.sleep(0.02 if exchange.body == b"0" else 0)
        exchange.respond(200, b"", b"<%b>" % exchange.body)

    async with serving(handle) as served:
        raw = await served.raw(b"".join(post(b"%d" % n) for n in range(50)))
        assert statuses(raw) == [200] * 50
        assert [int(part.partition(b">")[0]) for part in raw.split(b"<")[1:]] == list(range(50))


async def test_expect_continue_and_other_expectations() -> None:
    async with serving() as served:
        raw = await served.raw(post(b"x", b"Expect: 100-continue\r\n"))
        assert raw.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK")
        assert statuses(await served.raw(post(b"x", b"Expect: tea\r\n"))) == [417]


async def test_head_and_http_1_0() -> None:
    async def handle(exchange: Exchange) -> None:
        if exchange.target == b"/parts":
            exchange.begin(200, b"")
            exchange.send(b"one ")
            exchange.end(b"two")
        else:
            exchange.respond(200, b"", b"whole")

    async with serving(handle) as served:
        raw = await served.raw(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert raw.endswith(b"content-length: 5\r\n\r\n")
        raw = await served.raw(b"GET /parts HTTP/1.0\r\n\r\n")
        assert raw.endswith(b"\r\n\r\none two")
        assert b"transfer-encoding" not in raw
        raw = await served.raw(b"GET /parts HTTP/1.1\r\nHost: a\r\n\r\n")
        assert raw.endswith(b"4\r\none \r\n3\r\ntwo\r\n0\r\n\r\n")


async def test_a_client_that_leaves_cancels_its_handler() -> None:
    ended: list[Interrupted | None] = []
    begun = asyncio.Event()

    async def handle(exchange: Exchange) -> None:
        if exchange.body == b"stream":
            exchange.begin(200, b"")
            exchange.send(b"first")
        begun.set()
        try:
            await asyncio.sleep(60)
        finally:
            ended.append(exchange.interrupted)

    async with serving(handle) as served:
        for body in (b"before the first byte", b"stream"):
            begun.clear()
            _, writer = await asyncio.open_connection("127.0.0.1", served.port)
            writer.write(post(body))
            await begun.wait()
            writer.close()
            await until(lambda: not served.server.connections)
        await until(lambda: ended == [Interrupted.CLIENT_GONE] * 2)


async def test_a_client_that_does_not_read_stops_the_writer() -> None:
    written = 0
    gone = asyncio.Event()

    async def handle(exchange: Exchange) -> None:
        nonlocal written
        exchange.begin(200, b"")
        try:
            while True:
                exchange.send(b"x" * 65_536)
                written += 65_536
                if exchange.congested:
                    await exchange.drained()
                await asyncio.sleep(0)
        finally:
            gone.set()

    async with serving(handle) as served:
        _, writer = await asyncio.open_connection("127.0.0.1", served.port, limit=1024)
        writer.write(post(b""))
        async with asyncio.timeout(PATIENCE_S):
            before = -1
            while not before == written > 0:  # it waits
                before = written
                await asyncio.sleep(0.2)
        assert written < 64 * 1024 * 1024
        writer.transport.abort()
        await asyncio.wait_for(gone.wait(), PATIENCE_S)


async def test_a_handler_that_fails_breaks_the_connection() -> None:
    async def handle(exchange: Exchange) -> None:
        exchange.begin(200, b"")
        exchange.send(b"half")
        raise ValueError("a bug")

    async with serving(handle) as served:
        raw = await served.raw(post(b""))
        assert not raw.endswith(b"0\r\n\r\n")  # nobody can take it for whole


async def test_draining() -> None:
    release = asyncio.Event()

    async def handle(exchange: Exchange) -> None:
        exchange.begin(200, b"")
        exchange.send(b"first ")
        try:
            await (release.wait() if exchange.body == b"short" else asyncio.sleep(60))
        except asyncio.CancelledError:
            assert exchange.interrupted is Interrupted.DRAIN
            exchange.end(b"cut by the drain")
            return
        exchange.end(b"last")

    async with serving(handle) as served:
        idle_reader, idle = await asyncio.open_connection("127.0.0.1", served.port)
        streams = []
        for body in (b"short", b"long"):
            reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
            writer.write(post(body))
            await reader.readuntil(b"first ")
            streams.append((reader, writer))
        draining = asyncio.create_task(served.server.drain(0.5))
        assert await asyncio.wait_for(idle_reader.read(-1), PATIENCE_S) == b""
        release.set()
        assert (await read_all(streams[0][0])).endswith(b"4\r\nlast\r\n0\r\n\r\n")
        tail = await read_all(streams[1][0], quiet_s=2.0)
        assert tail.endswith(b"cut by the drain\r\n0\r\n\r\n")
        assert await draining == 1
        assert not served.server.connections
        for writer in (idle, streams[0][1], streams[1][1]):
            writer.close()


async def test_an_answer_that_begins_while_draining_says_that_it_is_the_last() -> None:
    seen, release = asyncio.Event(), asyncio.Event()

    async def handle(exchange: Exchange) -> None:
        seen.set()
        await release.wait()
        exchange.respond(200, b"", b"whole")

    async with serving(handle) as served:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(post(b""))
        await asyncio.wait_for(seen.wait(), PATIENCE_S)
        draining = asyncio.create_task(served.server.drain(PATIENCE_S))
        await asyncio.sleep(0)
        assert served.server.draining
        release.set()
        answer = await read_all(reader)
        assert b"\r\nconnection: close\r\n" in answer.lower()
        assert answer.endswith(b"whole")
        assert await draining == 0
        writer.close()


async def test_tls() -> None:
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    client = ssl.create_default_context()
    authority.configure_trust(client)

    async def handle(exchange: Exchange) -> None:
        exchange.respond(200, b"", b"over TLS")

    server = HttpServer(handle, lambda v, t, w: (b"", b""), ServerLimits())
    port = await server.listen("127.0.0.1", 0, tls=context)
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=client)
        writer.write(post(b""))
        await asyncio.wait_for(reader.readuntil(b"over TLS"), PATIENCE_S)
        writer.close()
    finally:
        server.abort()
