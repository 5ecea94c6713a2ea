"""Requests that come before the answer to the one before them, and what must not happen to it."""

from __future__ import annotations

import asyncio

import pytest
from server_lab import PATIENCE_S, Served, serving, statuses, until

from headrace.platform.http.exchange import Exchange, Interrupted
from headrace.platform.http.limits import Violation

HEAD = b"POST /v1 HTTP/1.1\r\nHost: a\r\n"


def post(body: bytes, extra: bytes = b"") -> bytes:
    return HEAD + extra + b"Content-Length: %d\r\n\r\n" % len(body) + body


class Stream:
    """A handler whose answer lasts until `release`."""

    def __init__(self) -> None:
        self.release = asyncio.Event()
        self.begun = asyncio.Event()
        self.ends: list[Interrupted | None] = []

    async def handle(self, exchange: Exchange) -> None:
        exchange.begin(200, b"")
        exchange.send(b"first")
        self.begun.set()
        try:
            await self.release.wait()
        finally:
            self.ends.append(exchange.interrupted)
        exchange.end(b"last")


async def begun(
    served: Served, stream: Stream
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection whose first answer is under way."""
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    writer.write(post(b"one"))
    await asyncio.wait_for(stream.begun.wait(), PATIENCE_S)
    await asyncio.wait_for(reader.readuntil(b"first\r\n"), PATIENCE_S)
    return reader, writer


@pytest.mark.parametrize("behind", [post(b"two"), HEAD, HEAD + b"Content-Length: 9\r\n\r\nhalf"])
async def test_what_waits_does_not_time_the_answer_out(behind: bytes) -> None:
    """However long the answer before it takes, a request behind it starts no clock; once it is
    due, what is missing of it has its usual time."""
    stream = Stream()
    limits = {"header_timeout_s": 0.1, "body_timeout_s": 0.1, "keep_alive_s": 0.1}
    async with serving(stream.handle, **limits) as served:
        reader, writer = await begun(served, stream)
        writer.write(behind)
        (connection,) = served.server.connections
        for _ in range(5):  # as the sweep does, long after every limit
            await asyncio.sleep(0.3)
            assert connection in served.server.connections
        assert stream.ends == []
        stream.release.set()
        raw = await asyncio.wait_for(reader.read(-1), PATIENCE_S)
        first, _, rest = raw.partition(b"4\r\nlast\r\n0\r\n\r\n")
        assert first == b""
        whole = behind == post(b"two")
        assert statuses(rest) == [200 if whole else 408]
        assert len(served.seen) == (2 if whole else 1)
        writer.close()


async def test_go_ahead_is_not_written_into_an_answer() -> None:
    """A `100 Continue` for the second request comes after the answer to the first."""
    stream = Stream()
    async with serving(stream.handle) as served:
        reader, writer = await begun(served, stream)
        writer.write(HEAD + b"Expect: 100-continue\r\nContent-Length: 3\r\n\r\n")
        (connection,) = served.server.connections
        await until(lambda: connection._incoming is not None)
        stream.release.set()
        raw = await asyncio.wait_for(reader.readuntil(b"Continue\r\n\r\n"), PATIENCE_S)
        assert raw == b"4\r\nlast\r\n0\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"two")
        await asyncio.wait_for(reader.readuntil(b"last\r\n0\r\n\r\n"), PATIENCE_S)
        assert [exchange.body for exchange in served.seen] == [b"one", b"two"]
        writer.close()


async def test_no_go_ahead_once_the_body_comes_or_for_1_0() -> None:
    async with serving() as served:
        expect = b"Expect: 100-continue\r\nContent-Length: 1\r\n\r\nx"
        assert statuses(await served.raw(b"POST / HTTP/1.0\r\n" + expect)) == [200]
        assert b"100 Continue" not in await served.raw(b"POST / HTTP/1.0\r\n" + expect)


@pytest.mark.soak
async def test_a_flood_is_answered_in_order_and_read_no_faster_than_it_is_answered() -> None:
    """What waits is bounded: reading stops until answers are out."""
    stream = Stream()
    async with serving(stream.handle) as served:
        reader, writer = await begun(served, stream)
        (connection,) = served.server.connections
        sent = 0
        with pytest.raises(TimeoutError):
            while sent < 300_000:
                writer.write(b"".join(post(b"%06d" % (sent + n)) for n in range(1000)))
                sent += 1000
                await asyncio.wait_for(writer.drain(), 1.0)  # until the socket takes no more
        waiting = len(connection._waiting)
        assert 0 < waiting < 10_000
        assert waiting < sent
        stream.release.set()
        for n in range(sent):
            await asyncio.wait_for(reader.readuntil(b"0\r\n\r\n"), PATIENCE_S)
            if n == 0:
                await asyncio.wait_for(writer.drain(), PATIENCE_S)
        await until(lambda: len(served.seen) == sent + 1)
        bodies = [exchange.body for exchange in served.seen[1:]]
        assert bodies == [b"%06d" % n for n in range(sent)]
        writer.close()


async def test_junk_behind_a_request_ends_the_connection_after_its_answer() -> None:
    """The answer under way is whole; nothing behind the junk is served, nor told a status that
    would be taken for part of it."""
    stream = Stream()
    async with serving(stream.handle) as served:
        reader, writer = await begun(served, stream)
        writer.write(post(b"two") + b"\x00junk\r\n\r\n" + post(b"three"))
        (connection,) = served.server.connections
        await until(lambda: connection._refused)
        stream.release.set()
        raw = await asyncio.wait_for(reader.read(-1), PATIENCE_S)
        assert raw == b"4\r\nlast\r\n0\r\n\r\n"
        assert [exchange.body for exchange in served.seen] == [b"one"]
        writer.close()


async def test_leaving_with_requests_behind_cancels_one_and_runs_none() -> None:
    stream = Stream()
    async with serving(stream.handle) as served:
        _, writer = await begun(served, stream)
        writer.write(post(b"two") + post(b"three"))
        (connection,) = served.server.connections
        await until(lambda: len(connection._waiting) == 2)
        assert served.server.body_bytes_held == 11
        writer.close()
        await until(lambda: stream.ends == [Interrupted.CLIENT_GONE])
        assert len(served.seen) == 1
        assert served.server.body_bytes_held == 0
        assert served.server.active() == 0


async def test_leaving_while_congested_ends_the_wait_to_write() -> None:
    ended = asyncio.Event()

    async def handle(exchange: Exchange) -> None:
        exchange.begin(200, b"")
        try:
            while True:
                exchange.send(b"x" * 65_536)
                if exchange.congested:
                    await exchange.drained()
        except asyncio.CancelledError:
            await exchange.drained()  # whoever still writes then must not wait for ever
            ended.set()
            raise

    async with serving(handle) as served:
        _, writer = await asyncio.open_connection("127.0.0.1", served.port, limit=1024)
        writer.write(post(b""))
        await until(lambda: any(c.congested for c in served.server.connections))
        writer.transport.abort()
        await asyncio.wait_for(ended.wait(), PATIENCE_S)


async def test_bodies_count_as_held_until_they_are_answered() -> None:
    stream = Stream()
    async with serving(stream.handle, body_bytes=1000, body_bytes_in_total=1500) as served:
        _, first = await asyncio.open_connection("127.0.0.1", served.port)
        first.write(post(b"x" * 900))
        await asyncio.wait_for(stream.begun.wait(), PATIENCE_S)
        assert served.server.body_bytes_held == 900
        raw = await served.raw(post(b"x" * 800))
        assert statuses(raw) == [Violation.BUSY.status] == [503]
        stream.release.set()
        await until(lambda: served.server.body_bytes_held == 0)
        assert statuses(await served.raw(post(b"x" * 800))) == [200]
        first.close()


@pytest.mark.parametrize("early", [True, False])
async def test_drain_answers_what_comes_behind_the_last_answer_and_runs_none_of_it(
    early: bool,
) -> None:
    """The client was not told that the stream would be the last answer here, for it had begun: the
    next request is answered, whether it came before the stream's end or comes after it."""
    stream = Stream()
    async with serving(stream.handle) as served:
        reader, writer = await begun(served, stream)
        (connection,) = served.server.connections
        if early:
            writer.write(post(b"two"))
            await until(lambda: len(connection._waiting) == 1)
        draining = asyncio.create_task(served.server.drain(PATIENCE_S))
        await until(lambda: served.server.draining)
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", served.port)
        stream.release.set()
        last = b"4\r\nlast\r\n0\r\n\r\n"
        assert await asyncio.wait_for(reader.readexactly(len(last)), PATIENCE_S) == last
        if not early:
            writer.write(post(b"two"))
        raw = await asyncio.wait_for(reader.read(-1), PATIENCE_S)
        assert statuses(raw) == [Violation.DRAINING.status] == [503]
        assert b"connection: close" in raw
        assert raw.endswith(b'{"what": "this gateway is stopping"}')
        writer.write(post(b"three"))  # nor is who has not read it yet met by a reset
        await writer.drain()
        writer.close()
        assert await draining == 0
        assert len(served.seen) == 1
        assert served.server.body_bytes_held == 0


async def test_drain_answers_requests_that_are_under_way_on_idle_connections() -> None:
    """Whole or not, on connections that were used before and on new ones."""
    async with serving() as served:
        opened = [await asyncio.open_connection("127.0.0.1", served.port) for _ in range(3)]
        for number, (reader, writer) in enumerate(opened):
            if number:
                writer.write(post(b"one"))
                await asyncio.wait_for(reader.readuntil(b"one"), PATIENCE_S)
        await until(lambda: len(served.server.connections) == 3)
        opened[2][1].write(HEAD)
        await until(lambda: any(c._incoming is not None for c in served.server.connections))
        draining = asyncio.create_task(served.server.drain(PATIENCE_S))
        await until(lambda: served.server.draining)
        for _, writer in opened[:2]:
            writer.write(post(b"two"))
        for reader, writer in opened:
            raw = await asyncio.wait_for(reader.read(-1), PATIENCE_S)
            assert statuses(raw) == [503]
            assert b"connection: close" in raw
            writer.close()
        assert await draining == 0
        assert [exchange.body for exchange in served.seen] == [b"one", b"one"]
        assert served.server.body_bytes_held == 0


async def test_drain_closes_connections_on_which_nothing_comes() -> None:
    stream = Stream()
    async with serving(stream.handle) as served:
        reader, writer = await begun(served, stream)
        idle, other = await asyncio.open_connection("127.0.0.1", served.port)
        await until(lambda: len(served.server.connections) == 2)
        draining = asyncio.create_task(served.server.drain(PATIENCE_S))
        assert await asyncio.wait_for(idle.read(-1), PATIENCE_S) == b""
        assert not draining.done()
        stream.release.set()
        await asyncio.wait_for(reader.readuntil(b"last\r\n0\r\n\r\n"), PATIENCE_S)
        assert served.server.active() == 0
        writer.close()  # who has nothing more to ask keeps nobody waiting
        assert await draining == 0
        other.close()
