"""Back-pressure both ways, and large bodies."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest
from client_lab import CALM, OK, PATIENCE_S, Peer, Upstream, nothing_left, transport, until

from headrace.platform.http.messages import Fault, Timeouts, TransportError

MIB = 1 << 20
SENT_LIMIT_BYTES = 24 * MIB
"""Far more than our buffer and both kernels' can hold; far less than the body."""
BODY_BYTES = 64 * MIB


@pytest.fixture(autouse=True)
async def _clean() -> AsyncIterator[None]:
    async with nothing_left():
        yield


class Firehose:
    """Sends BODY_BYTES as fast as they are taken."""

    def __init__(self, framing: bytes) -> None:
        self.sent = 0
        self._framing = framing

    async def __call__(self, peer: Peer) -> None:
        await peer.answer(b"HTTP/1.1 200 OK\r\n%b\r\n\r\n" % self._framing)
        piece = b"x" * 65536
        while self.sent < BODY_BYTES:
            peer.send(b"10000\r\n%b\r\n" % piece if b"chunked" in self._framing else piece)
            await peer.writer.drain()
            self.sent += len(piece)
        if b"chunked" in self._framing:
            peer.send(b"0\r\n\r\n")
        await peer.gone()


async def settled(firehose: Firehose) -> int:
    """What it has sent once it sends no more."""
    before = -1
    while before != firehose.sent:
        before = firehose.sent
        await asyncio.sleep(0.1)
    return before


@pytest.mark.parametrize(
    "framing", [b"Content-Length: %d" % BODY_BYTES, b"Transfer-Encoding: chunked"]
)
async def test_an_upstream_cannot_push_what_nobody_reads(framing: bytes) -> None:
    firehose = Firehose(framing)
    async with Upstream(firehose) as up, transport() as client:
        response = await client.send(up.request(), CALM)
        assert await settled(firehose) < SENT_LIMIT_BYTES
        first = await response.next_chunk()
        assert 256 * 1024 < len(first) < MIB
        assert await settled(firehose) < SENT_LIMIT_BYTES
        received = len(first)
        while chunk := await response.next_chunk():
            assert len(chunk) < MIB
            received += len(chunk)
        assert received == BODY_BYTES
        assert client.idle_count == 1
        await client.close()


async def test_read_takes_a_large_body_that_was_paused() -> None:
    firehose = Firehose(b"Content-Length: %d" % BODY_BYTES)
    async with Upstream(firehose) as up, transport() as client:
        response = await client.send(up.request(), CALM)
        await settled(firehose)
        assert len(await response.read(BODY_BYTES)) == BODY_BYTES
        await client.close()


async def test_read_over_its_limit_stops_early() -> None:
    firehose = Firehose(b"Transfer-Encoding: chunked")
    async with Upstream(firehose) as up, transport() as client:
        response = await client.send(up.request(), CALM)
        with pytest.raises(TransportError) as caught:
            await response.read(MIB)
        assert caught.value.fault is Fault.TOO_LARGE
    assert firehose.sent < SENT_LIMIT_BYTES


async def test_close_while_paused() -> None:
    firehose = Firehose(b"Transfer-Encoding: chunked")
    async with Upstream(firehose) as up, transport() as client:
        response = await client.send(up.request(), CALM)
        await settled(firehose)
        response.close()


async def test_a_large_request_waits_for_the_upstream_to_read() -> None:
    body = b"y" * BODY_BYTES
    go = asyncio.Event()

    async def script(peer: Peer) -> None:
        await go.wait()
        _, received = await peer.request()
        assert received == body
        peer.send(OK)
        await peer.gone()

    async with Upstream(script) as up, transport() as client:
        sending = asyncio.ensure_future(client.send(up.request(body=body), CALM))
        await until(lambda: client.connection_count == 1)
        (connection,) = client._connections
        await until(lambda: connection._write_paused)
        await asyncio.sleep(0.05)
        # One slice beyond the loop's own high-water mark at most waits in memory.
        assert connection._transport.get_write_buffer_size() <= 512 * 1024
        assert not sending.done()
        go.set()
        assert await (await sending).read(2) == b"hi"
        assert client.idle_count == 1


async def test_a_slow_upload_is_no_slow_answer() -> None:
    """first_byte_s runs from the request's last byte."""
    body = b"y" * BODY_BYTES

    async def script(peer: Peer) -> None:
        await peer.reader.readuntil(b"\r\n\r\n")
        left = len(body)
        while left:
            left -= len(await peer.reader.read(MIB))
            if left > BODY_BYTES // 4:  # What may already lie in the kernel's buffers is no wait.
                await asyncio.sleep(0.01)
        peer.send(OK)
        await peer.gone()

    async with Upstream(script) as up, transport() as client:
        limits = Timeouts(connect_s=PATIENCE_S, first_byte_s=0.4, idle_s=PATIENCE_S)
        response = await client.send(up.request(body=body), limits)
        assert await response.read(2) == b"hi"


async def test_an_upload_that_stalls_times_out() -> None:
    async def script(peer: Peer) -> None:
        peer.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await go.wait()

    go = asyncio.Event()
    async with Upstream(script) as up, transport() as client:
        limits = Timeouts(connect_s=PATIENCE_S, first_byte_s=0.1, idle_s=PATIENCE_S)
        with pytest.raises(TransportError) as caught:
            await client.send(up.request(body=b"y" * BODY_BYTES), limits)
        assert caught.value.fault is Fault.FIRST_BYTE_TIMEOUT
        go.set()


async def test_an_early_answer_ends_the_upload() -> None:
    gone = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.reader.readuntil(b"\r\n\r\n")
        peer.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
        await go.wait()
        await peer.gone()
        gone.set()

    go = asyncio.Event()
    async with Upstream(script) as up, transport() as client:
        response = await client.send(up.request(body=b"y" * BODY_BYTES), CALM)
        assert (response.status, await response.read(9)) == (413, b"no")
        assert client.idle_count == 0
        go.set()
        await asyncio.wait_for(gone.wait(), PATIENCE_S)


async def test_a_request_that_was_cut_short_spoils_its_connection() -> None:
    """Even if the upstream then reads on: it would take the next request for the rest."""
    body = b"y" * BODY_BYTES
    resumed, gone = asyncio.Event(), asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.reader.readuntil(b"\r\n\r\n")
        peer.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nn")
        await answered.wait()
        draining = asyncio.ensure_future(peer.gone())
        await resumed.wait()
        peer.send(b"o")
        await draining
        gone.set()

    answered = asyncio.Event()
    async with Upstream(script) as up, transport() as client:
        response = await client.send(up.request(body=body), CALM)
        (connection,) = client._connections
        answered.set()
        await until(lambda: not connection._write_paused)
        resumed.set()
        assert await response.read(9) == b"no"
        assert client.idle_count == 0
        await asyncio.wait_for(gone.wait(), PATIENCE_S)


async def test_cancel_during_the_upload() -> None:
    gone = asyncio.Event()

    async def script(peer: Peer) -> None:
        await go.wait()
        await peer.gone()
        gone.set()

    go = asyncio.Event()
    async with Upstream(script) as up, transport() as client:
        sending = asyncio.ensure_future(client.send(up.request(body=b"y" * BODY_BYTES), CALM))
        await until(lambda: client.connection_count == 1)
        (connection,) = client._connections
        await until(lambda: connection._write_paused)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        go.set()
        await asyncio.wait_for(gone.wait(), PATIENCE_S)
        assert client.idle_count == 0


async def test_nagle_is_off() -> None:
    async with Upstream(Firehose(b"Transfer-Encoding: chunked")) as up, transport() as client:
        response = await client.send(up.request(), CALM)
        (connection,) = client._connections
        sock = connection._transport.get_extra_info("socket")
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        response.close()
